//! Connections whose stream has a handshake of its own, end to end: handles of the library, and brokers of this process.

use std::time::Duration;

use corecast_executors::spawn_plain;

use crate::broker::{Broker, BrokerConfig};
use crate::error::{ErrorKind, Result};
use crate::topic::{Filter, Topic};
use crate::transport::{Endpoint, KNOCK, SEALED_HOST, Strangers};
use crate::wire::greeting;
use crate::{ClientConfig, Event, Publisher, Subscriber};

/// Time for what has to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker with one shard, at this endpoint.
fn broker_at(endpoint: &str) -> Broker {
    let listen = endpoint.parse::<Endpoint>().expect("an endpoint");
    Broker::start(BrokerConfig::default().listen([listen]).shards(1)).expect("nobody listens there")
}

/// Subscribes to everything.
fn subscriber_at(endpoint: &Endpoint) -> Result<Subscriber> {
    let config = ClientConfig::new(endpoint.clone()).connect_timeout(PATIENCE);
    Subscriber::with_config(config, &[Filter::parse(">")?])
}

/// Publishes a message, and receives it.
fn exchange(subscriber: &mut Subscriber, endpoint: &Endpoint) {
    let mut publisher = Publisher::connect(&endpoint.to_string()).expect("it serves");
    publisher.publish(Topic::new("t").expect("a topic"), b"sealed").expect("it is taken");
    let event = subscriber.recv_timeout(PATIENCE).expect("the session stands");
    assert!(
        matches!(&event, Some(Event::Message(message)) if message.payload[..] == *b"sealed"),
        "{event:?}"
    );
}

#[test]
fn sessions_over_streams_with_a_handshake_are_like_any_other() {
    let broker = broker_at(&format!("tcp://{SEALED_HOST}:0"));
    let endpoint = &broker.endpoints()[0];
    exchange(&mut subscriber_at(endpoint).expect("it serves"), endpoint);
}

#[test]
fn a_handshake_that_can_never_work_is_not_tried_again() {
    let strangers = Strangers::listen(SEALED_HOST);
    let endpoint = strangers.endpoint().clone();
    let serve = move || {
        let mut client = strangers.accept();
        // As a broker without such streams does.
        client.say(&greeting::ours());
        client.hear_the_end();
        strangers
    };
    let server = spawn_plain("server", serve).expect("a thread");
    let error = subscriber_at(&endpoint).expect_err("it does not knock");
    assert_eq!(error.kind(), ErrorKind::Protocol);
    let wanted = format!("the handshake of the connection to {endpoint} failed: it does not knock");
    assert_eq!(error.to_string(), wanted);
    assert!(server.join().expect("it ends").is_alone());
}

#[test]
fn a_handshake_that_is_cut_off_is_tried_again() {
    let strangers = Strangers::listen(SEALED_HOST);
    let endpoint = strangers.endpoint().clone();
    let place = endpoint.to_string();
    let serve = move || {
        let mut client = strangers.accept();
        // Nothing is left unread, or its end would be a reset.
        client.hear(KNOCK.len());
        client.say(&KNOCK[..1]);
        drop((client, strangers));
        broker_at(&place)
    };
    let server = spawn_plain("server", serve).expect("a thread");
    let mut subscriber = subscriber_at(&endpoint).expect("it serves after all");
    exchange(&mut subscriber, &endpoint);
    server.join().expect("it serves").stop(PATIENCE).expect("it drains");
}
