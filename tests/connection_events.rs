//! Events of a connection: a client and its user learn that the broker is gone, why, and that it is back; and that the
//! session is slow.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod running;
mod watchdog;

use std::time::Duration;

use broker_process::{BrokerProcess, Transport};
use corecast::{
    ConnectionEvent, ConnectionEvents, ErrorCode, ErrorKind, Event, Filter, Gap, GapReason, OverflowPolicy,
    Publisher, RegistryView, Sessions, Subscriber, Topic,
};
use running::{at, subscribed, text};

/// Time limit of any step, on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(60);

fn topic() -> Topic {
    Topic::new("t").expect("a topic")
}

fn filters() -> [Filter; 1] {
    [Filter::parse("t").expect("a filter")]
}

fn next(events: &mut ConnectionEvents) -> ConnectionEvent {
    events.recv_timeout(PATIENCE).expect("there is more")
}

#[test]
fn a_broker_that_goes_and_comes_back_is_told_to_all_that_watch() {
    let _watchdog = watchdog::watch("a_broker_that_goes_and_comes_back_is_told_to_all_that_watch");
    let mut broker = BrokerProcess::start(Transport::Tcp, &["--shards", "1"]);
    let publisher = Publisher::with_config(broker.client()).expect("a publisher");
    let subscriber = Subscriber::with_config(broker.client(), &filters()).expect("a subscriber");
    let registry = RegistryView::with_config(broker.client()).expect("a view");
    let mut streams =
        [publisher.connection_events(), subscriber.connection_events(), registry.connection_events()];
    for events in &mut streams {
        assert_eq!(next(events), ConnectionEvent::Connected, "as it stands");
        assert_eq!(events.try_recv(), None);
    }
    broker.kill();
    for events in &mut streams {
        let ConnectionEvent::Disconnected { why, .. } = next(events) else { panic!("the broker is gone") };
        assert!(!why.is_empty());
    }
    let mut late = subscriber.connection_events();
    assert!(matches!(next(&mut late), ConnectionEvent::Disconnected { .. }), "as it stands");
    broker.start_again();
    for events in streams.iter_mut().chain([&mut late]) {
        assert_eq!(next(events), ConnectionEvent::Connected);
    }
    broker.stop();
    let [events, ..] = &mut streams;
    let ended = next(events);
    let in_order = ErrorKind::Refused(ErrorCode::ShuttingDown);
    assert!(matches!(ended, ConnectionEvent::Disconnected { kind, .. } if kind == in_order), "{ended:?}");
    drop((publisher, subscriber, registry));
    for mut events in streams {
        while events.recv().is_some() {}
    }
}

/// A subscriber whose queue is full at once, and that does not read until the broker has dropped something of its.
fn slow_subscriber(broker: &BrokerProcess, overflow: OverflowPolicy) -> Subscriber {
    let overflow = Some(overflow);
    let own = broker.client().sessions(Sessions::PerSubscriber).overflow(overflow);
    let slow = own.clone().queue_frames(1);
    let slow = Subscriber::with_config(slow, &filters()).expect("a subscriber");
    let mut publisher = Publisher::with_config(own).expect("a publisher");
    while broker.page().sum("corecast_drops_total") == 0 {
        for _ in 0..20 {
            publisher.publish(topic(), &[0; 100_000]).expect("the broker takes all");
        }
        publisher.flush(PATIENCE).expect("the broker takes all");
    }
    slow
}

fn until_gap(subscriber: &mut Subscriber) -> Gap {
    loop {
        let event = subscriber.recv_timeout(PATIENCE).expect("the session stands").expect("there is more");
        if let Event::Gap(gap) = event {
            return gap;
        }
    }
}

#[test]
fn a_session_that_was_closed_as_too_slow_says_so_in_its_gap_and_events() {
    let _watchdog = watchdog::watch("a_session_that_was_closed_as_too_slow_says_so_in_its_gap_and_events");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "1", "--egress-bytes", "8MiB"]);
    let mut slow = slow_subscriber(&broker, OverflowPolicy::Disconnect);
    let mut events = slow.connection_events();
    let gap = until_gap(&mut slow);
    let reason = GapReason::Disconnected(ErrorCode::SlowSubscriber);
    assert_eq!(gap, Gap { topic: None, missed: None, reason });
    assert_eq!(reason.to_string(), "slow_subscriber");
    assert_eq!(next(&mut events), ConnectionEvent::Connected);
    let closed = next(&mut events);
    let too_slow = ErrorKind::Refused(ErrorCode::SlowSubscriber);
    assert!(matches!(closed, ConnectionEvent::Disconnected { kind, .. } if kind == too_slow), "{closed:?}");
    assert_eq!(next(&mut events), ConnectionEvent::Connected);
}

#[test]
fn a_session_whose_messages_were_dropped_hears_that_it_is_slow() {
    let _watchdog = watchdog::watch("a_session_whose_messages_were_dropped_hears_that_it_is_slow");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "1", "--egress-bytes", "8MiB"]);
    let mut slow = slow_subscriber(&broker, OverflowPolicy::DropNewest);
    let mut events = slow.connection_events();
    assert_eq!(next(&mut events), ConnectionEvent::Connected);
    let gap = until_gap(&mut slow);
    assert_eq!(gap.reason, GapReason::Overflow);
    let told = next(&mut events);
    let missed = gap.missed.expect("the broker counts");
    assert!(matches!(told, ConnectionEvent::Slow { missed: all } if all >= missed), "{told:?}, {missed}");
}

#[test]
fn a_command_says_that_its_broker_is_gone_and_that_it_is_back() {
    let _watchdog = watchdog::watch("a_command_says_that_its_broker_is_gone_and_that_it_is_back");
    let mut broker = BrokerProcess::start(Transport::Tcp, &["--shards", "1"]);
    let sub = subscribed(&broker, 1, &mut at(&broker, &["sub", "t", "--count", "1"]));
    broker.kill();
    broker.start_again();
    let mut publisher = Publisher::with_config(broker.client()).expect("a publisher");
    publisher.wait_for_subscribers(topic(), 1, PATIENCE).expect("it is back");
    publisher.publish(topic(), b"hi").expect("it is taken");
    publisher.close().expect("it is taken");
    let output = sub.output();
    let said = text(&output.stderr);
    let lines: Vec<&str> = said.lines().collect();
    let [lost, back, gap] = lines[..] else { panic!("{said}") };
    assert!(lost.contains("the connection to the broker is lost") && lost.contains("reason="), "{lost}");
    assert!(back.contains("connected to the broker again") && back.contains("away="), "{back}");
    assert!([lost, back].iter().all(|line| line.contains(broker.endpoint())), "{said}");
    assert!(gap.starts_with("gap: ") && gap.ends_with("(reconnect)"), "{gap}");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "hi\n"));
}
