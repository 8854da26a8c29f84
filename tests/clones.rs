//! Clones of publishers whose broker is away: they may be used at once, and say why when it stays away.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod watchdog;

use std::time::Duration;

use broker_process::{BrokerProcess, Transport};
use corecast::{ConnectionEvent, ErrorKind, Event, Filter, Publisher, Sessions, Subscriber};

/// Time limit of any step, on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(60);

/// Publishers on the executor that all share, and on one of their own, whose broker was killed: all have noticed.
fn publishers_without_broker(broker: &mut BrokerProcess, connect_timeout: Duration) -> [Publisher; 2] {
    let shared = broker.client().connect_timeout(connect_timeout);
    let mut own = shared.clone();
    own.direct.cores = Some("all".parse().expect("cores"));
    let publishers = [shared, own].map(|config| Publisher::with_config(config).expect("a publisher"));
    broker.kill();
    for publisher in &publishers {
        let mut events = publisher.connection_events();
        loop {
            match events.recv_timeout(PATIENCE).expect("its connection ends") {
                ConnectionEvent::Disconnected { .. } => break,
                event => assert_eq!(event, ConnectionEvent::Connected),
            }
        }
    }
    publishers
}

#[test]
fn a_clone_whose_broker_stays_away_says_so_at_every_call() {
    let _watchdog = watchdog::watch("a_clone_whose_broker_stays_away_says_so_at_every_call");
    let mut broker = BrokerProcess::start(Transport::Tcp, &["--shards", "1"]);
    for original in publishers_without_broker(&mut broker, Duration::from_millis(300)) {
        let mut clone = original.clone();
        let error = clone.wait_for_subscribers("t", 1, PATIENCE).expect_err("there is no broker");
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert!(error.to_string().contains(broker.endpoint()), "{error}");
        assert_eq!(clone.publish("t", b"").expect_err("it has ended").kind(), ErrorKind::Unreachable);
        assert_eq!(clone.flush(PATIENCE).expect_err("it has ended").kind(), ErrorKind::Unreachable);
        // The original still waits for its broker, and a clone of either asks anew.
        for publisher in [&clone, &original] {
            let error = publisher.clone().flush(PATIENCE).expect_err("there is no broker");
            assert_eq!(error.kind(), ErrorKind::Unreachable);
        }
        assert_eq!(clone.close().expect_err("it has ended").kind(), ErrorKind::Unreachable);
    }
}

#[test]
fn a_clone_may_be_used_before_its_broker_is_back() {
    let _watchdog = watchdog::watch("a_clone_may_be_used_before_its_broker_is_back");
    let mut broker = BrokerProcess::start(Transport::Tcp, &["--shards", "1"]);
    let originals = publishers_without_broker(&mut broker, PATIENCE);
    let mut clones = originals.each_ref().map(Publisher::clone);
    // Nothing waits for a clone that is not used.
    drop(originals.each_ref().map(Publisher::clone));
    for clone in &mut clones {
        let mut events = clone.connection_events();
        let disconnected = events.recv_timeout(PATIENCE).expect("it is told at once");
        assert!(matches!(disconnected, ConnectionEvent::Disconnected { .. }), "{disconnected:?}");
        let error =
            clone.wait_for_subscribers("t", 1, Duration::from_millis(200)).expect_err("nobody is there");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(clone.publish("t", b"1").expect("there is room"), 1);
    }
    drop(originals);
    broker.start_again();
    let config = broker.client().sessions(Sessions::PerSubscriber);
    let mut subscriber =
        Subscriber::with_config(config, &[Filter::parse("t").expect("a filter")]).expect("a subscriber");
    for mut clone in clones {
        clone.wait_for_subscribers("t", 1, PATIENCE).expect("it is there");
        clone.publish("t", b"2").expect("it is taken");
        let id = clone.id();
        clone.close().expect("all is taken");
        // The first may have come before its subscriber.
        loop {
            match subscriber.recv_timeout(PATIENCE).expect("the session stands").expect("there is more") {
                Event::Message(message) if message.publisher == id && message.sequence == 2 => break,
                Event::Message(message) => assert_eq!(message.sequence, 1),
                other => panic!("nothing is lost: {other:?}"),
            }
        }
    }
}
