//! The messages that the books are about: some publishers, each with its own topics, at a steady pace.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use corecast::{ClientConfig, Publisher, Sessions, Topic};
use corecast_executors::{pause, spawn_plain};

use super::standing;
use super::watchdog::LIMIT;

/// Publishers of the stream.
pub(crate) const PUBLISHERS: usize = 2;

/// Topics of each.
pub(crate) const TOPICS: usize = 8;

/// Messages between two pauses.
const BURST: usize = 16;

/// 3,000 messages a second of each publisher: far more than the slow ones take.
const PERIOD: Duration = Duration::from_millis(5);

/// Payloads have 1 to this many bytes.
const PAYLOAD_BYTES_MAX: usize = 2 << 10;

/// The number of messages sent, by publisher and topic.
pub(crate) type Sent = [[u64; TOPICS]; PUBLISHERS];

/// The name of a topic.
pub(crate) fn topic(publisher: usize, topic: usize) -> String {
    format!("soak.{publisher}.{topic}")
}

/// The publisher and the place of a topic of this name.
pub(crate) fn parse(name: &[u8]) -> (usize, usize) {
    let name = std::str::from_utf8(name).expect("a topic of the stream");
    let mut levels = name.strip_prefix("soak.").expect("a topic of the stream").split('.');
    let mut number = || levels.next().and_then(|level| level.parse().ok()).expect("a topic of the stream");
    (number(), number())
}

#[derive(Debug)]
pub(crate) struct Stream {
    stop: Arc<AtomicBool>,
    publishers: Vec<JoinHandle<[u64; TOPICS]>>,
}

impl Stream {
    /// Publishes, once the standing subscribers are there, until it is stopped.
    pub(crate) fn start(broker: &ClientConfig) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let publishers = (0..PUBLISHERS).map(|number| {
            let config = broker.clone().sessions(Sessions::PerSubscriber);
            let publisher = Publisher::with_config(config).expect("a publisher");
            let stop = Arc::clone(&stop);
            spawn_plain("stream", move || publish(publisher, number, &stop)).expect("a thread")
        });
        Stream { publishers: publishers.collect(), stop }
    }

    /// Ends it, when the broker has taken all that was sent.
    pub(crate) fn stop(self) -> Sent {
        self.stop.store(true, Ordering::Release);
        let mut sent = Sent::default();
        for (publisher, of) in self.publishers.into_iter().zip(&mut sent) {
            *of = publisher.join().expect("the stream is not touched");
        }
        sent
    }
}

fn publish(mut publisher: Publisher, number: usize, stop: &AtomicBool) -> [u64; TOPICS] {
    let topics: Vec<Topic> = (0..TOPICS).map(|at| Topic::new(topic(number, at)).expect("a topic")).collect();
    publisher.wait_for_subscribers(&topics[0], standing::SUBSCRIBERS, LIMIT).expect("all are there");
    let payload = [b'x'; PAYLOAD_BYTES_MAX];
    let mut random = fastrand::Rng::with_seed(number as u64);
    let mut sent = [0; TOPICS];
    while !stop.load(Ordering::Acquire) {
        for _ in 0..BURST {
            let at = random.usize(..TOPICS);
            let bytes = random.usize(1..=PAYLOAD_BYTES_MAX);
            publisher.publish(&topics[at], &payload[..bytes]).expect("the session stands");
            sent[at] += 1;
        }
        pause(PERIOD);
    }
    publisher.close().expect("all was taken");
    sent
}
