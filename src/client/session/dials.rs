//! Permits to connect to direct publishers, for all sessions of an executor: so many connections are being made at a
//! time, and so many begin in a second, however many publishers a broker names and however few of them are there.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use corecast_executors::MonotonicNs;

use crate::limits::{DIALS_AGAIN_PER_SEC, DIALS_MAX, DIALS_PER_SEC};

/// The permits of one executor.
#[derive(Debug)]
pub(super) struct Dials {
    under_way: Cell<usize>,
    first: Budget,
    /// For attempts after one that failed.
    again: Budget,
}

/// Attempts that may begin before more time has passed.
#[derive(Debug)]
struct Budget {
    per_sec: usize,
    max: usize,
    due: Cell<usize>,
    /// Up to when `due` is counted.
    counted: Cell<MonotonicNs>,
}

/// A permit to connect: a connection may be made for as long as it lives.
#[derive(Debug)]
pub(super) struct DialPermit(Rc<Dials>);

impl Drop for DialPermit {
    fn drop(&mut self) {
        self.0.under_way.update(|under_way| under_way - 1);
    }
}

impl Dials {
    pub(super) fn new(now: MonotonicNs) -> Rc<Self> {
        Rc::new(Dials {
            under_way: Cell::new(0),
            first: Budget::new(DIALS_PER_SEC, DIALS_MAX, now),
            again: Budget::new(DIALS_AGAIN_PER_SEC, DIALS_AGAIN_PER_SEC, now),
        })
    }

    /// A permit for an attempt, if one may begin now; else another tick brings one.
    pub(super) fn begin(self: &Rc<Self>, is_first: bool) -> Option<DialPermit> {
        let budget = if is_first { &self.first } else { &self.again };
        if self.under_way.get() >= DIALS_MAX || !budget.take() {
            return None;
        }
        self.under_way.update(|under_way| under_way + 1);
        Some(DialPermit(Rc::clone(self)))
    }

    /// A tick.
    pub(super) fn on_tick(&self, now: MonotonicNs) {
        self.first.on_tick(now);
        self.again.on_tick(now);
    }
}

impl Budget {
    fn new(per_sec: usize, max: usize, now: MonotonicNs) -> Self {
        Budget { per_sec, max, due: Cell::new(max), counted: Cell::new(now) }
    }

    fn take(&self) -> bool {
        let due = self.due.get();
        self.due.set(due.saturating_sub(1));
        due > 0
    }

    fn on_tick(&self, now: MonotonicNs) {
        let passed = now.saturating_since(self.counted.get());
        let due = passed.as_micros() as usize * self.per_sec / Duration::from_secs(1).as_micros() as usize;
        if due > 0 {
            self.counted.set(now);
            self.due.set((self.due.get() + due).min(self.max));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn begin_all(dials: &Rc<Dials>, is_first: bool) -> Vec<DialPermit> {
        std::iter::from_fn(|| dials.begin(is_first)).collect()
    }

    #[test]
    fn so_many_are_under_way_at_a_time() {
        let mut now = MonotonicNs(1);
        let dials = Dials::new(now);
        let permits = begin_all(&dials, true);
        assert_eq!(permits.len(), DIALS_MAX);
        for _ in 0..10 {
            now = now + SECOND;
            dials.on_tick(now);
            assert!(dials.begin(true).is_none() && dials.begin(false).is_none(), "none of them has ended");
        }
        drop(permits);
        assert_eq!(begin_all(&dials, true).len(), DIALS_MAX);
    }

    #[test]
    fn those_that_fail_at_once_begin_at_a_bounded_rate() {
        for (is_first, per_sec, at_once) in
            [(true, DIALS_PER_SEC, DIALS_MAX), (false, DIALS_AGAIN_PER_SEC, DIALS_AGAIN_PER_SEC)]
        {
            let mut now = MonotonicNs(1);
            let dials = Dials::new(now);
            let mut begun = begin_all(&dials, is_first).len();
            assert_eq!(begun, at_once);
            for _ in 0..1_000 {
                now = now + Duration::from_millis(10);
                dials.on_tick(now);
                begun += begin_all(&dials, is_first).len();
            }
            assert_eq!(begun, 10 * per_sec + at_once);
        }
    }

    #[test]
    fn attempts_after_failures_leave_room_for_first_ones() {
        let dials = Dials::new(MonotonicNs(1));
        drop(begin_all(&dials, false));
        assert!(dials.begin(false).is_none() && dials.begin(true).is_some());
    }
}
