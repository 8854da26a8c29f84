//! The time of one executor: the clock that its ticks advance, and the rest of a shard that needs none of them.

use std::cell::Cell;
use std::time::Duration;

use corecast_executors::{MonotonicNs, Stir, TickClock, Until};

/// The clock of one executor, and whether its ticks come at their pace.
pub(super) struct Timekeeper {
    clock: TickClock,
    /// Brings ticks back to their pace, for a shard that rests.
    stir: Stir,
    /// True if nothing that has happened since the last tick needs the next one soon, and nobody waits for the time.
    rests: Cell<bool>,
}

impl Timekeeper {
    pub(super) fn new(now: MonotonicNs, stir: Stir) -> Self {
        Timekeeper { clock: TickClock::new(now), stir, rests: Cell::new(false) }
    }

    /// The time of the last tick, or of what was heard since.
    pub(super) fn now(&self) -> MonotonicNs {
        self.clock.now()
    }

    #[inline]
    pub(super) fn rests(&self) -> bool {
        self.rests.get()
    }

    /// Advances the clock, and wakes the tasks that are due.
    pub(super) fn advance(&self, now: MonotonicNs) {
        self.clock.advance(now);
    }

    /// The end of the shard's rest, for those who send to a task of it.
    pub(super) fn stir(&self) -> &Stir {
        &self.stir
    }

    /// Brings ticks back to their pace.
    pub(super) fn end_rest(&self) {
        self.rests.set(false);
        self.stir.stir();
    }

    /// Lets the executor rest until something happens, if it may and nobody waits for the time. Returns true if it does.
    pub(super) fn rest_if(&self, it_may: bool) -> bool {
        let rests = it_may && !self.clock.is_awaited();
        self.rests.set(rests);
        rests
    }

    /// Waits for that time, to a tick's precision.
    pub(super) fn after(&self, time: Duration) -> Until<'_> {
        self.clock.until(self.clock.now() + time)
    }
}
