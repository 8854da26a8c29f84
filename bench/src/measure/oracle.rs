//! Owns the account of what every subscriber got of every publisher on every topic that it wants. One oracle belongs to
//! one executor and knows the subscribers of that executor only; the totals are added up when the run is over.
//!
//! For each subscriber and flow (a publisher's messages on one topic), of the messages that were sent:
//! - *delivered*: arrived intact, each counted once;
//! - *corrupted*: arrived, but not as it was sent;
//! - *gaps reported*: the subscriber was told that it missed them;
//! - *lost*: the rest: neither arrived nor was reported. Must be none.
//!
//! *Duplicated* and *reordered* are said besides: a message that came again, one that came after a later one of its flow.
//! So is *misdelivered*: a message on a topic that its subscriber does not want.
//! A gap notice that names a topic counts for the publishers of that topic, one that names none for whatever its
//! subscriber is missing; one of unknown size stands for all that its subscriber still misses at the end. Topics never
//! make up for each other: a subscriber that was told of more than it missed (*overreported*) does not hide what
//! another one lost.

use super::interest::Interest;
use super::payload::Stamp;
use super::stream::Stream;
use super::workload::Workload;
use serde::{Deserialize, Serialize};

/// The account of the subscribers of one executor.
#[derive(PartialEq, Debug, Serialize, Deserialize)]
pub struct Oracle {
    workload: Workload,
    interest: Interest,
    /// Streams by place of the interest, then publisher of its topic.
    streams: Vec<Stream>,
    /// By place: events that cannot be attributed to one of its streams.
    places: Vec<Unnumbered>,
    /// By subscriber: events that cannot be attributed to a place.
    unplaced: Vec<Unplaced>,
}

/// Messages without a number: those that a gap notice counts, and damaged ones.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Unnumbered {
    told: u64,
    corrupted: u64,
}

/// Events of a subscriber that cannot be attributed to a topic that it wants.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Unplaced {
    messages: Unnumbered,
    told_unknown: u64,
    misdelivered: u64,
    overreported: u64,
}

/// The sums over the subscribers of an oracle, or of several.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Messages sent, each times the subscribers that want its topic.
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
    /// Came though its topic was not wanted.
    pub misdelivered: u64,
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

/// Messages of one flow that a subscriber misses without a word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing {
    /// The subscriber.
    pub subscriber: usize,
    /// The flow.
    pub flow: usize,
    /// The first few numbers that did not arrive.
    pub numbers: Vec<u64>,
}

impl Oracle {
    /// An account of these subscribers, to which nothing has arrived.
    pub fn new(workload: Workload, interest: Interest) -> Self {
        assert!(workload.publishers > 0, "an account needs a publisher");
        Oracle {
            streams: vec![Stream::default(); interest.places() * workload.publishers_of_topic()],
            places: vec![Unnumbered::default(); interest.places()],
            unplaced: vec![Unplaced::default(); interest.subscribers()],
            workload,
            interest,
        }
    }

    /// Number of subscribers.
    pub fn subscribers(&self) -> usize {
        self.unplaced.len()
    }

    /// The topics of its run.
    pub fn workload(&self) -> &Workload {
        &self.workload
    }

    /// The topics that its subscribers want.
    pub fn interest(&self) -> &Interest {
        &self.interest
    }

    /// True if it is of this workload and has as many streams as it says: one that came from another host may not.
    pub fn is_whole(&self, workload: &Workload) -> bool {
        let places = self.interest.places();
        self.workload == *workload
            && self.interest.is_whole(workload.topics())
            && Some(self.streams.len()) == places.checked_mul(workload.publishers_of_topic())
            && (self.places.len(), self.unplaced.len()) == (places, self.interest.subscribers())
    }

    /// An intact message has arrived, of a publisher that there is. Returns whether it is wanted, and here for the
    /// first time.
    #[inline]
    pub fn arrived(&mut self, subscriber: usize, stamp: &Stamp) -> bool {
        debug_assert!((stamp.publisher.0 as usize) < self.workload.publishers, "a publisher of this run");
        let Some(place) = self.interest.place(subscriber, stamp.topic) else {
            self.unplaced[subscriber].misdelivered += 1;
            return false;
        };
        let stream = match self.workload.publishers_of_topic() {
            1 => place,
            publishers => place * publishers + stamp.publisher.0 as usize,
        };
        self.streams[stream].arrived(stamp.number)
    }

