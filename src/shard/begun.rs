//! The frame that a session has begun and not finished: how far it has come, and until when it must go on. Owned by the
//! session.

use std::time::Duration;

use corecast_executors::MonotonicNs;

use crate::limits::{
    FRAME_BYTES_PER_SEC_MIN, FRAME_DEADLINE, FRAME_STALL, FRAME_STEP_BYTES, PARTIAL_BYTES_IN_SLAB,
};
use crate::wire::Partial;

/// The frame that a session has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    /// When that was.
    pub(super) at: MonotonicNs,
    /// Bytes of it that are here, if it is a long one.
    pub(super) bytes: usize,
    /// Bytes that it may come to.
    pub(super) at_most: usize,
    /// It may go on to its end: all of it is set aside.
    pub(super) admitted: bool,
    /// When it was last longer by a step, and how long it was.
    pub(super) stepped: (MonotonicNs, usize),
}

impl Begun {
    pub(super) fn at(now: MonotonicNs) -> Self {
        Begun { at: now, bytes: 0, at_most: 0, admitted: false, stepped: (now, 0) }
    }

    /// It has all of its time again.
    pub(super) fn again(&mut self, now: MonotonicNs) {
        self.at = now;
        self.stepped.0 = now;
    }

    pub(super) fn is_long(&self) -> bool {
        self.bytes > 0
    }

    /// Bytes of the shard's share that are set aside for it.
    pub(super) fn reserved(&self) -> usize {
        if self.admitted { self.bytes.max(self.at_most) } else { self.bytes }
    }

    /// Notes how far it has come. Returns when it must be whole, or be longer by a step.
    pub(super) fn grow(&mut self, now: MonotonicNs, partial: Partial) -> MonotonicNs {
        let bytes = partial.received_bytes;
        // Counted from its begin, however often more of it comes: a byte a second buys no time.
        let more = partial.at_least_bytes as u64 / FRAME_BYTES_PER_SEC_MIN;
        let whole = self.at + FRAME_DEADLINE + Duration::from_secs(more);
        if bytes >= self.stepped.1 + FRAME_STEP_BYTES {
            self.stepped = (now, bytes);
        }
        // One that is short holds nothing that is worth a look.
        if bytes > PARTIAL_BYTES_IN_SLAB { whole.min(self.stepped.0 + FRAME_STALL) } else { whole }
    }
}
