//! Subscribers that do not keep up: their losses are reported exactly, and nobody else notices; or, under `block`,
//! nothing is lost and the publisher waits.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod one_executor;
mod raw_client;
mod watchdog;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use broker_process::{BrokerProcess, Transport};
use corecast::internals::wire::Frame;
use corecast::{
    ClientConfig, ErrorCode, ErrorKind, Event, EventRef, Filter, LocalClient, OverflowPolicy, Publisher,
    Sessions, Subscriber, Topic,
};
use corecast_executors::{Wake, pause, spawn_plain};
use one_executor::OneExecutor;
use raw_client::{RawClient, Said};

/// Time limit of any step, on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(60);

/// Subscribers that keep up, beside the one that does not.
const FAST: usize = 63;

/// The most that waits for one session. The kernel's socket buffers hold a few MiB before that.
const EGRESS: &[&str] = &["--shards", "2", "--frame-bytes-max", "256KiB", "--egress-bytes", "2MiB"];

/// The publisher is never further ahead of the slowest of the fast ones, so that none of them overflows: half of
/// [`EGRESS`].
const AHEAD_BYTES: u64 = 1 << 20;

const PAYLOAD_BYTES: u64 = 32 << 10;

/// A receive buffer that is soon full.
const NARROW_BYTES: usize = 16 << 10;

const TOPICS: [&str; 3] = ["flood.a", "flood.b", "flood.c"];

/// The topic of the message of this number, from 1.
fn topic_of(number: u64) -> usize {
    (number % TOPICS.len() as u64) as usize
}

/// The fast subscribers, on one executor, each with a session of its own.
struct Fast {
    /// The position of each.
    seen: Arc<[AtomicU64]>,
    executor: OneExecutor<()>,
}

impl Fast {
    fn start(config: ClientConfig, messages: u64) -> Self {
        let config = config.sessions(Sessions::PerSubscriber);
        let seen: Arc<[AtomicU64]> = (0..FAST).map(|_| AtomicU64::new(0)).collect();
        let noted = Arc::clone(&seen);
        let executor = OneExecutor::start(move |context| {
            let (config, noted) = (config.clone(), Arc::clone(&noted));
            async move { receive_all(LocalClient::start(config, context.ticks), noted, messages).await }
        });
        Fast { seen, executor }
    }

    /// Waits until all of them have seen so many.
    fn wait(&self, messages: u64) {
        while self.seen.iter().any(|seen| seen.load(Ordering::Acquire) < messages) {
            pause(Duration::from_micros(200));
        }
    }
}

/// Every message, in order, at every one of them.
async fn receive_all(client: LocalClient, seen: Arc<[AtomicU64]>, messages: u64) {
    let filters = [Filter::parse("flood.*").expect("a filter")];
    let done = std::rc::Rc::new(Wake::new());
    let mut subscriptions = Vec::new();
    for i in 0..FAST {
        let (seen, done) = (Arc::clone(&seen), std::rc::Rc::clone(&done));
        let sink = move |event: EventRef<'_>| {
            let EventRef::Message(message) = event else { panic!("{event:?} at {i}, which keeps up") };
            let number = seen[i].load(Ordering::Relaxed) + 1;
            assert_eq!(message.sequence, number);
            assert_eq!(message.topic, TOPICS[topic_of(number)].as_bytes());
            assert!(message.payload.len() as u64 == PAYLOAD_BYTES);
            seen[i].store(number, Ordering::Release);
            done.raise();
        };
        subscriptions.push(client.subscribe_with(&filters, sink).await.expect("a sink"));
    }
    while seen.iter().any(|seen| seen.load(Ordering::Relaxed) < messages) {
        done.wait().await;
    }
}

/// Floods so many messages, no faster than the fast ones receive them.
fn flood(broker: &BrokerProcess, fast: &Fast, messages: u64) {
    let mut publisher = Publisher::with_config(broker.client()).expect("a publisher");
    let topics = TOPICS.map(|name| Topic::new(name).expect("a topic"));
    let waited = publisher.wait_for_subscribers(&topics[0], FAST + 1, PATIENCE);
    assert_eq!(waited.expect("all are there"), FAST + 1);
    let payload = vec![b'x'; PAYLOAD_BYTES as usize];
    for number in 1..=messages {
        publisher.publish(&topics[topic_of(number)], &payload).expect("it is taken");
        fast.wait(number.saturating_sub(AHEAD_BYTES / PAYLOAD_BYTES));
    }
    publisher.close().expect("all is taken");
    fast.wait(messages);
}

