//! Honest counts: a broker's resident memory beside the bytes that its counters report, for subscribers that do not
//! read and peers that do not finish what they begin.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod raw_client;
mod watchdog;

use std::io::Write as _;
use std::time::Duration;

use broker_process::{BrokerProcess, Transport};
use corecast::OverflowPolicy;
use corecast::internals::limits::{SLAB_BYTES, UNFINISHED_BYTES_MAX};
use corecast::internals::wire::{Frame, encode, encode_to_vec};
use corecast_executors::{pause, spawn_plain};
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
        let broker = BrokerProcess::start(Transport::Tcp, options);
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

    /// Checks that its memory beyond that of an idle broker is within twice the counted bytes, and that there is some.
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
    let held = Held::start(OPTIONS);
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
    let held = Held::start(OPTIONS);
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
    let held = Held::start(OPTIONS);
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
    let held = Held::start(OPTIONS);
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

/// Starts a thread that sends all of a long frame but its end, to a peer that may not want it.
fn begin_long_frame(client: &RawClient, bytes: usize) {
    let mut writer = client.writer();
    let send = move || {
        let frame = encode_to_vec(&message("t", &vec![7; bytes], 1));
        // It is refused in the end.
        let _ = writer.write_all(&frame[..frame.len() - 10]);
    };
    spawn_plain("sender", send).expect("a thread");
}

#[test]
fn nothing_is_kept_of_a_stranger_that_has_not_said_hello() {
    let _watchdog = watchdog::watch("nothing_is_kept_of_a_stranger_that_has_not_said_hello");
    let held = Held::start(OPTIONS);
    let strangers: Vec<RawClient> = (0..100)
        .map(|_| {
            let client = RawClient::connect(held.broker.address()).greet();
            begin_long_frame(&client, 1_000_000);
            client
        })
        .collect();
    // A slow one's hello has its time.
    let mut slow = RawClient::connect(held.broker.address()).greet();
    let hello = encode_to_vec(&Frame::Hello { name: &"n".repeat(512), overflow: 0, previous: 0, ticket: 0 });
    slow.send_bytes(&hello[..hello.len() - 1]);
    held.broker.until(|page| page.closes("too_large") == strangers.len() as u64);
    let more = held.broker.rss_bytes() - held.idle_bytes;
    assert!(more <= ANYWAY_BYTES, "{more} bytes are held for strangers");
    slow.send_bytes(&hello[hello.len() - 1..]);
    assert!(matches!(slow.next(), Said::Welcome { .. }));
}

#[test]
fn long_frames_without_an_end_hold_little_and_not_for_long() {
    let _watchdog = watchdog::watch("long_frames_without_an_end_hold_little_and_not_for_long");
    let held = Held::start(&["--shards", "1", "--frame-bytes-max", "8MiB", "--heartbeat", "60s"]);
    // More than twice as much as may be unfinished: some wait for others.
    let begun: Vec<RawClient> = (0..24)
        .map(|_| {
            let client = RawClient::connect(held.broker.address()).open();
            begin_long_frame(&client, 7 << 20);
            client
        })
        .collect();
    let unfinished = |page: &broker_process::Page| page.sum("corecast_unfinished_bytes");
    let most = (UNFINISHED_BYTES_MAX + begun.len() * SLAB_BYTES) as u64;
    let mut seen = 0;
    while held.broker.page().closes("frame_timeout") < begun.len() as u64 {
        let counted = unfinished(&held.broker.page());
        seen = seen.max(counted);
        assert!(counted <= most, "{counted} bytes are unfinished");
        let more = held.broker.rss_bytes().saturating_sub(held.idle_bytes);
        assert!(more <= 2 * most + ANYWAY_BYTES, "{more} bytes are held and {counted} counted");
        pause(Duration::from_millis(50));
    }
    assert!(seen > most / 2, "{seen} bytes were the most");
    assert_eq!(unfinished(&held.broker.until(|page| unfinished(page) == 0)), 0);
    // Others were served all the time, with long frames, too.
    let mut subscriber = RawClient::connect(held.broker.address()).open();
    subscriber.subscribe("t");
    let mut publisher = held.publisher();
    publisher.publish("t", &vec![7; 7 << 20]);
    publisher.flush();
    assert!(matches!(subscriber.next(), Said::Message { .. }));
}

#[test]
fn what_waited_is_given_back_when_nobody_is_left() {
    let _watchdog = watchdog::watch("what_waited_is_given_back_when_nobody_is_left");
    let held = Held::start(&["--shards", "1"]);
    let mut publisher = held.publisher();
    let mut stalled = Vec::new();
    for n in 0..10 {
        // Sessions that want different things, so that nothing is shared; and pieces of many lengths.
        stalled.push(held.stalled(&format!("t.{n}.*"), OverflowPolicy::DropOldest));
        stalled.push(held.stalled(&format!("t.{n}.>"), OverflowPolicy::Latest));
        for number in 0..40_000 {
            publisher.publish(&format!("t.{n}.{}", number % 30_000), &[7; 1_000][..number * 7 % 1_000]);
        }
        publisher.flush();
    }
    let most = held.broker.rss_bytes();
    drop((publisher, stalled));
    held.broker.until(|page| page.sum("corecast_sessions") == 0);
    let waited = most - held.idle_bytes;
    assert!(waited > 10 * ANYWAY_BYTES, "{waited} bytes had waited");
    // The watchdog is what ends this where it is kept: nothing tells of its end.
    while held.broker.rss_bytes() > held.idle_bytes + 2 * ANYWAY_BYTES {
        pause(Duration::from_millis(100));
    }
}
