//! Owns how runs are put together: those that differ only in mode and number of subscribers are a family, and rounds
//! of the same run are one point, their median.

use super::super::plot::bars::Bar;
use super::super::plot::frame::{Dash, SHAPES, Shape};
use super::super::plot::lines::Line;
use super::super::plot::theme::{DIRECT, PROXY};
use crate::measure::latency::Summary;
use crate::order::{grouped, rising};
use crate::record::RunRecord;
use crate::results::Entry;
use crate::unit::{counted, payload, tick};
use std::collections::BTreeSet;

/// Runs that can stand in one plot over the number of subscribers.
#[derive(Clone, Debug)]
pub(crate) struct Family<'a> {
    /// The traits that set it apart from the others: `sessions per-executor, 1 KiB`; empty if there is only one.
    pub(crate) title: String,
    pub(crate) runs: Vec<&'a Entry>,
}

/// The name of a figure in `extra` of runs that look for a rate: 1 if all was delivered at theirs.
pub(crate) const WHOLE: &str = "whole";

/// The parts of a family's name; one that says nothing is empty.
type Traits = Vec<String>;

/// Traits that set runs apart, but for mode, number of subscribers and round.
fn traits(run: &RunRecord) -> Traits {
    let word = |word: &Option<String>, what: &str| {
        word.as_ref().map_or_else(String::new, |word| format!("{what}{word}"))
    };
    vec![
        format!("sessions {}", run.sessions),
        run.transport.clone(),
        payload(run.size_bytes),
        rate(run),
        counted(run.publishers as usize, "publisher"),
        word(&run.clients, "clients "),
        slow(run).unwrap_or_default(),
        word(&run.idle, "idle "),
        word(&run.overflow, "overflow "),
    ]
}

/// The rate in words. A search for a rate has a family of its own, whatever it tried.
pub(crate) fn rate(run: &RunRecord) -> String {
    match run.rate_hz {
        _ if run.extra.contains_key(WHOLE) => "a search for the rate".into(),
        Some(rate_hz) => format!("{rate_hz} messages/s"),
        None => "flood".into(),
    }
}

/// The slow subscribers in words; `None` if there were none.
pub(crate) fn slow(run: &RunRecord) -> Option<String> {
    let slow = run.slow_subscribers.filter(|slow| *slow > 0)?;
    Some(match run.extra.get("slow_delay_ms") {
        Some(ms) if *ms > 0.0 => format!("{slow} slow by {} ms", tick(*ms)),
        Some(_) => format!("{slow} stalled"),
        None => format!("{slow} slow"),
    })
}

/// The families of these runs, in the order in which they appear; numbers of shards are apart.
pub(crate) fn families<'a>(runs: &[&'a Entry]) -> Vec<Family<'a>> {
    let apart = shards_differ(runs);
    families_by(runs, |run| {
        let mut traits = traits(run);
        traits.push(if apart { counted(run.shards.len(), "shard") } else { String::new() });
        traits
    })
}

/// The families of these runs, with all numbers of shards in one.
pub(crate) fn families_of_any_shards<'a>(runs: &[&'a Entry]) -> Vec<Family<'a>> {
    families_by(runs, traits)
}

/// True if one mode was run with different numbers of shards.
pub(crate) fn shards_differ(runs: &[&Entry]) -> bool {
    let known = runs.iter().filter(|entry| !entry.record.shards.is_empty());
    let kinds: BTreeSet<(&str, usize)> =
        known.map(|entry| (&entry.record.mode[..], entry.record.shards.len())).collect();
    let modes: BTreeSet<&str> = kinds.iter().map(|(mode, _)| *mode).collect();
    kinds.len() > modes.len()
}

fn families_by<'a>(runs: &[&'a Entry], traits: impl Fn(&RunRecord) -> Traits) -> Vec<Family<'a>> {
    let families = grouped(runs.iter().copied(), |entry| traits(&entry.record));
    let order: Vec<&Traits> = families.iter().map(|(traits, _)| traits).collect();
    let parts = order.first().map_or(0, |traits| traits.len());
    let differs = |part: usize| order.iter().map(|traits| &traits[part]).collect::<BTreeSet<_>>().len() > 1;
    let differs: Vec<bool> = (0..parts).map(differs).collect();
    let title = |traits: &Traits| {
        let parts = traits.iter().zip(&differs).filter(|(text, differs)| **differs && !text.is_empty());
        parts.map(|(text, _)| text.clone()).collect::<Vec<_>>().join(", ")
    };
    families.iter().map(|(traits, runs)| Family { title: title(traits), runs: runs.clone() }).collect()
}