/// The final counts of the stalled subscriber, by topic.
#[derive(Default, Debug)]
struct Account {
    received: BTreeMap<Vec<u8>, u64>,
    missed: BTreeMap<Vec<u8>, u64>,
    last_sequence: u64,
    gaps: u64,
    /// Messages before the first gap.
    unbroken: u64,
}

/// The number of messages up to this one on its topic.
fn published_until(number: u64) -> u64 {
    (1..=number).filter(|other| topic_of(*other) == topic_of(number)).count() as u64
}

impl Account {
    /// Reads until everything is accounted for.
    fn of(client: &mut RawClient, messages: u64) -> Self {
        let mut account = Account::default();
        while account.total() < messages {
            match client.next() {
                Said::Message { topic, payload, sequence } => {
                    assert_eq!(payload.len() as u64, PAYLOAD_BYTES);
                    assert!(sequence > account.last_sequence, "{sequence} after {}", account.last_sequence);
                    account.last_sequence = sequence;
                    if account.gaps == 0 {
                        account.unbroken += 1;
                    }
                    let before = account.told(&topic);
                    *account.received.entry(topic).or_default() += 1;
                    // Gaps stand where the messages would: whatever is missing before this one has been told.
                    assert_eq!(before + 1, published_until(sequence), "at {sequence} of {account:?}");
                }
                Said::Gap { topic, missed, reason } => {
                    assert!(missed > 0 && reason == 1, "{missed} for reason {reason}");
                    account.gaps += 1;
                    *account.missed.entry(topic).or_default() += missed;
                }
                other => panic!("{other:?}, with {account:?}"),
            }
        }
        account
    }

    /// Messages of this topic that were received or reported as missing.
    fn told(&self, topic: &[u8]) -> u64 {
        let of = |counts: &BTreeMap<Vec<u8>, u64>| counts.get(topic).copied().unwrap_or(0);
        of(&self.received) + of(&self.missed)
    }

    fn missed(&self) -> u64 {
        self.missed.values().sum()
    }

    fn total(&self) -> u64 {
        self.received.values().sum::<u64>() + self.missed()
    }
}

/// One stalled among many, until it reads on.
fn one_stalls(policy: OverflowPolicy, flood_bytes: u64) -> Account {
    let messages = flood_bytes / PAYLOAD_BYTES;
    let broker = BrokerProcess::start(Transport::Tcp, EGRESS);
    let mut stalled = RawClient::connect_narrow(broker.address(), NARROW_BYTES).open_with(Some(policy));
    stalled.subscribe("flood.>");
    let fast = Fast::start(broker.client(), messages);
    flood(&broker, &fast, messages);
    fast.executor.result();

    let account = Account::of(&mut stalled, messages);
    for (i, topic) in TOPICS.iter().enumerate() {
        let published = (1..=messages).filter(|number| topic_of(*number) == i).count() as u64;
        assert_eq!(account.told(topic.as_bytes()), published, "{topic} of {account:?}");
    }
    assert!(account.missed() > 0, "it has stalled");
    let reason = policy.name().replace('-', "_");
    broker.until(|page| page.reason("corecast_drops_total", &reason) >= account.missed());
    let page = broker.page();
    assert_eq!(page.reason("corecast_drops_total", &reason), account.missed());
    assert_eq!(page.sum("corecast_drops_total"), account.missed(), "nobody else has missed anything");
    account
}

#[test]
fn drop_oldest_leaves_the_newest() {
    let _watchdog = watchdog::watch("drop_oldest_leaves_the_newest");
    let bytes = 100 << 20;
    let account = one_stalls(OverflowPolicy::DropOldest, bytes);
    assert_eq!(account.last_sequence, bytes / PAYLOAD_BYTES, "the newest is there");
}

#[test]
fn drop_newest_leaves_an_unbroken_past() {
    let _watchdog = watchdog::watch("drop_newest_leaves_an_unbroken_past");
    let bytes = 32 << 20;
    let account = one_stalls(OverflowPolicy::DropNewest, bytes);
    // Whenever the kernel has taken a little more, something newer finds room; but what waits never gives way.
    assert!(account.unbroken >= (2 << 20) / PAYLOAD_BYTES, "{account:?}");
    assert!(account.last_sequence < bytes / PAYLOAD_BYTES, "the newest gave way");
}

