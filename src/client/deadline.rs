//! The time that a caller gives for something, as those that work on it keep it.

use std::time::Duration;

use corecast_executors::MonotonicNs;

/// The time by which something is to be done, counted from the call that asked for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub(super) at: MonotonicNs,
    /// The time from the call, for error texts.
    pub(super) within: Duration,
}

impl Deadline {
    /// A deadline this long from now.
    pub(super) fn after(within: Duration) -> Self {
        Deadline { at: MonotonicNs::now() + within, within }
    }

    /// The time that is left.
    pub(super) fn left(self) -> Duration {
        self.at.saturating_since(MonotonicNs::now())
    }
}
