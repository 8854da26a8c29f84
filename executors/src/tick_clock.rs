//! Waiting for a point in time on the clock of the ticks, to a tick's precision. For back-off and deadlines in pumps;
//! logic without I/O gets its ticks directly.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::MonotonicNs;
use crate::rest::Stir;

/// The time of the last tick, and the tasks that wait for a later one. One for each executor; its tick pump advances
/// it. While the executor rests, ticks are rare: then it reads the time itself, and a wait that begins ends the rest.
#[derive(Debug)]
pub struct TickClock {
    now: Cell<MonotonicNs>,
    /// The rest of the executor.
    stir: Stir,
    /// One entry for each pending wait, however often it is polled; the number distinguishes equal times.
    waiting: RefCell<BTreeMap<(MonotonicNs, u64), Waker>>,
    next_number: Cell<u64>,
}

impl TickClock {
    /// A clock at `now`, for an executor that does not rest, or that tells the clock the time meanwhile.
    #[must_use]
    pub fn new(now: MonotonicNs) -> Self {
        Self::stirring(now, Stir::default())
    }

    /// A clock at `now`, for an executor whose rest is this.
    #[must_use]
    pub fn stirring(now: MonotonicNs, stir: Stir) -> Self {
        TickClock { now: Cell::new(now), stir, waiting: RefCell::default(), next_number: Cell::new(0) }
    }

    /// The time of the last tick; in a rest, the time now.
    pub fn now(&self) -> MonotonicNs {
        if self.stir.is_at_rest() {
            self.now.set(MonotonicNs::now().max(self.now.get()));
        }
        self.now.get()
    }

    /// Ends the rest of the executor: something was begun that a tick has to finish.
    pub fn end_rest(&self) {
        self.stir.stir();
    }

    /// True if a task waits for a later time.
    pub fn is_awaited(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// True if a task waits for a time that has come by then.
    pub fn is_awaited_by(&self, time: MonotonicNs) -> bool {
        self.waiting.borrow().first_key_value().is_some_and(|((due, _), _)| *due <= time)
    }

    /// Advances to the time of a tick, and wakes the tasks that are due.
    pub fn advance(&self, now: MonotonicNs) {
        self.now.set(now);
        // The later ones stay. A wake may end a task, and with it a wait: nothing is borrowed by then.
        let due = {
            let mut waiting = self.waiting.borrow_mut();
            let later = waiting.split_off(&(now + Duration::from_nanos(1), 0));
            std::mem::replace(&mut *waiting, later)
        };
        due.into_values().for_each(Waker::wake);
    }

    /// Waits for the first tick at or after `deadline`.
    pub fn until(&self, deadline: MonotonicNs) -> Until<'_> {
        Until { clock: self, deadline, number: None }
    }
}

/// A wait for a point in time. When dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Until<'a> {
    clock: &'a TickClock,
    deadline: MonotonicNs,
    /// The number of its entry, once it has one.
    number: Option<u64>,
}

impl Future for Until<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock;
        if clock.now() >= self.deadline {
            return Poll::Ready(());
        }
        let number = *self.number.get_or_insert_with(|| {
            clock.end_rest();
            clock.next_number.replace(clock.next_number.get() + 1)
        });
        clock.waiting.borrow_mut().insert((self.deadline, number), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Until<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.clock.waiting.borrow_mut().remove(&(self.deadline, number));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::*;

    #[test]
    fn a_wait_ends_with_the_first_tick_that_is_late_enough() {
        let start = MonotonicNs(1_000);
        let clock = TickClock::new(start);
        block_on(clock.until(start));
        let deadline = start + Duration::from_millis(15);
        let mut wait = Box::pin(clock.until(deadline));
        assert!(block_on(poll_once(&mut wait)).is_none());
        clock.advance(start + Duration::from_millis(10));
        assert!(block_on(poll_once(&mut wait)).is_none());
        clock.advance(start + Duration::from_millis(20));
        assert!(block_on(poll_once(&mut wait)).is_some());
    }

    #[test]
    fn a_wait_that_begins_ends_a_rest_and_the_time_goes_on_in_one() {
        let stir = Stir::default();
        let start = MonotonicNs::now();
        let clock = TickClock::stirring(start, stir.clone());
        stir.rest();
        while clock.now() == start {}
        let deadline = clock.now() + Duration::from_secs(100);
        assert!(stir.is_at_rest() && !clock.is_awaited_by(deadline));
        let mut wait = Box::pin(clock.until(deadline));
        assert!(block_on(poll_once(&mut wait)).is_none());
        assert!(!stir.is_at_rest() && clock.is_awaited_by(deadline));
        assert!(!clock.is_awaited_by(start));
        let last = clock.now();
        assert_eq!(clock.now(), last, "out of a rest it is the tick that tells the time");
        stir.rest();
        assert!(block_on(poll_once(&mut wait)).is_none());
        assert!(stir.is_at_rest(), "it has waited before");
        clock.advance(deadline);
        assert!(block_on(poll_once(&mut wait)).is_some());
    }

    #[test]
    fn a_wait_has_one_entry_however_often_it_is_polled_and_none_when_it_is_over() {
        let clock = TickClock::new(MonotonicNs(0));
        let mut waits: Vec<_> = (0..3).map(|_| Box::pin(clock.until(MonotonicNs(5)))).collect();
        for _ in 0..100 {
            for wait in &mut waits {
                assert!(block_on(poll_once(wait)).is_none());
            }
        }
        assert_eq!(clock.waiting.borrow().len(), 3);
        waits.pop();
        assert_eq!(clock.waiting.borrow().len(), 2);
        clock.advance(MonotonicNs(5));
        assert!(clock.waiting.borrow().is_empty());
    }
}
