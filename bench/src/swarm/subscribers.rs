//! Owns the executors that receive: each has its share of the subscribers, and one tally that their sinks write.
//! Driven from a plain thread by [`Subscribers`].

use super::crew::Crew;
use super::reports::{Failure, Received, Report};
use super::topics::Topics;
use super::{Common, share};
use crate::measure::interest::Interest;
use crate::measure::tally::Tally;
use corecast::{EventRef, LocalClient, Subscription};
use corecast_executors::{CoreId, Idle, Link, LocalTask, MonotonicNs, PoolError, ShardContext, spawn_local};
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

/// Subscriptions that an executor asks for at once. With one at a time 512 of them would wait for as many round
/// trips; with all at once a broker's accept queue would be the thing measured.
const SUBSCRIBE_AT_ONCE: usize = 32;

/// The parameters of the subscribers of a run.
#[derive(Clone, Debug)]
pub struct SubscribersConfig {
    /// Those that they share with the publishers.
    pub common: Common,
    /// The subscribers of all executors together, by their numbers in the run.
    pub subscribers: Range<usize>,
    /// One executor on each of these.
    pub cores: Vec<CoreId>,
    /// Idle policy of the executors.
    pub idle: Idle,
    /// Set to keep every delivery by itself.
    pub keep_samples: bool,
    /// The lead of this host's clock over the publishers', in nanoseconds; 0 if it is the same.
    pub clock_ahead_ns: i64,
}

/// A command to an executor of subscribers.
#[derive(Debug)]
enum Command {
    /// Report how far you are; `sent` says what was sent on each flow, once it is known.
    Look { sent: Option<Arc<[u64]>> },
    /// Report what you have measured.
    Finish,
}

/// Running subscribers. Dropped, they go away by themselves; [`Subscribers::stop`] waits for it.
#[derive(Debug)]
pub struct Subscribers(Crew<Command>);

impl Subscribers {
    /// Starts the executors. Each subscribes its share and then reports [`Report::SubscribersReady`], or
    /// [`Report::Failed`].
    pub fn start(config: SubscribersConfig, reports: Link<Report>) -> Result<Self, PoolError> {
        let executors = config.cores.len().min(config.subscribers.len().max(1));
        let config = Arc::new(config);
        let own = config.clone();
        let run = move |context| {
            let (config, reports) = (own.clone(), reports.clone());
            async move { run_executor(context, &config, &reports).await }
        };
        let wait = (config.idle, config.common.reactor);
        let crew = Crew::start("bench-sub", (&config.cores, executors), wait, run)?;
        Ok(Subscribers(crew))
    }

    /// Number of executors.
    pub fn executors(&self) -> usize {
        self.0.executors()
    }

    /// Asks each executor for a [`Report::Received`]; one that has not answered the last time is not asked again.
    pub fn look(&self, sent: Option<&Arc<[u64]>>) {
        self.0.tell_idle(|| Command::Look { sent: sent.cloned() });
    }

    /// Asks each executor for a [`Report::Measured`].
    pub fn finish(&self) {
        self.0.tell(|| Command::Finish);
    }

    /// Ends all subscriptions and waits until the executors have stopped.
    pub fn stop(self) -> Result<(), PoolError> {
        self.0.stop()
    }
}

async fn run_executor(
    mut context: ShardContext<Command>,
    config: &SubscribersConfig,
    reports: &Link<Report>,
) {
    let executor = context.shard.0 as usize;
    let common = &config.common;
    let share = share(config.subscribers.len(), executor, context.shards);
    let first = config.subscribers.start;
    let subscribers = first + share.start..first + share.end;
    let interest = Interest::of(&common.workload, subscribers.clone());
    let tally = Tally::new(common.run, common.workload, interest).ahead_by(config.clock_ahead_ns);
    let tally = if config.keep_samples { tally.keeping_samples() } else { tally };
    let tally = Rc::new(RefCell::new(tally));
    let mut client_config = common.client_config(&format!("bench-sub-{executor}"));
    if let Some(far) = common.far.as_ref().filter(|_| executor.is_multiple_of(2)) {
        client_config.broker = far.clone().into();
    }
    let client = LocalClient::start(client_config, context.ticks);

    let topics = Rc::new(Topics::new(common.run, common.workload));
    let subscriptions = subscribe(&client, subscribers, &topics, &tally).await;
    let report = match &subscriptions {
        Ok(_) => Report::SubscribersReady,
        Err(failure) => Report::Failed(failure.clone()),
    };
    let _ = reports.send(report).await;

    while let Some(command) = context.commands.recv().await {
        let report = answer(command, executor, &tally);
        let _ = reports.send(report).await;
    }
    drop(subscriptions);
    client.close().await;
}

fn answer(command: Command, executor: usize, tally: &RefCell<Tally>) -> Report {
    match command {
        Command::Look { sent } => {
            let tally = tally.borrow();
            Report::Received(Received {
                executor,
                delivered: tally.oracle().delivered(),
                accounted: tally.oracle().accounted(),
                settling: sent.map(|sent| tally.oracle().settling(&sent)),
            })
        }
        Command::Finish => {
            let mut tally = tally.borrow_mut();
            let nothing = tally.empty_copy();
            Report::Measured { executor, tally: Box::new(std::mem::replace(&mut tally, nothing)) }
        }
    }
}

/// Makes this executor's subscribers, some at a time.
async fn subscribe(
    client: &LocalClient,
    subscribers: Range<usize>,
    topics: &Rc<Topics>,
    tally: &Rc<RefCell<Tally>>,
) -> Result<Vec<Subscription>, Failure> {
    let (first, count) = (subscribers.start, subscribers.len());
    let lanes: Vec<LocalTask<_>> = (0..SUBSCRIBE_AT_ONCE.min(count))
        .map(|lane| {
            let (client, topics, tally) = (client.clone(), topics.clone(), tally.clone());
            spawn_local(async move {
                let mut subscriptions = Vec::new();
                for subscriber in (lane..count).step_by(SUBSCRIBE_AT_ONCE) {
                    let place = (first, subscriber);
                    subscriptions.push(subscribe_one(&client, place, &topics, &tally).await?);
                }
                Ok::<_, Failure>(subscriptions)
            })
        })
        .collect();
    let mut subscriptions = Vec::with_capacity(count);
    for lane in lanes {
        subscriptions.extend(lane.await?);
    }
    Ok(subscriptions)
}

/// Subscribes a subscriber of this executor, whose first one has number `first` in the swarm.
async fn subscribe_one(
    client: &LocalClient,
    (first, subscriber): (usize, usize),
    topics: &Rc<Topics>,
    tally: &Rc<RefCell<Tally>>,
) -> Result<Subscription, Failure> {
    let (filters, topics, tally) = (topics.filters(first + subscriber), topics.clone(), tally.clone());
    let sink = move |event: EventRef<'_>| {
        let now = MonotonicNs::now();
        let mut tally = tally.borrow_mut();
        match event {
            EventRef::Message(message) => {
                if !tally.message(subscriber, message.payload, now) {
                    tally.corrupted(subscriber, topics.topic_of(message.topic));
                }
            }
            EventRef::Gap(gap) => {
                let topic = gap.topic.and_then(|topic| topics.topic_of(topic));
                tally.gap(subscriber, topic, gap.missed, now);
            }
            EventRef::CaughtUp => {} // It started live.
        }
    };
    let subscription = client.subscribe_with(&filters, sink).await;
    subscription.map_err(|error| {
        Failure::of(format!("cannot subscribe (subscriber {subscriber} of an executor)"), &error)
    })
}
