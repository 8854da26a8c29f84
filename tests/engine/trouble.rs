//! An engine in trouble, under load. Whatever happens: sent = received + told, in order, nothing twice.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use corecast::{Event, GapReason};
use corecast_executors::pause;

use super::joined::Joined;
use super::nats_server::NatsServer;
use super::one_thread::Held;
use super::oracle::{Listener, Load, PATIENCE, publisher, subscriber, topic};
use super::{broker, two_brokers, watchdog};

/// Time for which a server is stopped: longer than it takes to be noticed.
const FROZEN_FOR: Duration = Duration::from_secs(6);

#[test]
fn a_server_that_is_killed_and_started_again_with_nothing_loses_what_is_told() {
    let _watchdog =
        watchdog::watch("a_server_that_is_killed_and_started_again_with_nothing_loses_what_is_told");
    let Some(mut server) = NatsServer::start() else { return };
    let mut joined = Joined::begin(&server);
    for _ in 0..3 {
        let connects = joined.connects();
        server.kill();
        // The own host goes on meanwhile.
        let now = joined.near.last();
        joined.near.until_after(now + 300);
        server.start_again();
        joined.until_back(connects);
        let now = joined.near.last();
        joined.far.until_after(now);
    }
    joined.end();
}

#[test]
fn a_server_that_is_stopped_and_goes_on_loses_what_is_told() {
    let _watchdog = watchdog::watch("a_server_that_is_stopped_and_goes_on_loses_what_is_told");
    let Some(server) = NatsServer::start() else { return };
    let mut joined = Joined::begin(&server);
    let connects = joined.connects();
    server.freeze();
    let frozen = Instant::now();
    for broker in &joined.brokers {
        broker.until(|page| page.sum("corecast_engine_connected") == 0);
        assert!(frozen.elapsed() < FROZEN_FOR, "seen after {:?}", frozen.elapsed());
        // It serves its own host, and is not ready for those that ask for the engine.
        let status = |path: &str| broker.get(path).0.split(' ').nth(1).map(str::to_owned);
        let of = ["/healthz", "/readyz", "/readyz?engine"].map(status);
        assert_eq!(of.each_ref().map(Option::as_deref), [Some("200"), Some("200"), Some("503")]);
        assert!(
            broker.get("/readyz?engine").1.starts_with("engine away"),
            "{:?}",
            broker.get("/readyz?engine")
        );
    }
    let now = joined.near.last();
    joined.near.until_after(now + 300);
    server.thaw();
    joined.until_back(connects);
    joined.end();
}

#[test]
fn a_server_that_stops_for_a_moment_loses_nothing_or_tells_it() {
    let _watchdog = watchdog::watch("a_server_that_stops_for_a_moment_loses_nothing_or_tells_it");
    let Some(server) = NatsServer::start() else { return };
    let mut joined = Joined::begin(&server);
    for _ in 0..5 {
        server.freeze();
        let now = joined.near.last();
        joined.near.until_after(now + 100);
        server.thaw();
        let now = joined.near.last();
        joined.far.until_after(now);
    }
    joined.end();
}

#[test]
fn a_control_thread_that_hangs_delays_no_message_of_its_host_and_what_others_miss_is_told() {
    let _watchdog = watchdog::watch(
        "a_control_thread_that_hangs_delays_no_message_of_its_host_and_what_others_miss_is_told",
    );
    const HOLD: Duration = Duration::from_secs(2);
    let Some(server) = NatsServer::start() else { return };
    let [a, b] = two_brokers(&server, &["--overflow", "block"]);
    let mut far = Listener::new(b.client(), "load");
    let mut near = subscriber(a.client(), &["load"]);
    let (mut publisher, load) = (publisher(a.client()), topic("load"));
    let mut sent = 0_u64;
    let mut take_one = |number: &mut u64| {
        let start = Instant::now();
        *number += 1;
        let mut payload = vec![0; 64 << 10];
        payload[..8].copy_from_slice(&number.to_le_bytes());
        publisher.publish(&load, &payload).expect("the own broker takes it");
        let event = near.recv_timeout(PATIENCE).expect("the session stands");
        assert!(matches!(event, Some(Event::Message(_))), "{event:?}");
        start.elapsed()
    };
    take_one(&mut sent);
    let held = Held::hold(a.pid(), "control");
    let (start, mut longest) = (Instant::now(), Duration::ZERO);
    // More than waits for the thread: a link holds 256 of these, and as many may wait behind it.
    while start.elapsed() < HOLD || sent < 600 {
        longest = longest.max(take_one(&mut sent));
    }
    drop(held);
    // One that waited for the thread would have taken until now.
    assert!(longest < HOLD / 2, "{sent} messages, the slowest took {longest:?}");
    let page = a.until(|page| page.sum("corecast_carrier_given_up_total") > 0);
    let given_up = page.sum("corecast_carrier_given_up_total");
    far.until_all(sent);
    assert!(far.missed >= given_up, "{} of {given_up} told", far.missed);
}

#[test]
fn the_last_message_before_a_loss_is_told_too() {
    let _watchdog = watchdog::watch("the_last_message_before_a_loss_is_told_too");
    let Some(mut server) = NatsServer::start() else { return };
    let [a, b] = two_brokers(&server, &[]);
    let mut far = Listener::new(b.client(), "last");
    let load = Load::start(publisher(a.client()), "last");
    far.until_after(100);
    let connects = a.page().sum("corecast_engine_connects_total");
    server.kill();
    // The last messages are published while nothing takes them, and nothing is published any more.
    pause(Duration::from_millis(200));
    let sent = load.stop();
    server.start_again();
    for broker in [&a, &b] {
        broker.until(|page| page.sum("corecast_engine_connects_total") > connects);
    }
    far.until_all(sent);
}

