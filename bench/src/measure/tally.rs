//! Owns everything that one executor's subscribers measure: the oracle, the latencies, the first and last times.
//! Their sinks write it delivery by delivery, which is the hottest path of this crate: no allocation (but for a
//! chunk of the spread once in many messages), no formatting, one clock read by the caller.

use super::interest::Interest;
use super::latency::Latencies;
use super::oracle::{Oracle, Totals};
use super::payload::{self, RunId};
use super::samples::{Sample, Samples};
use super::spread::Spread;
use super::workload::Workload;
use corecast_executors::MonotonicNs;
use serde::{Deserialize, Serialize};

/// The measurements of one executor's subscribers so far.
#[derive(PartialEq, Debug, Serialize, Deserialize)]
pub struct Tally {
    run: RunId,
    clock: Clock,
    oracle: Oracle,
    latencies: Latencies,
    spread: Spread,
    /// Time of the last arrival on the publishers' clock, in nanoseconds.
    last_arrival_ns: Option<u64>,
    /// Every delivery by itself, if they are kept.
    samples: Option<Samples>,
}

/// The relation of the clock that arrivals are read from to the publishers' clock, which stamps messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Clock {
    /// The lead of this clock; 0 for the same clock.
    ahead_ns: i64,
    /// Deliveries that came before they were sent, by these clocks. They count as 0: nearer to the truth.
    early: u64,
}

impl Tally {
    /// An empty tally of the subscribers of an executor, which want these topics of the run.
    pub fn new(run: RunId, workload: Workload, interest: Interest) -> Self {
        Tally {
            run,
            clock: Clock::default(),
            spread: Spread::new(workload.publishers),
            oracle: Oracle::new(workload, interest),
            latencies: Latencies::new(),
            last_arrival_ns: None,
            samples: None,
        }
    }

    /// Keeps every delivery by itself too: see [`Samples`] for what that takes.
    #[must_use]
    pub fn keeping_samples(mut self) -> Self {
        self.samples = Some(Samples::default());
        self
    }

    /// Arrivals are read from a clock that is ahead of the publishers' by so much.
    #[must_use]
    pub fn ahead_by(mut self, ahead_ns: i64) -> Self {
        self.clock.ahead_ns = ahead_ns;
        self
    }

    /// A message has arrived at `subscriber`. Returns whether it is intact; if not, the caller finds out which topic it
    /// was on from its name and says so with [`Tally::corrupted`].
    #[inline]
    #[must_use]
    pub fn message(&mut self, subscriber: usize, payload: &[u8], now: MonotonicNs) -> bool {
        let now_ns = self.publishers_ns(now);
        self.last_arrival_ns = Some(now_ns);
        let workload = self.oracle.workload();
        let Some(stamp) = payload::check(payload, self.run, workload.head()) else { return false };
        if stamp.publisher.0 as usize >= workload.publishers {
            return false;
        }
        if self.oracle.arrived(subscriber, &stamp) {
            let latency_ns = now_ns.checked_sub(stamp.intended.0).unwrap_or_else(|| {
                self.clock.early += 1;
                0
            });
            self.latencies.record_ns(latency_ns);
            self.spread.record(stamp.publisher, stamp.sequence, latency_ns);
            if let Some(samples) = &mut self.samples {
                let subscriber = subscriber as u32;
                samples.keep(Sample {
                    subscriber,
                    publisher: stamp.publisher.0,
                    sequence: stamp.sequence,
                    latency_ns,
                });
            }
        }
        true
    }

    /// A damaged message has arrived at `subscriber`; its name may say which topic it was on.
    pub fn corrupted(&mut self, subscriber: usize, topic: Option<u32>) {
        self.oracle.corrupted(subscriber, topic);
    }

    /// A gap notice has arrived at `subscriber`.
    pub fn gap(&mut self, subscriber: usize, topic: Option<u32>, missed: Option<u64>, now: MonotonicNs) {
        self.last_arrival_ns = Some(self.publishers_ns(now));
        self.oracle.told(subscriber, topic, missed);
    }

