//! Owns the question by how much another host's clock is ahead of this one's, and by how much the answer may be
//! wrong. Both are `CLOCK_MONOTONIC`, which counts from the boot of each host: what it shows differs by hours.
//!
//! One exchange has four stamps: sent here, received there, answered there, returned here. Whatever the two ways
//! took, the offset is between `answered - returned` and `received - sent`; the middle of that is the estimate, and
//! half of the round trip the bound of its error. Of many exchanges the one with the shortest round trip counts.
//!
//! Before a run the offset is measured and given to the agent, which takes it off every arrival. During the run and
//! after it, it is measured again: if the clocks drift, what was true before need not be so later. What can be said
//! at the end is the range from the best exchange before to the best after, and as much wider as any exchange in
//! between asks for. Latencies are moved to its middle where all of them can be moved; where not, the bound takes
//! in the difference.

use corecast_executors::MonotonicNs;
use serde::{Deserialize, Serialize};

/// The kernel's file with the identity of this boot: another for every start of every machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// The link to the time namespace of this process: each may have another offset.
const TIME_NAMESPACE: &str = "/proc/self/ns/time";

/// The identity of a clock: equal where both are known and equal. It is still only a claim, since copies of a virtual
/// machine have the same boot: exchanges must agree.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ClockIdentity {
    boot: Option<String>,
    time_namespace: Option<String>,
}

impl ClockIdentity {
    /// The clock of this process.
    pub fn here() -> Self {
        let boot = std::fs::read_to_string(BOOT_ID).ok().map(|text| text.trim().to_owned());
        let namespace = std::fs::read_link(TIME_NAMESPACE).ok();
        let time_namespace = match namespace {
            Some(namespace) => Some(namespace.to_string_lossy().into_owned()),
            // A kernel before 5.6 has one for all.
            None => boot.as_ref().map(|_| "one".to_owned()),
        };
        ClockIdentity { boot, time_namespace }
    }

    /// True if both read the same clock.
    pub fn is_same(&self, other: &ClockIdentity) -> bool {
        self.boot.is_some() && self.time_namespace.is_some() && self == other
    }
}

/// One question and its answer, with its four stamps: the clock there less the clock here, at least and at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exchange(Range);

/// An offset, at least and at most, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Range {
    least_ns: i64,
    most_ns: i64,
}

impl Range {
    fn middle_ns(self) -> i64 {
        self.least_ns + ((self.most_ns - self.least_ns) / 2)
    }

    /// The distance from the middle to either end, rounded up.
    fn half_ns(self) -> u64 {
        self.most_ns.abs_diff(self.least_ns).div_ceil(2)
    }

    fn and(self, other: Range) -> Range {
        Range { least_ns: self.least_ns.min(other.least_ns), most_ns: self.most_ns.max(other.most_ns) }
    }

    /// Wider only as far as it must be to have something in common with `other`.
    fn touching(self, other: Range) -> Range {
        Range { least_ns: self.least_ns.min(other.most_ns), most_ns: self.most_ns.max(other.least_ns) }
    }

    /// The distance of `offset_ns` from the end that is farther off.
    fn farthest_ns(self, offset_ns: i64) -> u64 {
        self.least_ns.abs_diff(offset_ns).max(self.most_ns.abs_diff(offset_ns))
    }
}

impl Exchange {
    /// An exchange of four stamps: sent and returned here, received and answered there. `None` if no two clocks that
    /// run forward can show these.
    pub fn new(
        sent: MonotonicNs,
        received: MonotonicNs,
        answered: MonotonicNs,
        returned: MonotonicNs,
    ) -> Option<Self> {
        let least_ns = answered.0.checked_signed_diff(returned.0)?;
        let most_ns = received.0.checked_signed_diff(sent.0)?;
        (returned >= sent
            && answered >= received
            && least_ns <= most_ns
            && most_ns.checked_sub(least_ns).is_some())
        .then_some(Exchange(Range { least_ns, most_ns }))
    }

    fn round_trip_ns(&self) -> u64 {
        self.0.most_ns.abs_diff(self.0.least_ns)
    }

    /// The one with the shorter round trip.
    fn better(self, other: Exchange) -> Exchange {
        if other.round_trip_ns() < self.round_trip_ns() { other } else { self }
    }

