//! Owns the account of what every subscriber got of every publisher. One oracle belongs to one executor and knows
//! the subscribers of that executor only; the totals are added up when the run is over.
//!
//! For each subscriber and publisher, of the messages that were sent:
//! - *delivered*: arrived intact, each counted once;
//! - *corrupted*: arrived, but not as it was sent;
//! - *gaps reported*: the subscriber was told that it missed them;
//! - *lost*: the rest: neither arrived nor was reported. Must be none.
//!
//! *Duplicated* and *reordered* are said besides: a message that came again, one that came after a later one.
//! A gap notice that names no topic counts for whatever its subscriber is missing; one of unknown size stands for
//! all that its subscriber still misses at the end. Streams never make up for each other: a subscriber that was
//! told of more than it missed (*overreported*) does not hide what another one lost.

use super::payload::PublisherIndex;
use super::stream::Stream;
use serde::{Deserialize, Serialize};

/// The account of the subscribers of one executor.
#[derive(PartialEq, Debug, Serialize, Deserialize)]
pub struct Oracle {
    publishers: usize,
    /// Streams by subscriber, then publisher.
    streams: Vec<Stream>,
    /// Events of each subscriber that cannot be attributed to one stream.
    unplaced: Vec<Unplaced>,
}

/// Gap notices and damaged messages of a subscriber that cannot be attributed to a publisher.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Unplaced {
    told: u64,
    corrupted: u64,
    told_unknown: u64,
}

/// The sums over the subscribers of an oracle, or of several.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Messages sent, times subscribers.
    pub expected: u64,
    /// Those that arrived intact, each counted once.
    pub delivered: u64,
    /// Those reported as missed.
    pub gaps_reported: u64,
    /// Those that arrived damaged.
    pub corrupted: u64,
    /// Those that neither arrived nor were reported.
    pub lost: u64,
    /// Came again.
    pub duplicated: u64,
    /// Came after a later one.
    pub reordered: u64,
    /// Gap notices that did not say how many messages they stand for.
    pub gaps_of_unknown_size: u64,
    /// Reported as missed, though it was not missing. A broker that counts well has none.
    pub overreported: u64,
}

/// The progress of an executor's subscribers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Settling {
    /// Subscribers whose every message is accounted for.
    pub settled: usize,
    /// Subscribers that still miss some, and were told of a gap of unknown size.
    pub unknown: usize,
    /// Subscribers that still miss some, without a word.
    pub waiting: usize,
}

impl Oracle {
    /// An account of this many subscribers and publishers, of which nothing has arrived.
    pub fn new(subscribers: usize, publishers: usize) -> Self {
        assert!(publishers > 0, "an account needs a publisher");
        Oracle {
            publishers,
            streams: vec![Stream::default(); subscribers * publishers],
            unplaced: vec![Unplaced::default(); subscribers],
        }
    }

    /// Number of subscribers.
    pub fn subscribers(&self) -> usize {
        self.unplaced.len()
    }

    /// Number of publishers.
    pub fn publishers(&self) -> usize {
        self.publishers
    }

    /// True if it has as many streams as it says: one that came from another host may not.
    pub fn is_whole(&self) -> bool {
        self.publishers > 0 && Some(self.streams.len()) == self.unplaced.len().checked_mul(self.publishers)
    }

    /// An intact message has arrived. Returns whether it is the first time.
    #[inline]
    pub fn arrived(&mut self, subscriber: usize, publisher: PublisherIndex, sequence: u64) -> bool {
        self.stream(subscriber, publisher).arrived(sequence)
    }

    /// A damaged message has arrived; its topic may say whose it is.
    #[cold]
    pub fn corrupted(&mut self, subscriber: usize, publisher: Option<PublisherIndex>) {
        match publisher {
            Some(publisher) => self.stream(subscriber, publisher).corrupted(),
            None => self.unplaced[subscriber].corrupted += 1,
        }
    }

    /// A gap notice has arrived; its topic may say whose messages are missed, and it may say how many.
    #[cold]
    pub fn told(&mut self, subscriber: usize, publisher: Option<PublisherIndex>, missed: Option<u64>) {
        match (publisher, missed) {
            (_, None) => self.unplaced[subscriber].told_unknown += 1,
            (Some(publisher), Some(missed)) => self.stream(subscriber, publisher).told(missed),
            (None, Some(missed)) => self.unplaced[subscriber].told += missed,
        }
    }

    /// Counts subscribers that have everything accounted for, when each publisher sent as many messages as `sent`
    /// says.
    pub fn settling(&self, sent: &[u64]) -> Settling {
        let mut settling = Settling::default();
        for subscriber in 0..self.subscribers() {
            let balance = self.balance(subscriber, sent);
            match (balance.missing, self.unplaced[subscriber].told_unknown) {
                (0, _) => settling.settled += 1,
                (_, 0) => settling.waiting += 1,
                _ => settling.unknown += 1,
            }
        }
        settling
    }

