//! A pool: pinned executors, the links between their shards, commands from outside, and ticks.

mod launch;

use std::future::Future;
use std::io;
use std::thread::JoinHandle;

use thiserror::Error;
use tracing::warn;

use crate::executor::{ExecutorError, Sockets};
use crate::idle::Idle;
use crate::ids::{CoreId, ShardId};
use crate::link::{Inbox, Link, link_to_shard};
use crate::reactor::Reactor;
use crate::rest::Alarm;
use crate::thread::install_panic_hook;
use crate::tick::{TickLink, TickSource, Ticks, ticks};

/// The configuration of a pool.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// The pool's name: its threads are `{name}-{shard}` (the kernel shows 15 characters).
    pub name: String,
    /// The CPUs to run on. Shard i gets the i-th, and they repeat when they run out. If none is named, executors are
    /// not pinned: the scheduler runs them on any CPU that this process may use.
    pub cores: Vec<CoreId>,
    /// The number of shards.
    pub shards: usize,
    /// The idle policy of each shard.
    pub idle: Idle,
    /// The number of sockets that each shard is expected to wait for.
    pub sockets: Sockets,
    /// The reactor of each shard.
    pub reactor: Reactor,
    /// The capacity of each link between two shards and of each commands link, in messages.
    pub link_capacity: usize,
}

impl PoolConfig {
    /// One executor on whatever CPU there is, with the reactor that can be had, which parks when idle, waits for few sockets, and takes one message at a time.
    #[must_use]
    pub fn single(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            cores: Vec::new(),
            shards: 1,
            idle: Idle::Park,
            sockets: Sockets::Few,
            reactor: Reactor::Auto,
            link_capacity: 1,
        }
    }
}

/// The arguments of a shard's body.
#[derive(Debug)]
pub struct ShardContext<M> {
    /// This shard.
    pub shard: ShardId,
    /// The number of shards.
    pub shards: usize,
    /// The CPU to which this shard is pinned, if any.
    pub core: Option<CoreId>,
    /// A link to each shard, by shard; `None` for this one.
    pub links: Vec<Option<Link<M>>>,
    /// An inbox from each shard, by shard; `None` for this one.
    pub inboxes: Vec<Option<Inbox<M>>>,
    /// Messages from outside the pool. Their end is the signal to stop.
    pub commands: Inbox<M>,
    /// The time. Wait for it as long as the shard runs: it also ends a stall of the runtime (`tick`).
    pub ticks: Ticks,
}

/// The reason why a pool did not start, or did not end well.
#[derive(Debug, Error)]
pub enum PoolError {
    /// The configuration has no shards, or more than a [`ShardId`] can count.
    #[error("a pool needs 1 to 65536 shards and room on its links")]
    Config,
    /// The kernel has no room for another thread.
    #[error("cannot make the thread of shard {shard}")]
    Thread {
        /// The shard.
        shard: ShardId,
        /// EAGAIN: the limit of processes is reached.
        #[source]
        source: io::Error,
    },
    /// No descriptor is left for a shard's ticks.
    #[error("cannot make a shard's ticks: raise the limit of open files (ulimit -n)")]
    Ticks(#[source] io::Error),
    /// The tick thread could not be made.
    #[error("cannot make the tick thread")]
    TickThread(#[source] io::Error),
    /// An executor did not start.
    #[error("cannot start the executor of shard {shard}")]
    Executor {
        /// The shard.
        shard: ShardId,
        /// The kernel's error and its remedy.
        #[source]
        source: ExecutorError,
    },
    /// An executor's thread ended without a report.
    #[error("the executor of shard {shard} is gone")]
    Lost {
        /// The shard.
        shard: ShardId,
    },
}

/// A set of running executors. If it is dropped they stop by themselves; [`Pool::stop`] waits for them.
#[derive(Debug)]
pub struct Pool<M> {
    cores: Vec<Option<CoreId>>,
    commands: Vec<Link<M>>,
    threads: Vec<JoinHandle<()>>,
    tick_source: TickSource,
}

/// Starts a pool and returns when each of its executors runs. No body starts before all executors do.
///
/// # Errors
/// That of the first executor that could not start; the others are ended before this returns.
pub fn start<M, F, Fut>(config: &PoolConfig, body: F) -> Result<Pool<M>, PoolError>
where
    M: Send + 'static,
    F: Fn(ShardContext<M>) -> Fut + Send + Clone + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let shards_max = usize::from(u16::MAX) + 1;
    if !(1..=shards_max).contains(&config.shards) || config.link_capacity == 0 {
        return Err(PoolError::Config);
    }
    install_panic_hook();
    warn_of_shared_cores(config);
    let Plan { contexts, commands, tick_links, alarm } = plan(config).map_err(PoolError::Ticks)?;
    let cores = contexts.iter().map(|context| context.core).collect();

    let launch = launch::launch(config, contexts, body);
    let ready = launch.failed.map_or(Ok(()), Err);
    let tick_source = ready.and_then(|()| {
        launch::wait_until_started(launch.started, &launch.threads)?;
        let name = format!("{}-tick", config.name);
        TickSource::start(&name, tick_links, alarm).map_err(PoolError::TickThread)
    });
    match tick_source {
        Ok(tick_source) => {
            for go_link in launch.go_links {
                // One slot and one message: it is accepted, whatever became of the shard.
                let _ = go_link.try_send(());
            }
            Ok(Pool { cores, commands, threads: launch.threads, tick_source })
        }
        Err(error) => {
            drop(launch.go_links);
            for thread in launch.threads {
                // Its own failure is the one reported already.
                let _ = thread.join();
            }
            Err(error)
        }
    }
}

impl<M> Pool<M> {
    /// The number of shards.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.cores.len()
    }

