//! Owns everything that one executor's subscribers measure: the oracle, the latencies, the first and last times.
//! Their sinks write it delivery by delivery, which is the hottest path of this crate: no allocation (but for a
//! chunk of the spread once in many messages), no formatting, one clock read by the caller.

use super::latency::Latencies;
use super::oracle::{Oracle, Totals};
use super::payload::{self, PublisherIndex, RunId};
use super::samples::{Sample, Samples};
use super::spread::Spread;
use corecast_executors::MonotonicNs;

/// What the subscribers of one executor have measured so far.
#[derive(Debug)]
pub struct Tally {
    run: RunId,
    oracle: Oracle,
    latencies: Latencies,
    spread: Spread,
    last_arrival: Option<MonotonicNs>,
    /// Every delivery by itself, if they are kept.
    samples: Option<Samples>,
}

impl Tally {
    /// Nothing yet, for so many subscribers of this executor and all publishers of the run.
    pub fn new(run: RunId, subscribers: usize, publishers: usize) -> Self {
        Tally {
            run,
            oracle: Oracle::new(subscribers, publishers),
            latencies: Latencies::new(),
            spread: Spread::new(publishers),
            last_arrival: None,
            samples: None,
        }
    }

    /// Keeps every delivery by itself too: see [`Samples`] for what that takes.
    #[must_use]
    pub fn keeping_samples(mut self) -> Self {
        self.samples = Some(Samples::default());
        self
    }

    /// A message has arrived at `subscriber`. Returns whether it is intact; if not, the caller finds out whose it
    /// is from its topic and says so with [`Tally::corrupted`].
    #[inline]
    #[must_use]
    pub fn message(&mut self, subscriber: usize, payload: &[u8], now: MonotonicNs) -> bool {
        self.last_arrival = Some(now);
        let Some(stamp) = payload::check(payload, self.run) else { return false };
        if stamp.publisher.0 as usize >= self.oracle.publishers() {
            return false;
        }
        if self.oracle.arrived(subscriber, stamp.publisher, stamp.sequence) {
            let latency_ns = now.0.saturating_sub(stamp.intended.0);
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

    /// A damaged message has arrived at `subscriber`; its topic may say whose it is.
    pub fn corrupted(&mut self, subscriber: usize, publisher: Option<PublisherIndex>) {
        self.oracle.corrupted(subscriber, publisher);
    }

    /// A gap notice has arrived at `subscriber`.
    pub fn gap(
        &mut self,
        subscriber: usize,
        publisher: Option<PublisherIndex>,
        missed: Option<u64>,
        now: MonotonicNs,
    ) {
        self.last_arrival = Some(now);
        self.oracle.told(subscriber, publisher, missed);
    }

    /// A tally of the same run in which nothing has been counted.
    pub fn empty_copy(&self) -> Self {
        let copy = Tally::new(self.run, self.oracle.subscribers(), self.oracle.publishers());
        if self.samples.is_some() { copy.keeping_samples() } else { copy }
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

    /// When the last message or notice arrived.
    pub fn last_arrival(&self) -> Option<MonotonicNs> {
        self.last_arrival
    }

    /// The sums of the account, when each publisher sent as many messages as `sent` says.
    pub fn totals(&self, sent: &[u64]) -> Totals {
        self.oracle.totals(sent)
    }
}

#[cfg(test)]
mod tests {
    //! The oracle, broken on purpose: a clean stream in which one message is dropped, doubled, moved or damaged.
    //! Each must be caught, and nothing else reported.

    use super::super::payload::Payload;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const RUN: RunId = RunId(42);
    const ONE: PublisherIndex = PublisherIndex(0);
    const SENT: u64 = 20;
    const LATENCY_NS: u64 = 5_000;

    fn stream() -> Vec<Vec<u8>> {
        let mut payload = Payload::new(RUN, ONE, 64).unwrap();
        (0..SENT).map(|sequence| payload.stamp(sequence, MonotonicNs(1_000 * sequence)).to_vec()).collect()
    }

    /// Delivers to two subscribers: to the first what is given, to the second the clean stream.
    fn deliver(to_first: &[Vec<u8>]) -> Tally {
        let mut tally = Tally::new(RUN, 2, 1);
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
        let mut tally = Tally::new(RUN, 1, 1);
        let mut other_run = Payload::new(RunId(43), ONE, 64).unwrap();
        assert!(!tally.message(0, other_run.stamp(0, MonotonicNs(0)), MonotonicNs(1)));
        let mut nobody = Payload::new(RUN, PublisherIndex(1), 64).unwrap();
        assert!(!tally.message(0, nobody.stamp(0, MonotonicNs(0)), MonotonicNs(1)));
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
            let mut tally = Tally::new(RUN, 1, 1);
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