    /// A tally of the same run in which nothing has been counted.
    pub fn empty_copy(&self) -> Self {
        let copy = Tally::new(self.run, *self.oracle.workload(), self.oracle.interest().clone());
        let copy = copy.ahead_by(self.clock.ahead_ns);
        if self.samples.is_some() { copy.keeping_samples() } else { copy }
    }

    /// The publishers' clock at `now`.
    #[inline]
    fn publishers_ns(&self, now: MonotonicNs) -> u64 {
        now.0.saturating_sub_signed(self.clock.ahead_ns)
    }

    /// True if it is of this run, and whole: one that came from another host may not be.
    pub fn is_whole(&self, run: RunId, workload: &Workload) -> bool {
        let publishers = workload.publishers;
        let sampled = |sample: &Sample| {
            (sample.subscriber as usize) < self.oracle.subscribers()
                && (sample.publisher as usize) < publishers
        };
        self.run == run
            && self.oracle.is_whole(workload)
            && self.spread.publishers() == publishers
            && self.samples.iter().flat_map(Samples::kept).all(sampled)
    }

    /// True if all its latencies may be moved: not if some would have been below 0, for by how much is not known.
    pub fn can_shift(&self) -> bool {
        self.clock.early == 0
    }

    /// All latencies, longer by so much; shorter if it is negative. For a clock of which more was learned later.
    pub fn shift(&mut self, by_ns: i64) {
        self.latencies = self.latencies.shifted(by_ns);
        self.spread.shift(by_ns);
        if let Some(samples) = &mut self.samples {
            samples.shift(by_ns);
        }
        self.last_arrival_ns = self.last_arrival_ns.map(|ns| ns.saturating_add_signed(by_ns));
        self.clock.ahead_ns = self.clock.ahead_ns.saturating_sub(by_ns);
    }

    /// Every delivery by itself, if they were kept.
    pub fn samples(&self) -> Option<&Samples> {
        self.samples.as_ref()
    }

    /// The account.
    pub fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// Latencies of all deliveries, but for those that came again.
    pub fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// First and last times of every message.
    pub fn spread(&self) -> &Spread {
        &self.spread
    }

    /// Time of the last message or notice, on the publishers' clock.
    pub fn last_arrival(&self) -> Option<MonotonicNs> {
        self.last_arrival_ns.map(MonotonicNs)
    }

    /// The sums of the account, when so many messages were sent on each flow.
    pub fn totals(&self, sent: &[u64]) -> Totals {
        self.oracle.totals(sent)
    }
}

#[cfg(test)]
mod tests {
    //! The oracle, broken on purpose: a clean stream in which one message is dropped, doubled, moved or damaged.
    //! Each must be caught, and nothing else reported.

    use super::super::messages::Messages;
    use super::super::payload::PublisherIndex;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const RUN: RunId = RunId(42);
    const PUBLISHER: PublisherIndex = PublisherIndex(0);
    const ONE: u32 = 0;
    const SENT: u64 = 20;
    const LATENCY_NS: u64 = 5_000;

    fn workload() -> Workload {
        Workload::own(1)
    }

    fn tally(subscribers: usize) -> Tally {
        Tally::new(RUN, workload(), Interest::of(&workload(), 0..subscribers))
    }

    fn messages(run: RunId) -> Messages {
        Messages::new(run, &workload(), PUBLISHER, 64).unwrap()
    }

    fn stream() -> Vec<Vec<u8>> {
        let mut messages = messages(RUN);
        (0..SENT).map(|sequence| messages.next(MonotonicNs(1_000 * sequence)).1.to_vec()).collect()
    }

    /// Delivers to two subscribers: to the first what is given, to the second the clean stream.
    fn deliver(to_first: &[Vec<u8>]) -> Tally {
        let mut tally = tally(2);
        for (subscriber, payloads) in [to_first, &stream()].into_iter().enumerate() {
            for payload in payloads {
                let intended = u64::from_le_bytes(payload[24..32].try_into().unwrap());
                if !tally.message(subscriber, payload, MonotonicNs(intended + LATENCY_NS)) {
                    tally.corrupted(subscriber, Some(ONE));
                }
            }
        }
        tally
    }

