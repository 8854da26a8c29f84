//! Messages that carry their number, and subscribers that check what they hear: in order, once, and what is missing told at its
//! place with its exact size.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use corecast::{ClientConfig, Event, Filter, GapReason, Publisher, Sessions, Subscriber, Topic};
use corecast_executors::{pause, spawn_plain};

/// Time limit of any step, on a machine that is busy with something else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Between two messages of a load: 500 a second.
const PACE: Duration = Duration::from_millis(2);

pub(crate) fn topic(name: &str) -> Topic {
    Topic::new(name).expect("a topic")
}

pub(crate) fn subscriber(config: ClientConfig, filters: &[&str]) -> Subscriber {
    let filters: Vec<Filter> = filters.iter().map(|text| Filter::parse(text).expect("a filter")).collect();
    Subscriber::with_config(config.sessions(Sessions::PerSubscriber), &filters).expect("a subscriber")
}

pub(crate) fn publisher(config: ClientConfig) -> Publisher {
    Publisher::with_config(config.sessions(Sessions::PerSubscriber)).expect("a publisher")
}

/// Publishes numbers on one topic, from 1, until it is stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Load {
    pub(crate) fn start(mut publisher: Publisher, name: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, topic) = (Arc::clone(&stop), topic(name));
        let run = move || {
            let mut number = 0_u64;
            while !told.load(Ordering::Relaxed) {
                number += 1;
                publisher.publish(&topic, &number.to_le_bytes()).expect("the local broker takes it");
                pause(PACE);
            }
            publisher.flush(PATIENCE).expect("the local broker takes it");
            number
        };
        Load { stop, thread: spawn_plain("load", run).expect("a thread") }
    }

    /// The number of the last message.
    pub(crate) fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}

/// A subscriber of one load, and what it has heard of it.
pub(crate) struct Listener {
    subscriber: Subscriber,
    name: Vec<u8>,
    /// The number of the last message that was heard or told as missing.
    last: u64,
    /// The gaps since the last message.
    told: u64,
    pub(crate) heard: u64,
    pub(crate) missed: u64,
}

impl Listener {
    pub(crate) fn new(config: ClientConfig, name: &str) -> Self {
        let subscriber = subscriber(config, &[name]);
        Listener { subscriber, name: name.as_bytes().to_vec(), last: 0, told: 0, heard: 0, missed: 0 }
    }

    /// Takes the next event, if one comes in time. Whatever is missing before a message has been told before it.
    fn take(&mut self, patience: Duration) -> bool {
        let Some(event) = self.subscriber.recv_timeout(patience).expect("the session stands") else {
            return false;
        };
        match event {
            Event::Message(message) => {
                assert_eq!(message.topic, self.name);
                let number = u64::from_le_bytes(message.payload[..8].try_into().expect("a number"));
                assert!(number > self.last, "{number} after {}: twice, or out of order", self.last);
                let missing = number - self.last - 1;
                assert_eq!(missing, self.told, "missing before {number}, and told");
                (self.last, self.told) = (number, 0);
                self.heard += 1;
            }
            Event::Gap(gap) => {
                assert_eq!(gap.reason, GapReason::Engine, "{gap:?}");
                assert!(gap.topic.as_ref().is_none_or(|topic| *topic == self.name), "{gap:?}");
                let missed = gap.missed.expect("positions tell the size");
                self.told += missed;
                self.missed += missed;
            }
            Event::CaughtUp => panic!("it started live"),
        }
        true
    }

    /// Reads until a message later than this one has come.
    pub(crate) fn until_after(&mut self, number: u64) {
        let give_up = Instant::now() + PATIENCE;
        while self.last <= number {
            assert!(
                self.take(Duration::from_millis(100)) || Instant::now() < give_up,
                "nothing after {}",
                self.last
            );
        }
    }

    /// The number of the last message.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Reads until so many were heard or told as missing: those are all, each once.
    pub(crate) fn until_all(&mut self, sent: u64) {
        let give_up = Instant::now() + PATIENCE;
        while self.last + self.told < sent {
            assert!(
                self.take(Duration::from_millis(100)) || Instant::now() < give_up,
                "{} of {sent} heard, {} told",
                self.heard,
                self.missed
            );
        }
        assert_eq!(self.heard + self.missed, sent, "sent = received + told");
    }
}
