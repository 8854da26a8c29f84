//! Strikes of a session: publishing what it may not, which is an error of its client, and an attack if it goes on.

use corecast_executors::MonotonicNs;

use crate::limits::{STRIKES_MAX, STRIKES_PERIOD};

/// The strikes of one session within a period.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Strikes {
    count: u32,
    /// When the first of them was.
    since: MonotonicNs,
}

impl Strikes {
    /// Adds a strike. `false`: it is one too many within the period.
    pub(super) fn add(&mut self, now: MonotonicNs) -> bool {
        if self.count == 0 || now.saturating_since(self.since) >= STRIKES_PERIOD {
            *self = Strikes { count: 0, since: now };
        }
        self.count += 1;
        self.count < STRIKES_MAX
    }

    /// True if there are none within the period.
    pub(super) fn are_over(&self, now: MonotonicNs) -> bool {
        self.count == 0 || now.saturating_since(self.since) >= STRIKES_PERIOD
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_third_within_a_second_is_one_too_many() {
        let start = MonotonicNs(1);
        let at = |ms| start + Duration::from_millis(ms);
        let mut strikes = Strikes::default();
        assert!(strikes.add(at(0)) && strikes.add(at(400)) && !strikes.add(at(900)));
        let mut strikes = Strikes::default();
        assert!(
            strikes.add(at(0)) && strikes.add(at(400)) && strikes.add(at(1_000)) && strikes.add(at(1_900))
        );
    }
}
