//! The task that would have answered has ended: its session has failed for good.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use corecast::{ErrorKind, Publisher, RegistryView};
use corecast_executors::{pause, spawn_plain};
use futures_lite::future::block_on;

use super::*;

/// Takes the address of a broker that is gone and answers everybody like a web server, which no client tries again.
fn take_the_place_of(broker: &BrokerProcess) {
    let listener = loop {
        // The kernel keeps it for some milliseconds after a kill.
        match TcpListener::bind(broker.address()) {
            Ok(listener) => break listener,
            Err(_) => pause(Duration::from_millis(10)),
        }
    };
    let answer = move || {
        for peer in listener.incoming() {
            // Whoever has hung up needs no answer.
            let _ = peer.and_then(|mut peer| peer.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        }
    };
    // It ends with the test's process.
    spawn_plain("stranger", answer).expect("a thread");
}

fn publisher(broker: &BrokerProcess) -> Publisher {
    Publisher::with_config(own_sessions(broker)).expect("a publisher")
}

#[test]
fn every_question_fails_once_a_stranger_has_the_brokers_place() {
    let _watchdog = watchdog::watch("every_question_fails_once_a_stranger_has_the_brokers_place");
    let mut broker = BrokerProcess::start(Transport::Tcp, &[]);
    let t = topic("t");
    let [mut waits, mut flushes, mut closes, mut publishes] = [(); 4].map(|()| publisher(&broker));
    let [mut waits_async, mut flushes_async, closes_async] = [(); 3].map(|()| publisher(&broker));
    let mut view = RegistryView::with_config(broker.client()).expect("a view");
    for one in [&mut flushes, &mut closes, &mut publishes, &mut flushes_async] {
        one.publish(&t, b"never taken").expect("there is room");
    }
    broker.kill();
    take_the_place_of(&broker);
    // None of them has been asked for anything since: each finds a task that has ended, or ends while it is asked.
    let failed = [
        waits.wait_for_subscribers(&t, 1, PATIENCE).err(),
        flushes.flush(PATIENCE).err(),
        closes.close().err(),
        block_on(waits_async.wait_for_subscribers_async(&t, 1, PATIENCE)).err(),
        block_on(flushes_async.flush_async(PATIENCE)).err(),
        block_on(closes_async.close_async()).err(),
        view.list(PATIENCE).err(),
        block_on(view.list_async(PATIENCE)).err(),
        view.next_change().err(),
        waits.wait_for_subscribers(&t, 1, PATIENCE).err(),
        flushes.flush(PATIENCE).err(),
    ];
    for (question, error) in failed.into_iter().enumerate() {
        // Nothing was published on that one: its flush has nothing to ask.
        if question == 5 && error.is_none() {
            continue;
        }
        let error = error.unwrap_or_else(|| panic!("question {question} was answered"));
        assert_eq!(error.kind(), ErrorKind::Protocol, "{question}: {error}");
        assert!(error.to_string().contains("is no corecast broker"), "{question}: {error}");
    }
    let large = vec![b'x'; 1 << 20];
    let error = (0..100).find_map(|_| publishes.publish(&t, &large).err()).expect("it does not take all");
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
}

fn publish_once(broker: &BrokerProcess, args: &[&str]) -> Output {
    let mut command: Command = broker_process::corecast();
    command.args(["pub", "n", "hi", "--timeout", "4s", "--broker", broker.endpoint()]).args(args);
    command.output().expect("it can be run")
}

#[test]
fn pub_says_why_it_cannot_go_direct() {
    let _watchdog = watchdog::watch("pub_says_why_it_cannot_go_direct");
    let broker = BrokerProcess::start(Transport::Tcp, &["--mode", "direct"]);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = format!("tcp://{}", taken.local_addr().expect("it is bound"));
    let cases = [
        (&["--pub-listen", &listen][..], &listen[..]),
        (&["--advertise", "tcp://0.0.0.0:0"], "refuse"),
        (&["--pub-listen", "uds:///nowhere/at.all"], "/nowhere/at.all"),
    ];
    for (args, part) in cases {
        let start = Instant::now();
        let output = publish_once(&broker, args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(part), "{args:?}: {}: {said}", output.status);
        assert!(start.elapsed() < SOON, "{args:?}");
    }
}

#[test]
fn a_deadline_is_kept_behind_messages_that_nobody_takes() {
    const WITHIN: Duration = Duration::from_millis(300);
    let _watchdog = watchdog::watch("a_deadline_is_kept_behind_messages_that_nobody_takes");
    let mut broker = BrokerProcess::start(Transport::Tcp, &[]);
    let (t, large) = (topic("t"), vec![b'x'; 300 << 10]);
    let mut publisher = publisher(&broker);
    broker.kill();
    loop {
        publisher.publish(&t, b"").expect("there is room");
        // The connection is lost first, and with it what was sent just before.
        if publisher.flush(WITHIN).expect_err("nobody takes it").kind() == ErrorKind::TimedOut {
            break;
        }
    }
    for _ in 0..3 {
        publisher.publish(&t, &large).expect("there is room");
    }
    let start = Instant::now();
    let failed = [
        publisher.flush(WITHIN).err(),
        publisher.wait_for_subscribers(&t, 1, WITHIN).map(drop).err(),
        block_on(publisher.flush_async(WITHIN)).err(),
        publisher.close_within(WITHIN).err(),
    ];
    for error in failed {
        let error = error.expect("the broker is gone");
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(error.to_string().contains("300 ms"), "{error}");
    }
    assert!(start.elapsed() < SOON);
}
