//! The streams of history, with a real JetStream: one that is gone is made again, and nobody waits for what others have said.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use corecast::{ClientConfig, Endpoint, ErrorCode, ErrorKind};
use corecast_executors::pause;

use super::broker_process::{BrokerProcess, Transport, corecast};
use super::nats_server::{NatsServer, free_port};
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
    let a = BrokerProcess::start(
        Transport::Tcp,
        &["--engine", &server.url(), "--engine-history", "--keep", "prices.>=1h,confirmed"],
    );
    assert_eq!(a.page().sum("corecast_engine_has_history"), 0, "it has waited for a minute");
    let mut saying = publisher(a.client());
    saying.publish(topic("prices.eur"), b"1").expect("room");
    let waits = saying.flush(Duration::from_millis(300)).expect_err("nobody stores it");
    assert_eq!(waits.kind(), ErrorKind::TimedOut, "{waits}");
    server.start_again();
    saying.flush(PATIENCE).expect("it is stored");
    a.until(|page| page.sum("corecast_engine_stored_total") == 1);
}

/// The answer of an HTTP server; `None`: it is not there.
fn readiness(port: u16) -> Option<String> {
    let mut peer = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(peer, "GET /readyz HTTP/1.1\r\nHost: test\r\n\r\n").ok()?;
    let mut answer = String::new();
    peer.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn a_broker_loses_nothing_of_what_is_said_before_its_history_is_loaded_and_is_ready_then() {
    let _watchdog = watchdog::watch(
        "a_broker_loses_nothing_of_what_is_said_before_its_history_is_loaded_and_is_ready_then",
    );
    let Some(mut server) = NatsServer::with_jetstream() else { return };
    server.kill();
    let [listen, metrics] = [free_port(), free_port()];
    let (at, page, url) = (format!("tcp://127.0.0.1:{listen}"), format!("127.0.0.1:{metrics}"), server.url());
    let mut command = corecast();
    command.args(["broker", "--shards", "2", "--listen", &at, "--metrics", &page, "--engine", &url]);
    command.args(["--engine-history", "--keep", "prices.>=1h,confirmed"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut broker = command.spawn().expect("the command can be started");
    let until = |word: &str| {
        let give_up = Instant::now() + PATIENCE;
        while !readiness(metrics).is_some_and(|answer| answer.contains(word)) {
            assert!(Instant::now() < give_up, "no {word}: {:?}", readiness(metrics));
            pause(Duration::from_millis(10));
        }
    };
    until(" 503 ");
    assert!(readiness(metrics).is_some_and(|answer| answer.contains("history is still to be loaded")));
    // It takes publishers before anything is known of the engine.
    let mut saying = publisher(ClientConfig::new(at.parse::<Endpoint>().expect("an endpoint")));
    saying.publish(topic("prices.eur"), b"1").expect("room");
    let waits = saying.flush(Duration::from_millis(300)).expect_err("nobody stores it");
    assert_eq!(waits.kind(), ErrorKind::TimedOut, "{waits}");
    server.start_again();
    until(" 200 ");
    saying.flush(PATIENCE).expect("it is stored");
    broker.kill().expect("it is ours");
    broker.wait().expect("a child can be waited for");
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
