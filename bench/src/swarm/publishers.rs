//! Owns the executors that send: each has its share of the publishers, every one a task that keeps to its schedule
//! or floods. Driven from a plain thread by [`Publishers`].

use super::Common;
use super::crew::Crew;
use super::reports::{Failure, PublisherDone, Report, Sent};
use super::schedule::{Amount, Rate, Schedule};
use super::topics::Topics;
use crate::measure::messages::Messages;
use crate::measure::payload::PublisherIndex;
use corecast::{LocalClient, LocalPublisher, Mode, Topic};
use corecast_executors::{
    CoreId, CoreSet, Idle, Link, MonotonicNs, Pacer, PoolError, ShardContext, end_turn, spawn_local,
};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The name of these executors' threads, with the number of the executor behind it.
pub const POOL: &str = "bench-pub";
/// Messages that a publisher which never has to wait sends in one turn of its executor.
const MESSAGES_PER_TURN: u64 = 64;
/// Time that a publisher which waits for its next message may take to notice a stop.
const STOP_WITHIN: Duration = Duration::from_millis(100);

/// The parameters of the publishers of a run.
#[derive(Clone, Debug)]
pub struct PublishersConfig {
    /// Those that they share with the subscribers.
    pub common: Common,
    /// The mode that the broker is expected to have: a run under the wrong name is worse than none.
    pub mode: Mode,
    /// Number of subscribers that each publisher waits for.
    pub subscribers: usize,
    /// The size of a payload, in bytes.
    pub size_bytes: usize,
    /// Rate of each publisher.
    pub rate: Rate,
    /// Amount that each publisher sends.
    pub amount: Amount,
    /// Time that the broker may take for the last messages.
    pub flush_timeout: Duration,
    /// One executor on each of these, but no more than there are publishers.
    pub cores: Vec<CoreId>,
    /// The cores that direct publishers send from, shared out among executors with one publisher each. Where
    /// there are more publishers than executors, each sends from its own.
    pub fan_out_cores: Vec<CoreId>,
    /// Idle policy of the executors.
    pub idle: Idle,
}

impl PublishersConfig {
    /// The share of the cores that the direct publisher of an executor sends from, as `--cores` is written.
    fn fan_out_cores_of(&self, executor: usize, executors: usize) -> Option<CoreSet> {
        let alone = self.common.workload.publishers == executors;
        let share = self.fan_out_cores.iter().skip(executor).step_by(executors);
        let share: Vec<String> = share.map(ToString::to_string).collect();
        (alone && !share.is_empty()).then(|| share.join(",").parse().expect("numbers of cores are a set"))
    }
}

/// A command to an executor of publishers.
#[derive(Clone, Copy, Debug)]
enum Command {
    /// Send, from then on.
    Go { start: MonotonicNs },
    /// Report how many messages went out.
    Look,
    /// Send no more.
    Halt,
}

/// Running publishers. Dropped, they go away by themselves; [`Publishers::stop`] waits for it.
#[derive(Debug)]
pub struct Publishers(Crew<Command>);

impl Publishers {
    /// Starts the executors. Each makes its share, waits until every publisher sees all subscribers and then
    /// reports [`Report::PublishersReady`], or [`Report::Failed`].
    pub fn start(config: PublishersConfig, reports: Link<Report>) -> Result<Self, PoolError> {
        let executors = config.cores.len().min(config.common.workload.publishers);
        let config = Arc::new(config);
        let own = config.clone();
        let run = move |context| run_executor(context, own.clone(), reports.clone());
        let wait = (config.idle, config.common.reactor);
        let crew = Crew::start(POOL, (&config.cores, executors), wait, run)?;
        Ok(Publishers(crew))
    }

    /// Number of executors.
    pub fn executors(&self) -> usize {
        self.0.executors()
    }

    /// Lets all publishers send from `start` on. Each ends with a [`Report::PublisherDone`].
    pub fn go(&self, start: MonotonicNs) {
        self.0.tell(|| Command::Go { start });
    }

    /// Asks each executor for a [`Report::Sent`]; one that has not answered the last time is not asked again.
    pub fn look(&self) {
        self.0.tell_idle(|| Command::Look);
    }

