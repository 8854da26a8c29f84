//! Memory given back: once a flood is over and its sessions have left, a broker is as small as before, whatever was flooded.
//! With `--nocapture` each test prints its figures.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod raw_client;
mod watchdog;

use std::io::{Read as _, Write as _, stderr};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use broker_process::{BrokerProcess, Transport};
use corecast::OverflowPolicy;
use corecast::internals::wire::{Frame, encode};
use corecast_executors::{pause, raise_open_files, spawn_plain};
use raw_client::{RawClient, Said, message};

/// Shards of each broker.
const OPTIONS: &[&str] = &["--shards", "2"];

/// A receive buffer that is soon full.
const NARROW_BYTES: usize = 16 << 10;

/// Between two looks at what nothing tells of.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Bytes that are written at a time.
const WRITE_BYTES: usize = 256 << 10;

/// A broker that has served a little, and what it held then.
struct Flooded {
    broker: BrokerProcess,
    before_bytes: u64,
    /// True once the readers read.
    may_read: Arc<AtomicBool>,
    readers: Vec<JoinHandle<()>>,
    /// Their connections, to end them.
    ends: Vec<TcpStream>,
}

impl Flooded {
    fn start() -> Self {
        let broker = BrokerProcess::start(Transport::Tcp, OPTIONS);
        let mut flooded = Flooded {
            broker,
            before_bytes: 0,
            may_read: Arc::default(),
            readers: Vec::new(),
            ends: Vec::new(),
        };
        // On each shard something was allocated that stays.
        for n in 0..4 {
            let mut subscriber = flooded.connect();
            subscriber.subscribe(&format!("warm.{n}"));
            flooded.publish((0..8).map(|n| (format!("warm.{}", n % 4), 64)));
        }
        flooded.wait_for_sessions(0);
        flooded.broker.forget_rss_peak();
        flooded.before_bytes = flooded.broker.rss_bytes();
        flooded
    }

    fn connect(&self) -> RawClient {
        RawClient::connect(self.broker.address()).open()
    }

    /// A subscriber that will not read.
    fn stalled(&self, filter: &str, policy: OverflowPolicy) -> RawClient {
        let client = RawClient::connect_narrow(self.broker.address(), NARROW_BYTES);
        let mut client = client.open_with(Some(policy));
        client.subscribe(filter);
        client
    }

    /// Subscribes to these filters, and reads to the end of the flood, once it may.
    fn read(&mut self, filters: impl Iterator<Item = String>) {
        let mut client = RawClient::connect_narrow(self.broker.address(), NARROW_BYTES).open();
        subscribe_to_all(&mut client, filters);
        let mut stream = client.writer();
        self.ends.push(client.writer());
        let may_read = Arc::clone(&self.may_read);
        let read = move || {
            while !may_read.load(Ordering::Acquire) {
                pause(LOOK_PAUSE);
            }
            let mut bytes = vec![0; 64 << 10];
            while stream.read(&mut bytes).is_ok_and(|read| read > 0) {}
        };
        self.readers.push(spawn_plain("reader", read).expect("a thread"));
    }

    /// Publishes a message of each topic, of so many bytes, and returns when the broker has taken all.
    fn publish(&self, messages: impl Iterator<Item = (String, usize)>) {
        let mut client = self.connect();
        let mut frames = Vec::new();
        let payload = vec![7; 1 << 20];
        for ((topic, bytes), sequence) in messages.zip(1..) {
            encode(&message(&topic, &payload[..bytes], sequence), &mut frames);
            if frames.len() > WRITE_BYTES {
                client.send_bytes(&std::mem::take(&mut frames));
            }
        }
        encode(&Frame::Flush { request: 9 }, &mut frames);
        client.send_bytes(&frames);
        while client.next() != Said::Done(9) {}
    }

    /// As [`Flooded::publish`], with readers that read once so much waits for them that the broker has grown: how much waits
    /// for those that keep up is a matter of luck.
    fn publish_to_readers(&self, messages: impl Iterator<Item = (String, usize)> + Send) {
        thread::scope(|scope| {
            let publisher = scope.spawn(|| self.publish(messages));
            while !publisher.is_finished() && self.broker.rss_peak_bytes() <= self.allowed_bytes() {
                pause(LOOK_PAUSE);
            }
            self.may_read.store(true, Ordering::Release);
        });
    }

    fn wait_for_sessions(&self, sessions: u64) {
        self.broker.until(|page| page.sum("corecast_sessions") == sessions);
    }

    /// The most that a broker may hold after the flood: half as much again as before it.
    fn allowed_bytes(&self) -> u64 {
        self.before_bytes / 2 * 3
    }

