//! Tasks of one executor that wait until something is so.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use slab::Slab;

/// Any number of tasks that look again each time something has changed.
#[derive(Default, Debug)]
pub(super) struct Waiters {
    /// One entry for each wait that is under way, however often it is polled.
    wakers: RefCell<Slab<Waker>>,
}

impl Waiters {
    /// Something has changed.
    pub(super) fn wake_all(&self) {
        for (_, waker) in &*self.wakers.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Waits until `look` finds something. It must not wait itself.
    pub(super) fn until<T, L: FnMut() -> Option<T> + Unpin>(&self, look: L) -> Until<'_, L> {
        Until { waiters: self, look, place: None }
    }
}

/// A wait. Dropped, it leaves nothing behind.
pub(super) struct Until<'a, L> {
    waiters: &'a Waiters,
    look: L,
    place: Option<usize>,
}

impl<T, L: FnMut() -> Option<T> + Unpin> Future for Until<'_, L> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        if let Some(found) = (this.look)() {
            return Poll::Ready(found);
        }
        let mut wakers = this.waiters.wakers.borrow_mut();
        match this.place {
            Some(place) => wakers[place].clone_from(cx.waker()),
            None => this.place = Some(wakers.insert(cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl<L> Drop for Until<'_, L> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.waiters.wakers.borrow_mut().remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_lite::future::{block_on, poll_once};

    use super::*;

    #[test]
    fn a_wait_has_one_entry_however_often_it_is_polled_and_none_when_it_is_over() {
        let (waiters, there) = (Waiters::default(), Cell::new(false));
        for _ in 0..100 {
            let mut wait = waiters.until(|| there.get().then_some(()));
            for _ in 0..100 {
                assert!(block_on(poll_once(&mut wait)).is_none());
            }
            assert_eq!(waiters.wakers.borrow().len(), 1);
        }
        assert!(waiters.wakers.borrow().is_empty());
        there.set(true);
        block_on(waiters.until(|| there.get().then_some(())));
    }
}
