//! The time for which a shard could run and did not get its core, which the kernel counts. Owned by the balance of a shard.

use std::time::Duration;

use crate::carrier::Strain;
use crate::limits::{ROOM_RUN_PERCENT, ROOM_WAIT_PERCENT, RUN_DELAY_PERIODS, STARVED_PERCENT, STARVED_RUNS};

/// Shares of time, in thousandths, smoothed over [`RUN_DELAY_PERIODS`] readings.
#[derive(Default)]
pub(super) struct RunDelay {
    waits: u32,
    runs: u32,
    strain: Strain,
}

impl RunDelay {
    /// Takes a reading: in this time a shard `ran` for so long, and `waited` for its core. Returns its strain, if that has
    /// changed. One that is starved
    /// is so while it waits for much longer than it runs, until it has room: without sessions it only waits with its ticks.
    pub(super) fn read(&mut self, time: Duration, ran: Duration, waited: Duration) -> Option<Strain> {
        let share = |part: Duration| {
            let thousandths = 1_000 * part.as_nanos() / time.as_nanos().max(1);
            u32::try_from(thousandths.min(1_000)).expect("it is a share")
        };
        for (smooth, new) in [(&mut self.waits, share(waited)), (&mut self.runs, share(ran))] {
            *smooth = (*smooth * (RUN_DELAY_PERIODS - 1) + new) / RUN_DELAY_PERIODS;
        }
        let has_room = self.waits <= 10 * ROOM_WAIT_PERCENT && self.runs <= 10 * ROOM_RUN_PERCENT;
        let is_enough = self.waits >= 10 * STARVED_PERCENT || self.strain == Strain::Starved;
        let is_starved = is_enough && self.waits >= STARVED_RUNS * self.runs;
        let strain = match (has_room, is_starved) {
            (true, _) => Strain::Free,
            (false, true) => Strain::Starved,
            (false, false) => Strain::Busy,
        };
        (std::mem::replace(&mut self.strain, strain) != strain).then_some(strain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(100);

    /// The strain after so many readings of these shares, in percent.
    fn after(delay: &mut RunDelay, readings: u32, runs: u32, waits: u32) -> Strain {
        for _ in 0..readings {
            delay.read(PERIOD, PERIOD * runs / 100, PERIOD * waits / 100);
        }
        delay.strain
    }

    #[test]
    fn a_shard_is_starved_when_it_hardly_runs_and_waits_for_most_of_the_time() {
        for (runs, waits, strain) in [
            (0, 0, Strain::Free),
            (1, 5, Strain::Free),
            (90, 5, Strain::Busy),
            (1, 20, Strain::Busy),
            (50, 50, Strain::Busy),
            (25, 75, Strain::Busy),
            (10, 80, Strain::Starved),
            (1, 60, Strain::Starved),
        ] {
            let mut delay = RunDelay::default();
            assert_eq!(after(&mut delay, 50, runs, waits), strain, "runs {runs} %, waits {waits} %");
        }
    }

    #[test]
    fn a_short_burst_is_not_enough_and_a_starved_shard_is_so_until_it_has_room() {
        let mut delay = RunDelay::default();
        assert_ne!(after(&mut delay, 2, 0, 90), Strain::Starved);
        assert_eq!(after(&mut delay, 20, 0, 90), Strain::Starved);
        assert_eq!(after(&mut delay, 50, 0, 15), Strain::Starved, "it only waits with ticks now");
        assert_eq!(after(&mut delay, 50, 0, 0), Strain::Free);
    }

    #[test]
    fn a_reading_of_no_time_or_more_than_all_of_it_is_a_share_all_the_same() {
        let mut delay = RunDelay::default();
        assert_eq!(delay.read(Duration::ZERO, PERIOD, PERIOD), Some(Strain::Busy));
        assert_eq!(after(&mut delay, 50, 300, 300), Strain::Busy);
    }
}
