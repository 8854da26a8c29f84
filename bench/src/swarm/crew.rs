//! Owns the executors of one part of a swarm, and the commands to them.

use corecast_executors::{
    CoreId, Idle, Link, Pool, PoolConfig, PoolError, Reactor, ShardContext, ShardId, Sockets, start,
};

/// Commands that may wait for an executor. One is on its way at a time, but for the stop after a look.
const COMMANDS_MAX: usize = 8;

/// Executors that obey commands. Dropped, they go away by themselves; [`Crew::stop`] waits for it.
#[derive(Debug)]
pub(super) struct Crew<C> {
    pool: Pool<C>,
    commands: Vec<Link<C>>,
}

impl<C: Send + 'static> Crew<C> {
    /// Starts executors on these cores, which all do `run` until there are no more commands.
    pub(super) fn start<F, R>(
        name: &str,
        (cores, executors): (&[CoreId], usize),
        (idle, reactor): (Idle, Reactor),
        run: F,
    ) -> Result<Self, PoolError>
    where
        F: Fn(ShardContext<C>) -> R + Send + Clone + 'static,
        R: Future<Output = ()> + 'static,
    {
        let config = PoolConfig {
            name: name.into(),
            cores: cores.to_vec(),
            shards: executors,
            idle,
            sockets: Sockets::Many,
            reactor,
            link_capacity: COMMANDS_MAX,
        };
        let pool = start(&config, run)?;
        let commands = (0..executors).map(|shard| pool.commands(ShardId(shard as u16))).collect();
        Ok(Crew { pool, commands })
    }

    /// Number of executors.
    pub(super) fn executors(&self) -> usize {
        self.commands.len()
    }

    /// Gives each executor a command, and waits for room. One that is gone shows by its missing reports.
    pub(super) fn tell(&self, command: impl Fn() -> C) {
        for commands in &self.commands {
            let _ = commands.send_blocking(command());
        }
    }

    /// Gives each executor a command for which there is room.
    pub(super) fn tell_at_once(&self, command: impl Fn() -> C) {
        for commands in &self.commands {
            let _ = commands.try_send(command());
        }
    }

    /// Gives a command to each executor that has obeyed the one before.
    pub(super) fn tell_idle(&self, command: impl Fn() -> C) {
        for commands in self.commands.iter().filter(|commands| commands.depth() == 0) {
            let _ = commands.try_send(command());
        }
    }

    /// Ends the commands, and waits until the executors have stopped.
    pub(super) fn stop(self) -> Result<(), PoolError> {
        drop(self.commands);
        self.pool.stop()
    }
}
