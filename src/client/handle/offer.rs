//! A message that is offered to its publisher's task, and may be withdrawn until it is taken. Each end belongs to one
//! side: whoever acts first decides, so both count the same messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The publisher's end.
#[derive(Debug)]
pub(super) struct Offer(Arc<AtomicBool>);

/// The task's end.
#[derive(Debug)]
pub(super) struct Claim(Arc<AtomicBool>);

/// Both ends of an offer.
pub(super) fn offer() -> (Offer, Claim) {
    let decided = Arc::new(AtomicBool::new(false));
    (Offer(Arc::clone(&decided)), Claim(decided))
}

impl Offer {
    /// Takes the message back; false if it was taken.
    pub(super) fn withdraw(self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}

impl Claim {
    /// Takes the message; false if it was withdrawn.
    pub(super) fn take(self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}