    fn clean() -> Totals {
        Totals { expected: 2 * SENT, delivered: 2 * SENT, ..Totals::default() }
    }

    #[test]
    fn a_clean_stream_is_clean() {
        let tally = deliver(&stream());
        assert_eq!(tally.totals(&[SENT]), clean());
        assert_eq!(tally.latencies().len(), 2 * SENT);
        let (first, last) = tally.spread().distributions();
        assert_eq!((first.len(), last.len()), (SENT, SENT));
        let latency = tally.latencies().summary().unwrap();
        assert!((latency.median - 5.0).abs() < 0.01 && latency.stddev < 0.01, "{latency:?}");
    }

    #[test]
    fn a_clock_that_is_ahead_or_behind_is_taken_into_account() {
        for ahead_ns in [-3_600_000_000_000, -1, 0, 1, 3_600_000_000_000_i64] {
            let sent = 7_200_000_000_000;
            let mut tally = tally(1).keeping_samples().ahead_by(ahead_ns);
            let mut messages = messages(RUN);
            let arrival = MonotonicNs(sent + LATENCY_NS).0.saturating_add_signed(ahead_ns);
            assert!(tally.message(0, messages.next(MonotonicNs(sent)).1, MonotonicNs(arrival)));
            assert_eq!(tally.samples().unwrap().kept()[0].latency_ns, LATENCY_NS);
            assert_eq!(tally.last_arrival(), Some(MonotonicNs(sent + LATENCY_NS)));
            assert!(tally.can_shift());
            tally.shift(-2_000);
            assert_eq!(tally.samples().unwrap().kept()[0].latency_ns, LATENCY_NS - 2_000);
            assert_eq!(tally.last_arrival(), Some(MonotonicNs(sent + LATENCY_NS - 2_000)));
        }
    }

    #[test]
    fn what_came_before_it_was_sent_counts_as_nothing_and_is_not_moved() {
        let mut tally = tally(1).ahead_by(10_000);
        let mut messages = messages(RUN);
        assert!(tally.message(0, messages.next(MonotonicNs(50_000)).1, MonotonicNs(55_000)));
        assert!(!tally.can_shift());
        assert!(tally.latencies().summary().unwrap().max < 0.01);
    }

    #[test]
    fn a_tally_travels_whole_and_a_torn_one_is_seen() {
        let tally = deliver(&stream());
        let text = serde_json::to_string(&tally).unwrap();
        let read: Tally = serde_json::from_str(&text).unwrap();
        assert_eq!(read, tally);
        assert!(read.is_whole(RUN, &workload()));
        assert!(!read.is_whole(RunId(43), &workload()) && !read.is_whole(RUN, &Workload::own(2)));
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["oracle"]["streams"].as_array_mut().unwrap().pop();
        assert!(!serde_json::from_value::<Tally>(value).unwrap().is_whole(RUN, &workload()));
    }

    #[test]
    fn one_dropped_is_caught_wherever_it_is() {
        for at in 0..SENT as usize {
            let mut payloads = stream();
            payloads.remove(at);
            let wanted = Totals { delivered: 2 * SENT - 1, lost: 1, ..clean() };
            assert_eq!(deliver(&payloads).totals(&[SENT]), wanted, "message {at}");
        }
    }

    #[test]
    fn one_doubled_is_caught_at_once_and_late() {
        for at in 0..SENT as usize {
            for again in at + 1..=SENT as usize {
                let mut payloads = stream();
                payloads.insert(again, payloads[at].clone());
                let tally = deliver(&payloads);
                assert_eq!(
                    tally.totals(&[SENT]),
                    Totals { duplicated: 1, ..clean() },
                    "{at} again at {again}"
                );
                assert_eq!(tally.latencies().len(), 2 * SENT, "the second time has no latency");
            }
        }
    }

