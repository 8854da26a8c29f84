//! A broker that is away for a while: new clients get an error, and connected ones wait.

use std::time::{Duration, Instant};

use corecast::{Error, ErrorKind, Publisher};
use futures_lite::future::block_on;
use nix::sys::signal::Signal;

use super::*;

fn assert_unreachable(error: Option<Error>, broker: &str) {
    let error = error.expect("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains(broker) && error.to_string().contains("refused"), "{error}");
}

#[test]
fn a_publish_to_a_broker_that_is_gone_fails_in_time_and_loses_nothing_that_was_taken() {
    let _watchdog =
        watchdog::watch("a_publish_to_a_broker_that_is_gone_fails_in_time_and_loses_nothing_that_was_taken");
    for payload_bytes in [1 << 10, 64 << 10] {
        let mut broker = BrokerProcess::start(Transport::Tcp, &[]);
        let mut listens = subscriber(&broker, "t");
        let config = own_sessions(&broker).publish_timeout(Duration::from_millis(500));
        let (t, payload) = (topic("t"), vec![b'x'; payload_bytes]);
        let mut publisher = Publisher::with_config(config).expect("a publisher");
        broker.kill();
        let start = Instant::now();
        let mut taken = 0;
        let error = loop {
            match publisher.publish(&t, &payload) {
                Ok(sequence) => taken = sequence,
                Err(error) => break error,
            }
        };
        assert_unreachable(Some(error), broker.endpoint());
        // The next ones do not wait for as long again.
        for _ in 0..100 {
            assert_unreachable(publisher.publish(&t, &payload).err(), broker.endpoint());
            assert_unreachable(block_on(publisher.publish_async(&t, &payload)).err(), broker.endpoint());
        }
        assert!(start.elapsed() < SOON, "{payload_bytes} bytes");
        broker.start_again();
        assert_eq!(publisher.wait_for_subscribers(&t, 1, PATIENCE).expect("it comes back, too"), 1);
        assert_eq!(publisher.publish(&t, b"last").expect("there is room again"), taken + 1);
        // What was on its way when the broker died is lost, and told; what waited here comes.
        let mut last = 0;
        while last <= taken {
            if let Event::Message(message) = listens.recv_timeout(PATIENCE).expect("it stands").expect("more")
            {
                assert!(message.sequence > last);
                last = message.sequence;
            }
        }
    }
}

#[test]
fn a_broker_that_hangs_is_gone_for_who_comes_and_for_who_finds_no_room() {
    let _watchdog = watchdog::watch("a_broker_that_hangs_is_gone_for_who_comes_and_for_who_finds_no_room");
    // Its connections are not given up before all is over.
    let broker = BrokerProcess::start(Transport::Tcp, &["--heartbeat", "20s"]);
    let config = broker.client().connect_timeout(Duration::from_secs(1));
    let filters = [Filter::parse("t").expect("a filter")];
    let mut publisher = Publisher::with_config(config.clone()).expect("a publisher");
    broker.freeze();
    let start = Instant::now();
    // It has a session that stands.
    let error = Subscriber::with_config(config.clone(), &filters).expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains("said nothing for"), "{error}");
    assert!(start.elapsed() < SOON, "a second was given");
    broker.signal(Signal::SIGCONT);
    let mut subscriber = Subscriber::with_config(config, &filters).expect("it goes on");
    publisher.publish(topic("t"), b"well").expect("there is room");
    assert_eq!(next(&mut subscriber), b"well");
}

#[test]
fn who_comes_to_a_session_that_is_connecting_again_is_told_in_time() {
    let _watchdog = watchdog::watch("who_comes_to_a_session_that_is_connecting_again_is_told_in_time");
    let mut broker = BrokerProcess::start(Transport::Tcp, &[]);
    let config = broker.client().connect_timeout(Duration::from_millis(500));
    let filters = [Filter::parse("t").expect("a filter")];
    // They have the session, and keep it.
    let mut holder = Publisher::with_config(config.clone()).expect("a publisher");
    let mut other = Subscriber::with_config(config.clone(), &filters).expect("a subscriber");
    broker.kill();
    let start = Instant::now();
    // It takes a moment until the loss is seen.
    while Publisher::with_config(config.clone()).is_ok() {}
    assert_unreachable(Publisher::with_config(config.clone()).err(), broker.endpoint());
    assert_unreachable(Subscriber::with_config(config.clone(), &filters).err(), broker.endpoint());
    assert_unreachable(block_on(Publisher::with_config_async(config.clone())).err(), broker.endpoint());
    assert!(start.elapsed() < SOON);
    broker.start_again();
    assert_eq!(holder.wait_for_subscribers(topic("t"), 1, PATIENCE).expect("both are back"), 1);
    let mut comes = Publisher::with_config(config).expect("a broker is there");
    comes.publish(topic("t"), b"back").expect("it is taken");
    loop {
        match other.recv_timeout(PATIENCE).expect("its session stands").expect("a message") {
            Event::Message(message) => break assert_eq!(&message.payload[..], b"back"),
            // The connection was lost.
            Event::Gap(_) | Event::CaughtUp => {}
        }
    }
}