    /// The one with the shortest round trip.
    pub fn best(exchanges: impl IntoIterator<Item = Exchange>) -> Option<Exchange> {
        exchanges.into_iter().reduce(Exchange::better)
    }
}

/// The state of knowledge about another host's clock in the course of a run.
#[derive(Clone, Debug)]
pub enum HostClock {
    /// The clock of this host.
    Shared,
    /// Another clock.
    Apart(Apart),
}

/// The measurements of a clock that is not this one.
#[derive(Clone, Debug)]
pub struct Apart {
    before: Exchange,
    /// The best of those in between.
    during: Option<Exchange>,
    /// The range that all of those in between require.
    asked: Option<Range>,
    after: Option<Exchange>,
}

/// The final estimate of another host's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The lead of the other clock, in nanoseconds.
    pub ahead_ns: i64,
    /// The error of that; `None` for the same clock.
    pub error_ns: Option<u64>,
    /// The correction of latencies that were measured with the first offset.
    pub shift_ns: i64,
}

impl HostClock {
    /// The state after the best exchange before the run, with a host whose clock is `theirs`.
    pub fn new(ours: &ClockIdentity, theirs: &ClockIdentity, before: Exchange) -> Self {
        let Range { least_ns, most_ns } = before.0;
        if ours.is_same(theirs) && least_ns <= 0 && most_ns >= 0 {
            return HostClock::Shared;
        }
        HostClock::Apart(Apart { before, during: None, asked: None, after: None })
    }

    /// The offset to subtract from its stamps in the run that begins.
    pub fn ahead_ns(&self) -> i64 {
        match self {
            HostClock::Shared => 0,
            HostClock::Apart(apart) => apart.before.0.middle_ns(),
        }
    }

    /// An exchange while the run went on.
    pub fn during(&mut self, exchange: Exchange) {
        if let HostClock::Apart(apart) = self {
            apart.during = Some(apart.during.map_or(exchange, |best| best.better(exchange)));
            let whole = apart.asked.unwrap_or(apart.before.0);
            apart.asked = Some(whole.touching(exchange.0));
        }
    }

    /// The best exchange after the run.
    pub fn after(&mut self, exchange: Exchange) {
        if let HostClock::Apart(apart) = self {
            apart.after = Some(exchange);
        }
    }