    /// A damaged message has arrived; its name may say which topic it was on.
    #[cold]
    pub fn corrupted(&mut self, subscriber: usize, topic: Option<u32>) {
        match topic.and_then(|topic| self.interest.place(subscriber, topic)) {
            Some(place) => self.places[place].corrupted += 1,
            None => self.unplaced[subscriber].messages.corrupted += 1,
        }
    }

    /// A gap notice has arrived; it may say on which topic messages are missed, and how many.
    #[cold]
    pub fn told(&mut self, subscriber: usize, topic: Option<u32>, missed: Option<u64>) {
        let unplaced = &mut self.unplaced[subscriber];
        match (topic.map(|topic| self.interest.place(subscriber, topic)), missed) {
            (_, None) => unplaced.told_unknown += 1,
            (Some(Some(place)), Some(missed)) => self.places[place].told += missed,
            // Nothing can be missed on a topic that is not wanted.
            (Some(None), Some(missed)) => unplaced.overreported += missed,
            (None, Some(missed)) => unplaced.messages.told += missed,
        }
    }

    /// Counts subscribers that have everything accounted for, when so many messages were sent on each flow.
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

    /// The sums, when so many messages were sent on each flow.
    pub fn totals(&self, sent: &[u64]) -> Totals {
        let mut totals = Totals::default();
        for subscriber in 0..self.subscribers() {
            let unplaced = self.unplaced[subscriber];
            let balance = self.balance(subscriber, sent);
            totals.expected += balance.expected;
            totals.misdelivered += unplaced.misdelivered;
            totals.gaps_of_unknown_size += unplaced.told_unknown;
            totals.overreported += balance.overreported;
            match unplaced.told_unknown {
                0 => totals.lost += balance.missing,
                _ => totals.gaps_reported += balance.missing,
            }
        }
        for stream in &self.streams {
            totals.delivered += stream.delivered_count();
            totals.duplicated += stream.duplicated_count();
            totals.reordered += stream.reordered_count();
        }
        for unnumbered in self.unnumbered() {
            totals.gaps_reported += unnumbered.told;
            totals.corrupted += unnumbered.corrupted;
        }
        totals.gaps_reported += self.unplaced.iter().map(|unplaced| unplaced.overreported).sum::<u64>();
        totals
    }

    /// Messages delivered, damaged or reported as missed so far, over all subscribers: it grows while things move.
    pub fn accounted(&self) -> u64 {
        self.delivered() + self.unnumbered().map(Unnumbered::count).sum::<u64>()
    }

    /// Messages that arrived intact so far, over all subscribers.
    pub fn delivered(&self) -> u64 {
        self.streams.iter().map(Stream::delivered_count).sum()
    }

    fn unnumbered(&self) -> impl Iterator<Item = &Unnumbered> {
        self.places.iter().chain(self.unplaced.iter().map(|unplaced| &unplaced.messages))
    }

    /// Raises the messages of each flow to the least that were sent, judging by the highest that anybody got.
    pub fn raise_to_seen(&self, sent: &mut [u64]) {
        for place in 0..self.interest.places() {
            for (flow, stream) in self.flows_of(place) {
                sent[flow] = sent[flow].max(stream.next());
            }
        }
    }

    /// Messages that anybody here wants, each counted once.
    pub fn wanted_by_anybody(&self, sent: &[u64]) -> u64 {
        let topics: std::collections::BTreeSet<u32> = self.interest.topics().iter().copied().collect();
        let publishers = self.workload.publishers_of_topic();
        topics.into_iter().flat_map(|topic| &sent[self.workload.flow(topic, 0)..][..publishers]).sum()
    }

    /// Missing messages, for error messages: of the first `count` subscribers that miss something without a word, the
    /// first flow of which they do.
    pub fn waiting(&self, sent: &[u64], count: usize) -> Vec<Missing> {
        let waiting = |subscriber: &usize| {
            self.balance(*subscriber, sent).missing > 0 && self.unplaced[*subscriber].told_unknown == 0
        };
        let first_missing = |subscriber: usize| {
            let flows = self.interest.places_of(subscriber).flat_map(|place| self.flows_of(place));
            let mut missing = flows.map(|(flow, stream)| {
                let numbers = stream.first_missing(sent[flow], 3);
                Missing { subscriber, flow, numbers }
            });
            missing.find(|missing| !missing.numbers.is_empty())
        };
        (0..self.subscribers()).filter(waiting).filter_map(first_missing).take(count).collect()
    }

