//! The time of a shard: as it was told, and as it counts for deadlines. Owned by a shard.

use corecast_executors::{MonotonicNs, TICK};

use crate::limits::{HEARING_GAP_MAX, SWEEP_TICKS};

/// Time comes in with events; nothing here reads a clock.
#[derive(Debug)]
pub(super) struct Clock {
    /// The time that counts for deadlines: without that in which this shard heard nobody.
    now: MonotonicNs,
    /// The time that it last heard.
    told: MonotonicNs,
    /// When the last tick was.
    ticked: MonotonicNs,
}

impl Clock {
    /// A clock that starts at this time.
    pub(super) fn new(now: MonotonicNs) -> Self {
        Clock { now, told: now, ticked: now }
    }

    /// The time that counts for deadlines, by the last tick or later.
    #[inline]
    pub(super) fn now(&self) -> MonotonicNs {
        self.now
    }

    /// The time as it was told, with all that passed while this shard was stopped: for promises that end for others, too.
    pub(super) fn told(&self) -> MonotonicNs {
        self.told
    }

    /// Notes the time, between two ticks.
    pub(super) fn hear(&mut self, now: MonotonicNs) {
        let passed = now.saturating_since(self.told);
        self.told = self.told.max(now);
        self.now = self.now + passed.min(HEARING_GAP_MAX);
    }

    /// Notes the time of a tick. Returns how many ticks of the usual pace have passed since the last one, 1 to
    /// [`SWEEP_TICKS`].
    pub(super) fn tick(&mut self, now: MonotonicNs) -> usize {
        let passed = now.saturating_since(self.ticked).as_micros() / TICK.as_micros();
        self.ticked = now;
        self.hear(now);
        usize::try_from(passed).unwrap_or(SWEEP_TICKS).clamp(1, SWEEP_TICKS)
    }
}
