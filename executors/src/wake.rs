//! A signal from one task of an executor to another. No threads, no channel: a flag and a waker.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// A flag that one task waits for. If it is raised before the wait, it is not lost; raised twice, it counts once.
#[derive(Default, Debug)]
pub struct Wake {
    raised: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Wake {
    /// A flag that is not raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag and wakes the waiting task.
    pub fn raise(&self) {
        self.raised.set(true);
        if let Some(waker) = self.waiter.take() {
            waker.wake();
        }
    }

    /// Waits until the flag is raised, and lowers it. One task at a time may wait; a second one replaces the first.
    pub async fn wait(&self) {
        poll_fn(|cx| {
            if self.raised.take() {
                return Poll::Ready(());
            }
            self.waiter.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::*;

    #[test]
    fn a_wake_before_the_wait_is_not_lost_and_two_are_one() {
        let wake = Wake::new();
        wake.raise();
        wake.raise();
        block_on(wake.wait());
        assert_eq!(block_on(poll_once(wake.wait())), None);
    }
}
