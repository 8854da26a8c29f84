//! A shard that answers from outside: how soon does it see a message? For the tests of the hazards.

use std::time::{Duration, Instant};

use corecast_executors::{Idle, Inbox, Link, MonotonicNs, PoolConfig, RecvTimeout, Sockets, Topology, link};

/// What a shard answers to a message: the time at which it saw it.
pub(crate) type Question = Link<MonotonicNs>;

pub(crate) fn config(name: &str, shards: usize, idle: Idle) -> PoolConfig {
    let topology = Topology::detect().expect("a mask of CPUs");
    PoolConfig {
        name: name.to_owned(),
        cores: topology.allowed().to_vec(),
        shards,
        idle,
        sockets: Sockets::Few,
        link_capacity: 64,
    }
}

/// Answers every question until there are no more.
pub(crate) async fn answer(mut commands: Inbox<Question>) {
    while let Some(reply) = commands.recv().await {
        let _ = reply.try_send(MonotonicNs::now());
    }
}

/// Asks once and gives the time from the question to the moment the shard saw it.
pub(crate) fn ask(shard: &Link<Question>, limit: Duration) -> Duration {
    let (reply, mut replies) = link(1);
    let asked = MonotonicNs::now();
    assert!(shard.send_blocking(reply).is_ok(), "the shard runs");
    let seen = replies.recv_deadline(Instant::now() + limit);
    seen.expect("the shard answers").saturating_since(asked)
}

/// Waits without a sleep: for a message that never comes.
pub(crate) fn pause(never: &mut Inbox<()>, time: Duration) {
    assert_eq!(never.recv_deadline(Instant::now() + time), Err(RecvTimeout::TimedOut));
}