    /// The sums, when each publisher sent as many messages as `sent` says.
    pub fn totals(&self, sent: &[u64]) -> Totals {
        let mut totals = Totals::default();
        for subscriber in 0..self.subscribers() {
            let unplaced = self.unplaced[subscriber];
            let balance = self.balance(subscriber, sent);
            totals.expected += sent.iter().sum::<u64>();
            totals.gaps_reported += unplaced.told;
            totals.corrupted += unplaced.corrupted;
            totals.gaps_of_unknown_size += unplaced.told_unknown;
            totals.overreported += balance.overreported;
            match unplaced.told_unknown {
                0 => totals.lost += balance.missing,
                _ => totals.gaps_reported += balance.missing,
            }
            for stream in self.streams_of(subscriber) {
                totals.delivered += stream.delivered_count();
                totals.gaps_reported += stream.told_count();
                totals.corrupted += stream.corrupted_count();
                totals.duplicated += stream.duplicated_count();
                totals.reordered += stream.reordered_count();
            }
        }
        totals
    }

    /// Messages delivered, damaged or reported as missed so far, over all subscribers: it grows while things move.
    pub fn accounted(&self) -> u64 {
        let placed: u64 = self.streams.iter().map(Stream::accounted).sum();
        let unplaced: u64 = self.unplaced.iter().map(|unplaced| unplaced.told + unplaced.corrupted).sum();
        placed + unplaced
    }

    /// Messages that arrived intact so far, over all subscribers.
    pub fn delivered(&self) -> u64 {
        self.streams.iter().map(Stream::delivered_count).sum()
    }

    /// The least number of messages of this publisher, judging by the highest that anybody got.
    pub fn sent_at_least(&self, publisher: PublisherIndex) -> u64 {
        let streams = self.streams.iter().skip(publisher.0 as usize).step_by(self.publishers);
        streams.map(Stream::next).max().unwrap_or(0)
    }

    /// Missing messages, for error messages: the first `count` subscribers that miss something without a word, each
    /// with the first few sequences that did not arrive.
    pub fn waiting(&self, sent: &[u64], count: usize) -> Vec<(usize, PublisherIndex, Vec<u64>)> {
        let waiting = |subscriber: &usize| {
            self.balance(*subscriber, sent).missing > 0 && self.unplaced[*subscriber].told_unknown == 0
        };
        let first_missing = |subscriber: usize| {
            let streams = self.streams_of(subscriber).iter().zip(sent).enumerate();
            let missing =
                streams.map(|(publisher, (stream, sent))| (publisher, stream.first_missing(*sent, 3)));
            let mut missing = missing.filter(|(_, sequences)| !sequences.is_empty());
            missing
                .next()
                .map(|(publisher, sequences)| (subscriber, PublisherIndex(publisher as u32), sequences))
        };
        (0..self.subscribers()).filter(waiting).filter_map(first_missing).take(count).collect()
    }

    fn balance(&self, subscriber: usize, sent: &[u64]) -> Balance {
        assert_eq!(sent.len(), self.publishers, "what was sent is told for each publisher");
        let mut balance = Balance::default();
        for (stream, sent) in self.streams_of(subscriber).iter().zip(sent) {
            balance.missing += sent.saturating_sub(stream.accounted());
            balance.overreported += stream.accounted().saturating_sub(*sent);
        }
        let unplaced = self.unplaced[subscriber].told + self.unplaced[subscriber].corrupted;
        balance.overreported += unplaced.saturating_sub(balance.missing);
        balance.missing = balance.missing.saturating_sub(unplaced);
        balance
    }

    fn streams_of(&self, subscriber: usize) -> &[Stream] {
        &self.streams[subscriber * self.publishers..][..self.publishers]
    }

    #[inline]
    fn stream(&mut self, subscriber: usize, publisher: PublisherIndex) -> &mut Stream {
        debug_assert!((publisher.0 as usize) < self.publishers, "a publisher of this run");
        &mut self.streams[subscriber * self.publishers + publisher.0 as usize]
    }
}

/// One subscriber's messages that are not accounted for, and those accounted for twice.
#[derive(Default)]
struct Balance {
    missing: u64,
    overreported: u64,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        self.expected += other.expected;
        self.delivered += other.delivered;
        self.gaps_reported += other.gaps_reported;
        self.corrupted += other.corrupted;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.gaps_of_unknown_size += other.gaps_of_unknown_size;
        self.overreported += other.overreported;
    }
}

