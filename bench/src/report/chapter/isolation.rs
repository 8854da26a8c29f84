//! Owns the isolation of healthy subscribers from slow ones: their 99th percentile with and without.

use super::super::document::{Block, Figure};
use super::super::plot::Chart;
use super::super::plot::bars::{Bars, Group, key};
use super::super::source::Source;
use super::counts::about_latencies;
use super::family::{OverRounds, name_runs, over_rounds, p99, rate, slow};
use super::quartiles::name_of;
use crate::order::{distinct, grouped};
use crate::results::Entry;
use crate::unit::{Unit, counted, digits, payload};

/// Colours of runs without and with slow subscribers.
const WITHOUT: usize = 2;
const WITH: usize = 3;

/// One kind of run, without slow subscribers and with.
pub(crate) struct Pair<'a> {
    pub(crate) heading: String,
    pub(crate) without: OverRounds,
    pub(crate) with: Vec<With>,
    runs: Vec<&'a Entry>,
}

/// The healthy ones, beside some slow.
pub(crate) struct With {
    pub(crate) name: String,
    pub(crate) p99_us: OverRounds,
    /// The ratio of each round, where the experiment has put it into the record.
    by_round: Option<OverRounds>,
}

/// The name of that figure in `extra`.
const RATIO: &str = "isolation_ratio";

impl With {
    /// By how much slow subscribers moved the healthy ones' p99: the median over rounds, if it is known of each.
    pub(crate) fn ratio(&self, pair: &Pair<'_>) -> f64 {
        self.by_round.map_or(self.p99_us.median / pair.without.median, |ratio| ratio.median)
    }
}

/// Each kind of run that was made both without and with slow subscribers.
pub(crate) fn pairs<'a>(runs: &[&'a Entry]) -> Vec<Pair<'a>> {
    let kind = |entry: &Entry| {
        let run = &entry.record;
        let rate = rate(run);
        let (who, sessions, size) = (name_of(run), &run.sessions, payload(run.size_bytes));
        let subscribers = counted(run.subscribers as usize, "subscriber");
        format!("{who}, sessions {sessions}, {subscribers}, {size}, {rate}")
    };
    let pair = |(heading, alike): (String, Vec<&'a Entry>)| {
        let names = distinct(alike.iter().filter_map(|entry| slow(&entry.record)));
        let rounds_of = |kind: Option<&String>| -> Vec<&Entry> {
            alike.iter().copied().filter(|entry| slow(&entry.record).as_ref() == kind).collect()
        };
        let p99 = |kind: Option<&String>| over_rounds(&rounds_of(kind), p99);
        let with = |name: &String| {
            let by_round = over_rounds(&rounds_of(Some(name)), |run| run.extra.get(RATIO).copied());
            Some(With { name: name.clone(), p99_us: p99(Some(name))?, by_round })
        };
        let with: Vec<With> = names.iter().filter_map(with).collect();
        let without = p99(None)?;
        (!with.is_empty()).then_some(Pair { heading, without, with, runs: alike })
    };
    grouped(runs.iter().copied(), |entry| kind(entry)).into_iter().filter_map(pair).collect()
}

/// The plot.
pub(crate) fn blocks(source: &Source, runs: &[&Entry]) -> Vec<Block> {
    let pairs = pairs(runs);
    if pairs.is_empty() {
        return Vec::new();
    }
    let group =
        |pair: &Pair<'_>| {
            let mut bars = vec![pair.without.bar("all healthy", WITHOUT, String::new())];
            bars.extend(pair.with.iter().map(|with| {
                with.p99_us.bar(&with.name, WITH, format!("ratio {}", digits(with.ratio(pair))))
            }));
            Group { heading: pair.heading.clone(), bars }
        };
    let groups: Vec<Group> = pairs.iter().map(group).collect();
    let shown: Vec<&Entry> = pairs.iter().flat_map(|pair| pair.runs.iter().copied()).collect();
    vec![Block::figure(Figure {
        slug: "isolation".into(),
        title: "What slow subscribers cost the healthy ones".into(),
        chart: Chart::Bars(Bars::new(
            ("99th percentile of latency at healthy subscribers", Unit::Us),
            vec![key("all healthy", WITHOUT), key("beside slow ones", WITH)],
            groups,
        )),
        caption: format!(
            "The 99th percentile at the subscribers that are not slow; the ratio is that with slow ones over that \
             without, the median over rounds. 1 is perfect isolation.{}",
            about_latencies(&shown)
        ),
        runs: name_runs(&source.name, &shown),
    })]
}
