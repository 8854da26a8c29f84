//! Messages from host to host while all is well.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use corecast::{Event, Subscriber};

use super::broker_process::{BrokerProcess, Transport};
use super::nats_server::NatsServer;
use super::oracle::{Listener, Load, PATIENCE, publisher, subscriber, topic};
use super::zmtp_peer::ZmtpPeer;
use super::{broker, two_brokers, watchdog};

fn next(subscriber: &mut Subscriber) -> (String, Vec<u8>) {
    match subscriber.recv_timeout(PATIENCE).expect("the session stands").expect("there is more") {
        Event::Message(message) => {
            (String::from_utf8_lossy(&message.topic).into_owned(), message.payload.to_vec())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_subscriber_on_one_host_hears_publishers_on_both_and_each_message_once() {
    let _watchdog =
        watchdog::watch("a_subscriber_on_one_host_hears_publishers_on_both_and_each_message_once");
    let Some(server) = NatsServer::start() else { return };
    let [a, b] = two_brokers(&server, &[]);
    for (here, there) in [(&a, &b), (&b, &a)] {
        let mut near = subscriber(here.client(), &["prices.*", "news.>"]);
        let mut far = subscriber(there.client(), &["prices.*", "news.>", "*.eur"]);
        let mut publisher = publisher(here.client());
        let (prices, news) = (topic("prices.eur"), topic("news.uk.weather"));
        for number in 0..100_u8 {
            publisher.publish(&prices, &[number]).expect("room");
            publisher.publish(&news, &[number, 1]).expect("room");
        }
        // Order is that of each topic.
        for subscriber in [&mut near, &mut far] {
            let mut heard = [0_u8; 2];
            while heard != [100; 2] {
                let (name, payload) = next(subscriber);
                let at = usize::from(name == "news.uk.weather");
                assert_eq!(payload[0], heard[at], "on {name}");
                assert_eq!(payload.len(), 1 + at);
                heard[at] += 1;
            }
        }
        for subscriber in [&mut near, &mut far] {
            assert_eq!(subscriber.try_recv().expect("the session stands"), None, "nothing twice");
        }
    }
    for broker in [&a, &b] {
        let page = broker.page();
        assert_eq!(page.sum("corecast_engine_missing_total"), 0);
        assert_eq!(page.sum("corecast_engine_junk_total"), 0);
    }
}

#[test]
fn a_subscription_that_is_confirmed_misses_nothing_of_another_host() {
    let _watchdog = watchdog::watch("a_subscription_that_is_confirmed_misses_nothing_of_another_host");
    let Some(server) = NatsServer::start() else { return };
    let [a, b] = two_brokers(&server, &[]);
    for round in 0..100_u8 {
        let name = format!("round.{round}");
        // It returns when the subscription is confirmed.
        let mut subscriber = subscriber(b.client(), &[&name]);
        let mut publisher = publisher(a.client());
        publisher.publish(topic(&name), &[round]).expect("room");
        assert_eq!(next(&mut subscriber), (name, vec![round]));
    }
}

#[test]
fn no_message_after_a_wait_for_subscribers_of_another_host_is_missed() {
    let _watchdog = watchdog::watch("no_message_after_a_wait_for_subscribers_of_another_host_is_missed");
    let Some(server) = NatsServer::start() else { return };
    let [a, b] = two_brokers(&server, &[]);
    let mut publisher = publisher(a.client());
    let near = subscriber(a.client(), &["round.*"]);
    for round in 0..100_u8 {
        let name = format!("round.{round}");
        std::thread::scope(|threads| {
            // It does not wait for the confirmation that the subscriber waits for.
            let waiting = threads.spawn(|| {
                let there = publisher.wait_for_subscribers(topic(&name), 2, PATIENCE);
                publisher.publish(topic(&name), &[round]).expect("room");
                there
            });
            let mut subscriber = subscriber(b.client(), &[&name]);
            let there = waiting.join().expect("no panic").expect("they come");
            assert_eq!(there, 2, "that of this host, and that of the other");
            assert_eq!(next(&mut subscriber), (name.clone(), vec![round]));
        });
    }
    drop(near);
    for broker in [&a, &b] {
        broker.until(|page| page.sum("corecast_subscriptions") == 0);
    }
    let left = publisher.wait_for_subscribers(topic("round.0"), 1, Duration::from_millis(200));
    assert!(left.is_err(), "all have gone: {left:?}");
}

#[test]
fn a_flood_arrives_whole() {
    let _watchdog = watchdog::watch("a_flood_arrives_whole");
    let Some(server) = NatsServer::start() else { return };
    let [a, b] = two_brokers(&server, &["--overflow", "drop-oldest"]);
    const MESSAGES: u32 = 100_000;
    let mut subscriber = subscriber(b.client(), &["flood"]);
    let mut publisher = publisher(a.client());
    let flood = topic("flood");
    for number in 0..MESSAGES {
        publisher.publish(&flood, &number.to_le_bytes()).expect("room");
    }
    let mut expected = 0;
    while expected < MESSAGES {
        match subscriber.recv_timeout(PATIENCE).expect("the session stands").expect("there is more") {
            Event::Message(message) => {
                let number = u32::from_le_bytes(message.payload[..].try_into().expect("a number"));
                assert_eq!(number, expected, "in order, and none is missing untold");
                expected += 1;
            }
            // A machine that is too slow for a flood says so.
            Event::Gap(gap) => {
                expected +=
                    u32::try_from(gap.missed.expect("an exact size")).expect("it is no more than was sent");
            }
            Event::CaughtUp => panic!("it started live"),
        }
    }
    let page = b.page();
    assert_eq!(page.sum("corecast_engine_overflows_total"), 0, "what arrives is taken at once");
}

#[test]
fn what_no_filter_of_the_engine_names_stays_on_its_host() {
    let _watchdog = watchdog::watch("what_no_filter_of_the_engine_names_stays_on_its_host");
    let Some(server) = NatsServer::start() else { return };
    let [a, b] = two_brokers(&server, &["--engine-topics", "shared.>"]);
    let mut far = subscriber(b.client(), &[">"]);
    let mut near = subscriber(a.client(), &[">"]);
    let mut publisher = publisher(a.client());
    publisher.publish(topic("own.x"), b"1").expect("room");
    publisher.publish(topic("shared.x"), b"2").expect("room");
    assert_eq!(next(&mut near), ("own.x".to_owned(), b"1".to_vec()));
    assert_eq!(next(&mut near), ("shared.x".to_owned(), b"2".to_vec()));
    assert_eq!(next(&mut far), ("shared.x".to_owned(), b"2".to_vec()));
}

#[test]
fn clusters_of_different_names_do_not_hear_one_another() {
    let _watchdog = watchdog::watch("clusters_of_different_names_do_not_hear_one_another");
    let Some(server) = NatsServer::start() else { return };
    let [a, b] = two_brokers(&server, &[]);
    let other = broker(&server, &["--engine-cluster", "other"]);
    let mut outside = subscriber(other.client(), &[">"]);
    let mut inside = subscriber(b.client(), &[">"]);
    let mut publisher = publisher(a.client());
    publisher.publish(topic("x"), b"1").expect("room");
    assert_eq!(next(&mut inside), ("x".to_owned(), b"1".to_vec()));
    assert_eq!(outside.try_recv().expect("the session stands"), None);
    assert_eq!(other.page().sum("corecast_engine_peers"), 0);
}

/// The first address of its door for ZeroMQ sockets.
fn door(broker: &BrokerProcess) -> SocketAddr {
    broker.zmtp()[0].strip_prefix("tcp://").expect("a door on TCP").parse().expect("an address in digits")
}

#[test]
fn zeromq_sockets_hear_one_another_across_hosts() {
    let _watchdog = watchdog::watch("zeromq_sockets_hear_one_another_across_hosts");
    let Some(server) = NatsServer::start() else { return };
    let [a, b] = two_brokers(&server, &["--zmtp", "tcp://127.0.0.1:0"]);
    let open =
        |broker: &BrokerProcess, kind: &str| ZmtpPeer::connect_tcp(door(broker)).greeted(true).ready(kind);
    let mut sub = open(&b, "SUB");
    sub.subscribe(b"prices");
    let mut native = subscriber(b.client(), &["prices.eur"]);
    a.until(|page| page.sum("corecast_engine_peers") == 1);
    let mut native_publisher = publisher(a.client());
    let mut publish = open(&a, "PUB");
    publish.publish(&[b"prices.eur", b"1.08"]);
    assert_eq!(sub.message(), [b"prices.eur".to_vec(), b"1.08".to_vec()]);
    assert_eq!(next(&mut native), ("prices.eur".to_owned(), b"1.08".to_vec()));
    // And a native publisher.
    native_publisher.publish(topic("prices.eur"), b"1.09").expect("room");
    assert_eq!(sub.message(), [b"prices.eur".to_vec(), b"1.09".to_vec()]);
}

#[test]
fn topics_that_the_engine_cannot_carry_cross_as_well() {
    let _watchdog = watchdog::watch("topics_that_the_engine_cannot_carry_cross_as_well");
    let Some(server) = NatsServer::start() else { return };
    let [a, b] = two_brokers(&server, &["--zmtp", "tcp://127.0.0.1:0"]);
    let open =
        |broker: &BrokerProcess, kind: &str| ZmtpPeer::connect_tcp(door(broker)).greeted(true).ready(kind);
    let mut sub = open(&b, "SUB");
    sub.subscribe(b"");
    let mut publish = open(&a, "PUB");
    let long = vec![b'x'; 3_000];
    let topics: [&[u8]; 9] = [b"", &long, b"a b", b"a.*", b">", b"a..b", b".", b"\xff\0", &long[..1_025]];
    let there = publisher(a.client()).wait_for_subscribers(topic("meanwhile"), 1, PATIENCE);
    assert_eq!(there.expect("it comes"), 1);
    publish.publish(&[b"meanwhile", b""]);
    for (number, topic) in (0_u8..).zip(topics) {
        publish.publish(&[topic, &[number]]);
        publish.publish(&[topic]);
        publish.publish(&[topic, b"", &[number]]);
    }
    assert_eq!(sub.message(), [b"meanwhile".to_vec(), Vec::new()]);
    // Order is that of each topic.
    let mut heard: BTreeMap<Vec<u8>, Vec<Vec<Vec<u8>>>> = BTreeMap::new();
    for _ in 0..3 * topics.len() {
        let mut parts = sub.message();
        heard.entry(parts.remove(0)).or_default().push(parts);
    }
    for (number, topic) in (0_u8..).zip(topics) {
        let sent = [vec![vec![number]], Vec::new(), vec![Vec::new(), vec![number]]];
        assert_eq!(heard[topic], sent, "{} bytes", topic.len());
    }
    assert_eq!(b.page().sum("corecast_engine_missing_total"), 0);
}

#[test]
fn a_broker_that_stops_says_goodbye_and_its_last_messages_arrive() {
    let _watchdog = watchdog::watch("a_broker_that_stops_says_goodbye_and_its_last_messages_arrive");
    let Some(server) = NatsServer::start() else { return };
    let [mut a, b] = two_brokers(&server, &[]);
    let mut listener = Listener::new(b.client(), "last");
    let load = Load::start(publisher(a.client()), "last");
    listener.until_after(100);
    let sent = load.stop();
    assert!(a.stop().success(), "{}", a.log());
    listener.until_all(sent);
    assert_eq!(listener.missed, 0, "nothing is lost");
    b.until(|page| page.sum("corecast_engine_peers") == 0);
}

#[test]
fn without_an_engine_there_is_none_of_its_metrics() {
    let _watchdog = watchdog::watch("without_an_engine_there_is_none_of_its_metrics");
    let broker = BrokerProcess::start(Transport::Tcp, &[]);
    broker.until(|page| page.sum("corecast_ticks_total") > 0);
    assert!(!broker.page().text().contains("corecast_engine_"));
}
