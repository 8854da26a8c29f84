//! What a broker counts is what it holds: its resident memory beside what waits in its queues, for subscribers that
//! do not read and peers that do not finish what they begin.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod raw_client;
mod watchdog;

use broker_process::{BrokerProcess, Transport};
use corecast::OverflowPolicy;
use corecast::wire::{Frame, encode};
use raw_client::{RawClient, Said, message};

/// The most that waits for one session, and how much of it the kernel's buffers hold besides is not counted.
const EGRESS_BYTES: u64 = 4 << 20;

const OPTIONS: &[&str] = &["--shards", "1", "--frame-bytes-max", "1MiB", "--egress-bytes", "4MiB"];

/// A receive buffer that is soon full.
const NARROW_BYTES: usize = 16 << 10;

/// Memory that a broker takes once it works, whatever waits: read slabs, caches, tables, what its allocator keeps in
/// reserve.
const ANYWAY_BYTES: u64 = 12 << 20;

/// A broker, and what it held before anything waited.
struct Held {
    broker: BrokerProcess,
    idle_bytes: u64,
}

impl Held {
    fn start(options: &[&str]) -> Self {
        let broker = BrokerProcess::start(Transport::Tcp, &[OPTIONS, options].concat());
        let idle_bytes = broker.rss_bytes();
        Held { broker, idle_bytes }
    }

    /// A subscriber to this filter that will not read.
    fn stalled(&self, filter: &str, policy: OverflowPolicy) -> RawClient {
        let client = RawClient::connect_narrow(self.broker.address(), NARROW_BYTES);
        let mut client = client.open_with(Some(policy));
        client.subscribe(filter);
        client
    }

    fn publisher(&self) -> Publisher {
        Publisher {
            client: RawClient::connect(self.broker.address()).open(),
            frames: Vec::new(),
            sequence: 0,
        }
    }

    /// What it holds more than idle must be what it counts, within twice, and something anyway.
    fn assert_honest(&self, sessions: u64) {
        let waits = |page: &broker_process::Page| page.sum("corecast_egress_bytes");
        let page = self.broker.until(|page| waits(page) > 0);
        let counted = waits(&page);
        assert!(counted <= sessions * (EGRESS_BYTES + (1 << 20)), "{counted} bytes are counted");
        let held = self.broker.rss_bytes() - self.idle_bytes;
        assert!(held <= 2 * counted + ANYWAY_BYTES, "{held} bytes are held and {counted} counted");
    }
}

/// A client that publishes what it is given, in large writes.
struct Publisher {
    client: RawClient,
    frames: Vec<u8>,
    sequence: u64,
}

impl Publisher {
    fn publish(&mut self, topic: &str, payload: &[u8]) {
        self.sequence += 1;
        encode(&message(topic, payload, self.sequence), &mut self.frames);
        if self.frames.len() > 256 << 10 {
            self.send();
        }
    }

    fn send(&mut self) {
        self.client.send_bytes(&std::mem::take(&mut self.frames));
    }

    /// Returns when the broker has taken everything.
    fn flush(&mut self) {
        encode(&Frame::Flush { request: 9 }, &mut self.frames);
        self.send();
        while self.client.next() != Said::Done(9) {}
    }
}

#[test]
fn one_topic_of_many_does_not_keep_the_others_alive() {
    let _watchdog = watchdog::watch("one_topic_of_many_does_not_keep_the_others_alive");
    let held = Held::start(&[]);
    let _stalled = held.stalled("t.0", OverflowPolicy::DropOldest);
    let mut publisher = held.publisher();
    let topics: Vec<String> = (0..64).map(|n| format!("t.{n}")).collect();
    for _ in 0..1_500 {
        topics.iter().for_each(|topic| publisher.publish(topic, &[7; 4_200]));
    }
    publisher.flush();
    held.assert_honest(1);
}

#[test]
fn short_frames_count_with_what_is_kept_of_each() {
    let _watchdog = watchdog::watch("short_frames_count_with_what_is_kept_of_each");
    let held = Held::start(&[]);
    let _stalled = held.stalled("wanted.*", OverflowPolicy::DropOldest);
    let mut publisher = held.publisher();
    for number in 0..200_000 {
        publisher.publish(&format!("wanted.{}", number % 1_000), b"");
        publisher.publish("other", b"");
    }
    publisher.flush();
    held.assert_honest(1);
}

#[test]
fn the_newest_of_very_many_topics_count_with_what_is_kept_of_each() {
    let _watchdog = watchdog::watch("the_newest_of_very_many_topics_count_with_what_is_kept_of_each");
    let held = Held::start(&[]);
    let _stalled = [(); 4].map(|()| held.stalled("state.*", OverflowPolicy::Latest));
    let mut publisher = held.publisher();
    for number in 0..100_000 {
        publisher.publish(&format!("state.{}", number % 20_000), b"a value");
    }
    publisher.flush();
    held.assert_honest(4);
}

#[test]
fn a_stalled_subscriber_that_goes_on_asking_piles_nothing_up() {
    let _watchdog = watchdog::watch("a_stalled_subscriber_that_goes_on_asking_piles_nothing_up");
    let held = Held::start(&[]);
    let mut stalled = held.stalled("t.*", OverflowPolicy::DropOldest);
    let mut publisher = held.publisher();
    let topic = |n: usize| format!("t.{n:0>900}");
    for round in 0..200 {
        (0..100).for_each(|n| publisher.publish(&topic(round % 20 * 100 + n), &[7; 1_000]));
        publisher.flush();
        stalled.send(&Frame::Ping { token: round as u64 });
    }
    held.assert_honest(1);
}