#[test]
fn a_broker_that_is_killed_and_comes_back_is_another_one() {
    let _watchdog = watchdog::watch("a_broker_that_is_killed_and_comes_back_is_another_one");
    let Some(server) = NatsServer::start() else { return };
    let [mut a, b] = two_brokers(&server, &[]);
    let mut far = subscriber(b.client(), &["x"]);
    for round in 0..3_u8 {
        let mut publisher = publisher(a.client());
        publisher.publish(topic("x"), &[round]).expect("room");
        match far.recv_timeout(PATIENCE).expect("the session stands").expect("it comes") {
            Event::Message(message) => assert_eq!(message.payload[..], [round]),
            other => panic!("{other:?}"),
        }
        a.kill();
        drop(publisher);
        a.start_again();
        a.until(|page| page.sum("corecast_engine_peers") >= 1);
    }
    assert_eq!(b.page().sum("corecast_engine_missing_total"), 0, "what came was all that was sent");
}

#[test]
fn a_message_that_is_longer_than_the_server_takes_is_told_on_the_other_host() {
    let _watchdog =
        watchdog::watch("a_message_that_is_longer_than_the_server_takes_is_told_on_the_other_host");
    let Some(server) = NatsServer::start_with("max_payload: 65536") else { return };
    let [a, b] = two_brokers(&server, &[]);
    assert!(a.log().contains("--frame-bytes-max"), "the limits are compared: {}", a.log());
    let mut near = subscriber(a.client(), &["long"]);
    let mut far = subscriber(b.client(), &["long"]);
    let mut publisher = publisher(a.client());
    for length in [1_000, 100_000, 2_000] {
        publisher.publish(topic("long"), &vec![7; length]).expect("room");
    }
    let lengths = |subscriber: &mut corecast::Subscriber, n: usize| -> Vec<Result<usize, Option<u64>>> {
        let mut next = || subscriber.recv_timeout(PATIENCE).expect("the session stands").expect("it comes");
        let event = |event| match event {
            Event::Message(message) => Ok(message.payload.len()),
            Event::Gap(gap) => {
                assert_eq!(gap.reason, GapReason::Engine);
                Err(gap.missed)
            }
            Event::CaughtUp => panic!("it started live"),
        };
        (0..n).map(|_| event(next())).collect()
    };
    assert_eq!(lengths(&mut near, 3), [Ok(1_000), Ok(100_000), Ok(2_000)]);
    assert_eq!(lengths(&mut far, 3), [Ok(1_000), Err(Some(1)), Ok(2_000)]);
}

/// Says something to the server as a client that is no broker, and waits until the server has taken it.
fn say_as_a_stranger(server: &NatsServer, words: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).expect("it answers");
    let mut lines = BufReader::new(stream.try_clone().expect("a socket"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("its hello");
    stream.write_all(b"CONNECT {\"verbose\":false}\r\n").expect("room");
    stream.write_all(words).expect("room");
    stream.write_all(b"PING\r\n").expect("room");
    while line.trim_end() != "PONG" {
        line.clear();
        assert!(lines.read_line(&mut line).expect("an answer") > 0, "the server ended the connection");
    }
}

#[test]
fn junk_of_a_foreign_client_is_counted_and_nobody_hears_of_it() {
    let _watchdog = watchdog::watch("junk_of_a_foreign_client_is_counted_and_nobody_hears_of_it");
    let Some(server) = NatsServer::start() else { return };
    let joined = Joined::begin(&server);
    let junk = [
        &b"PUB cc.default.t.load 4\r\njunk\r\n"[..],
        b"PUB cc.default.t.load 0\r\n\r\n",
        b"PUB cc.default.odd 1\r\nx\r\n",
        b"PUB cc.default.w.all 9\r\nnot words\r\n",
        b"PUB cc.default.t.load 64\r\n0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n",
    ];
    say_as_a_stranger(&server, &junk.concat());
    joined.brokers[1].until(|page| page.sum("corecast_engine_junk_total") >= 3);
    assert_eq!(joined.brokers[1].page().sum("corecast_engine_losses_total"), 0);
    joined.end();
}

#[test]
fn interest_that_comes_and_goes_misses_nothing_while_it_is_there() {
    let _watchdog = watchdog::watch("interest_that_comes_and_goes_misses_nothing_while_it_is_there");
    let Some(server) = NatsServer::start() else { return };
    let a = broker(&server, &[]);
    let b = broker(&server, &[]);
    a.until(|page| page.sum("corecast_engine_peers") == 1);
    let load = Load::start(publisher(a.client()), "load");
    for _ in 0..1_000 {
        let mut far = subscriber(b.client(), &["load"]);
        // There is no hole either between what comes before the confirmation and what comes behind it.
        let mut last = None;
        for _ in 0..3 {
            match far.recv_timeout(PATIENCE).expect("the session stands").expect("it comes") {
                Event::Message(message) => {
                    let number = u64::from_le_bytes(message.payload[..].try_into().expect("a number"));
                    assert!(last.is_none_or(|last| number == last + 1), "{number} after {last:?}");
                    last = Some(number);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    load.stop();
}