#[test]
fn latest_leaves_one_of_each_topic() {
    let _watchdog = watchdog::watch("latest_leaves_one_of_each_topic");
    let bytes = 32 << 20;
    let account = one_stalls(OverflowPolicy::Latest, bytes);
    assert_eq!(account.last_sequence, bytes / PAYLOAD_BYTES, "the newest is there");
}

#[test]
fn disconnect_closes_the_slow_one_and_only_it() {
    let _watchdog = watchdog::watch("disconnect_closes_the_slow_one_and_only_it");
    let messages = (32 << 20) / PAYLOAD_BYTES;
    let broker = BrokerProcess::start(Transport::Tcp, EGRESS);
    let policy = Some(OverflowPolicy::Disconnect);
    let mut stalled = RawClient::connect_narrow(broker.address(), NARROW_BYTES).open_with(policy);
    stalled.subscribe("flood.>");
    let fast = Fast::start(broker.client().overflow(policy), messages);
    flood(&broker, &fast, messages);
    fast.executor.result();
    // It reads nothing, so it cannot take its farewell either; that it is closed does not depend on it.
    broker.until(|page| page.closes("slow_subscriber") == 1);
    assert!(broker.page().reason("corecast_drops_total", "disconnect") > 0);
}

#[test]
fn disconnect_says_why_to_who_reads_on() {
    let _watchdog = watchdog::watch("disconnect_says_why_to_who_reads_on");
    let broker = BrokerProcess::start(Transport::Tcp, EGRESS);
    let mut slow =
        RawClient::connect_narrow(broker.address(), NARROW_BYTES).open_with(Some(OverflowPolicy::Disconnect));
    slow.subscribe("t");
    let mut publisher = Publisher::with_config(broker.client()).expect("a publisher");
    let (topic, payload) = (Topic::new("t").expect("a topic"), vec![0; PAYLOAD_BYTES as usize]);
    while broker.page().reason("corecast_drops_total", "disconnect") == 0 {
        for _ in 0..64 {
            publisher.publish(&topic, &payload).expect("it is taken");
        }
        publisher.flush(PATIENCE).expect("all is taken");
    }
    let (code, text) = slow.refused();
    assert_eq!(code, ErrorCode::SlowSubscriber, "{text}");
}

#[test]
fn block_slows_the_publisher_and_loses_nothing() {
    const MESSAGES: u64 = 1000;
    let _watchdog = watchdog::watch("block_slows_the_publisher_and_loses_nothing");
    // Short heartbeats: the publisher is held for longer than a silent broker is believed in.
    let args = [EGRESS, &["--overflow", "block", "--heartbeat", "300ms"]].concat();
    let broker = BrokerProcess::start(Transport::Tcp, &args);
    let mut stalled = RawClient::connect_narrow(broker.address(), NARROW_BYTES).open();
    stalled.subscribe("t");
    let alive = Arc::new(AtomicBool::new(true));
    let pinging = keep_alive(&stalled, Arc::clone(&alive));
    let mut witness = Subscriber::with_config(
        broker.client().sessions(Sessions::PerSubscriber),
        &[Filter::parse("t").expect("a filter")],
    )
    .expect("a subscriber");

    let mut publisher = Publisher::with_config(broker.client()).expect("a publisher");
    let publishing = spawn_plain("publisher", move || {
        let (topic, payload) = (Topic::new("t").expect("a topic"), vec![b'x'; PAYLOAD_BYTES as usize]);
        for _ in 0..MESSAGES {
            publisher.publish(&topic, &payload).expect("it is taken, in the end");
        }
        publisher
    });
    let page = broker.until(|page| page.sum("corecast_link_held_total") > 0);
    assert!(page.sum("corecast_messages_in_total") < MESSAGES);
    // Nothing tells that nothing happens: this is five heartbeats.
    pause(Duration::from_millis(1500));
    let page = broker.page();
    assert!(page.sum("corecast_messages_in_total") < MESSAGES, "it is still held");
    assert_eq!((page.closes("peer_closed"), page.closes("idle_timeout")), (0, 0), "nobody has given up");
    let mut publisher = publishing_is_held(publishing, &mut stalled, MESSAGES);
    alive.store(false, Ordering::Relaxed);
    pinging.join().expect("no panic");
    publisher.flush(PATIENCE).expect("nothing was lost");
    for sequence in 1..=MESSAGES {
        match witness.recv_timeout(PATIENCE).expect("its session stands") {
            Some(Event::Message(message)) => assert_eq!(message.sequence, sequence),
            other => panic!("message {sequence}, not {other:?}"),
        }
    }
    assert_eq!(broker.page().sum("corecast_drops_total"), 0);
}

