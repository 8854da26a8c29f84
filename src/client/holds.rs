//! Queues that have no room, among those that a session and its sessions to direct publishers fill. While one has none,
//! nothing is read. A queue touches its own [`Hold`] alone; only read pumps ask whether any holds.

use std::cell::Cell;
use std::rc::Rc;

use super::waiters::Waiters;

/// How many queues hold a session.
#[derive(Default, Debug)]
pub(super) struct Holds {
    holding: Cell<usize>,
    changed: Waiters,
}

impl Holds {
    /// Whether a queue has no room.
    pub(super) fn any(&self) -> bool {
        self.holding.get() > 0
    }

    /// Waits until every queue has room, or `is_over` says that this is of no interest any more.
    pub(super) async fn until_none(&self, is_over: impl Fn() -> bool) {
        self.changed.until(|| (!self.any() || is_over()).then_some(())).await;
    }

    /// Has whoever waits look again.
    pub(super) fn look_again(&self) {
        self.changed.wake_all();
    }
}

/// The part of one queue in it. Dropped, it holds nothing.
#[derive(Debug)]
pub(super) struct Hold {
    holds: Rc<Holds>,
    held: Cell<bool>,
}

impl Hold {
    /// One that does not hold yet.
    pub(super) fn new(holds: Rc<Holds>) -> Self {
        Hold { holds, held: Cell::new(false) }
    }

    /// The queue has no room.
    pub(super) fn hold(&self) {
        if !self.held.replace(true) {
            self.holds.holding.update(|holding| holding + 1);
        }
    }

    /// The queue has room again.
    pub(super) fn release(&self) {
        if self.held.replace(false) {
            self.holds.holding.update(|holding| holding - 1);
            self.holds.look_again();
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}