    /// The estimate now. `can_shift`: latencies can still be corrected.
    pub fn verdict(&self, can_shift: bool) -> Verdict {
        let HostClock::Apart(apart) = self else {
            return Verdict { ahead_ns: 0, error_ns: None, shift_ns: 0 };
        };
        // Without one after the run, the best in between is the latest word.
        let last = apart.after.or(apart.during).unwrap_or(apart.before);
        let mut range = apart.before.0.and(last.0);
        if let Some(asked) = apart.asked {
            range = range.and(asked);
        }
        let used_ns = apart.before.0.middle_ns();
        if can_shift {
            let ahead_ns = range.middle_ns();
            let shift_ns = used_ns.saturating_sub(ahead_ns);
            return Verdict { ahead_ns, error_ns: Some(range.half_ns()), shift_ns };
        }
        Verdict { ahead_ns: used_ns, error_ns: Some(range.farthest_ns(used_ns)), shift_ns: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR_NS: i64 = 3_600_000_000_000;

    /// An exchange with a clock that is ahead by so much, after so long on the way there and back.
    fn exchange(ahead_ns: i64, there_ns: u64, back_ns: u64) -> Exchange {
        let sent = 10 * HOUR_NS as u64;
        let there = |ns: u64| MonotonicNs(ns.saturating_add_signed(ahead_ns));
        let (received, answered) = (sent + there_ns, sent + there_ns + 7_000);
        Exchange::new(MonotonicNs(sent), there(received), there(answered), MonotonicNs(answered + back_ns))
            .unwrap()
    }

    fn apart(before: Exchange) -> HostClock {
        HostClock::new(&ClockIdentity::default(), &ClockIdentity::default(), before)
    }

    #[test]
    fn the_shortest_round_trip_gives_the_offset_and_half_of_it_the_bound() {
        let best = Exchange::best([
            exchange(HOUR_NS, 900_000, 100_000),
            exchange(HOUR_NS, 30_000, 50_000),
            exchange(HOUR_NS, 100_000, 100_000),
        ]);
        let clock = apart(best.unwrap());
        assert_eq!(clock.ahead_ns(), HOUR_NS - 10_000);
        let verdict = clock.verdict(true);
        assert_eq!((verdict.error_ns, verdict.shift_ns), (Some(40_000), 0));
    }

    #[test]
    fn the_same_clock_has_no_error_but_only_if_exchanges_agree() {
        let here = ClockIdentity::here();
        assert!(here.is_same(&ClockIdentity::here()), "{here:?}");
        assert!(!ClockIdentity::default().is_same(&ClockIdentity::default()), "unknown is not the same");
        let clock = HostClock::new(&here, &here, exchange(0, 30_000, 50_000));
        assert_eq!(clock.verdict(true), Verdict { ahead_ns: 0, error_ns: None, shift_ns: 0 });
        let copy = HostClock::new(&here, &here, exchange(HOUR_NS, 30_000, 50_000));
        assert!(copy.verdict(true).error_ns.is_some());
    }

    #[test]
    fn drift_widens_the_bound_and_latencies_move_to_the_middle() {
        let mut clock = apart(exchange(HOUR_NS, 10_000, 10_000));
        clock.after(exchange(HOUR_NS + 60_000, 10_000, 10_000));
        let moved = clock.verdict(true);
        assert_eq!((moved.ahead_ns, moved.error_ns), (HOUR_NS + 30_000, Some(40_000)));
        assert_eq!(moved.shift_ns, -30_000, "a clock further ahead made latencies too long");
        let fixed = clock.verdict(false);
        assert_eq!((fixed.ahead_ns, fixed.error_ns, fixed.shift_ns), (HOUR_NS, Some(70_000), 0));
    }

    #[test]
    fn a_slow_exchange_in_between_widens_nothing_and_a_contrary_one_does() {
        let mut clock = apart(exchange(HOUR_NS, 10_000, 10_000));
        clock.during(exchange(HOUR_NS, 9_000_000, 1_000));
        clock.after(exchange(HOUR_NS, 10_000, 10_000));
        assert_eq!(clock.verdict(true).error_ns, Some(10_000));
        clock.during(exchange(HOUR_NS + 100_000, 10_000, 10_000));
        assert_eq!(clock.verdict(true).error_ns, Some(50_000), "it must have been 90 us ahead at least");
    }

    #[test]
    fn stamps_that_no_clocks_show_are_no_exchange() {
        let at = |stamps: [u64; 4]| {
            let [sent, received, answered, returned] = stamps.map(MonotonicNs);
            Exchange::new(sent, received, answered, returned)
        };
        assert!(at([10, 20, 30, 40]).is_some());
        assert!(at([40, 20, 30, 10]).is_none(), "it returned before it was sent");
        assert!(at([10, 30, 20, 40]).is_none(), "it was answered before it was received");
        assert!(at([10, 20, 90, 40]).is_none(), "it took longer there than here");
        assert!(at([0, u64::MAX, u64::MAX, 1]).is_none(), "no clock is ahead by centuries");
    }

    proptest! {
        /// Whatever the ways take, and however the clock drifts, the truth is within the bound.
        #[test]
        fn the_truth_is_always_within_the_bound(
            ahead_ns in -9 * HOUR_NS..9 * HOUR_NS,
            drift_ns in -1_000_000i64..1_000_000,
            ways in prop::collection::vec((0u64..2_000_000, 0u64..2_000_000), 3..12),
            can_shift: bool,
        ) {
            let steps = ways.len() as i64 - 1;
            let at = |step: usize| ahead_ns + drift_ns * step as i64 / steps;
            let mut exchanges = ways.iter().enumerate().map(|(step, way)| exchange(at(step), way.0, way.1));
            let mut clock = apart(exchanges.next().unwrap());
            let last = exchanges.next_back().unwrap();
            exchanges.for_each(|exchange| clock.during(exchange));
            clock.after(last);
            let verdict = clock.verdict(can_shift);
            for step in 0..ways.len() {
                prop_assert!(verdict.ahead_ns.abs_diff(at(step)) <= verdict.error_ns.unwrap() + 1);
            }
            // What was measured with the first offset, moved, is off by no more than the bound either.
            let moved = clock.ahead_ns() - verdict.shift_ns;
            prop_assert_eq!(moved, verdict.ahead_ns);
        }
    }
}
