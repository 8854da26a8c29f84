//! Tasks of one executor that wait until something is so.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Any number of tasks that look again each time something has changed.
#[derive(Default, Debug)]
pub(super) struct Waiters {
    wakers: RefCell<Vec<Waker>>,
}

impl Waiters {
    /// Something has changed.
    pub(super) fn wake_all(&self) {
        for waker in self.wakers.take() {
            waker.wake();
        }
    }

    /// Waits until `look` finds something. It must not wait itself.
    pub(super) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        poll_fn(|cx| match look() {
            Some(found) => Poll::Ready(found),
            None => {
                self.wakers.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}