impl<'a> Family<'a> {
    /// The numbers of subscribers, rising.
    pub(crate) fn counts(&self) -> Vec<u64> {
        counts_of(&self.runs)
    }

    /// The modes that were run, proxy first.
    pub(crate) fn modes(&self) -> Vec<&'a str> {
        let mut modes: Vec<&str> = self.runs.iter().map(|entry| &entry.record.mode[..]).collect();
        modes.sort_unstable_by(|one, other| other.cmp(one));
        modes.dedup();
        modes
    }

    /// The runs of one mode.
    pub(crate) fn of_mode(&self, mode: &str) -> Vec<&'a Entry> {
        self.runs.iter().copied().filter(|entry| entry.record.mode == mode).collect()
    }

    /// The runs of one mode and number of subscribers: one, or its rounds.
    pub(crate) fn rounds(&self, mode: &str, count: u64) -> Vec<&'a Entry> {
        let mut rounds = self.of_mode(mode);
        rounds.retain(|entry| entry.record.subscribers == count);
        rounds
    }

    /// `Title: `, to set before a sentence; nothing if there is no other family.
    pub(crate) fn before(&self) -> String {
        let mut letters = self.title.chars();
        letters
            .next()
            .map_or_else(String::new, |first| format!("{}{}: ", first.to_uppercase(), letters.as_str()))
    }

    /// ` (title)`, to set behind something; nothing if there is no other family.
    pub(crate) fn behind(&self) -> String {
        if self.title.is_empty() { String::new() } else { format!(" ({})", self.title) }
    }
}

/// The median of several rounds, with the least and the greatest.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct OverRounds {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) rounds: usize,
}

impl OverRounds {
    /// The median and the ends of these values; `None` if there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(OverRounds { median, low, high, rounds: values.len() })
    }

    /// The ends, if they are not the same.
    pub(crate) fn spread(&self) -> Option<(f64, f64)> {
        (self.rounds > 1).then_some((self.low, self.high))
    }

    /// A bar that shows them.
    pub(crate) fn bar(&self, name: &str, series: usize, words: String) -> Bar {
        Bar { name: name.to_owned(), series, value: self.median, spread: self.spread(), words }
    }
}

/// The median over these rounds of a figure that a run may not have.
pub(crate) fn over_rounds(
    rounds: &[&Entry],
    figure: impl Fn(&RunRecord) -> Option<f64>,
) -> Option<OverRounds> {
    OverRounds::of(rounds.iter().filter_map(|entry| figure(&entry.record)))
}

/// A one-way latency of this run in microseconds, unless the clocks may be as wrong as it is long.
pub(crate) fn one_way(
    run: &RunRecord,
    summary: Option<Summary>,
    figure: impl Fn(&Summary) -> f64,
) -> Option<f64> {
    let us = figure(&summary?);
    (run.clock_error_us.is_none_or(|error_us| us >= error_us)).then_some(us)
}

/// Median latency of a run at every subscriber.
pub(crate) fn median(run: &RunRecord) -> Option<f64> {
    one_way(run, run.latency_us, |summary| summary.median)
}

/// The 99th percentile of its latency.
pub(crate) fn p99(run: &RunRecord) -> Option<f64> {
    one_way(run, run.latency_us, |summary| summary.p99)
}

/// Median time to its last subscriber.
pub(crate) fn median_to_last(run: &RunRecord) -> Option<f64> {
    one_way(run, run.last_subscriber_us, |summary| summary.median)
}

/// The runs at a rate of their own, without floods.
pub(crate) fn paced<'a>(runs: &[&'a Entry]) -> Vec<&'a Entry> {
    runs.iter().copied().filter(|entry| entry.record.rate_hz.is_some()).collect()
}

/// Numbers of subscribers, rising.
pub(crate) fn counts_of(runs: &[&Entry]) -> Vec<u64> {
    rising(runs.iter().map(|entry| entry.record.subscribers))
}

/// The largest error of clocks of these runs.
pub(crate) fn clock_error(runs: &[&Entry]) -> Option<f64> {
    runs.iter().filter_map(|entry| entry.record.clock_error_us).max_by(f64::total_cmp)
}

