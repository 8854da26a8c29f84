//! Owns the figures of a whole experiment, which no single run has: the figure of one run over that of another, round by
//! round.

use crate::record::{RatioRecord, RunRecord};
use crate::results::Entry;
use std::collections::BTreeMap;

/// Figures by name: over the rounds the median, the least and the greatest.
pub type FiguresByName = BTreeMap<String, RatioRecord>;

/// The figures of one name, round by round.
pub type Rounds = Vec<(&'static str, Vec<f64>)>;

/// Sums up the rounds; a figure that no round has is absent.
pub fn over_rounds(rounds: Rounds) -> FiguresByName {
    rounds
        .into_iter()
        .filter_map(|(name, values)| Some((name.to_owned(), RatioRecord::over(values)?)))
        .collect()
}

/// The runs that went to their end.
pub fn whole(runs: &[Entry]) -> impl Iterator<Item = &RunRecord> + Clone {
    runs.iter().map(|entry| &entry.record).filter(|record| record.incomplete.is_none())
}
