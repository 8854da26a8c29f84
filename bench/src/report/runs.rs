//! Owns a selection of one source's runs, and the answers that every view needs from one: the settings that occur in
//! it, its parts, the median of a figure over rounds, and its name.

use super::document::{Block, Figure};
use super::plot::Chart;
use super::plot::bars::Bar;
use super::plot::frame::Key;
use super::plot::lines::Line;
use super::source::Source;
use crate::order::{distinct, grouped, median, rising};
use crate::record::RunRecord;
use crate::results::Entry;
use crate::unit::{Unit, counted};

/// A figure as it is read from a run, which may not have it.
pub(crate) type Measure = fn(&RunRecord) -> Option<f64>;

/// Some runs of one source, in the order in which they were made.
#[derive(Clone, Debug)]
pub(crate) struct Runs<'a> {
    source: &'a Source,
    entries: Vec<&'a Entry>,
}

impl<'a> Runs<'a> {
    /// All runs of the source, unfinished ones too.
    pub(crate) fn all(source: &'a Source) -> Self {
        Runs { source, entries: source.results.runs.iter().collect() }
    }

    /// The finished runs: plots and answers are made of these.
    pub(crate) fn finished(source: &'a Source) -> Self {
        Runs::all(source).only(|run| run.incomplete.is_none())
    }

    /// The runs of this selection that `keep` holds for.
    pub(crate) fn only(&self, keep: impl Fn(&RunRecord) -> bool) -> Self {
        self.of(self.entries().filter(|entry| keep(&entry.record)))
    }

    /// These runs of the same source.
    pub(crate) fn of(&self, entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        Runs { source: self.source, entries: entries.into_iter().collect() }
    }

    /// The source that they are of.
    pub(crate) fn source(&self) -> &'a Source {
        self.source
    }

    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = &'a Entry> {
        self.entries.iter().copied()
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &'a RunRecord> {
        self.entries().map(|entry| &entry.record)
    }

    pub(crate) fn first(&self) -> Option<&'a RunRecord> {
        self.records().next()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The parts with the same key each, in the order in which the keys come.
    pub(crate) fn by<K: PartialEq>(&self, key: impl Fn(&'a RunRecord) -> K) -> Vec<(K, Self)> {
        let parts = grouped(self.entries(), |entry| key(&entry.record)).into_iter();
        parts.map(|(key, entries)| (key, self.of(entries))).collect()
    }

    /// The values of a setting, each once, in the order in which they come.
    pub(crate) fn values<T: PartialEq>(&self, setting: impl Fn(&'a RunRecord) -> Option<T>) -> Vec<T> {
        distinct(self.records().filter_map(setting))
    }

    /// The numbers of subscribers, rising.
    pub(crate) fn counts(&self) -> Vec<u64> {
        rising(self.records().map(|run| run.subscribers))
    }

    /// The modes, proxy first.
    pub(crate) fn modes(&self) -> Vec<&'a str> {
        rising(self.records().map(|run| &run.mode[..])).into_iter().rev().collect()
    }

    /// Each peer with the version that it stated; nothing if none did.
    pub(crate) fn peer_versions(&self) -> Option<String> {
        let stated =
            self.values(|run| Some(format!("{} {}", run.peer.as_ref()?, run.peer_version.as_ref()?)));
        (!stated.is_empty()).then(|| stated.join(", "))
    }

    /// The runs at a rate of their own, without floods.
    pub(crate) fn paced(&self) -> Self {
        self.only(|run| run.rate_hz.is_some())
    }

    /// The runs of one mode.
    pub(crate) fn of_mode(&self, mode: &str) -> Self {
        self.only(|run| run.mode == mode)
    }

    /// The runs of one number of subscribers.
    pub(crate) fn of_count(&self, count: u64) -> Self {
        self.only(|run| run.subscribers == count)
    }

    /// Set if one mode was run with different numbers of shards.
    pub(crate) fn shards_differ(&self) -> bool {
        let known = || self.records().filter(|run| !run.shards.is_empty());
        let kinds = rising(known().map(|run| (&run.mode, run.shards.len())));
        kinds.len() > rising(known().map(|run| &run.mode)).len()
    }

    /// The largest error of their clocks.
    pub(crate) fn clock_error(&self) -> Option<f64> {
        self.records().filter_map(|run| run.clock_error_us).max_by(f64::total_cmp)
    }

    /// The number of rounds.
    pub(crate) fn rounds(&self) -> usize {
        self.records().filter_map(|run| run.round).max().unwrap_or(1) as usize
    }

    /// The median of a figure over these rounds, of those that have it.
    pub(crate) fn over(&self, figure: impl Fn(&RunRecord) -> Option<f64>) -> Option<OverRounds> {
        OverRounds::of(self.records().filter_map(figure))
    }

    /// A line over the number of subscribers: at each, the median over its rounds.
    pub(crate) fn line(&self, key: Key, figure: impl Fn(&RunRecord) -> Option<f64>) -> Line {
        let point = |count: u64| Some((count as f64, self.of_count(count).over(&figure)?.median));
        Line { key, points: self.counts().into_iter().filter_map(point).collect() }
    }

    /// A chart of these runs.
    pub(crate) fn figure(&self, slug: &str, title: String, chart: Chart, caption: String) -> Block {
        Block::figure(Figure { slug: super::document::slug(slug), title, chart, caption, runs: self.name() })
    }

    /// The sentences that stand behind captions of one-way latencies.
    pub(crate) fn about_latencies(&self) -> String {
        let mut words = String::new();
        if self.rounds() > 1 {
            words += &format!(" Each point is the median over {}.", counted(self.rounds(), "round"));
        }
        if let Some(error_us) = self.clock_error() {
            words += &format!(
                " The hosts' clocks may differ by up to ± {}: every one-way latency may be wrong by as much, and none \
                 that is smaller is shown.",
                Unit::Us.text(error_us)
            );
        }
        words
    }

    /// The source with the numbers of these runs, as ranges where they follow each other.
    pub(crate) fn name(&self) -> String {
        let number = |entry: &Entry| entry.id.split('-').next().and_then(|number| number.parse().ok());
        let numbers: Vec<u64> = rising(self.entries().filter_map(number));
        let others = self.entries().filter(|entry| number(entry).is_none()).map(|entry| entry.id.clone());
        let ranges = numbers.chunk_by(|one, next| one + 1 == *next).map(|range| match range {
            [one] => format!("{one:04}"),
            [one, .., last] => format!("{one:04}–{last:04}"),
            [] => String::new(),
        });
        format!("{} {}", self.source.name, ranges.chain(others).collect::<Vec<_>>().join(", "))
    }
}

