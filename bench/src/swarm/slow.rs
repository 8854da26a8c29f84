//! Owns subscribers that are slow on purpose: they stand beside those that are measured, and nothing of them is. Each has
//! a session of its own, and one event at most waits for it in this process; when it does, its session is read no
//! further, so its socket fills and then its queue at whoever fans out. They have an executor of their own, which is
//! not pinned: nobody who is measured waits behind them.

use super::Common;
use super::crew::Crew;
use super::reports::{Failure, Report};
use super::topics::Topics;
use corecast::{ClientConfig, LocalClient, LocalSubscriber, Sessions};
use corecast_executors::{Idle, Link, LocalTask, MonotonicNs, Pacer, PoolError, ShardContext, spawn_local};
use std::ops::Range;
use std::time::Duration;

/// The parameters of the slow subscribers of a run.
#[derive(Clone, Debug)]
pub struct SlowConfig {
    /// Those that they share with all others.
    pub common: Common,
    /// The slow subscribers, by their numbers in the swarm: they come after those that are measured.
    pub subscribers: Range<usize>,
    /// Time that each takes for a message; `None`: it takes none.
    pub delay: Option<Duration>,
}

/// Running slow subscribers. Dropped, they go away by themselves; [`SlowSubscribers::stop`] waits for it.
#[derive(Debug)]
pub struct SlowSubscribers(Crew<Never>);

/// A command that does not exist: nothing is ever said to them.
#[derive(Debug)]
enum Never {}

impl SlowSubscribers {
    /// Starts their executor. It subscribes them and then reports [`Report::SubscribersReady`], or
    /// [`Report::Failed`].
    pub fn start(config: SlowConfig, reports: Link<Report>) -> Result<Self, PoolError> {
        let wait = (Idle::Park, config.common.reactor);
        let crew = Crew::start("bench-slow", (&[], 1), wait, move |context| {
            let (config, reports) = (config.clone(), reports.clone());
            async move { run_executor(context, &config, &reports).await }
        })?;
        Ok(SlowSubscribers(crew))
    }

    /// Number of executors.
    pub fn executors(&self) -> usize {
        self.0.executors()
    }

    /// Ends all sessions and waits until the executor has stopped.
    pub fn stop(self) -> Result<(), PoolError> {
        self.0.stop()
    }
}

async fn run_executor(mut context: ShardContext<Never>, config: &SlowConfig, reports: &Link<Report>) {
    let client = LocalClient::start(client_config(&config.common), context.ticks);
    let (report, tasks) = match subscribe(&client, config).await {
        Ok(subscribers) => (Report::SubscribersReady, start_taking(subscribers, config.delay)),
        Err(failure) => (Report::Failed(failure), Vec::new()),
    };
    let _ = reports.send(report).await;
    while context.commands.recv().await.is_some() {}
    drop(tasks);
    client.close().await;
}

fn client_config(common: &Common) -> ClientConfig {
    let mut config = common.client_config("bench-slow");
    // A shared session would be read on, for the others that share it.
    config.sessions = Sessions::PerSubscriber;
    config.queue_frames = 1;
    config
}

async fn subscribe(client: &LocalClient, config: &SlowConfig) -> Result<Vec<LocalSubscriber>, Failure> {
    let topics = Topics::new(config.common.run, config.common.workload);
    let mut subscribers = Vec::with_capacity(config.subscribers.len());
    for index in config.subscribers.clone() {
        let subscriber = client.subscriber(&topics.filters(index)).await;
        subscribers.push(
            subscriber.map_err(|error| {
                Failure::of(format!("cannot subscribe (slow subscriber {index})"), &error)
            })?,
        );
    }
    Ok(subscribers)
}

/// A task for each: it takes its messages at its pace, or holds on to its session and takes none.
fn start_taking(subscribers: Vec<LocalSubscriber>, delay: Option<Duration>) -> Vec<LocalTask<()>> {
    let take = |subscriber: LocalSubscriber| {
        spawn_local(async move {
            match delay {
                Some(delay) => take_slowly(subscriber, delay).await,
                None => {
                    let _held = subscriber;
                    std::future::pending::<()>().await;
                }
            }
        })
    };
    subscribers.into_iter().map(take).collect()
}

async fn take_slowly(mut subscriber: LocalSubscriber, delay: Duration) {
    // Without a timer it takes nothing, which is slow enough.
    let Ok(mut pacer) = Pacer::new() else { return std::future::pending().await };
    while subscriber.recv().await.is_ok() {
        if pacer.until(MonotonicNs::now() + delay).await.is_err() {
            return;
        }
    }
}