    /// Lets no publisher send another message. They report that they are done.
    pub fn halt(&self) {
        self.0.tell_at_once(|| Command::Halt);
    }

    /// Waits until the executors have stopped.
    pub fn stop(self) -> Result<(), PoolError> {
        self.0.stop()
    }
}

/// State that the publishers of an executor share with the task that takes commands.
#[derive(Debug, Default)]
struct Shared {
    halted: Cell<bool>,
    sent: Cell<u64>,
}

async fn run_executor(
    mut context: ShardContext<Command>,
    config: Arc<PublishersConfig>,
    reports: Link<Report>,
) {
    let executor = context.shard.0 as usize;
    let mut client_config = config.common.client_config(&format!("bench-pub-{executor}"));
    client_config.direct.cores = config.fan_out_cores_of(executor, context.shards);
    let client = LocalClient::start(client_config, context.ticks);
    let (report, mut publishers) = match make(&client, executor, context.shards, &config).await {
        Ok(made) => (Report::PublishersReady, made),
        Err(failure) => (Report::Failed(failure), Vec::new()),
    };
    let _ = reports.send(report).await;

    let shared = Rc::new(Shared::default());
    let mut reported = 0;
    let mut tasks = Vec::new();
    while let Some(command) = context.commands.recv().await {
        match command {
            Command::Go { start } => {
                for publisher in publishers.drain(..) {
                    let (config, reports, shared) = (config.clone(), reports.clone(), shared.clone());
                    tasks.push(spawn_local(async move {
                        let (publisher, done) = publisher.send_all(start, &config, &shared).await;
                        let _ = reports.send(Report::PublisherDone(done)).await;
                        publisher
                    }));
                }
            }
            Command::Look => {
                let sent = shared.sent.get();
                let _ = reports.send(Report::Sent(sent - reported)).await;
                reported = sent;
            }
            Command::Halt => shared.halted.set(true),
        }
    }
    // A publisher that still waits for room is given up: whoever drives the swarm has stopped waiting for it.
    drop(tasks);
    client.close().await;
}

/// One publisher, and what it sends.
struct BenchPublisher {
    index: PublisherIndex,
    publisher: LocalPublisher,
    topics: Rc<[Topic]>,
    messages: Messages,
}

async fn make(
    client: &LocalClient,
    executor: usize,
    executors: usize,
    config: &PublishersConfig,
) -> Result<Vec<BenchPublisher>, Failure> {
    let common = &config.common;
    let workload = &common.workload;
    let topics: Rc<[Topic]> = Topics::new(common.run, *workload).topics().collect();
    let mut publishers = Vec::new();
    for index in (executor..workload.publishers).step_by(executors) {
        let index = PublisherIndex(index as u32);
        let failed =
            |error: corecast::Error| Failure::of(format!("publisher {} cannot start", index.0), &error);
        let messages = Messages::new(common.run, workload, index, config.size_bytes);
        let messages = messages.expect("whoever starts a swarm has checked the size");
        let mut publisher = client.publisher().await.map_err(failed)?;
        check_mode(config.mode, publisher.mode_of(&topics[0]))?;
        for (topic, subscribers) in waited_for(config, index) {
            let there = publisher.wait_for_subscribers(&topics[topic], subscribers, common.setup_timeout);
            there.await.map_err(failed)?;
        }
        publishers.push(BenchPublisher { index, publisher, topics: topics.clone(), messages });
    }
    Ok(publishers)
}

/// The topics whose subscribers a publisher waits for, and how many these are.
fn waited_for(config: &PublishersConfig, publisher: PublisherIndex) -> Vec<(usize, usize)> {
    let workload = &config.common.workload;
    let mut subscribers = vec![0; workload.topics()];
    match (workload.shared, config.mode) {
        (None, _) => subscribers[publisher.0 as usize] = config.subscribers,
        // The broker confirms a subscription when every shard knows of it, and subscribers have waited for that.
        (Some(_), Mode::Proxy) if config.common.far.is_none() => {}
        // A second broker may have been alone when it confirmed some.
        (Some(_), _) => {
            let wanted = (0..config.subscribers).flat_map(|subscriber| workload.wanted_by(subscriber));
            wanted.for_each(|topic| subscribers[topic as usize] += 1);
        }
    }
    subscribers.into_iter().enumerate().filter(|(_, subscribers)| *subscribers > 0).collect()
}

