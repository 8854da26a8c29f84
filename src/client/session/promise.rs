//! The promise to a subscriber at one session: from when on its misses are told, and whether it has one to be told of.

use std::mem;
use std::time::Duration;

use corecast_executors::MonotonicNs;

/// The promise to one subscriber.
#[derive(Clone, Copy, Debug)]
pub(super) struct Promise {
    /// The time of its subscription.
    since: MonotonicNs,
    /// Misses from now on are told: all subscriptions were in force once, or were said to be.
    is_made: bool,
    /// It has missed something: a gap is due when all its subscriptions are in force, and what comes before that has
    /// holes and is not handed out. So one loss is one gap, and behind it nothing is missing.
    is_broken: bool,
    /// That is told with a miss at the broker, once all streams of direct publishers are in force, too. Until then nothing is
    /// handed out.
    is_withheld: bool,
}

impl Promise {
    /// That of a subscriber which has only just asked: it has no promise yet.
    pub(super) fn new(since: MonotonicNs) -> Self {
        Promise { since, is_made: false, is_broken: false, is_withheld: false }
    }

    /// That of a subscriber at a direct publisher while its miss at the broker is withheld.
    pub(super) fn withheld(since: MonotonicNs) -> Self {
        Promise { since, is_made: true, is_broken: true, is_withheld: true }
    }

    /// True if misses are told.
    pub(super) fn is_made(self) -> bool {
        self.is_made
    }

    /// True if a miss is to be told.
    pub(super) fn is_broken(self) -> bool {
        self.is_broken
    }

    /// Makes the promise to a subscriber that is not in force yet. It is broken from the start, until it is.
    pub(super) fn make(&mut self) {
        self.is_broken |= !mem::replace(&mut self.is_made, true);
    }

    /// As [`Promise::make`], for one that has waited for so long. Returns the time at which one without a promise is due.
    pub(super) fn make_if_overdue(&mut self, now: MonotonicNs, after: Duration) -> Option<MonotonicNs> {
        if self.is_made {
            return None;
        }
        let due = self.since + after;
        if now < due {
            return Some(due);
        }
        self.make();
        None
    }

    /// All is in force. Returns true if a miss is to be told now.
    pub(super) fn keep(&mut self) -> bool {
        self.is_made = true;
        !self.is_withheld && mem::replace(&mut self.is_broken, false)
    }

    /// True if a miss is told later than all is in force here.
    pub(super) fn is_withheld(self) -> bool {
        self.is_withheld
    }

    /// Withholds a miss.
    pub(super) fn withhold(&mut self) {
        self.is_withheld = true;
    }

    /// The miss is told now. One that is not in force here yet has another.
    pub(super) fn release(&mut self, in_force: bool) {
        if mem::replace(&mut self.is_withheld, false) {
            self.is_broken = !in_force;
        }
    }

    /// Something was missed.
    pub(super) fn break_it(&mut self) {
        self.is_broken = true;
    }

    /// True if the subscriber has missed something, now that its session ends and does not come back. `cut_off`: without a
    /// farewell.
    pub(super) fn has_missed(self, cut_off: bool) -> bool {
        !self.is_withheld && (self.is_broken || (cut_off && self.is_made))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_miss_is_told_where_all_is_in_force() {
        let mut promise = Promise::new(MonotonicNs(1));
        assert!(!promise.keep(), "it has missed nothing");
        promise.break_it();
        assert!(promise.has_missed(false) && promise.keep() && !promise.has_missed(false));
        assert!(promise.has_missed(true));
    }

    #[test]
    fn a_miss_that_is_withheld_is_told_once_with_that_of_the_broker() {
        let mut promise = Promise::withheld(MonotonicNs(1));
        assert!(!promise.keep() && promise.is_broken(), "nothing is handed out before it is told");
        assert!(!promise.has_missed(true), "the broker's gap tells of it");
        promise.release(true);
        assert!(!promise.is_broken() && !promise.keep());
        // A publisher that answers too late has a gap of its own.
        let mut promise = Promise::withheld(MonotonicNs(1));
        promise.release(false);
        assert!(promise.is_broken() && promise.keep());
    }
}
