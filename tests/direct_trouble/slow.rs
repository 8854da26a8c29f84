//! Subscribers of a direct publisher that do not read: each costs only itself; or, under `block`, the publisher waits
//! and nothing is lost.

use std::net::SocketAddr;

use corecast::{ClientConfig, ErrorKind, OverflowPolicy, Publisher, PublisherId, Topic};

use super::book::Book;
use super::broker_process::{BrokerProcess, Transport};
use super::follower::Follower;
use super::raw_client::{RawClient, Said};
use super::{DIRECT, PATIENCE, SHORT, own_sessions, topic, watchdog};

const PAYLOAD_BYTES: usize = 32 << 10;

/// Bytes queued for one subscriber at the most. The kernel's socket buffers hold a few MiB before that.
const EGRESS_BYTES: usize = 2 << 20;

/// The publisher is never further ahead of the slowest of those that read: half of [`EGRESS_BYTES`].
const AHEAD: u64 = (EGRESS_BYTES / PAYLOAD_BYTES / 2) as u64;

const MESSAGES: u64 = 1_000;

/// A publisher of `t` with small queues, and where it listens.
fn narrow_publisher(broker: &BrokerProcess, name: &Topic) -> (Publisher, SocketAddr) {
    let mut config: ClientConfig = own_sessions(broker);
    config.direct.bounds.bytes_max = EGRESS_BYTES;
    config.direct.frame_bytes_max = EGRESS_BYTES / 2;
    let mut publisher = Publisher::with_config(config).expect("a publisher");
    publisher.wait_for_subscribers(name, 0, PATIENCE).expect("it has begun its topic");
    let listed = Book::of(broker).until_listed("t");
    let endpoint = listed.endpoints[0].to_string();
    let address = endpoint.strip_prefix("tcp://").expect("it is on TCP");
    (publisher, address.parse().expect("an address in digits"))
}

/// One that does not read, with a receive buffer that is soon full.
fn stalled(publisher: SocketAddr, policy: Option<OverflowPolicy>) -> RawClient {
    let mut stalled = RawClient::connect_narrow(publisher, 16 << 10).open_with(policy);
    stalled.subscribe("t");
    stalled
}

fn read_of_all(followers: &mut [Follower], publisher: PublisherId, sequence: u64) {
    followers.iter_mut().for_each(|follower| follower.read_until(publisher, sequence));
}

#[test]
fn who_does_not_read_costs_a_direct_publisher_nothing_and_the_others_neither() {
    let _watchdog =
        watchdog::watch("who_does_not_read_costs_a_direct_publisher_nothing_and_the_others_neither");
    let broker = BrokerProcess::start(Transport::Tcp, DIRECT);
    let mut followers: Vec<Follower> =
        (0..4).map(|_| Follower::from_the_start(own_sessions(&broker), "t")).collect();
    let name = topic("t");
    let (mut publisher, address) = narrow_publisher(&broker, &name);
    let mut stalled = stalled(address, Some(OverflowPolicy::DropOldest));
    publisher.wait_for_subscribers(&name, 5, PATIENCE).expect("all are there");
    for _ in 0..MESSAGES {
        let sequence = publisher.publish(&name, &[b'x'; PAYLOAD_BYTES]).expect("it is taken");
        read_of_all(&mut followers, publisher.id(), sequence.saturating_sub(AHEAD));
    }
    publisher.flush(PATIENCE).expect("nobody holds it");
    read_of_all(&mut followers, publisher.id(), MESSAGES);
    assert!(followers.iter().all(|follower| follower.gaps.is_empty()));

    let (mut last, mut missed) = (0, 0);
    while last < MESSAGES {
        match stalled.next() {
            // Gaps stand where the messages would.
            Said::Message { sequence, .. } => {
                assert_eq!(std::mem::replace(&mut last, sequence) + 1, sequence)
            }
            Said::Gap { topic, missed: here, reason } => {
                assert_eq!((&topic[..], reason), (&b"t"[..], 1));
                (last, missed) = (last + here, missed + here);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(missed > 0, "it has stalled");
    publisher.close().expect("it ends in order");
}

#[test]
fn block_slows_a_direct_publisher_down_and_loses_nothing() {
    let _watchdog = watchdog::watch("block_slows_a_direct_publisher_down_and_loses_nothing");
    let broker = BrokerProcess::start(Transport::Tcp, &[DIRECT, &["--overflow", "block"]].concat());
    let mut witness = Follower::from_the_start(own_sessions(&broker), "t");
    let name = topic("t");
    let (mut publisher, address) = narrow_publisher(&broker, &name);
    let mut stalled = stalled(address, None);
    publisher.wait_for_subscribers(&name, 2, PATIENCE).expect("both are there");
    let mut published;
    let held = loop {
        published = publisher.publish(&name, &[b'x'; PAYLOAD_BYTES]).expect("there is room on the way");
        if let Err(error) = publisher.flush(SHORT) {
            break error;
        }
        assert!(published < MESSAGES, "it is never held");
    };
    assert_eq!(held.kind(), ErrorKind::TimedOut);
    assert!(held.to_string().contains("block"), "{held}");
    // Held, it still knows who is there.
    assert_eq!(publisher.wait_for_subscribers(&name, 2, PATIENCE).expect("they are"), 2);
    for sequence in 1..=published {
        let said = stalled.next();
        assert!(matches!(said, Said::Message { sequence: there, .. } if there == sequence), "{said:?}");
    }
    publisher.flush(PATIENCE).expect("now there is room");
    witness.read_until(publisher.id(), published);
    assert_eq!(witness.gaps, []);
    publisher.close().expect("it ends in order");
}