    fn balance(&self, subscriber: usize, sent: &[u64]) -> Balance {
        assert_eq!(sent.len(), self.workload.flows(), "what was sent is told for each flow");
        let unplaced = &self.unplaced[subscriber];
        let mut balance = Balance { overreported: unplaced.overreported, ..Balance::default() };
        for place in self.interest.places_of(subscriber) {
            let mut of_place = Balance::default();
            for (flow, stream) in self.flows_of(place) {
                of_place.expected += sent[flow];
                of_place.missing += sent[flow].saturating_sub(stream.delivered_count());
                of_place.overreported += stream.delivered_count().saturating_sub(sent[flow]);
            }
            of_place.settle(self.places[place].count());
            balance.expected += of_place.expected;
            balance.missing += of_place.missing;
            balance.overreported += of_place.overreported;
        }
        balance.settle(unplaced.messages.count());
        balance
    }

    /// The flows of a place, with their streams.
    fn flows_of(&self, place: usize) -> impl Iterator<Item = (usize, &Stream)> {
        let publishers = self.workload.publishers_of_topic();
        let first = self.workload.flow(self.interest.topics()[place], 0);
        (first..).zip(&self.streams[place * publishers..][..publishers])
    }
}

impl Unnumbered {
    fn count(&self) -> u64 {
        self.told + self.corrupted
    }
}

/// Messages of one subscriber: how many there should be, those that are not accounted for, and those accounted for twice.
#[derive(Default)]
struct Balance {
    expected: u64,
    missing: u64,
    overreported: u64,
}

impl Balance {
    /// Accounts for so many that were missing.
    fn settle(&mut self, accounted: u64) {
        self.overreported += accounted.saturating_sub(self.missing);
        self.missing = self.missing.saturating_sub(accounted);
    }
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
        self.misdelivered += other.misdelivered;
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
    use super::super::payload::PublisherIndex;
    use super::super::workload::tests::shared;
    use super::*;
    use corecast_executors::MonotonicNs;

    /// Topics of two publishers, each of which has one.
    const ONE: u32 = 0;
    const TWO: u32 = 1;

    fn stamp(topic: u32, publisher: u32, number: u64) -> Stamp {
        let (publisher, intended) = (PublisherIndex(publisher), MonotonicNs(0));
        Stamp { publisher, sequence: number, intended, topic, number }
    }