/// The look of a series over counts.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) name: String,
    pub(crate) series: usize,
    pub(crate) dash: Dash,
    pub(crate) shape: Shape,
}

impl Look {
    /// The look of a mode.
    pub(crate) fn of_mode(mode: &str, what: &str, dash: Dash) -> Self {
        let (series, shape) = mode_look(mode);
        let name = if what.is_empty() { mode.to_owned() } else { format!("{mode}, {what}") };
        Look { name, series, dash, shape }
    }

    /// The look of the series of this number, where colours mean no mode.
    pub(crate) fn numbered(name: String, number: usize) -> Self {
        Look { name, series: number, dash: Dash::Solid, shape: SHAPES[number % SHAPES.len()] }
    }

    /// A line of this look.
    pub(crate) fn line(self, points: Vec<(f64, f64)>) -> Line {
        let Look { name, series, dash, shape } = self;
        Line { name, series, dash, shape: Some(shape), points }
    }
}

/// Colour and shape of a mode.
pub(crate) fn mode_look(mode: &str) -> (usize, Shape) {
    if mode == "direct" { (DIRECT, Shape::Square) } else { (PROXY, Shape::Circle) }
}

/// A line over the number of subscribers: at each, the median over its rounds.
pub(crate) fn line_over_counts(
    look: Look,
    runs: &[&Entry],
    figure: impl Fn(&RunRecord) -> Option<f64>,
) -> Line {
    let point = |count: u64| {
        let rounds = runs.iter().copied().filter(|entry| entry.record.subscribers == count);
        Some((count as f64, over_rounds(&rounds.collect::<Vec<_>>(), &figure)?.median))
    };
    look.line(counts_of(runs).into_iter().filter_map(point).collect())
}

/// Names runs shortly: their numbers, where they follow each other from the first to the last.
pub(crate) fn name_runs(source: &str, runs: &[&Entry]) -> String {
    let mut numbers: Vec<u64> = Vec::new();
    let mut others: Vec<&str> = Vec::new();
    for entry in runs {
        match entry.id.split('-').next().and_then(|number| number.parse().ok()) {
            Some(number) => numbers.push(number),
            None => others.push(&entry.id),
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    let ranges = numbers.chunk_by(|one, next| one + 1 == *next).map(|range| match range {
        [one] => format!("{one:04}"),
        [one, .., last] => format!("{one:04}–{last:04}"),
        [] => String::new(),
    });
    let all: Vec<String> = ranges.chain(others.into_iter().map(str::to_owned)).collect();
    format!("{source} {}", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::run::tests::sample_run;

    fn entry(number: u32, record: RunRecord) -> Entry {
        Entry { id: format!("{number:04}-x"), record }
    }

    #[test]
    fn families_are_named_by_what_differs() {
        let shared = RunRecord { sessions: "per-executor".into(), ..sample_run() };
        let runs = [entry(1, sample_run()), entry(2, shared), entry(3, sample_run())];
        let families = families(&runs.iter().collect::<Vec<_>>());
        let titles: Vec<&str> = families.iter().map(|family| &family.title[..]).collect();
        assert_eq!(titles, ["sessions per-subscriber", "sessions per-executor"]);
        assert_eq!(families[0].runs.len(), 2);
    }

    #[test]
    fn rounds_are_their_median_and_their_ends() {
        let over = OverRounds::of([3.0, 1.0, 2.0, 10.0]).unwrap();
        assert_eq!((over.median, over.spread()), (2.5, Some((1.0, 10.0))));
        assert_eq!(OverRounds::of([]), None);
        assert_eq!(OverRounds::of([4.0]).unwrap().spread(), None);
    }

    #[test]
    fn a_latency_within_the_error_of_the_clocks_is_none() {
        let run = RunRecord { clock_error_us: Some(40.0), ..sample_run() };
        assert_eq!(one_way(&run, run.latency_us, |summary| summary.median), None);
        assert_eq!(one_way(&run, run.latency_us, |summary| summary.max), Some(1234.567));
    }

    #[test]
    fn runs_are_named_by_their_numbers() {
        let runs: Vec<Entry> = [1, 2, 3, 7, 9, 10].map(|number| entry(number, sample_run())).into();
        assert_eq!(
            name_runs("canonical", &runs.iter().collect::<Vec<_>>()),
            "canonical 0001–0003, 0007, 0009–0010"
        );
    }
}
