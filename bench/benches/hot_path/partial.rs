//! Partial interest: every session wants topics of its own among many, so that hardly two sessions share an egress group.
//! What a shard of two does with full reads of a publisher on the other: routing, queueing, and a flush behind each read, or
//! one behind all of them, as when input waits.

use corecast::QueueBounds;
use corecast::internals::carrier::LinkItem;

use crate::case::Measured;
use crate::rig::{FAR, NEAR, Rig, batch_of, push_message};
use crate::wire::full_read_of;

/// Reads of one iteration.
const READS: usize = 8;

/// Messages that sessions get in one iteration; [`Partial::new`] asserts them.
pub(crate) const OF_100: u64 = 111_266;
pub(crate) const OF_1000: u64 = 5_497;
pub(crate) const OF_10000: u64 = 1_740;
pub(crate) const WILDCARDS: u64 = 3_466;

/// Half of 256 sessions, each with 20 of 100 topics.
pub(crate) fn of_100() -> Box<dyn Measured> {
    Box::new(Partial::new(&Interest { sessions: 128, filters: 20, topics: 100 }, exact, OF_100))
}

/// Half of 256 sessions, each with 10 of 1,000 topics.
pub(crate) fn of_1000() -> Box<dyn Measured> {
    Box::new(Partial::new(&OF_1000_TOPICS, exact, OF_1000))
}

/// The same, flushed once behind all reads.
pub(crate) fn of_1000_at_once() -> Box<dyn Measured> {
    let partial = Partial::new(&OF_1000_TOPICS, exact, OF_1000);
    Box::new(Partial { reads_per_flush: READS, ..partial })
}

/// Half of 16 sessions, each with 500 of 10,000 topics.
pub(crate) fn of_10000() -> Box<dyn Measured> {
    Box::new(Partial::new(&OF_10000_TOPICS, exact, OF_10000))
}

/// The same number of topics, wanted two by two.
pub(crate) fn wildcards() -> Box<dyn Measured> {
    Box::new(Partial::new(&OF_10000_TOPICS, pairs, WILDCARDS))
}

const OF_1000_TOPICS: Interest = Interest { sessions: 128, filters: 10, topics: 1_000 };
const OF_10000_TOPICS: Interest = Interest { sessions: 8, filters: 500, topics: 10_000 };

/// The number of sessions, of the filters of each, and of the topics that are published.
struct Interest {
    sessions: u64,
    filters: u64,
    topics: u64,
}

fn topic(number: u64) -> String {
    format!("prices.p{}.{}", number / 2, number % 2)
}

/// The filter of one topic.
fn exact(number: u64) -> String {
    topic(number)
}

/// The filter of a topic and its neighbour.
fn pairs(number: u64) -> String {
    format!("prices.p{}.*", number / 2)
}

struct Partial {
    rig: Rig,
    batches: Vec<LinkItem>,
    next: Vec<LinkItem>,
    reads_per_flush: usize,
}

impl Partial {
    fn new(interest: &Interest, filter_of: fn(u64) -> String, deliveries: u64) -> Self {
        let mut random = Random(7);
        let mut rig = Rig::new(FAR, QueueBounds::default());
        for _ in 0..interest.sessions {
            let mut filters: Vec<String> = Vec::new();
            while (filters.len() as u64) < interest.filters {
                let filter = filter_of(random.below(interest.topics));
                if !filters.contains(&filter) {
                    filters.push(filter);
                }
            }
            rig.open_subscriber_of(&filters);
        }
        let batches = (0..READS).map(|_| batch_of(&read_of(&mut random, interest.topics))).collect();
        let mut partial = Partial { rig, batches, next: Vec::new(), reads_per_flush: 1 };
        partial.restore();
        partial.run();
        let counted = partial.rig.shard.counters().deliveries;
        assert_eq!(counted, deliveries, "the list of cases says so");
        partial
    }
}

impl Measured for Partial {
    fn restore(&mut self) {
        self.next.clone_from(&self.batches);
    }

    fn run(&mut self) {
        for (read, batch) in (1..).zip(self.next.drain(..)) {
            self.rig.shard.go_on_with_link(NEAR);
            self.rig.shard.on_link(NEAR, batch);
            while self.rig.shard.links().is_behind(NEAR) {
                self.rig.shard.go_on_with_link(NEAR);
            }
            if read % self.reads_per_flush == 0 {
                self.rig.flush();
            }
        }
    }
}

/// A full read of messages of 64 bytes on random topics.
fn read_of(random: &mut Random, topics: u64) -> Vec<u8> {
    full_read_of(|sequence, out| push_message(&topic(random.below(topics)), &[7; 64], sequence, out))
}

/// Numbers that look random, and are the same in every run: Knuth's generator.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
