//! Turns at connecting to direct publishers, for all sessions of an executor: so many connections are being made at a
//! time, and so many begin in a second, however many publishers a broker names and however few of them are there.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use corecast_executors::MonotonicNs;

use crate::limits::{DIALS_MAX, DIALS_PER_SEC};

/// The turns of one executor.
#[derive(Debug)]
pub(super) struct Dials {
    under_way: Cell<usize>,
    /// Those that may begin before more time has passed.
    due: Cell<usize>,
    /// Up to when `due` is counted.
    counted: Cell<MonotonicNs>,
    /// First attempts, and those that failed before and let the others go first.
    first: RefCell<VecDeque<Weak<Place>>>,
    again: RefCell<VecDeque<Weak<Place>>>,
}

/// A place among those that wait.
#[derive(Default, Debug)]
struct Place {
    turn: RefCell<Option<DialPermit>>,
    waker: RefCell<Option<Waker>>,
}

/// A turn at connecting: a connection may be made for as long as it lives.
#[derive(Debug)]
pub(super) struct DialPermit(Rc<Dials>);

impl Drop for DialPermit {
    fn drop(&mut self) {
        self.0.under_way.update(|under_way| under_way - 1);
        self.0.give();
    }
}

impl Dials {
    pub(super) fn new(now: MonotonicNs) -> Rc<Self> {
        Rc::new(Dials {
            under_way: Cell::new(0),
            due: Cell::new(DIALS_MAX),
            counted: Cell::new(now),
            first: RefCell::default(),
            again: RefCell::default(),
        })
    }

    /// Waits for a turn.
    pub(super) async fn begin(self: &Rc<Self>, is_first: bool) -> DialPermit {
        let place = Rc::new(Place::default());
        let waiting = if is_first { &self.first } else { &self.again };
        waiting.borrow_mut().push_back(Rc::downgrade(&place));
        self.give();
        poll_fn(|cx| match place.turn.take() {
            Some(turn) => Poll::Ready(turn),
            None => {
                place.waker.replace(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }

    /// A tick.
    pub(super) fn on_tick(self: &Rc<Self>, now: MonotonicNs) {
        let passed = now.saturating_since(self.counted.get());
        let due = passed.as_micros() as usize * DIALS_PER_SEC / Duration::from_secs(1).as_micros() as usize;
        if due > 0 {
            self.counted.set(now);
            self.due.set((self.due.get() + due).min(DIALS_MAX));
        }
        self.give();
    }

    /// Gives turns to those that wait, as many as may begin now.
    fn give(self: &Rc<Self>) {
        while self.under_way.get() < DIALS_MAX && self.due.get() > 0 {
            let next = self.first.borrow_mut().pop_front();
            let Some(next) = next.or_else(|| self.again.borrow_mut().pop_front()) else { return };
            // Whoever has left gave up its place.
            let Some(place) = next.upgrade() else { continue };
            self.under_way.update(|under_way| under_way + 1);
            self.due.update(|due| due - 1);
            place.turn.replace(Some(DialPermit(Rc::clone(self))));
            if let Some(waker) = place.waker.take() {
                waker.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures_lite::future::{block_on, poll_once};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    type Wait = Pin<Box<dyn Future<Output = DialPermit>>>;

    fn waits(dials: &Rc<Dials>, is_first: bool, n: usize) -> Vec<Wait> {
        let wait = || {
            let dials = Rc::clone(dials);
            Box::pin(async move { dials.begin(is_first).await }) as Wait
        };
        (0..n).map(|_| wait()).collect()
    }

    /// The turns that were given now.
    fn given(waits: &mut Vec<Wait>) -> Vec<DialPermit> {
        let mut turns = Vec::new();
        waits.retain_mut(|wait| match block_on(poll_once(wait.as_mut())) {
            Some(turn) => {
                turns.push(turn);
                false
            }
            None => true,
        });
        turns
    }

    #[test]
    fn so_many_are_under_way_at_a_time() {
        let mut now = MonotonicNs(1);
        let dials = Dials::new(now);
        let mut waits = waits(&dials, true, 2 * DIALS_MAX);
        let turns = given(&mut waits);
        assert_eq!(turns.len(), DIALS_MAX);
        for _ in 0..10 {
            now = now + SECOND;
            dials.on_tick(now);
            assert_eq!(given(&mut waits).len(), 0, "none of them has ended");
        }
        drop(turns);
        assert_eq!(given(&mut waits).len(), DIALS_MAX);
    }

    #[test]
    fn those_that_fail_at_once_begin_at_a_bounded_rate() {
        let mut now = MonotonicNs(1);
        let dials = Dials::new(now);
        let mut waits = waits(&dials, true, 20 * DIALS_PER_SEC);
        let mut begun = given(&mut waits).len();
        assert_eq!(begun, DIALS_MAX, "at once");
        for _ in 0..1_000 {
            now = now + Duration::from_millis(10);
            dials.on_tick(now);
            begun += given(&mut waits).len();
        }
        assert_eq!(begun, 10 * DIALS_PER_SEC + DIALS_MAX);
    }

    #[test]
    fn first_attempts_go_before_others_and_who_leaves_takes_no_turn() {
        let dials = Dials::new(MonotonicNs(1));
        let mut before = waits(&dials, true, DIALS_MAX);
        let turns = given(&mut before);
        let (mut again, mut first) = (waits(&dials, false, DIALS_MAX), waits(&dials, true, 2 * DIALS_MAX));
        assert!(given(&mut again).is_empty() && given(&mut first).is_empty());
        first.truncate(2);
        drop(turns);
        dials.on_tick(MonotonicNs(1) + SECOND);
        // Turns that were given and never taken come back, too.
        first.pop();
        assert_eq!((given(&mut first).len(), given(&mut again).len()), (1, DIALS_MAX - 2));
        assert_eq!(dials.under_way.get(), 0, "all of them have ended");
    }
}
