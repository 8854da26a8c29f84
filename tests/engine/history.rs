//! History of what other hosts have said.

use corecast::{Event, Start, Subscriber};

use super::nats_server::NatsServer;
use super::oracle::{PATIENCE, publisher, subscriber, topic};
use super::{two_brokers, watchdog};

/// The payloads of the messages that come before the end of history.
fn history(subscriber: &mut Subscriber) -> Vec<u8> {
    let mut payloads = Vec::new();
    loop {
        match subscriber.recv_timeout(PATIENCE).expect("the session stands").expect("there is more") {
            Event::Message(message) if message.from_history => payloads.push(message.payload[0]),
            Event::CaughtUp => return payloads,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_late_subscriber_has_what_was_said_on_another_host_and_then_what_comes() {
    let _watchdog =
        watchdog::watch("a_late_subscriber_has_what_was_said_on_another_host_and_then_what_comes");
    let Some(server) = NatsServer::start() else { return };
    let [a, b] = two_brokers(&server, &["--keep", "prices.>=1h"]);
    let mut there = publisher(a.client());
    let (prices, other) = (topic("prices.eur"), topic("other"));
    for number in 0..100 {
        there.publish(&prices, &[number]).expect("room");
        there.publish(&other, &[number]).expect("room");
    }
    // Nobody subscribes there.
    b.until(|page| page.sum("corecast_history_messages") == 100);
    let mut said: Vec<u8> = (0..100).collect();
    for broker in [&a, &b] {
        for (start, count) in [(Start::All, usize::MAX), (Start::Last, 1), (Start::Count(3), 3)] {
            let mut late = subscriber(broker.client().start(start), &["prices.*", "other"]);
            assert_eq!(history(&mut late), said[said.len().saturating_sub(count)..], "{start}");
            let number = u8::try_from(said.len()).expect("there are few");
            there.publish(&prices, &[number]).expect("room");
            said.push(number);
            let live = late.recv_timeout(PATIENCE).expect("the session stands").expect("there is more");
            let Event::Message(live) = live else { panic!("{live:?}") };
            assert_eq!((live.payload[0], live.from_history), (number, false));
        }
        // What the one that was asked has had, the other has as well before it is asked.
        b.until(|page| page.sum("corecast_history_messages") == said.len() as u64);
    }
}
