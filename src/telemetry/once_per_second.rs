//! Owns the limit on repeated log lines. Each shard has one of these, which is given the time and reads no clock.

use std::time::Duration;

use corecast_executors::MonotonicNs;

/// Shortest time between two lines with the same reason.
const PERIOD: Duration = Duration::from_secs(1);

/// Lets one line a second through for each reason, and counts the others, so that the next line can say how many
/// there were. Reasons are literals: a handful, so a list is enough.
#[derive(Debug, Default)]
pub struct OncePerSecond {
    reasons: Vec<Reason>,
}

#[derive(Debug)]
struct Reason {
    name: &'static str,
    last_line: MonotonicNs,
    suppressed: u64,
}

impl OncePerSecond {
    /// A limit that has seen no line yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns `Some` if a line with this reason may be written now, with the number of lines left out since the last
    /// one, which the line should mention.
    pub fn allow(&mut self, reason: &'static str, now: MonotonicNs) -> Option<u64> {
        match self.reasons.iter_mut().find(|known| known.name == reason) {
            None => {
                self.reasons.push(Reason { name: reason, last_line: now, suppressed: 0 });
                Some(0)
            }
            Some(known) if now.saturating_since(known.last_line) >= PERIOD => {
                known.last_line = now;
                Some(std::mem::take(&mut known.suppressed))
            }
            Some(known) => {
                known.suppressed += 1;
                None
            }
        }
    }

    /// True if a line with this reason may be written now. For sums that grow until then: nothing counts as left out.
    pub fn is_due(&self, reason: &'static str, now: MonotonicNs) -> bool {
        let known = self.reasons.iter().find(|known| known.name == reason);
        known.is_none_or(|known| now.saturating_since(known.last_line) >= PERIOD)
    }

    /// Calls `say`, on ticks, with each reason that suppressed lines and had none for a second in which it might have had one,
    /// and their number. So the end of a burst is reported, too, and while it lasts each line says what one of them would.
    pub fn overdue(&mut self, now: MonotonicNs, mut say: impl FnMut(&'static str, u64)) {
        for known in &mut self.reasons {
            if known.suppressed > 0 && now.saturating_since(known.last_line) >= 2 * PERIOD {
                known.last_line = now;
                say(known.name, std::mem::take(&mut known.suppressed));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_for_each_reason() {
        let start = MonotonicNs(1);
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut limit = OncePerSecond::new();
        assert_eq!(limit.allow("accept", at(0)), Some(0));
        assert_eq!(limit.allow("accept", at(1)), None);
        assert_eq!(limit.allow("malformed", at(1)), Some(0));
        assert_eq!(limit.allow("accept", at(999)), None);
        assert_eq!(limit.allow("accept", at(1000)), Some(2));
        assert_eq!(limit.allow("accept", at(1001)), None);
        assert_eq!(limit.allow("accept", at(5000)), Some(1));
    }

    #[test]
    fn a_burst_that_lasts_has_a_line_of_its_own_each_second() {
        let start = MonotonicNs(1);
        let mut limit = OncePerSecond::new();
        let mut lines = Vec::new();
        for ms in (0..10_000).step_by(10) {
            let now = start + Duration::from_millis(ms);
            limit.overdue(now, |reason, _| {
                unreachable!("{reason} in the place of a line that names somebody")
            });
            lines.extend(limit.allow("unauthenticated", now));
        }
        assert_eq!(lines, [&[0][..], &[99; 9]].concat());
    }

    #[test]
    fn the_end_of_a_burst_is_told_once() {
        let start = MonotonicNs(1);
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut limit = OncePerSecond::new();
        for ms in 0..10 {
            limit.allow("malformed", at(ms));
        }
        limit.allow("accept", at(0));
        let mut told = Vec::new();
        limit.overdue(at(1999), |reason, suppressed| told.push((reason, suppressed)));
        assert!(told.is_empty());
        limit.overdue(at(2000), |reason, suppressed| told.push((reason, suppressed)));
        limit.overdue(at(3000), |reason, suppressed| told.push((reason, suppressed)));
        assert_eq!(told, [("malformed", 9)]);
    }
}
