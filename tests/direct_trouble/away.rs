//! Publishers that come and go while a subscriber is cut off from the broker: when it is back, it is told that it may have
//! missed something.

use std::ops::Range;
use std::time::Instant;

use corecast::internals::limits::{DIRECT_SETTLE, LEAVERS_MAX};
use corecast::internals::wire::Frame;
use corecast::{Gap, GapReason};

use super::broker_process::{BrokerProcess, Transport};
use super::cable::Cable;
use super::follower::Follower;
use super::raw_client::{RawClient, Said};
use super::{PATIENCE, publisher, watchdog};

pub(crate) const RECONNECT: Gap = Gap { topic: None, missed: None, reason: GapReason::Reconnect };

/// A registry that is full of publishers of `t`, at addresses where nobody is.
struct Registrar(RawClient);

impl Registrar {
    fn at(broker: &BrokerProcess) -> Self {
        Registrar(RawClient::connect(broker.address()).open())
    }

    /// The publishers of these numbers come.
    fn register(&mut self, publishers: Range<usize>) {
        for number in publishers {
            let endpoints = format!("tcp://127.1.{}.{}:1", number >> 8, number & 255);
            let publisher = 1 + number as u64;
            let frame =
                Frame::Register { endpoints: &endpoints, topics: "t", publisher, epoch: 1, request: 1 };
            self.0.send(&frame);
            assert_eq!(self.0.next(), Said::OfRegistry);
        }
    }

    /// They leave in order.
    fn unregister(&mut self, publishers: Range<usize>) {
        for number in publishers {
            self.0.send(&Frame::Unregister { publisher: 1 + number as u64, epoch: 1 });
        }
        self.0.send(&Frame::Flush { request: 2 });
        assert_eq!(self.0.next(), Said::Done(2));
    }
}

/// The number of times that a follower is told of its absence, in which something happened, and which is over.
fn told_of_absence(known: usize, while_away: impl Fn(&mut Registrar)) -> usize {
    until_met_in_time(|| absence(known, &while_away))
}

/// One absence, as [`told_once_back`] gives it.
fn absence(known: usize, while_away: impl Fn(&mut Registrar)) -> Option<usize> {
    let broker = BrokerProcess::start(Transport::Tcp, &["--mode", "direct", "--shards", "1"]);
    let cable = Cable::to(broker.address());
    let mut follower = Follower::from_the_start(cable.client(), "t");
    let mut registrar = Registrar::at(&broker);
    registrar.register(0..known);
    // It has heard of those, as of this one, which stays.
    let mut stays = publisher(&broker);
    let last = stays.publish("t", b"").expect("it is taken");
    follower.read_until(stays.id(), last);
    follower.gaps.clear();
    cable.cut();
    broker.until(|page| page.sum("corecast_subscriptions") == 0);
    while_away(&mut registrar);
    cable.mend();
    told_once_back(&broker, follower)
}

/// The number of times that a follower is told, in the first attempt in which it met the last publisher in time.
fn until_met_in_time(attempt: impl Fn() -> Option<usize>) -> usize {
    loop {
        if let Some(told) = attempt() {
            return told;
        }
    }
}

/// The number of times that a follower is told of an absence which ends. `None` if it met the publisher which comes then later
/// than either waits for the other, on a machine that is busy with something else: that is a gap, too.
fn told_once_back(broker: &BrokerProcess, mut follower: Follower) -> Option<usize> {
    // Whoever comes now is heard after all that is told of the absence.
    broker.until(|page| page.sum("corecast_subscriptions") == 1);
    let begun = Instant::now();
    let mut comes = publisher(broker);
    comes.wait_for_subscribers("t", 1, PATIENCE).expect("it is back");
    let last = comes.publish("t", b"").expect("it is taken");
    follower.read_until(comes.id(), last);
    let met_in_time = begun.elapsed() < DIRECT_SETTLE;
    met_in_time.then(|| follower.gaps.iter().filter(|gap| **gap == RECONNECT).count())
}

#[test]
fn who_was_cut_off_is_told_of_publishers_that_came_and_went() {
    let _watchdog = watchdog::watch("who_was_cut_off_is_told_of_publishers_that_came_and_went");
    assert_eq!(told_of_absence(0, |_| {}), 0, "nobody came");
    let visit = |registrar: &mut Registrar| {
        registrar.register(0..1);
        registrar.unregister(0..1);
    };
    assert_eq!(told_of_absence(0, visit), 1);
}

#[test]
fn who_was_cut_off_is_told_of_visitors_that_the_broker_has_forgotten() {
    let _watchdog = watchdog::watch("who_was_cut_off_is_told_of_visitors_that_the_broker_has_forgotten");
    // All that the broker remembers are known to the subscriber.
    let forget = |registrar: &mut Registrar| {
        registrar.register(LEAVERS_MAX..LEAVERS_MAX + 1);
        registrar.unregister(LEAVERS_MAX..LEAVERS_MAX + 1);
        registrar.unregister(0..LEAVERS_MAX);
    };
    assert_eq!(told_of_absence(LEAVERS_MAX, forget), 1);
    let all_known = |registrar: &mut Registrar| registrar.unregister(0..LEAVERS_MAX);
    assert_eq!(told_of_absence(LEAVERS_MAX, all_known), 0, "none has come that it does not know");
}

/// The number of times that a follower is told of its absence from a broker that was started again meanwhile, in which a
/// publisher came and went if the follower was cut off.
fn told_of_another_start(is_cut_off: bool) -> usize {
    until_met_in_time(|| another_start(is_cut_off))
}

/// One start, as [`told_once_back`] gives it.
fn another_start(is_cut_off: bool) -> Option<usize> {
    let args = ["--mode", "direct", "--shards", "1", "--heartbeat", "1s"];
    let mut broker = BrokerProcess::start(Transport::Tcp, &args);
    let cable = Cable::to(broker.address());
    let mut follower = Follower::from_the_start(cable.client(), "t");
    let mut stays = publisher(&broker);
    let last = stays.publish("t", b"").expect("it is taken");
    follower.read_until(stays.id(), last);
    follower.gaps.clear();
    if is_cut_off {
        cable.fall_silent();
        let mut registrar = Registrar::at(&broker);
        registrar.register(0..1);
        registrar.unregister(0..1);
    }
    broker.kill();
    broker.start_again();
    cable.mend();
    told_once_back(&broker, follower)
}

#[test]
fn who_was_cut_off_from_a_broker_that_is_replaced_may_have_missed_publishers() {
    let _watchdog =
        watchdog::watch("who_was_cut_off_from_a_broker_that_is_replaced_may_have_missed_publishers");
    assert_eq!(told_of_another_start(true), 1);
    assert_eq!(told_of_another_start(false), 0, "no publisher can come while there is no broker");
}
