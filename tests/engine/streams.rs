//! The streams of history, with a real JetStream: one that is gone is made again, and nobody waits for what others have said.

use std::time::Duration;

use corecast::{ErrorCode, ErrorKind};

use super::nats_server::NatsServer;
use super::oracle::{PATIENCE, publisher, topic};
use super::{broker, watchdog};

/// Time that a flush may take which waits for nobody: far less than a store that is missing.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn streams_that_are_gone_are_made_again_and_nobody_waits_for_those_of_others() {
    let _watchdog =
        watchdog::watch("streams_that_are_gone_are_made_again_and_nobody_waits_for_those_of_others");
    let Some(mut server) = NatsServer::with_jetstream() else { return };
    let a = broker(&server, &["--engine-history", "--keep", "prices.>=1h,confirmed", "--keep", "b.>=1h"]);
    let (mut saying, mut others) = (publisher(a.client()), publisher(a.client()));
    let mut said = 0_u64;
    let mut say = |topics: &[&str], by: &mut corecast::Publisher| {
        for name in topics {
            said += 1;
            by.publish(topic(name), &said.to_le_bytes()).expect("room");
        }
    };
    say(&["prices.eur"], &mut saying);
    saying.flush(PATIENCE).expect("it is stored");
    for has_jetstream in [false, true] {
        server.kill();
        server.forget_stored(has_jetstream);
        server.start_again();
        a.until(|page| page.sum("corecast_engine_connected") == 1);
        say(&["prices.eur", "b.x"], &mut saying);
        if !has_jetstream {
            let waits = saying.flush(Duration::from_secs(3)).expect_err("nobody stores it");
            assert_eq!(waits.kind(), ErrorKind::TimedOut, "{waits}");
            say(&["b.x", "free"], &mut others);
            others.flush(SOON).expect("it has said nothing that is confirmed");
        }
    }
    saying.flush(PATIENCE).expect("there is a stream again");
    // What was not stored before, and what is not to be confirmed, is stored as well.
    a.until(|page| page.sum("corecast_engine_stored_total") == said - 1);
    assert!(a.log().contains("the streams of history are not there"), "{}", a.log());
}

#[test]
fn a_broker_without_jetstream_at_its_start_stores_what_comes_once_there_is_one() {
    let _watchdog =
        watchdog::watch("a_broker_without_jetstream_at_its_start_stores_what_comes_once_there_is_one");
    let Some(mut server) = NatsServer::with_jetstream() else { return };
    server.kill();
    let a = super::broker_process::BrokerProcess::start(
        super::Transport::Tcp,
        &["--engine", &server.url(), "--engine-history", "--keep", "prices.>=1h,confirmed"],
    );
    // It takes publishers before anything is known of the engine, and loses nothing of what they say.
    let mut saying = publisher(a.client());
    saying.publish(topic("prices.eur"), b"1").expect("room");
    let waits = saying.flush(Duration::from_millis(300)).expect_err("nobody stores it");
    assert_eq!(waits.kind(), ErrorKind::TimedOut, "{waits}");
    let (head, _) = a.get("/readyz");
    assert!(head.contains(" 503 "), "{head}: history is still to come");
    server.start_again();
    saying.flush(PATIENCE).expect("it is stored");
    a.until(|page| page.sum("corecast_engine_stored_total") == 1);
    a.until(|page| page.sum("corecast_engine_has_history") == 1);
    let (head, _) = a.get("/readyz");
    assert!(head.contains(" 200 "), "{head}");
}

#[test]
fn a_flush_fails_if_something_is_longer_than_its_rule_allows() {
    let _watchdog = watchdog::watch("a_flush_fails_if_something_is_longer_than_its_rule_allows");
    let Some(server) = NatsServer::with_jetstream() else { return };
    let a = broker(&server, &["--engine-history", "--keep", "prices.>=100,64KiB,confirmed"]);
    let mut saying = publisher(a.client());
    saying.publish(topic("prices.eur"), &vec![0; 65_300]).expect("room");
    saying.flush(PATIENCE).expect("there is room for it");
    saying.publish(topic("prices.eur"), &vec![0; 65_600]).expect("room");
    let refused = saying.flush(PATIENCE).expect_err("it is not stored");
    assert_eq!(refused.kind(), ErrorKind::Refused(ErrorCode::NotStored), "{refused}");
}
