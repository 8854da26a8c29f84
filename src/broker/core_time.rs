//! The time that an executor runs, and the time that it waits for its core: read now and then, by its own tick.

use std::time::Duration;

use corecast_executors::{MonotonicNs, ThreadTimes};

use crate::limits::RUN_DELAY_PERIOD;

/// The times of one executor, as they were when they were last read.
pub(super) struct CoreTime {
    /// `None`: the kernel does not count them.
    times: Option<ThreadTimes>,
    last: (MonotonicNs, Duration, Duration),
}

/// A reading: in this time the executor ran for so long, and waited for so long.
pub(super) struct Reading {
    pub(super) time: Duration,
    pub(super) ran: Duration,
    pub(super) waited: Duration,
}

impl CoreTime {
    /// The times of the executor that calls, if anybody wants to know them.
    pub(super) fn here(is_wanted: bool, now: MonotonicNs) -> Self {
        let times = is_wanted.then(ThreadTimes::here).and_then(Result::ok);
        let (ran, waited) = times.as_ref().and_then(|times| times.read().ok()).unwrap_or_default();
        CoreTime { times, last: (now, ran, waited) }
    }

    /// Reads them again, if it is time to.
    pub(super) fn read(&mut self, now: MonotonicNs) -> Option<Reading> {
        let (read_at, ran_before, waited_before) = self.last;
        let time = now.saturating_since(read_at);
        if time < RUN_DELAY_PERIOD {
            return None;
        }
        let (ran, waited) = self.times.as_ref()?.read().ok()?;
        self.last = (now, ran, waited);
        Some(Reading {
            time,
            ran: ran.saturating_sub(ran_before),
            waited: waited.saturating_sub(waited_before),
        })
    }
}