    /// Waits until the broker holds no more than is allowed, once all sessions have left. Nothing tells of that; the watchdog
    /// is what ends this where memory is kept.
    fn assert_given_back(self) {
        self.assert_given_back_by(Vec::new());
    }

    /// The same, when these have left as well.
    fn assert_given_back_by(mut self, sessions: Vec<RawClient>) {
        let (most, allowed) = (self.broker.rss_peak_bytes(), self.allowed_bytes());
        assert!(
            most > allowed,
            "{most} bytes in the flood and {} before: it shows nothing",
            self.before_bytes
        );
        drop(sessions);
        self.ends.drain(..).for_each(|end| end.shutdown(Shutdown::Write).expect("it is connected"));
        self.readers.drain(..).for_each(|reader| reader.join().expect("it reads to the end"));
        self.wait_for_sessions(0);
        let began = Instant::now();
        while self.broker.rss_bytes() > allowed {
            pause(Duration::from_millis(100));
        }
        let kib = [self.before_bytes, most, self.broker.rss_bytes()].map(|bytes| bytes >> 10);
        let test = thread::current().name().unwrap_or_default().to_owned();
        let took = began.elapsed();
        // With nobody to read it, the line is not missed.
        let _ = writeln!(stderr(), "{test}: KiB before, in the flood and {took:.1?} after it: {kib:?}");
    }
}

/// Subscribes to many filters, and returns when all are in force.
fn subscribe_to_all(client: &mut RawClient, filters: impl Iterator<Item = String>) {
    let (mut frames, mut asked) = (Vec::new(), 0);
    for filter in filters {
        asked += 1;
        let filter = filter.as_bytes();
        encode(&Frame::Subscribe { filter, request: asked, subscriber: 1, kind: 1 }, &mut frames);
        if asked % 1_000 == 0 {
            client.send_bytes(&std::mem::take(&mut frames));
            while client.next() != Said::Done(asked) {}
        }
    }
    if !frames.is_empty() {
        client.send_bytes(&frames);
        while client.next() != Said::Done(asked) {}
    }
}

#[test]
fn many_topics_of_which_each_wants_some() {
    let _watchdog = watchdog::watch("many_topics_of_which_each_wants_some");
    let mut flooded = Flooded::start();
    for n in 0..128 {
        flooded.read((0..20).map(|k| format!("t.{}", (n * 37 + k * 13) % 100)));
    }
    flooded.publish_to_readers((0..300_000_u64).map(|n| (format!("t.{}", n * 7_919 % 100), 64)));
    flooded.assert_given_back();
}

#[test]
fn topics_that_never_come_again() {
    let _watchdog = watchdog::watch("topics_that_never_come_again");
    let mut flooded = Flooded::start();
    flooded.read(std::iter::once("t.>".to_owned()));
    flooded.publish_to_readers((0..150_000).map(|n| (format!("t.{n}.of-some-length"), 64)));
    flooded.assert_given_back();
}

#[test]
fn large_messages() {
    let _watchdog = watchdog::watch("large_messages");
    let mut flooded = Flooded::start();
    (0..16).for_each(|_| flooded.read(std::iter::once("t".to_owned())));
    flooded.publish_to_readers((0..100).map(|_| ("t".to_owned(), 1 << 20)));
    flooded.assert_given_back();
}

#[test]
fn stalled_subscribers_with_full_queues() {
    let _watchdog = watchdog::watch("stalled_subscribers_with_full_queues");
    let flooded = Flooded::start();
    let policies = [OverflowPolicy::DropOldest, OverflowPolicy::DropNewest, OverflowPolicy::Latest];
    let stalled: Vec<RawClient> =
        (0..6).map(|n| flooded.stalled(&format!("t.{n}.*"), policies[n % 3])).collect();
    flooded.publish((0..150_000).map(|n| (format!("t.{}.{}", n % 6, n % 30_011), n * 7 % 1_000)));
    flooded.assert_given_back_by(stalled);
}

#[test]
fn sessions_that_come_and_go() {
    const SESSIONS: u64 = 5_000;
    let _watchdog = watchdog::watch("sessions_that_come_and_go");
    // As many as may be are enough.
    let _ = raise_open_files(2 * SESSIONS);
    let flooded = Flooded::start();
    let sessions: Vec<RawClient> = (0..SESSIONS)
        .map(|n| {
            let mut client = flooded.connect();
            client.subscribe(&format!("t.{n}.*"));
            client
        })
        .collect();
    flooded.assert_given_back_by(sessions);
}

#[test]
fn very_many_filters() {
    let _watchdog = watchdog::watch("very_many_filters");
    let flooded = Flooded::start();
    let mut client = flooded.connect();
    subscribe_to_all(&mut client, (0..100_000).map(|n| format!("t.{n}.of-some-length")));
    flooded.assert_given_back_by(vec![client]);
}
