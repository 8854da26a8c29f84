//! A broker that is stopped for longer than its clients wait for it: they come back on new connections while nobody has
//! read what they sent on the old ones. The messages of a publisher keep their order, and missing ones are reported.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod raw_client;
mod watchdog;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use broker_process::{BrokerProcess, Transport};
use corecast::internals::wire::Frame;
use corecast::{ClientConfig, ErrorKind, Event, Filter, Publisher, Sessions, Subscriber, Topic};
use corecast_executors::{pause, spawn_plain};
use nix::sys::signal::Signal;
use raw_client::{RawClient, Said};

/// Publishers, each with a topic of its own.
const PUBLISHERS: usize = 3;

/// Stops of the broker in one test.
const ROUNDS: usize = 8;

/// Longer than the three heartbeats of 100 ms after which clients give a broker up.
const FROZEN: [Duration; 2] = [Duration::from_millis(400), Duration::from_millis(900)];

const PAYLOAD_BYTES: usize = 512;

fn name(publisher: usize) -> String {
    format!("f.{publisher}")
}

/// The last number that each publisher has published.
type Published = Arc<[AtomicU64; PUBLISHERS]>;

/// Publishes numbers, from 1, until it is stopped.
fn publish(
    config: ClientConfig,
    which: usize,
    published: Published,
    stop: Arc<AtomicBool>,
) -> JoinHandle<()> {
    let topic = Topic::new(name(which)).expect("a topic");
    let mut publisher = Publisher::with_config(config).expect("a publisher");
    let body = move || {
        let mut payload = vec![0; PAYLOAD_BYTES];
        for number in 1_u64.. {
            payload[..8].copy_from_slice(&number.to_le_bytes());
            publisher.publish(&topic, &payload).expect("the session lives");
            published[which].store(number, Ordering::Relaxed);
            if number % 64 == 0 {
                pause(Duration::from_millis(1));
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        // It says so when messages went down with a connection.
        let closed = publisher.close().map_err(|error| error.kind());
        assert!(matches!(closed, Ok(()) | Err(ErrorKind::Lost)), "{closed:?}");
    };
    spawn_plain("publisher", body).expect("a test can make a thread")
}

/// One subscriber's book of one topic.
#[derive(Default)]
struct Book {
    last: u64,
    /// Told since the last message: so many, and whether any number.
    told: u64,
    any: bool,
}

impl Book {
    fn message(&mut self, topic: &str, number: u64) {
        assert!(number > self.last, "{topic}: {number} after {}", self.last);
        let missed = number - self.last - 1;
        // Before the first one nothing was subscribed.
        let is_told = self.any || missed <= self.told || self.last == 0;
        assert!(is_told, "{topic}: {missed} are missing before {number}, and {} are told", self.told);
        *self = Book { last: number, ..Book::default() };
    }
}

/// All topics as one subscriber sees them, until each has come to its `until`; 0: not yet said.
fn follow(mut subscriber: Subscriber, until: Published, seen: Published) {
    let mut books: BTreeMap<String, Book> = (0..PUBLISHERS).map(|n| (name(n), Book::default())).collect();
    let is_over = |books: &BTreeMap<String, Book>| {
        let all = books.values().zip(until.iter());
        all.clone().all(|(book, until)| {
            let until = until.load(Ordering::Relaxed);
            until > 0 && (book.last >= until || book.any)
        })
    };
    while !is_over(&books) {
        match subscriber.recv_timeout(Duration::from_millis(100)).expect("the session lives") {
            Some(Event::Message(message)) => {
                let topic = String::from_utf8_lossy(&message.topic).into_owned();
                let number = u64::from_le_bytes(message.payload[..8].try_into().expect("eight bytes"));
                let at: usize = topic[2..].parse().expect("a publisher");
                books.get_mut(&topic).expect("it was asked for").message(&topic, number);
                seen[at].store(number, Ordering::Relaxed);
            }
            Some(Event::Gap(gap)) => {
                let topic = gap.topic.map(|topic| String::from_utf8_lossy(&topic).into_owned());
                for (_, book) in
                    books.iter_mut().filter(|(name, _)| topic.as_ref().is_none_or(|t| t == *name))
                {
                    book.told += gap.missed.unwrap_or(0);
                    book.any |= gap.missed.is_none();
                }
            }
            Some(Event::CaughtUp) | None => {}
        }
    }
}

fn order_and_gaps_hold(overflow: &str) {
    let args = ["--heartbeat", "0.1", "--shards", "2", "--overflow", overflow];
    let broker = BrokerProcess::start(Transport::Tcp, &args);
    let own = broker.client().sessions(Sessions::PerSubscriber);
    let filter = Filter::parse("f.*").expect("a filter");
    let (published, until) = (Published::default(), Published::default());
    let stop = Arc::new(AtomicBool::new(false));
    let (mut followers, mut seen) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let subscriber =
            Subscriber::with_config(own.clone(), std::slice::from_ref(&filter)).expect("a subscriber");
        let (until, sees) = (Arc::clone(&until), Published::default());
        seen.push(Arc::clone(&sees));
        let body = move || follow(subscriber, until, sees);
        followers.push(spawn_plain("subscriber", body).expect("a test can make a thread"));
    }
    let publishers: Vec<JoinHandle<()>> =
        (0..PUBLISHERS).map(|n| publish(own.clone(), n, Arc::clone(&published), Arc::clone(&stop))).collect();
    let wait_for_all = || {
        let wanted: Vec<u64> = published.iter().map(|number| number.load(Ordering::Relaxed) + 1).collect();
        let behind = |sees: &Published| {
            sees.iter().zip(&wanted).any(|(number, wanted)| number.load(Ordering::Relaxed) < *wanted)
        };
        while seen.iter().any(behind) {
            assert!(!followers.iter().any(JoinHandle::is_finished), "a subscriber has failed");
            pause(Duration::from_millis(5));
        }
    };
    wait_for_all();
    for round in 0..ROUNDS {
        broker.freeze();
        pause(FROZEN[round % FROZEN.len()]);
        broker.signal(Signal::SIGCONT);
        wait_for_all();
    }
    stop.store(true, Ordering::Relaxed);
    publishers.into_iter().for_each(|thread| thread.join().expect("a publisher"));
    for (until, number) in until.iter().zip(published.iter()) {
        until.store(number.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    followers.into_iter().for_each(|thread| thread.join().expect("a subscriber"));
}

#[test]
fn order_and_gaps_hold_under_drop_oldest() {
    let _watchdog = watchdog::watch("order_and_gaps_hold_under_drop_oldest");
    order_and_gaps_hold("drop-oldest");
}

#[test]
fn order_and_gaps_hold_under_block() {
    let _watchdog = watchdog::watch("order_and_gaps_hold_under_block");
    order_and_gaps_hold("block");
}

/// The bytes in a publisher's old socket are all read before anything of its next one.
#[test]
fn what_an_old_connection_still_holds_comes_before_the_new_one() {
    const MESSAGES: u64 = 2_000;
    let _watchdog = watchdog::watch("what_an_old_connection_still_holds_comes_before_the_new_one");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2"]);
    let mut subscriber = RawClient::connect(broker.address()).open();
    subscriber.subscribe("a");
    let payload = [7; 100];
    let message =
        |sequence| Frame::Message { topic: b"a", payload: &payload, publisher: 1, sequence, sent_at_ns: 0 };
    for round in 0..4 {
        let first = 1 + round * (2 * MESSAGES);
        // Each round's connections fall on other shards.
        let _elsewhere: Vec<RawClient> =
            (0..round).map(|_| RawClient::connect(broker.address()).open()).collect();
        let mut old = RawClient::connect(broker.address()).greet();
        old.send(&Frame::Hello { name: "old", overflow: 0, previous: 0, ticket: 0 });
        let Said::Welcome { session, ticket, .. } = old.next() else { panic!("no welcome") };
        broker.freeze();
        (first..first + MESSAGES).for_each(|sequence| old.send(&message(sequence)));
        drop(old);
        let mut new = RawClient::connect(broker.address());
        new.send_bytes(&corecast::internals::wire::greeting::ours());
        new.send(&Frame::Hello { name: "new", overflow: 0, previous: session, ticket });
        broker.signal(Signal::SIGCONT);
        new.take_greeting();
        assert!(matches!(new.next(), Said::Welcome { .. }));
        (first + MESSAGES..first + 2 * MESSAGES).for_each(|sequence| new.send(&message(sequence)));
        for wanted in first..first + 2 * MESSAGES {
            let Said::Message { sequence, .. } = subscriber.next() else { panic!("no message") };
            assert_eq!(sequence, wanted);
        }
    }
}

/// Whoever leaves with something unread resets its connection: TCP has no other way to say it.
#[test]
fn who_leaves_with_something_unread_is_no_io_error() {
    let _watchdog = watchdog::watch("who_leaves_with_something_unread_is_no_io_error");
    let broker = BrokerProcess::start(Transport::Tcp, &[]);
    let mut publisher = RawClient::connect(broker.address()).open();
    let payload = [7; 8_000];
    for leaving in 1..=20 {
        let mut subscriber = RawClient::connect(broker.address()).open();
        subscriber.subscribe("a");
        for sequence in 1..=200 {
            publisher.send(&Frame::Message {
                topic: b"a",
                payload: &payload,
                publisher: 1,
                sequence,
                sent_at_ns: 0,
            });
        }
        assert!(matches!(subscriber.next(), Said::Message { .. }));
        drop(subscriber);
        publisher.send(&Frame::Message {
            topic: b"a",
            payload: &payload,
            publisher: 1,
            sequence: 0,
            sent_at_ns: 0,
        });
        broker.until(|page| page.closes("peer_closed") + page.closes("io_error") == leaving);
    }
    assert_eq!(broker.page().closes("io_error"), 0);
}
