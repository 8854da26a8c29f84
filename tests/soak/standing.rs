//! Subscribers that stay: fast and slow ones, of every policy that can drop. Each keeps a book for every topic.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use corecast::{ClientConfig, Event, Filter, OverflowPolicy, Sessions, Subscriber};
use corecast_executors::{Link, link, pause, spawn_plain};

use super::stream::{self, PUBLISHERS, Sent, TOPICS};
use super::watchdog::LIMIT;

/// Name, policy, and how long each event is looked at.
const PLAN: [(&str, OverflowPolicy, Duration); 4] = [
    ("fast, drop-oldest", OverflowPolicy::DropOldest, Duration::ZERO),
    ("slow, drop-oldest", OverflowPolicy::DropOldest, Duration::from_millis(2)),
    ("slow, drop-newest", OverflowPolicy::DropNewest, Duration::from_millis(2)),
    ("slow, latest", OverflowPolicy::Latest, Duration::from_millis(2)),
];

/// The number of them.
pub(crate) const SUBSCRIBERS: usize = PLAN.len();

/// Between two looks at whether the stream has ended, when nothing comes.
const LOOK: Duration = Duration::from_millis(50);

/// Events that wait in this process, so that the broker's queue is what fills.
const QUEUE_FRAMES: usize = 64;

/// Messages and gaps of each topic, as they came.
#[derive(Default, Debug)]
struct Book {
    received: [[u64; TOPICS]; PUBLISHERS],
    told: [[u64; TOPICS]; PUBLISHERS],
    last_sequence: [[u64; TOPICS]; PUBLISHERS],
}

impl Book {
    fn note(&mut self, event: &Event) {
        match event {
            Event::Message(message) => {
                let (publisher, topic) = stream::parse(&message.topic);
                self.received[publisher][topic] += 1;
                let last = std::mem::replace(&mut self.last_sequence[publisher][topic], message.sequence);
                assert!(last < message.sequence, "{} after {last}", message.sequence);
            }
            Event::Gap(gap) => {
                let topic = gap.topic.as_ref().unwrap_or_else(|| panic!("of which topic? {gap:?}"));
                let (publisher, topic) = stream::parse(topic);
                self.told[publisher][topic] += gap.missed.unwrap_or_else(|| panic!("how many? {gap:?}"));
            }
            Event::CaughtUp => panic!("it started live"),
        }
    }

    fn accounts_for(&self, sent: &Sent) -> bool {
        let pairs = self.received.iter().flatten().zip(self.told.iter().flatten()).zip(sent.iter().flatten());
        pairs.into_iter().all(|((received, told), sent)| received + told == *sent)
    }

    fn is_over(&self, sent: &Sent) -> bool {
        let pairs = self.received.iter().flatten().zip(self.told.iter().flatten()).zip(sent.iter().flatten());
        pairs.into_iter().any(|((received, told), sent)| received + told > *sent)
    }
}

#[derive(Debug)]
pub(crate) struct Standing {
    subscribers: Vec<(Link<Sent>, JoinHandle<String>)>,
}

impl Standing {
    /// All of them, their subscriptions in force.
    pub(crate) fn start(broker: &ClientConfig) -> Self {
        let subscribers = PLAN.map(|(name, policy, looks)| {
            let config = broker
                .clone()
                .sessions(Sessions::PerSubscriber)
                .overflow(Some(policy))
                .queue_frames(QUEUE_FRAMES);
            let filters = [Filter::parse("soak.>").expect("a filter")];
            let subscriber = Subscriber::with_config(config, &filters).expect("a subscriber");
            let (settle, told) = link(1);
            let keep = move || keep_book(name, subscriber, looks, told);
            (settle, spawn_plain("standing", keep).expect("a thread"))
        });
        Standing { subscribers: subscribers.into() }
    }

    /// Waits until each has accounted for every message, and gives a line of each.
    pub(crate) fn settle(self, sent: &Sent) -> Vec<String> {
        let threads: Vec<_> = self
            .subscribers
            .into_iter()
            .map(|(settle, thread)| {
                settle.send_blocking(*sent).expect("it keeps its book");
                thread
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("its book is right")).collect()
    }
}

fn keep_book(
    name: &str,
    mut subscriber: Subscriber,
    looks: Duration,
    mut settle: corecast_executors::Inbox<Sent>,
) -> String {
    let mut book = Book::default();
    let mut sent: Option<Sent> = None;
    let mut heard = Instant::now();
    loop {
        sent = sent.or_else(|| settle.try_recv());
        if let Some(sent) = &sent {
            assert!(!book.is_over(sent), "{name}: more than was sent: {book:?} of {sent:?}");
            if book.accounts_for(sent) {
                break;
            }
        }
        match subscriber.recv_timeout(LOOK).expect("the session stands") {
            Some(event) => {
                book.note(&event);
                heard = Instant::now();
            }
            None => assert!(heard.elapsed() < LIMIT, "{name}: nothing comes any more: {book:?} of {sent:?}"),
        }
        if sent.is_none() && !looks.is_zero() {
            pause(looks);
        }
    }
    let sum = |of: &[[u64; TOPICS]]| of.iter().flatten().sum::<u64>();
    let sent = sent.as_ref().map_or(0, |sent| sum(sent));
    format!("{name}: sent {sent} = received {} + told {}", sum(&book.received), sum(&book.told))
}