impl std::ops::AddAssign for Settling {
    fn add_assign(&mut self, other: Settling) {
        self.settled += other.settled;
        self.unknown += other.unknown;
        self.waiting += other.waiting;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: PublisherIndex = PublisherIndex(0);
    const TWO: PublisherIndex = PublisherIndex(1);

    /// Two subscribers, two publishers that sent ten each; subscriber 0 gets all but what `skip` names.
    fn oracle(skip: &[(PublisherIndex, u64)]) -> Oracle {
        let mut oracle = Oracle::new(2, 2);
        for subscriber in 0..2 {
            for publisher in [ONE, TWO] {
                let arrives = |sequence: &u64| subscriber == 1 || !skip.contains(&(publisher, *sequence));
                for sequence in (0..10).filter(arrives) {
                    oracle.arrived(subscriber, publisher, sequence);
                }
            }
        }
        oracle
    }

    const SENT: [u64; 2] = [10, 10];

    #[test]
    fn all_there() {
        let oracle = oracle(&[]);
        assert_eq!(oracle.totals(&SENT), Totals { expected: 40, delivered: 40, ..Totals::default() });
        assert_eq!(oracle.settling(&SENT), Settling { settled: 2, ..Settling::default() });
        assert_eq!(oracle.accounted(), 40);
        assert!(oracle.waiting(&SENT, 5).is_empty());
    }

    #[test]
    fn missing_without_a_word_is_lost() {
        let oracle = oracle(&[(TWO, 4), (TWO, 9)]);
        assert_eq!(
            oracle.totals(&SENT),
            Totals { expected: 40, delivered: 38, lost: 2, ..Totals::default() }
        );
        assert_eq!(oracle.settling(&SENT), Settling { settled: 1, waiting: 1, unknown: 0 });
        assert_eq!(oracle.waiting(&SENT, 5), [(0, TWO, vec![4, 9])]);
    }

    #[test]
    fn a_gap_accounts_for_what_is_missing_with_and_without_a_topic() {
        for publisher in [Some(TWO), None] {
            let mut oracle = oracle(&[(TWO, 4), (TWO, 9)]);
            oracle.told(0, publisher, Some(2));
            let wanted = Totals { expected: 40, delivered: 38, gaps_reported: 2, ..Totals::default() };
            assert_eq!(oracle.totals(&SENT), wanted);
            assert_eq!(oracle.settling(&SENT).settled, 2);
        }
    }

    #[test]
    fn a_gap_of_another_stream_or_subscriber_accounts_for_nothing() {
        let mut elsewhere = oracle(&[(TWO, 4)]);
        elsewhere.told(0, Some(ONE), Some(1));
        assert_eq!((elsewhere.totals(&SENT).lost, elsewhere.totals(&SENT).overreported), (1, 1));
        let mut elsewhere = oracle(&[(TWO, 4)]);
        elsewhere.told(1, Some(TWO), Some(1));
        assert_eq!((elsewhere.totals(&SENT).lost, elsewhere.totals(&SENT).overreported), (1, 1));
    }

    #[test]
    fn a_gap_that_counts_too_many_or_too_few_is_seen() {
        let mut too_few = oracle(&[(TWO, 4), (TWO, 5)]);
        too_few.told(0, Some(TWO), Some(1));
        assert_eq!((too_few.totals(&SENT).lost, too_few.totals(&SENT).overreported), (1, 0));
        let mut too_many = oracle(&[(TWO, 4), (TWO, 5)]);
        too_many.told(0, None, Some(3));
        assert_eq!((too_many.totals(&SENT).lost, too_many.totals(&SENT).overreported), (0, 1));
    }

    #[test]
    fn a_gap_of_unknown_size_stands_for_what_is_missing_at_the_end() {
        let mut oracle = oracle(&[(ONE, 0), (TWO, 4)]);
        oracle.told(0, None, None);
        assert_eq!(oracle.settling(&SENT), Settling { settled: 1, unknown: 1, waiting: 0 });
        let totals = oracle.totals(&SENT);
        assert_eq!((totals.lost, totals.gaps_reported, totals.gaps_of_unknown_size), (0, 2, 1));
    }

    #[test]
    fn what_was_sent_can_be_told_from_what_arrived() {
        let mut oracle = oracle(&[]);
        oracle.arrived(1, TWO, 14);
        assert_eq!((oracle.sent_at_least(ONE), oracle.sent_at_least(TWO)), (10, 15));
    }

    #[test]
    fn a_damaged_message_has_arrived() {
        for publisher in [Some(ONE), None] {
            let mut oracle = oracle(&[(ONE, 3)]);
            oracle.corrupted(0, publisher);
            let wanted = Totals { expected: 40, delivered: 39, corrupted: 1, ..Totals::default() };
            assert_eq!(oracle.totals(&SENT), wanted);
            assert_eq!(oracle.settling(&SENT).settled, 2);
        }
    }
}