    /// The CPU of each shard, by shard; empty if they are not pinned.
    #[must_use]
    pub fn cores(&self) -> Vec<CoreId> {
        self.cores.iter().flatten().copied().collect()
    }

    /// A link to a shard from outside. A clone that is kept prevents that shard from stopping.
    ///
    /// # Panics
    /// If there is no such shard.
    #[must_use]
    pub fn commands(&self, shard: ShardId) -> Link<M> {
        self.commands[shard.index()].clone()
    }

    /// Drops the pool's own commands links and waits until every body has returned.
    ///
    /// # Errors
    /// If an executor's thread was lost.
    pub fn join(self) -> Result<(), PoolError> {
        let Self { cores: _, commands, threads, tick_source } = self;
        drop(commands);
        let mut lost = None;
        for (index, thread) in threads.into_iter().enumerate() {
            if thread.join().is_err() {
                lost = lost.or(Some(PoolError::Lost { shard: shard_at(index) }));
            }
        }
        // Bodies need the time to the end: deadlines apply while they drain.
        tick_source.stop();
        lost.map_or(Ok(()), Err)
    }

    /// Tells every shard to stop and waits until all have. The same as [`Pool::join`], under a name that says what it
    /// does.
    ///
    /// # Errors
    /// If an executor's thread was lost.
    pub fn stop(self) -> Result<(), PoolError> {
        self.join()
    }
}

/// Everything that is made before the first thread.
struct Plan<M> {
    contexts: Vec<ShardContext<M>>,
    commands: Vec<Link<M>>,
    tick_links: Vec<TickLink>,
    /// The alarm of the tick thread.
    alarm: Alarm,
}

/// Makes the links: one for each ordered pair of shards, and one from outside to each.
fn plan<M>(config: &PoolConfig) -> io::Result<Plan<M>> {
    let shards = config.shards;
    let mut contexts: Vec<ShardContext<M>> = Vec::with_capacity(shards);
    let mut commands = Vec::with_capacity(shards);
    let mut tick_links = Vec::with_capacity(shards);
    let alarm = Alarm::default();
    for index in 0..shards {
        let (tick_link, ticks) = ticks(&alarm)?;
        let (command_link, command_inbox) = link_to_shard(config.link_capacity, &ticks.stir());
        commands.push(command_link);
        tick_links.push(tick_link);
        contexts.push(ShardContext {
            shard: shard_at(index),
            shards,
            core: config.cores.get(index % config.cores.len().max(1)).copied(),
            links: (0..shards).map(|_| None).collect(),
            inboxes: (0..shards).map(|_| None).collect(),
            commands: command_inbox,
            ticks,
        });
    }
    for source in 0..shards {
        for target in (0..shards).filter(|&target| target != source) {
            let (out, inbox) = link_to_shard(config.link_capacity, &contexts[target].ticks.stir());
            contexts[source].links[target] = Some(out);
            contexts[target].inboxes[source] = Some(inbox);
        }
    }
    Ok(Plan { contexts, commands, tick_links, alarm })
}

/// Logs a warning: two shards on one core depend on the scheduler for their turns, which is allowed.
fn warn_of_shared_cores(config: &PoolConfig) {
    let mut distinct = config.cores.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if !distinct.is_empty() && config.shards > distinct.len() {
        warn!(
            pool = config.name,
            shards = config.shards,
            cores = distinct.len(),
            "more shards than cores: some share one and will be slower"
        );
    }
}

/// The shard with an index below 65536, which `start` has checked.
fn shard_at(index: usize) -> ShardId {
    ShardId(u16::try_from(index).expect("start() refuses more shards than a ShardId counts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_on_any_link_of_the_pool_keeps_its_shard_alone_from_resting() {
        let config = PoolConfig { shards: 2, ..PoolConfig::single("rest") };
        let Plan { mut contexts, commands, .. } = plan::<()>(&config).unwrap();
        contexts.iter().for_each(|context| context.ticks.rest());
        let rests = |contexts: &[ShardContext<()>]| {
            contexts.iter().map(|context| context.ticks.stir().rests()).collect::<Vec<_>>()
        };
        contexts[0].links[1].as_ref().unwrap().try_send(()).unwrap();
        assert_eq!(rests(&contexts), [true, false]);
        assert_eq!(contexts[1].inboxes[0].as_mut().unwrap().try_recv(), Some(()));
        commands[0].clone().try_send(()).unwrap();
        assert_eq!(rests(&contexts), [false, true]);
    }
}
