//! Rules of what peers may do, of a broker and of a direct publisher, and their change while sessions go on.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod watchdog;

use std::time::Duration;

use corecast::{
    Broker, BrokerConfig, ClientConfig, Endpoint, ErrorCode, ErrorKind, Event, Filter, Mode, Permissions,
    Publisher, Rights, Sessions, Subscriber,
};

/// Long enough for whatever is on its way; the watchdog ends what never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Long enough to see that something is not there: it would be there before.
const SHORT: Duration = Duration::from_millis(300);

fn filter(text: &str) -> Filter {
    Filter::parse(text).expect("a filter")
}

fn start(config: BrokerConfig) -> Broker {
    let anywhere: Endpoint = "tcp://127.0.0.1:0".parse().expect("an endpoint");
    Broker::start(config.listen([anywhere]).shards(2)).expect("a broker")
}

/// A client with a session for each subscriber.
fn client(broker: &Broker) -> ClientConfig {
    ClientConfig::new(broker.endpoints()[0].clone()).sessions(Sessions::PerSubscriber)
}

fn subscriber(broker: &Broker, topic: &str) -> Subscriber {
    Subscriber::with_config(client(broker), &[filter(topic)]).expect("a subscriber")
}

/// The payload of the next message.
fn next(subscriber: &mut Subscriber) -> Vec<u8> {
    match subscriber.recv_timeout(PATIENCE).expect("it is well") {
        Some(Event::Message(message)) => message.payload.to_vec(),
        other => panic!("{other:?} in the place of a message"),
    }
}

fn assert_refused(error: corecast::Error, what: &str) {
    assert_eq!(error.kind(), ErrorKind::Refused(ErrorCode::NotPermitted), "{error}");
    assert!(error.to_string().contains(what), "{error}");
}

#[test]
fn new_rules_end_what_they_forbid_and_nothing_else() {
    let _watchdog = watchdog::watch("new_rules_end_what_they_forbid_and_nothing_else");
    let broker = start(BrokerConfig::default());
    let mut publisher = Publisher::with_config(client(&broker)).expect("a publisher");
    let [mut a, mut b] = ["a", "b"].map(|topic| subscriber(&broker, topic));
    for topic in ["a", "b"] {
        publisher.publish(topic, b"before").expect("it is taken");
    }
    assert_eq!((next(&mut a), next(&mut b)), (b"before".to_vec(), b"before".to_vec()));

    let may_hear_a = Rights::all().subscribe([filter("a")]);
    broker.set_permissions(Permissions::all().local(may_hear_a)).expect("it runs");
    publisher.publish("a", b"after").expect("it is taken");
    assert_eq!(next(&mut a), b"after");
    assert_refused(b.recv_timeout(PATIENCE).expect_err("it is gone"), "no longer subscribe to `b`");
    let error = Subscriber::with_config(client(&broker), &[filter("b")]).expect_err("it may not");
    assert_refused(error, "may not subscribe to `b`");

    broker.set_permissions(Permissions::all().local(Rights::all().publish([filter("b")]))).expect("it runs");
    let mut b = subscriber(&broker, "b");
    publisher.publish("b", b"again").expect("it is taken");
    assert_eq!(next(&mut b), b"again");
    publisher.publish("a", b"forbidden").expect("it is on its way");
    assert_refused(publisher.flush(PATIENCE).expect_err("it may not"), "may not publish");
    assert!(a.recv_timeout(SHORT).expect("it is well").is_none());
    broker.stop(PATIENCE).expect("a good end");
}

