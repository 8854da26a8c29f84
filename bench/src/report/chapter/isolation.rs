//! Owns the isolation of healthy subscribers from slow ones: their 99th percentile with and without.

use super::super::document::{Block, Figure};
use super::super::plot::Chart;
use super::super::plot::bars::{Bar, Bars, Group, key};
use super::super::plot::frame::Axis;
use super::super::plot::scale::Scale;
use super::super::source::Source;
use super::super::unit::{Unit, counted, digits, payload};
use super::counts::about_latencies;
use super::family::{OverRounds, name_runs, one_way, over_rounds, rate, slow};
use super::quartiles::name_of;
use crate::results::Entry;

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
    let mut kinds: Vec<String> = Vec::new();
    for heading in runs.iter().map(|entry| kind(entry)) {
        if !kinds.contains(&heading) {
            kinds.push(heading);
        }
    }
    let pair = |heading: String| {
        let alike: Vec<&Entry> = runs.iter().copied().filter(|entry| kind(entry) == heading).collect();
        let mut names: Vec<String> = Vec::new();
        for name in alike.iter().filter_map(|entry| slow(&entry.record)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let rounds_of = |kind: Option<&String>| -> Vec<&Entry> {
            alike.iter().copied().filter(|entry| slow(&entry.record).as_ref() == kind).collect()
        };
        let p99 = |kind: Option<&String>| {
            over_rounds(&rounds_of(kind), |run| one_way(run, run.latency_us, |summary| summary.p99))
        };
        let with = |name: &String| {
            let by_round = over_rounds(&rounds_of(Some(name)), |run| run.extra.get(RATIO).copied());
            Some(With { name: name.clone(), p99_us: p99(Some(name))?, by_round })
        };
        let with: Vec<With> = names.iter().filter_map(with).collect();
        let without = p99(None)?;
        (!with.is_empty()).then_some(Pair { heading, without, with, runs: alike })
    };
    kinds.into_iter().filter_map(pair).collect()
}

/// The plot.
pub(crate) fn blocks(source: &Source, runs: &[&Entry]) -> Vec<Block> {
    let pairs = pairs(runs);
    if pairs.is_empty() {
        return Vec::new();
    }
    let bar = |name: &str, series, over: &OverRounds, words: String| Bar {
        name: name.to_owned(),
        series,
        value: over.median,
        spread: over.spread(),
        words,
    };
    let group =
        |pair: &Pair<'_>| {
            let mut bars = vec![bar("all healthy", WITHOUT, &pair.without, String::new())];
            bars.extend(pair.with.iter().map(|with| {
                bar(&with.name, WITH, &with.p99_us, format!("ratio {}", digits(with.ratio(pair))))
            }));
            Group { heading: pair.heading.clone(), bars }
        };
    let groups: Vec<Group> = pairs.iter().map(group).collect();
    let bars = groups.iter().flat_map(|group| &group.bars);
    let ends: Vec<f64> = bars.map(|bar| bar.spread.map_or(bar.value, |(_, high)| high)).collect();
    let shown: Vec<&Entry> = pairs.iter().flat_map(|pair| pair.runs.iter().copied()).collect();
    vec![Block::figure(Figure {
        slug: "isolation".into(),
        title: "What slow subscribers cost the healthy ones".into(),
        chart: Chart::Bars(Bars {
            axis: Axis::new(
                "99th percentile of latency at healthy subscribers",
                Scale::linear(ends, Unit::Us),
            ),
            keys: vec![key("all healthy", WITHOUT), key("beside slow ones", WITH)],
            groups,
        }),
        caption: format!(
            "The 99th percentile at the subscribers that are not slow; the ratio is that with slow ones over that \
             without, the median over rounds. 1 is perfect isolation.{}",
            about_latencies(&shown)
        ),
        runs: name_runs(&source.name, &shown),
    })]
}
