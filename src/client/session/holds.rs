//! Queues that have no room, among those that a session and its sessions to direct publishers fill. While one has none,
//! nothing is read. A queue touches its own [`Hold`] alone; only read pumps ask whether any holds.

use std::cell::Cell;
use std::rc::Rc;

use crate::client::waiters::Waiters;

/// The number of queues that hold a session.
#[derive(Default, Debug)]
pub(in crate::client) struct Holds {
    holding: Cell<usize>,
    /// Sessions under the policy `block`.
    blocking: Cell<usize>,
    changed: Waiters,
}

impl Holds {
    /// True if a queue has no room.
    pub(in crate::client) fn any(&self) -> bool {
        self.holding.get() > 0
    }

    /// True if a queue that others share may hold them all: under `block`, at the broker or at a direct publisher, that is
    /// what was asked for.
    fn may_hold_others(&self) -> bool {
        self.blocking.get() > 0
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

/// The part of one session in it: its overflow policy. Dropped, it counts no more.
pub(in crate::client) struct Blocking {
    holds: Rc<Holds>,
    blocks: Cell<bool>,
}

impl Blocking {
    /// The part of a session whose policy is not known yet.
    pub(in crate::client) fn new(holds: Rc<Holds>) -> Self {
        Blocking { holds, blocks: Cell::new(false) }
    }

    /// Its policy is `block`, or another.
    pub(in crate::client) fn set(&self, blocks: bool) {
        if self.blocks.replace(blocks) != blocks {
            let step = |blocking: usize| if blocks { blocking + 1 } else { blocking - 1 };
            self.holds.blocking.update(step);
        }
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// The part of one queue in it. Dropped, it holds nothing.
#[derive(Debug)]
pub(in crate::client) struct Hold {
    holds: Rc<Holds>,
    held: Cell<bool>,
}

impl Hold {
    /// One that does not hold yet.
    pub(in crate::client) fn new(holds: Rc<Holds>) -> Self {
        Hold { holds, held: Cell::new(false) }
    }

    /// True if the queue may hold whoever shares its session.
    pub(in crate::client) fn may_hold_others(&self) -> bool {
        self.holds.may_hold_others()
    }

    /// The queue has no room.
    pub(in crate::client) fn hold(&self) {
        if !self.held.replace(true) {
            self.holds.holding.update(|holding| holding + 1);
        }
    }

    /// The queue has room again.
    pub(in crate::client) fn release(&self) {
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