fn check_mode(asked: Mode, found: Mode) -> Result<(), Failure> {
    if asked == found {
        return Ok(());
    }
    let why = format!("the broker makes its topics {found} (its --mode and --mode-rule): say --mode {found}");
    Err(Failure::new(format!("the run is to be {asked}"), why))
}

impl BenchPublisher {
    /// Sends everything, then waits until the broker has taken it.
    async fn send_all(
        mut self,
        start: MonotonicNs,
        config: &PublishersConfig,
        shared: &Shared,
    ) -> (Self, PublisherDone) {
        let mut sent = Sent::nothing(start);
        let all = match config.rate {
            Rate::Hz(rate_hz) => {
                let place = (self.index.0 as usize, config.common.workload.publishers);
                let schedule = Schedule::new(start, rate_hz, config.amount, place);
                self.keep_to(&schedule, shared, &mut sent).await
            }
            Rate::Flood => self.flood(start, config.amount, shared, &mut sent).await,
        };
        let flushed = match all {
            Ok(()) => self.publisher.flush(config.flush_timeout).await.map_err(|error| {
                Failure::of(format!("not all of publisher {} was taken", self.index.0), &error)
            }),
            Err(failure) => Err(failure),
        };
        let done = PublisherDone { publisher: self.index, sent, failure: flushed.err() };
        (self, done)
    }

    /// Sends each message when it is due, or as soon as it can be after that.
    async fn keep_to(
        &mut self,
        schedule: &Schedule,
        shared: &Shared,
        sent: &mut Sent,
    ) -> Result<(), Failure> {
        let index = self.index.0;
        let cannot_wait = |error: std::io::Error| {
            Failure::new(format!("publisher {index} cannot wait for its next message"), error.to_string())
        };
        let mut pacer = Pacer::new().map_err(cannot_wait)?;
        sent.started_ns = schedule.due(0).0;
        sent.intended = schedule.messages();
        for sequence in 0..schedule.messages() {
            let due = schedule.due(sequence);
            let mut now = MonotonicNs::now();
            while now < due && !shared.halted.get() {
                pacer.until(due.min(now + STOP_WITHIN)).await.map_err(cannot_wait)?;
                now = MonotonicNs::now();
            }
            if shared.halted.get() {
                sent.intended = sequence;
                return Ok(());
            }
            if schedule.is_over(now) {
                return Ok(());
            }
            self.publish(due, shared, sent).await?;
            sent.late += u64::from(schedule.is_late(due, MonotonicNs::now()));
            if sequence % MESSAGES_PER_TURN == MESSAGES_PER_TURN - 1 {
                end_turn().await;
            }
        }
        Ok(())
    }

    /// Sends as fast as messages are taken. A message is due when it is handed over.
    async fn flood(
        &mut self,
        start: MonotonicNs,
        amount: Amount,
        shared: &Shared,
        sent: &mut Sent,
    ) -> Result<(), Failure> {
        let (messages, until) = match amount {
            Amount::Messages(messages) => (messages, None),
            Amount::Duration(duration) => (u64::MAX, Some(start + duration)),
        };
        let mut now = MonotonicNs::now();
        sent.started_ns = now.0;
        for sequence in 0..messages {
            if shared.halted.get() || until.is_some_and(|until| now >= until) {
                break;
            }
            self.publish(now, shared, sent).await?;
            sent.intended += 1;
            if sequence % MESSAGES_PER_TURN == MESSAGES_PER_TURN - 1 {
                end_turn().await;
            }
            now = MonotonicNs::now();
        }
        Ok(())
    }

    /// Sends the next message.
    async fn publish(&mut self, due: MonotonicNs, shared: &Shared, sent: &mut Sent) -> Result<(), Failure> {
        let (topic, payload) = self.messages.next(due);
        match self.publisher.publish(&self.topics[topic as usize], payload).await {
            Ok(_) => {
                sent.sent += 1;
                shared.sent.set(shared.sent.get() + 1);
                Ok(())
            }
            Err(error) => Err(Failure::of(format!("publisher {} cannot send", self.index.0), &error)),
        }
    }
}
