//! Owns the search for the highest rate that is delivered whole: which rate comes next, by how the last ones went. It
//! knows of runs only whether each was whole.

use crate::record::RunRecord;

/// Factor from one rate to the next, as long as only one end of the range is known.
const STRIDE: f64 = 1.5;
/// The range that is near enough: nobody needs a rate to less than a twentieth.
const NEAR_ENOUGH: f64 = 1.05;
/// Time after the end of sending within which the last delivery must come: a part of the sending time, plus seconds.
const TAIL_PART: f64 = 0.1;
const TAIL_S: f64 = 0.1;

/// A search that is under way.
#[derive(Clone, Copy, Debug)]
pub struct RateSearch {
    first_hz: f64,
    whole_hz: Option<f64>,
    broken_hz: Option<f64>,
}

impl RateSearch {
    /// Begins at this rate.
    pub fn from(first_hz: f64) -> Self {
        RateSearch { first_hz, whole_hz: None, broken_hz: None }
    }

    /// The rate to try next, or `None` if the highest is known well enough.
    pub fn next_hz(&self) -> Option<f64> {
        match (self.whole_hz, self.broken_hz) {
            (None, None) => Some(self.first_hz),
            (Some(whole), None) => Some(whole * STRIDE),
            (None, Some(broken)) => Some(broken / STRIDE),
            (Some(whole), Some(broken)) if broken / whole <= NEAR_ENOUGH => None,
            (Some(whole), Some(broken)) => Some((whole * broken).sqrt()),
        }
    }

    /// Takes in how a run at this rate went.
    pub fn take(&mut self, rate_hz: f64, whole: bool) {
        if whole {
            self.whole_hz = Some(self.whole_hz.map_or(rate_hz, |known| known.max(rate_hz)));
        } else {
            self.broken_hz = Some(self.broken_hz.map_or(rate_hz, |known| known.min(rate_hz)));
        }
    }
}

/// True if a run was delivered whole, and as fast as it was sent: see `catalogue/flood.rs`.
pub fn is_whole(record: &RunRecord, sending_s: f64) -> bool {
    record.incomplete.is_none()
        && record.gaps_reported == 0
        && record.lost == 0
        && record.duration_s <= sending_s * (1.0 + TAIL_PART) + TAIL_S
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(limit_hz: f64, first_hz: f64) -> (f64, u32) {
        let mut search = RateSearch::from(first_hz);
        let mut runs = 0;
        while let Some(rate_hz) = search.next_hz() {
            search.take(rate_hz, rate_hz <= limit_hz);
            runs += 1;
            assert!(runs < 40, "it does not end");
        }
        (search.whole_hz.unwrap(), runs)
    }

    #[test]
    fn it_closes_in_on_the_limit_from_wherever_it_begins() {
        for first_hz in [10.0, 900.0, 1_000.0, 1_100.0, 50_000.0] {
            let (rate_hz, _) = found(1_000.0, first_hz);
            assert!((1_000.0 / NEAR_ENOUGH..=1_000.0).contains(&rate_hz), "{first_hz}: {rate_hz}");
        }
        assert!(found(1_000.0, 1_100.0).1 <= 7, "eight runs are enough from near by");
    }

    #[test]
    fn a_queue_that_grows_all_the_time_is_not_whole() {
        let run = RunRecord { duration_s: 2.2, ..RunRecord::default() };
        assert!(is_whole(&run, 2.0));
        assert!(!is_whole(&RunRecord { duration_s: 2.5, ..run.clone() }, 2.0));
        assert!(!is_whole(&RunRecord { gaps_reported: 1, ..run.clone() }, 2.0));
        assert!(!is_whole(&RunRecord { incomplete: Some("interrupted".into()), ..run }, 2.0));
    }
}
