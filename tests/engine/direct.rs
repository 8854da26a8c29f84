//! Direct publishers of one host and subscribers of another: the brokers introduce them, and the messages pass neither brokers nor
//! engine.

use std::time::Duration;

use corecast::{DownReason, Event, Publisher, PublisherChange, RegistryView, Subscriber};

use super::broker_process::{BrokerProcess, corecast};
use super::nats_server::NatsServer;
use super::oracle::{PATIENCE, publisher, subscriber, topic};
use super::{two_brokers, watchdog};

const DIRECT: [&str; 4] = ["--mode", "direct", "--lease", "500ms"];

fn next(subscriber: &mut Subscriber) -> Vec<u8> {
    match subscriber.recv_timeout(PATIENCE).expect("the session stands").expect("there is more") {
        Event::Message(message) => message.payload.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn view(broker: &BrokerProcess) -> RegistryView {
    RegistryView::with_config(broker.client()).expect("a view")
}

fn change(view: &mut RegistryView) -> PublisherChange {
    view.next_change_timeout(PATIENCE).expect("it is well").expect("something changes")
}

/// A publisher that has begun this topic.
fn begun(broker: &BrokerProcess, name: &str) -> Publisher {
    let mut publisher = publisher(broker.client());
    publisher.publish(topic(name), b"0").expect("room");
    publisher.flush(PATIENCE).expect("it is taken");
    publisher
}

#[test]
fn a_direct_publisher_of_one_host_is_heard_on_the_other_without_the_engine() {
    let _watchdog =
        watchdog::watch("a_direct_publisher_of_one_host_is_heard_on_the_other_without_the_engine");
    let Some(server) = NatsServer::start() else { return };
    let [a, b] = two_brokers(&server, &DIRECT);
    // One that is there before, and one that comes later.
    let mut before = subscriber(b.client(), &["direct.*"]);
    let mut publisher = publisher(a.client());
    let there = publisher.wait_for_subscribers(topic("direct.x"), 1, PATIENCE).expect("it comes");
    assert_eq!(there, 1);
    for number in 0..100_u8 {
        publisher.publish(topic("direct.x"), &[number]).expect("room");
        assert_eq!(next(&mut before), [number]);
    }
    let mut after = subscriber(b.client(), &["direct.x"]);
    let there = publisher.wait_for_subscribers(topic("direct.x"), 2, PATIENCE).expect("it comes");
    assert_eq!(there, 2);
    publisher.publish(topic("direct.x"), b"all").expect("room");
    assert_eq!((next(&mut before), next(&mut after)), (b"all".to_vec(), b"all".to_vec()));
    for broker in [&a, &b] {
        assert_eq!(broker.page().sum("corecast_engine_sent_total"), 0);
    }
}

#[test]
fn the_registry_of_every_broker_lists_the_publishers_of_all_and_follows_them() {
    let _watchdog =
        watchdog::watch("the_registry_of_every_broker_lists_the_publishers_of_all_and_follows_them");
    let Some(server) = NatsServer::start() else { return };
    let [mut a, b] = two_brokers(&server, &DIRECT);
    let mut there = view(&b);
    let first = begun(&a, "x");
    let PublisherChange::Up(up) = change(&mut there) else { panic!("nobody has left") };
    assert_eq!((up.publisher, up.epoch), (first.id(), 1));
    let second = begun(&b, "y");
    let PublisherChange::Up(up) = change(&mut there) else { panic!("nobody has left") };
    assert_eq!(up.publisher, second.id());
    let listed = there.list(PATIENCE).expect("a list");
    let mut ids = [first.id(), second.id()];
    ids.sort_unstable();
    assert_eq!(listed.iter().map(|listed| listed.publisher).collect::<Vec<_>>(), ids, "in order");
    let left = listed.iter().map(|listed| listed.lease_left.expect("a list has it"));
    assert!(left.into_iter().all(|left| left > Duration::ZERO && left <= Duration::from_millis(500)));
    let output = corecast().args(["registry", "--broker", b.endpoint()]).output().expect("it starts");
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(ids.iter().all(|id| table.contains(&id.to_string())), "{table}");

    // One that leaves is gone everywhere; one whose broker is killed once its lease would be over.
    let (id, epoch) = (first.id(), 1);
    first.close().expect("it ends in order");
    assert_eq!(change(&mut there), PublisherChange::Down { publisher: id, epoch, reason: DownReason::Left });
    let third = begun(&a, "z");
    let PublisherChange::Up(up) = change(&mut there) else { panic!("nobody has left") };
    assert_eq!(up.publisher, third.id());
    a.kill();
    let down = PublisherChange::Down { publisher: third.id(), epoch: 1, reason: DownReason::Expired };
    assert_eq!(change(&mut there), down);
    // Its publisher comes back with its broker, in an epoch of its own.
    a.start_again();
    let PublisherChange::Up(up) = change(&mut there) else { panic!("it comes back") };
    assert_eq!((up.publisher, up.epoch), (third.id(), 2));
}
