//! A broker that is away for a while: whoever comes meanwhile is told, and whoever is there waits.

use std::time::{Duration, Instant};

use corecast::{Error, ErrorKind, Publisher};
use futures_lite::future::block_on;

use super::*;

fn assert_unreachable(error: Option<Error>, broker: &str) {
    let error = error.expect("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains(broker) && error.to_string().contains("refused"), "{error}");
}

#[test]
fn who_comes_to_a_session_that_is_connecting_again_is_told_in_time() {
    let _watchdog = watchdog::watch("who_comes_to_a_session_that_is_connecting_again_is_told_in_time");
    let mut broker = BrokerProcess::start(Transport::Tcp, &[]);
    let config = ClientConfig { connect_timeout: Duration::from_millis(500), ..broker.client() };
    let filters = [Filter::parse("t").expect("a filter")];
    // They have the session, and keep it.
    let mut holder = Publisher::with_config(config.clone()).expect("a publisher");
    let mut other = Subscriber::with_config(config.clone(), &filters).expect("a subscriber");
    broker.kill();
    let start = Instant::now();
    assert_unreachable(Publisher::with_config(config.clone()).err(), broker.endpoint());
    assert_unreachable(Subscriber::with_config(config.clone(), &filters).err(), broker.endpoint());
    assert_unreachable(block_on(Publisher::with_config_async(config.clone())).err(), broker.endpoint());
    assert!(start.elapsed() < SOON);
    broker.start_again();
    assert_eq!(holder.wait_for_subscribers(&topic("t"), 1, PATIENCE).expect("both are back"), 1);
    let mut comes = Publisher::with_config(config).expect("a broker is there");
    comes.publish(&topic("t"), b"back").expect("it is taken");
    loop {
        match other.recv_timeout(PATIENCE).expect("its session stands").expect("a message") {
            Event::Message(message) => break assert_eq!(&message.payload[..], b"back"),
            // The connection was lost.
            Event::Gap(_) => {}
        }
    }
}
