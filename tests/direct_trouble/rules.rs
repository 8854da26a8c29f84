//! A broker that is started again with other rules: topics that went direct go through it, and back. Every message that is
//! lost on the way from one to the other is behind the one gap that is told.

use corecast::{ErrorKind, Result};

use super::away::RECONNECT;
use super::broker_gone::Load;
use super::broker_process::{BrokerProcess, Transport};
use super::follower::Follower;
use super::{own_sessions, watchdog};

fn started_again(before: &str, now: &str) {
    let mode = |mode| ["--shards", "2", "--mode", mode];
    let mut broker = BrokerProcess::start(Transport::Tcp, &mode(before));
    let mut follower = Follower::from_the_start(own_sessions(&broker), "t.*");
    let loads = ["t.a", "t.b"].map(|name| Load::start_with(&broker, name, may_be_lost));
    loads.iter().for_each(|load| follower.read_more(load.id, 50));
    broker.kill();
    broker.start_again_with(&mode(now));
    broker.until(|page| page.sum("corecast_subscriptions") == 1);
    loads.iter().for_each(|load| follower.read_more(load.id, 50));
    // Whatever is told late is told by now.
    for load in loads {
        let id = load.id;
        follower.read_until(id, load.stop());
    }
    follower.read_all();
    let told = follower.gaps.iter().filter(|gap| **gap == RECONNECT).count();
    assert_eq!(told, 1, "from {before} to {now}: {:?}", follower.gaps);
}

/// Messages that went through a broker which was killed may be lost, and nothing else is wrong with them.
fn may_be_lost(flushed: Result<()>) {
    assert!(flushed.as_ref().is_ok() || flushed.is_err_and(|error| error.kind() == ErrorKind::Lost));
}

#[test]
fn who_hears_publishers_is_told_once_when_their_topics_go_through_the_broker() {
    let _watchdog =
        watchdog::watch("who_hears_publishers_is_told_once_when_their_topics_go_through_the_broker");
    started_again("direct", "proxy");
}

#[test]
fn who_hears_the_broker_is_told_once_when_its_topics_go_direct() {
    let _watchdog = watchdog::watch("who_hears_the_broker_is_told_once_when_its_topics_go_direct");
    started_again("proxy", "direct");
}
