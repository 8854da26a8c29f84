//! Owns when the next message is due. `pub --rate` uses it; the thread that waits is the command's own.

use std::time::{Duration, Instant};

/// The time by which a schedule that may slip runs late: bursts to make up for late wake-ups, and no more than
/// a tenth of a second's worth.
const CATCH_UP_MAX: Duration = Duration::from_millis(100);

/// The lateness of the last message up to which the rate counts as reached: a twentieth of the whole time, and at
/// least this.
const LATE_MIN: Duration = Duration::from_millis(100);
const LATE_DIVISOR: u32 = 20;

/// A schedule of so many messages a second.
#[derive(Debug)]
pub(super) struct Pace {
    period: Duration,
    start: Instant,
    due: Instant,
    may_slip: bool,
}

impl Pace {
    /// A schedule that starts now. One that may slip takes the rate as the most that is allowed, for sources
    /// that have a pace of their own; the other makes up for all delays.
    pub(super) fn start(rate_hz: f64, may_slip: bool) -> Self {
        let now = Instant::now();
        Pace { period: Duration::from_secs_f64(1.0 / rate_hz), start: now, due: now, may_slip }
    }

    /// Returns when the next message is due: `wait_until` waits for that.
    pub(super) fn wait(&mut self, wait_until: impl FnOnce(Instant)) {
        let now = Instant::now();
        if self.due > now {
            wait_until(self.due);
        } else if self.may_slip {
            self.due = self.due.max(now.checked_sub(CATCH_UP_MAX).unwrap_or(now));
        }
        self.due += self.period;
    }

    /// True if the rate was kept so far.
    pub(super) fn is_kept(&self) -> bool {
        if self.may_slip {
            return true;
        }
        let late = self.start.elapsed().saturating_sub(self.due - self.start);
        late <= LATE_MIN.max((self.due - self.start) / LATE_DIVISOR)
    }
}

#[cfg(test)]
mod tests {
    use corecast_executors::pause;

    use super::*;

    fn until(due: Instant) {
        pause(due.saturating_duration_since(Instant::now()));
    }

    #[test]
    fn nothing_is_early() {
        let mut pace = Pace::start(1000.0, false);
        let start = pace.start;
        for i in 0..20 {
            pace.wait(until);
            assert!(start.elapsed() >= Duration::from_millis(i));
        }
    }

    #[test]
    fn a_rate_that_nobody_can_keep_is_told() {
        let mut pace = Pace::start(1e9, false);
        pace.wait(until);
        assert!(pace.is_kept());
        pace.start = pace.start.checked_sub(Duration::from_secs(1)).expect("the host is up for a second");
        pace.due = pace.start;
        pace.wait(until);
        assert!(!pace.is_kept());
        pace.may_slip = true;
        assert!(pace.is_kept());
    }
}
