//! The end of one executor's shard, from the call to drain to the end of its pumps.

use std::cell::Cell;

use corecast_executors::{MonotonicNs, Wake};

use super::CutOff;

/// The progress of a drain.
#[derive(Default)]
pub(super) struct Drain {
    /// The time when draining must be over, once it has begun.
    until: Cell<Option<MonotonicNs>>,
    /// The rest that there was at that time.
    cut_off: Cell<Option<CutOff>>,
    /// Raised when this executor may end.
    ended: Wake,
    /// True once it has ended; the executor may go on, if it is the client's of a direct publisher.
    over: Cell<bool>,
}

impl Drain {
    pub(super) fn begin(&self, until: MonotonicNs) {
        self.until.set(Some(until));
    }

    pub(super) fn until(&self) -> Option<MonotonicNs> {
        self.until.get()
    }

    /// Keeps the first count of the rest that is cut off.
    pub(super) fn cut_off(&self, count: impl FnOnce() -> CutOff) {
        self.cut_off.set(Some(self.cut_off.get().unwrap_or_else(count)));
    }

    pub(super) fn end(&self) {
        self.ended.raise();
    }

    /// Waits for the end. Returns what was cut off.
    pub(super) async fn ended(&self) -> CutOff {
        self.ended.wait().await;
        self.over.set(true);
        self.cut_off.get().unwrap_or_default()
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.get()
    }
}