    /// Two subscribers, two publishers that sent ten each; subscriber 0 gets all but what `skip` names.
    fn oracle(skip: &[(u32, u64)]) -> Oracle {
        let workload = Workload::own(2);
        let mut oracle = Oracle::new(workload, Interest::of(&workload, 0..2));
        for subscriber in 0..2 {
            for publisher in [ONE, TWO] {
                let arrives = |sequence: &u64| subscriber == 1 || !skip.contains(&(publisher, *sequence));
                for sequence in (0..10).filter(arrives) {
                    oracle.arrived(subscriber, &stamp(publisher, publisher, sequence));
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
        assert_eq!(oracle.waiting(&SENT, 5), [Missing { subscriber: 0, flow: 1, numbers: vec![4, 9] }]);
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
        oracle.arrived(1, &stamp(TWO, TWO, 14));
        let mut sent = [12, 0];
        oracle.raise_to_seen(&mut sent);
        assert_eq!(sent, [12, 15]);
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

    /// Three publishers that share six topics, of which each of four subscribers wants two.
    const SHARED: usize = 4;
    const PER_PUBLISHER: u64 = 60;

    /// The account when every subscriber gets all that it wants, but for what `change` does to each delivery: how
    /// often it arrives at the subscriber.
    fn shared_oracle(change: impl Fn(usize, &Stamp) -> usize) -> (Oracle, Vec<u64>) {
        let workload = shared(3, 6, 2);
        let mut oracle = Oracle::new(workload, Interest::of(&workload, 0..SHARED));
        let sent = workload.sent_on(&[PER_PUBLISHER; 3]);
        for subscriber in 0..SHARED {
            for topic in 0..6 {
                for place in 0..3 {
                    for number in 0..sent[workload.flow(topic, place)] {
                        let stamp = stamp(topic, place as u32, number);
                        for _ in 0..change(subscriber, &stamp) {
                            oracle.arrived(subscriber, &stamp);
                        }
                    }
                }
            }
        }
        (oracle, sent)
    }

    fn wants(subscriber: usize, topic: u32) -> bool {
        shared(3, 6, 2).wanted_by(subscriber).contains(&topic)
    }

    fn clean(subscriber: usize, stamp: &Stamp) -> usize {
        usize::from(wants(subscriber, stamp.topic))
    }

    #[test]
    fn everybody_has_what_it_wants_of_shared_topics() {
        let (oracle, sent) = shared_oracle(clean);
        assert_eq!(sent.iter().sum::<u64>(), 3 * PER_PUBLISHER);
        let of = |subscriber: usize| -> u64 {
            let wanted = shared(3, 6, 2).wanted_by(subscriber).into_iter();
            wanted.flat_map(|topic| &sent[topic as usize * 3..][..3]).sum()
        };
        let expected = (0..SHARED).map(of).sum();
        assert_eq!(oracle.totals(&sent), Totals { expected, delivered: expected, ..Totals::default() });
        assert_eq!(oracle.settling(&sent), Settling { settled: SHARED, ..Settling::default() });
        let wanted = (0..6).filter(|topic| (0..SHARED).any(|subscriber| wants(subscriber, *topic)));
        let wanted: u64 = wanted.flat_map(|topic| &sent[topic as usize * 3..][..3]).sum();
        assert_eq!(oracle.wanted_by_anybody(&sent), wanted);
    }

    #[test]
    fn each_fault_on_shared_topics_is_seen_wherever_it_is_and_nothing_else() {
        let (whole, sent) = shared_oracle(clean);
        let good = whole.totals(&sent);
        for subscriber in 0..SHARED {
            for topic in 0..6 {
                for publisher in 0..3 {
                    let first = |at: usize, found: &Stamp| {
                        usize::from(at == subscriber && *found == stamp(topic, publisher, 0))
                    };
                    if wants(subscriber, topic) {
                        let (lost, _) = shared_oracle(|at, found| clean(at, found) - first(at, found));
                        let wanted = Totals { delivered: good.delivered - 1, lost: 1, ..good };
                        assert_eq!(lost.totals(&sent), wanted);
                        let waiting = lost.waiting(&sent, 9);
                        let flow = topic as usize * 3 + publisher as usize;
                        assert_eq!(waiting, [Missing { subscriber, flow, numbers: vec![0] }]);
                        let (twice, _) = shared_oracle(|at, found| clean(at, found) + first(at, found));
                        assert_eq!(twice.totals(&sent), Totals { duplicated: 1, ..good });
                    } else {
                        let (strayed, _) = shared_oracle(|at, found| clean(at, found) + first(at, found));
                        assert_eq!(strayed.totals(&sent), Totals { misdelivered: 1, ..good });
                        assert_eq!(strayed.settling(&sent).settled, SHARED, "it is in nobody's way");
                    }
                }
            }
        }
    }

    #[test]
    fn a_gap_accounts_for_its_topic_whoever_published_and_for_no_other() {
        let [topic, other] = shared(3, 6, 2).wanted_by(0)[..] else { panic!("it wants two") };
        let unwanted = (0..6).find(|topic| !wants(0, *topic)).unwrap();
        let all_but_two = |at: usize, stamp: &Stamp| match (at, stamp.topic == topic, stamp.number) {
            (0, true, 0) if stamp.publisher.0 > 0 => 0,
            _ => clean(at, stamp),
        };
        let told = |topic: Option<u32>, missed: Option<u64>| {
            let (mut oracle, sent) = shared_oracle(all_but_two);
            oracle.told(0, topic, missed);
            let totals = oracle.totals(&sent);
            (totals.lost, totals.gaps_reported, totals.overreported)
        };
        assert_eq!(told(Some(topic), Some(2)), (0, 2, 0));
        assert_eq!(told(Some(topic), Some(3)), (0, 3, 1));
        assert_eq!(told(None, Some(2)), (0, 2, 0));
        assert_eq!(told(None, None), (0, 2, 0));
        assert_eq!(told(Some(other), Some(2)), (2, 2, 2));
        assert_eq!(told(Some(unwanted), Some(2)), (2, 2, 2));
    }
}
