//! A shard that answers from outside, with the time at which it saw the message. For the tests of the hazards.

use std::time::{Duration, Instant};

use corecast_executors::{
    Idle, Inbox, Link, MonotonicNs, PoolConfig, Reactor, RecvTimeout, Sockets, Topology, link,
};

/// A link for questions; the shard answers with the time at which it saw each.
pub(crate) type Question = Link<MonotonicNs>;

pub(crate) fn config(name: &str, shards: usize, idle: Idle) -> PoolConfig {
    let topology = Topology::detect().expect("a mask of CPUs");
    PoolConfig {
        name: name.to_owned(),
        cores: topology.allowed().to_vec(),
        shards,
        idle,
        sockets: Sockets::Few,
        reactor: Reactor::Auto,
        link_capacity: 64,
    }
}

/// Answers every question until there are no more.
pub(crate) async fn answer(mut commands: Inbox<Question>) {
    while let Some(reply) = commands.recv().await {
        let _ = reply.try_send(MonotonicNs::now());
    }
}

/// Asks once and returns the time from the question to the moment at which the shard saw it.
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
