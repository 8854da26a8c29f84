//! The promise to a subscriber at one session: from when on its misses are told, and whether it has one to be told of.

use std::mem;
use std::time::Duration;

use corecast_executors::MonotonicNs;

/// The promise to one subscriber.
#[derive(Clone, Copy, Debug)]
pub(super) struct Promise {
    /// The time since which it relies on being in force in time. `None`: whoever subscribes still waits for that.
    since: Option<MonotonicNs>,
    /// Misses from now on are told: all subscriptions were in force once, or were said to be.
    is_made: bool,
    miss: Miss,
}

/// The miss that a subscriber has not been told of. What comes before it is told has holes and is not handed out. So one loss
/// is one gap, and behind it nothing is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Miss {
    /// It has missed nothing.
    None,
    /// A gap is due when all its subscriptions are in force here.
    Due,
    /// A miss at the broker, whose gap is told once all streams of direct publishers are in force, too.
    Withheld,
    /// A miss at a direct publisher, covered by the gap that the broker's session withholds: this one tells none.
    Covered,
}

impl Promise {
    /// That of a subscriber which has only just asked: it has no promise yet, but for the time that it is to be made in.
    pub(super) fn new(since: MonotonicNs) -> Self {
        Promise { since: Some(since), is_made: false, miss: Miss::None }
    }

    /// That of a subscriber which is only beginning: it has no promise before the wait for its publishers ends, however long
    /// its broker takes.
    pub(super) fn beginning() -> Self {
        Promise { since: None, is_made: false, miss: Miss::None }
    }

    /// That of a subscriber at a direct publisher while its miss at the broker is withheld.
    pub(super) fn covered(since: MonotonicNs) -> Self {
        Promise { since: Some(since), is_made: true, miss: Miss::Covered }
    }

    /// True if misses are told.
    pub(super) fn is_made(self) -> bool {
        self.is_made
    }

    /// True if a miss is to be told, here or with the broker's.
    pub(super) fn is_broken(self) -> bool {
        self.miss != Miss::None
    }

    /// Makes the promise to a subscriber that is not in force yet. It is broken from the start, until it is.
    pub(super) fn make(&mut self) {
        if !mem::replace(&mut self.is_made, true) {
            self.break_it();
        }
    }

    /// As [`Promise::make`], for one that has waited for so long. Returns the time at which one without a promise is due.
    pub(super) fn make_if_overdue(&mut self, now: MonotonicNs, after: Duration) -> Option<MonotonicNs> {
        if self.is_made {
            return None;
        }
        let due = self.since? + after;
        if now < due {
            return Some(due);
        }
        self.make();
        None
    }

    /// All is in force. Returns true if a miss is to be told now.
    pub(super) fn keep(&mut self) -> bool {
        self.is_made = true;
        let is_due = self.miss == Miss::Due;
        if is_due {
            self.miss = Miss::None;
        }
        is_due
    }

    /// True if a miss is told later than all is in force at the broker.
    pub(super) fn is_withheld(self) -> bool {
        self.miss == Miss::Withheld
    }

    /// Withholds a miss, if there is one, until it is released.
    pub(super) fn withhold(&mut self) {
        if self.miss == Miss::Due {
            self.miss = Miss::Withheld;
        }
    }

    /// The gap that was withheld is told now. Where it covers a direct publisher at which not all is in force yet, another is
    /// due there.
    pub(super) fn release(&mut self, in_force: bool) {
        self.miss = match self.miss {
            Miss::Withheld => Miss::None,
            Miss::Covered if in_force => Miss::None,
            Miss::Covered => Miss::Due,
            miss => miss,
        };
    }

    /// Something was missed.
    pub(super) fn break_it(&mut self) {
        if self.miss == Miss::None {
            self.miss = Miss::Due;
        }
    }

    /// True if the subscriber has missed something of a direct publisher whose session ends and does not come back.
    /// `cut_off`: without a farewell.
    pub(super) fn has_missed(self, cut_off: bool) -> bool {
        match self.miss {
            Miss::None => cut_off && self.is_made,
            Miss::Due => true,
            Miss::Withheld | Miss::Covered => false,
        }
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
    fn a_subscriber_that_is_only_beginning_has_missed_nothing_however_long_that_takes() {
        let (start, second) = (MonotonicNs(1), Duration::from_secs(1));
        let mut promise = Promise::beginning();
        assert_eq!(promise.make_if_overdue(start + 60 * second, second), None);
        assert!(!promise.keep(), "it was told of no subscription that was not in force");
        // The wait for its publishers ends without this one.
        let mut promise = Promise::beginning();
        promise.make();
        assert!(promise.keep(), "it has missed what came between");
        // One that was there before hears of a publisher, which waits for nobody for longer.
        let mut promise = Promise::new(start);
        assert_eq!(promise.make_if_overdue(start, second), Some(start + second));
        assert_eq!(promise.make_if_overdue(start + second, second), None);
        assert!(promise.keep());
    }

    #[test]
    fn a_miss_that_is_withheld_is_told_once_with_that_of_the_broker() {
        let mut promise = Promise::covered(MonotonicNs(1));
        promise.break_it();
        assert!(!promise.keep() && promise.is_broken(), "nothing is handed out before it is told");
        assert!(!promise.has_missed(true), "the broker's gap tells of it");
        promise.release(true);
        assert!(!promise.is_broken() && !promise.keep());
        // A publisher that answers too late has a gap of its own.
        let mut promise = Promise::covered(MonotonicNs(1));
        promise.release(false);
        assert!(promise.is_broken() && promise.keep());
    }
}