/// The median of several rounds, with the least and the greatest.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct OverRounds {
    pub(crate) median: f64,
    low: f64,
    high: f64,
    rounds: usize,
}

impl OverRounds {
    /// The median and the ends of these values; `None` if there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        let median = median(values.iter().copied())?;
        let (low, high) =
            values.iter().fold((median, median), |(low, high), value| (low.min(*value), high.max(*value)));
        Some(OverRounds { median, low, high, rounds: values.len() })
    }

    /// The ends, if there is more than one round.
    pub(crate) fn spread(&self) -> Option<(f64, f64)> {
        (self.rounds > 1).then_some((self.low, self.high))
    }

    /// A bar that shows them.
    pub(crate) fn bar(&self, name: &str, series: usize, words: String) -> Bar {
        Bar { name: name.to_owned(), series, value: self.median, spread: self.spread(), words }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::environment::Environment;
    use crate::record::run::tests::sample_run;
    use crate::results::{Kind, Results};

    #[test]
    fn rounds_are_their_median_and_their_ends() {
        let over = OverRounds::of([3.0, 1.0, 2.0, 10.0]).unwrap();
        assert_eq!((over.median, over.spread()), (2.5, Some((1.0, 10.0))));
        assert_eq!(OverRounds::of([]), None);
        assert_eq!(OverRounds::of([4.0]).unwrap().spread(), None);
    }

    #[test]
    fn runs_are_named_by_their_numbers() {
        let mut results = Results::new(Kind::Experiment, "canonical", "", Environment::default());
        let entry = |number: u32| Entry { id: format!("{number:04}-x"), record: sample_run() };
        results.runs = [1, 2, 3, 7, 9, 10].map(entry).into();
        let source = Source { name: "canonical".into(), folder: None, results };
        assert_eq!(Runs::all(&source).name(), "canonical 0001–0003, 0007, 0009–0010");
    }
}
