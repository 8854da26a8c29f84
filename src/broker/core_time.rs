//! The time that an executor runs, and the time that it waits for its core: read now and then, by its own tick.

use std::time::Duration;

use corecast_executors::{MonotonicNs, ThreadTimes};

use crate::limits::{BUSY_SPAN, RUN_DELAY_PERIOD};

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
    /// The times of the executor that calls.
    pub(super) fn here(now: MonotonicNs) -> Self {
        let times = ThreadTimes::here().ok();
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

/// The share of the last seconds for which an executor had something to do, smoothed over [`BUSY_SPAN`].
#[derive(Default)]
pub(super) struct Busy(f64);

impl Busy {
    /// Takes a reading, and returns the share in thousandths. An executor that waits for its core has something to do: so a
    /// shard is as busy on a core that it shares as on one of its own.
    pub(super) fn read(&mut self, reading: &Reading) -> u64 {
        let time_s = reading.time.as_secs_f64();
        let share = ((reading.ran + reading.waited).as_secs_f64() / time_s).min(1.0);
        self.0 += (share - self.0) * (time_s / BUSY_SPAN.as_secs_f64()).min(1.0);
        (1_000.0 * self.0).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share after so many readings, a tenth of a second each, of which it ran and waited for so many percent.
    fn after(busy: &mut Busy, readings: u32, ran: u32, waited: u32) -> u64 {
        let time = RUN_DELAY_PERIOD;
        let reading = Reading { time, ran: time * ran / 100, waited: time * waited / 100 };
        (0..readings).map(|_| busy.read(&reading)).last().expect("at least one")
    }

    #[test]
    fn a_shard_is_busy_if_it_ran_or_waited_for_its_core_for_most_of_ten_seconds() {
        let mut busy = Busy::default();
        assert_eq!(after(&mut busy, 1, 0, 0), 0);
        let a_burst = after(&mut busy, 10, 100, 0);
        assert!((80..120).contains(&a_burst), "{a_burst}");
        assert!(after(&mut busy, 500, 50, 48) > 970);
        assert!(after(&mut busy, 500, 20, 0) < 220);
    }

    #[test]
    fn a_late_reading_counts_no_more_than_all() {
        let mut busy = Busy::default();
        let time = 3 * BUSY_SPAN;
        assert_eq!(busy.read(&Reading { time, ran: time, waited: time }), 1_000);
    }
}