    #[test]
    fn one_delayed_is_caught() {
        for at in 0..SENT as usize - 1 {
            for later in at + 1..SENT as usize {
                let mut payloads = stream();
                let moved = payloads.remove(at);
                payloads.insert(later, moved);
                let totals = deliver(&payloads).totals(&[SENT]);
                assert_eq!(totals, Totals { reordered: 1, ..clean() }, "{at} moved to {later}");
            }
        }
    }

    #[test]
    fn one_damaged_is_caught_whichever_byte_it_is() {
        for byte in 0..64 {
            let mut payloads = stream();
            payloads[7][byte] ^= 0x10;
            let wanted = Totals { delivered: 2 * SENT - 1, corrupted: 1, ..clean() };
            assert_eq!(deliver(&payloads).totals(&[SENT]), wanted, "byte {byte}");
        }
    }

    #[test]
    fn a_message_of_another_run_or_of_nobody_is_damaged() {
        let mut tally = tally(1);
        let mut other_run = messages(RunId(43));
        assert!(!tally.message(0, other_run.next(MonotonicNs(0)).1, MonotonicNs(1)));
        let mut nobody = Messages::new(RUN, &Workload::own(2), PublisherIndex(1), 64).unwrap();
        assert!(!tally.message(0, nobody.next(MonotonicNs(0)).1, MonotonicNs(1)));
    }

    #[derive(Clone, Debug)]
    enum Fault {
        Drop(usize),
        Double(usize, usize),
        Exchange(usize, usize),
        Damage(usize, usize),
        DropAndTell(usize),
    }

    fn fault() -> impl Strategy<Value = Fault> {
        let place = 0..SENT as usize;
        prop_oneof![
            place.clone().prop_map(Fault::Drop),
            (place.clone(), place.clone()).prop_map(|(a, b)| Fault::Double(a, b)),
            (place.clone(), place.clone()).prop_map(|(a, b)| Fault::Exchange(a, b)),
            (place.clone(), 0usize..64).prop_map(|(a, b)| Fault::Damage(a, b)),
            place.prop_map(Fault::DropAndTell),
        ]
    }

    proptest! {
        /// Any mixture of faults, against a naive account that keeps every arrival.
        #[test]
        fn any_mixture_of_faults_is_accounted_for(faults in prop::collection::vec(fault(), 0..12)) {
            let clean = stream();
            let mut arriving = clean.clone();
            let mut told = 0;
            for fault in &faults {
                let len = arriving.len();
                match *fault {
                    _ if len == 0 => {}
                    Fault::Drop(at) => drop(arriving.remove(at % len)),
                    Fault::Double(at, again) => arriving.insert(again % len, arriving[at % len].clone()),
                    Fault::Exchange(a, b) => arriving.swap(a % len, b % len),
                    Fault::Damage(at, byte) => arriving[at % len][byte] ^= 1,
                    Fault::DropAndTell(at) => {
                        arriving.remove(at % len);
                        told += 1;
                    }
                }
            }
            let mut tally = tally(1);
            let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
            let mut wanted = Totals { expected: SENT, gaps_reported: told, ..Totals::default() };
            for payload in &arriving {
                if !tally.message(0, payload, MonotonicNs(0)) {
                    tally.corrupted(0, Some(ONE));
                }
                match clean.iter().position(|good| good == payload) {
                    None => wanted.corrupted += 1,
                    Some(sequence) => {
                        let late = seen.keys().next_back().is_some_and(|highest| sequence < *highest);
                        let times = seen.entry(sequence).or_default();
                        *times += 1;
                        wanted.duplicated += u64::from(*times > 1);
                        wanted.reordered += u64::from(*times == 1 && late);
                    }
                }
            }
            for _ in 0..told {
                tally.gap(0, Some(ONE), Some(1), MonotonicNs(0));
            }
            wanted.delivered = seen.len() as u64;
            let accounted = wanted.delivered + wanted.corrupted + told;
            wanted.lost = SENT.saturating_sub(accounted);
            wanted.overreported = accounted.saturating_sub(SENT);
            prop_assert_eq!(tally.totals(&[SENT]), wanted);
        }
    }
}
