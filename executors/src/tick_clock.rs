//! Waiting for a point in time on the clock that ticks bring, to a tick's precision. For back-off and deadlines
//! in pumps; logic without I/O gets its ticks directly.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

use crate::clock::MonotonicNs;

/// The time of the last tick, and who waits for a later one. One for each executor; its tick pump advances it.
#[derive(Debug)]
pub struct TickClock {
    now: Cell<MonotonicNs>,
    waiting: RefCell<Vec<(MonotonicNs, Waker)>>,
}

impl TickClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: MonotonicNs) -> Self {
        TickClock { now: Cell::new(now), waiting: RefCell::default() }
    }

    /// The time of the last tick.
    pub fn now(&self) -> MonotonicNs {
        self.now.get()
    }

    /// A tick has come: wakes whose time it is.
    pub fn advance(&self, now: MonotonicNs) {
        self.now.set(now);
        self.waiting.borrow_mut().retain(|(deadline, waker)| {
            if *deadline <= now {
                waker.wake_by_ref();
            }
            *deadline > now
        });
    }

    /// Waits for the first tick at or after `deadline`.
    pub async fn until(&self, deadline: MonotonicNs) {
        poll_fn(|cx| {
            if self.now.get() >= deadline {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push((deadline, cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
}