#[test]
fn new_rules_take_from_a_shared_session_what_they_forbid_and_nothing_else() {
    let _watchdog = watchdog::watch("new_rules_take_from_a_shared_session_what_they_forbid_and_nothing_else");
    let broker = start(BrokerConfig::default());
    let shared = || ClientConfig::new(broker.endpoints()[0].clone());
    let subscriber = |filters: &[&str]| {
        let filters: Vec<Filter> = filters.iter().map(|text| filter(text)).collect();
        Subscriber::with_config(shared(), &filters).expect("a subscriber")
    };
    let (mut a, mut b, mut both) = (subscriber(&["a"]), subscriber(&["b"]), subscriber(&["a", "b"]));
    let mut publisher = Publisher::with_config(shared()).expect("a publisher");
    publisher.publish("b", b"before").expect("it is taken");
    assert_eq!((next(&mut b), next(&mut both)), (b"before".to_vec(), b"before".to_vec()));
    let may_hear_a = Rights::all().subscribe([filter("a")]);
    broker.set_permissions(Permissions::all().local(may_hear_a)).expect("it runs");
    for lost in [&mut b, &mut both] {
        let error = lost.recv_timeout(PATIENCE).expect_err("it may no longer");
        assert_refused(error, "no longer subscribe to `b`");
    }
    publisher.publish("a", b"after").expect("it is taken");
    assert_eq!(next(&mut a), b"after");
}

#[test]
fn a_broker_may_begin_with_rules() {
    let _watchdog = watchdog::watch("a_broker_may_begin_with_rules");
    // From here every peer is on the same host: nothing is taken from those.
    let permissions = Permissions::all().remote(Rights::none());
    let broker = start(BrokerConfig::default().permissions(permissions));
    drop(subscriber(&broker, "a"));
    let permissions = Permissions::all().local(Rights::none());
    let broker = start(BrokerConfig::default().permissions(permissions));
    let error = Subscriber::with_config(client(&broker), &[filter("a")]).expect_err("it may not");
    assert_refused(error, "subscribe to `a`");
}

#[test]
fn a_direct_publisher_has_rules_of_its_own() {
    let _watchdog = watchdog::watch("a_direct_publisher_has_rules_of_its_own");
    let broker = start(BrokerConfig::default().mode(Mode::Direct));
    let [mut a, mut b] = ["a", "b"].map(|topic| subscriber(&broker, topic));
    let mut config = client(&broker);
    config.direct.permissions = Permissions::all().local(Rights::none().subscribe([filter("a")]));
    let mut publisher = Publisher::with_config(config).expect("a publisher");
    for topic in ["b", "a"] {
        publisher.publish(topic, topic.as_bytes()).expect("it is taken");
    }
    assert_eq!(next(&mut a), b"a");
    // It may be told that it misses something.
    while let Some(event) = b.recv_timeout(SHORT).expect("it is well with the broker") {
        assert!(!matches!(event, Event::Message(_)), "{event:?}");
    }
}

#[test]
fn a_refusal_concerns_one_subscriber_and_one_topic_of_a_session() {
    let _watchdog = watchdog::watch("a_refusal_concerns_one_subscriber_and_one_topic_of_a_session");
    let rights = Rights::all().subscribe([filter("a")]).publish([filter("a")]);
    let broker = start(BrokerConfig::default().permissions(Permissions::all().local(rights)));
    let shared = || ClientConfig::new(broker.endpoints()[0].clone());
    let mut a = Subscriber::with_config(shared(), &[filter("a")]).expect("it may");
    let error = Subscriber::with_config(shared(), &[filter("a"), filter("b")]).expect_err("it may not");
    assert_refused(error, "subscribe to `b`; allowed: `a`");
    let mut publisher = Publisher::with_config(shared()).expect("a publisher");
    publisher.publish("b", b"forbidden").expect("it is on its way");
    assert_refused(publisher.flush(PATIENCE).expect_err("it may not"), "publish on `b`; allowed: `a`");
    publisher.publish("b", b"again").expect("it is dropped here");
    assert_refused(publisher.flush(PATIENCE).expect_err("it may not yet"), "publish on `b`");
    publisher.publish("a", b"allowed").expect("it is taken");
    publisher.flush(PATIENCE).expect("it may");
    assert_eq!(next(&mut a), b"allowed");
}
