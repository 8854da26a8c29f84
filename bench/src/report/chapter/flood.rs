//! Owns the plot of floods: deliveries a second over the number of subscribers, by mode and payload.

use super::super::document::{Block, Figure};
use super::super::plot::Chart;
use super::super::plot::frame::{Axis, Dash, Shape};
use super::super::plot::lines::{Line, Lines};
use super::super::plot::scale::Scale;
use super::super::plot::theme::OTHERS;
use super::super::source::Source;
use super::counts::SUBSCRIBERS;
use super::family::{Look, WHOLE, line_over_counts, mode_look, name_runs};
use crate::order::{distinct, rising};
use crate::record::RunRecord;
use crate::results::Entry;
use crate::unit::{Unit, payload};
use std::collections::{BTreeMap, BTreeSet};

/// The plot, if floods were run at several numbers of subscribers.
pub(crate) fn blocks(source: &Source, runs: &[&Entry]) -> Vec<Block> {
    let floods: Vec<&Entry> = runs
        .iter()
        .copied()
        .filter(|entry| entry.record.rate_hz.is_none() && entry.record.peer.is_none())
        .collect();
    let searches: Vec<&Entry> = runs.iter().copied().filter(|entry| is_whole(&entry.record)).collect();
    let counts: Vec<u64> = floods.iter().map(|entry| entry.record.subscribers).collect();
    if counts.iter().collect::<BTreeSet<_>>().len() < 2 {
        return Vec::new();
    }
    let mut lines = lines(&floods);
    lines.extend(paced(&searches));
    let x = Axis::new(SUBSCRIBERS, Scale::counts(&counts));
    let chart = Lines::new(x, ("deliveries a second", Unit::PerS), lines);
    vec![Block::figure(Figure {
        slug: "flood".into(),
        title: "Deliveries a second, as fast as it goes".into(),
        chart: Chart::Lines(chart),
        caption: "Floods are published as fast as messages are taken; the overflow policy `block` holds publishers \
                  back, so that all of it is delivered. Paced is the highest rate of a search at which nobody was \
                  held back and nothing was dropped. Deliveries over the time from the start to the last arrival."
            .into(),
        runs: name_runs(&source.name, &floods.iter().chain(&searches).copied().collect::<Vec<_>>()),
    })]
}

/// True for a run of a search, at a rate that was delivered whole.
fn is_whole(run: &RunRecord) -> bool {
    run.extra.get(WHOLE).is_some_and(|whole| *whole == 1.0)
}

/// The highest rate of each search, over the number of subscribers; a line for each mode.
fn paced(searches: &[&Entry]) -> Vec<Line> {
    let modes: BTreeSet<&str> = searches.iter().map(|entry| &entry.record.mode[..]).collect();
    let line = |mode: &str| {
        let mut best: BTreeMap<u64, f64> = BTreeMap::new();
        for run in searches.iter().map(|entry| &entry.record).filter(|run| run.mode == mode) {
            let most = best.entry(run.subscribers).or_default();
            *most = most.max(run.deliveries_per_s);
        }
        let size = searches.first().map_or(0, |entry| entry.record.size_bytes);
        Line {
            name: format!("{mode}, {}, paced", payload(size)),
            series: OTHERS,
            dash: Dash::Dashed,
            shape: Some(Shape::Diamond),
            points: best.into_iter().map(|(count, per_s)| (count as f64, per_s)).collect(),
        }
    };
    modes.into_iter().map(line).collect()
}

/// One line for each mode, sessions and payload: colour by payload where there are several, else by mode.
fn lines(floods: &[&Entry]) -> Vec<Line> {
    let records = floods.iter().map(|entry| &entry.record);
    let kinds = distinct(records.map(|run| (run.mode.clone(), run.sessions.clone(), run.size_bytes)));
    let sizes = rising(kinds.iter().map(|(_, _, size)| *size));
    let several = |different: BTreeSet<&String>| different.len() > 1;
    let modes = several(kinds.iter().map(|(mode, ..)| mode).collect());
    let sessions = several(kinds.iter().map(|(_, sessions, _)| sessions).collect());
    kinds
        .iter()
        .map(|(mode, session, size)| {
            let size_number = sizes.iter().position(|other| other == size).unwrap_or(0);
            let mut parts: Vec<String> = Vec::new();
            parts.extend(modes.then(|| mode.clone()));
            parts.extend((sizes.len() > 1).then(|| payload(*size)));
            parts.extend(sessions.then(|| session.clone()));
            let name = if parts.is_empty() { mode.clone() } else { parts.join(", ") };
            let mut look = Look::numbered(name, size_number);
            let (mode_series, mode_shape) = mode_look(mode);
            if sizes.len() == 1 {
                look.series = mode_series;
            }
            if modes {
                look.shape = mode_shape;
                look.dash = if mode == "direct" { Dash::Dashed } else { Dash::Solid };
            }
            let alike = |entry: &&Entry| {
                let run = &entry.record;
                (&run.mode, &run.sessions, run.size_bytes) == (mode, session, *size)
            };
            let runs: Vec<&Entry> = floods.iter().copied().filter(alike).collect();
            line_over_counts(look, &runs, |run| Some(run.deliveries_per_s).filter(|per_s| *per_s > 0.0))
        })
        .collect()
}