#[test]
fn under_block_the_slower_of_two_on_one_session_sets_the_pace() {
    const MESSAGES: u64 = 2000;
    let _watchdog = watchdog::watch("under_block_the_slower_of_two_on_one_session_sets_the_pace");
    let broker = BrokerProcess::start(Transport::Tcp, &[EGRESS, &["--overflow", "block"]].concat());
    let config = broker.client().queue_frames(16);
    let filters = [Filter::parse("t").expect("a filter")];
    let [mut fast, mut slow] =
        [(); 2].map(|()| Subscriber::with_config(config.clone(), &filters).expect("on the same session"));
    let own = broker.client().sessions(Sessions::PerSubscriber);
    let mut publisher = Publisher::with_config(own).expect("a publisher");
    let read_all = |subscriber: &mut Subscriber| {
        for sequence in 1..=MESSAGES {
            match subscriber.recv_timeout(PATIENCE).expect("its session stands") {
                Some(Event::Message(message)) => assert_eq!(message.sequence, sequence),
                other => panic!("message {sequence}, not {other:?}"),
            }
        }
    };
    std::thread::scope(|threads| {
        threads.spawn(|| read_all(&mut fast));
        threads.spawn(|| {
            let (topic, payload) = (Topic::new("t").expect("a topic"), vec![b'x'; PAYLOAD_BYTES as usize]);
            for _ in 0..MESSAGES {
                publisher.publish(&topic, &payload).expect("it is taken, in the end");
            }
            publisher.close().expect("nothing was lost");
        });
        // The slow one reads nothing yet, and the fast one all that comes: that does not make room.
        broker.until(|page| page.sum("corecast_link_held_total") > 0);
        pause(Duration::from_millis(500));
        assert!(broker.page().sum("corecast_messages_in_total") < MESSAGES, "the publisher is held");
        read_all(&mut slow);
    });
    assert_eq!(broker.page().sum("corecast_drops_total"), 0);
}

/// Says that it lives, as a client that does not read would.
fn keep_alive(client: &RawClient, alive: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    use std::io::Write as _;
    let mut writer = client.writer();
    let pings = move || {
        while alive.load(Ordering::Relaxed) {
            let ping = corecast::internals::wire::encode_to_vec(&Frame::Ping { token: 1 });
            writer.write_all(&ping).expect("the broker reads");
            pause(Duration::from_millis(100));
        }
    };
    spawn_plain("pings", pings).expect("a thread")
}

/// The publisher ends only once the stalled one has read on; what that reads is whole.
fn publishing_is_held(
    publishing: std::io::Result<std::thread::JoinHandle<Publisher>>,
    stalled: &mut RawClient,
    messages: u64,
) -> Publisher {
    let publishing = publishing.expect("a thread");
    assert!(!publishing.is_finished(), "it is held");
    let mut last = 0;
    while last < messages {
        match stalled.next() {
            Said::Message { sequence, .. } => {
                assert_eq!(sequence, last + 1);
                last = sequence;
            }
            Said::Pong(_) => {}
            other => panic!("message {}, not {other:?}", last + 1),
        }
    }
    publishing.join().expect("no panic")
}

#[test]
fn a_flush_under_block_is_answered_only_when_there_is_room() {
    let _watchdog = watchdog::watch("a_flush_under_block_is_answered_only_when_there_is_room");
    let args = [EGRESS, &["--overflow", "block"]].concat();
    let broker = BrokerProcess::start(Transport::Tcp, &args);
    let mut stalled = RawClient::connect_narrow(broker.address(), NARROW_BYTES).open();
    stalled.subscribe("t");
    let mut publisher = Publisher::with_config(broker.client()).expect("a publisher");
    let (topic, payload) = (Topic::new("t").expect("a topic"), vec![b'x'; PAYLOAD_BYTES as usize]);
    let mut published = 0;
    let timed_out = loop {
        published = publisher
            .publish(&topic, &payload)
            .expect("there is room on the way to the broker")
            .max(published);
        if let Err(error) = publisher.flush(Duration::from_millis(500)) {
            break error;
        }
    };
    assert_eq!(timed_out.kind(), ErrorKind::TimedOut);
    for sequence in 1..=published {
        assert!(matches!(stalled.next(), Said::Message { sequence: there, .. } if there == sequence));
    }
    publisher.flush(PATIENCE).expect("now there is");
}
