//! History that is stored at the engine, with a real JetStream: it is there when everything was killed.

use std::time::Duration;

use corecast::{ClientConfig, ErrorCode, ErrorKind, Event, Publisher, Start};

use super::broker_process::BrokerProcess;
use super::nats_server::NatsServer;
use super::oracle::{Load, PATIENCE, publisher, subscriber, topic};
use super::{broker, two_brokers, watchdog};

const STORED: &[&str] = &["--engine-history", "--keep", "prices.>=1h,confirmed", "--keep", "last.*=last"];

/// The numbers that a late subscriber has of a topic: those of history, and behind them the live ones up to `until`.
fn heard(config: ClientConfig, name: &str, until: u64) -> (Vec<u64>, Vec<u64>) {
    let mut late = subscriber(config.start(Start::All), &[name]);
    let (mut history, mut live, mut has_all) = (Vec::new(), Vec::new(), false);
    loop {
        let last = live.last().or(history.last()).copied().unwrap_or(0);
        if has_all && last >= until {
            return (history, live);
        }
        match late.recv_timeout(PATIENCE).expect("the session stands").expect("there is more") {
            Event::Message(message) => {
                let number = u64::from_le_bytes(message.payload[..].try_into().expect("a number"));
                assert_eq!(message.from_history, !has_all);
                if has_all { live.push(number) } else { history.push(number) }
            }
            Event::CaughtUp => has_all = true,
            other => panic!("{other:?}"),
        }
    }
}

fn publish(publisher: &mut Publisher, name: &str, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        publisher.publish(topic(name), &number.to_le_bytes()).expect("room");
    }
}

fn has_history(broker: &BrokerProcess) {
    broker.until(|page| page.sum("corecast_engine_has_history") == 1);
}

#[test]
fn what_was_confirmed_outlives_kill_9_of_all_brokers_and_of_the_server() {
    let _watchdog = watchdog::watch("what_was_confirmed_outlives_kill_9_of_all_brokers_and_of_the_server");
    let Some(mut server) = NatsServer::with_jetstream() else { return };
    let [mut a, mut b] = two_brokers(&server, STORED);
    for round in 1..=3 {
        let mut saying = publisher(a.client());
        publish(&mut saying, "prices.eur", 100 * (round - 1) + 1..=100 * round);
        publish(&mut saying, "last.x", round..=round);
        saying.flush(PATIENCE).expect("it is stored");
        a.until(|page| page.sum("corecast_engine_stored_total") == 101);
        a.kill();
        b.kill();
        drop(saying);
        server.kill();
        server.start_again();
        for broker in [&mut a, &mut b] {
            // It is ready when its history is loaded.
            broker.start_again();
            has_history(broker);
            let (history, live) = heard(broker.client(), "prices.*", 100 * round);
            assert_eq!((history, live), ((1..=100 * round).collect(), vec![]), "round {round}");
            assert_eq!(heard(broker.client(), "last.x", round).0, [round]);
        }
    }
}

#[test]
fn a_broker_that_comes_back_under_load_has_all_that_was_said_meanwhile() {
    let _watchdog = watchdog::watch("a_broker_that_comes_back_under_load_has_all_that_was_said_meanwhile");
    let Some(server) = NatsServer::with_jetstream() else { return };
    let [a, mut b] = two_brokers(&server, STORED);
    let load = Load::start(publisher(a.client()), "prices.eur");
    for _ in 0..5 {
        b.kill();
        b.start_again();
        let said = a.page().sum("corecast_engine_stored_total");
        let (history, live) = heard(b.client(), "prices.>", said + 200);
        let all: Vec<u64> = history.iter().chain(&live).copied().collect();
        assert_eq!(all, (1..=all.len() as u64).collect::<Vec<u64>>(), "{} of history", history.len());
        assert!(!history.is_empty() && !live.is_empty());
    }
    let sent = load.stop();
    let (history, _) = heard(b.client(), "prices.eur", sent);
    assert_eq!(history.len() as u64, sent);
}

#[test]
fn a_flush_waits_until_it_is_stored_and_nobody_else_waits() {
    let _watchdog = watchdog::watch("a_flush_waits_until_it_is_stored_and_nobody_else_waits");
    let Some(mut server) = NatsServer::with_jetstream() else { return };
    let a = broker(&server, STORED);
    has_history(&a);
    let mut near = subscriber(a.client(), &[">"]);
    let mut saying = publisher(a.client());
    server.kill();
    publish(&mut saying, "prices.eur", 1..=1);
    let waits = saying.flush(Duration::from_millis(300)).expect_err("nothing is stored");
    assert_eq!(waits.kind(), ErrorKind::TimedOut, "{waits}");
    let event = near.recv_timeout(PATIENCE).expect("the session stands").expect("it comes");
    assert!(matches!(event, Event::Message(_)), "{event:?}");
    server.start_again();
    saying.flush(PATIENCE).expect("it is stored");
    a.until(|page| page.sum("corecast_engine_stored_total") == 1);
}

#[test]
fn a_flush_fails_if_something_is_longer_than_the_engine_takes() {
    let _watchdog = watchdog::watch("a_flush_fails_if_something_is_longer_than_the_engine_takes");
    let Some(server) = NatsServer::with_jetstream() else { return };
    let a = broker(&server, STORED);
    has_history(&a);
    let mut saying = publisher(a.client());
    let too_long = vec![0; 2 << 20];
    saying.publish(topic("prices.eur"), &too_long).expect("room");
    let refused = saying.flush(PATIENCE).expect_err("it is not stored");
    assert_eq!(refused.kind(), ErrorKind::Refused(ErrorCode::NotStored), "{refused}");
    assert_eq!(a.page().sum("corecast_engine_unstored_total"), 1);
}
