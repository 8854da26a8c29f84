//! Owns the comparison with peers: bars of each figure, with the spread over the rounds, and ours over theirs.

use super::super::document::{Block, Figure};
use super::super::plot::Chart;
use super::super::plot::bars::{Bars, Group, key};
use super::super::plot::theme::{DIRECT, OTHERS, PROXY};
use super::super::source::Source;
use super::super::table::{Cell, Table};
use super::family::{OverRounds, median, median_to_last, name_runs, over_rounds, rate};
use crate::order::{distinct, grouped, rising};
use crate::record::RunRecord;
use crate::results::Entry;
use crate::unit::{Unit, counted, digits, payload};

/// Our name in records.
const OURS: &str = "corecast";

/// A figure that peers are compared by.
struct Metric {
    slug: &'static str,
    title: &'static str,
    axis: &'static str,
    unit: Unit,
    /// Set for figures of floods, unset for those of runs with a rate; `None`: of both, apart.
    flood: Option<bool>,
    figure: fn(&RunRecord) -> Option<f64>,
    words: &'static str,
}

const METRICS: [Metric; 5] = [
    Metric {
        slug: "peers-flood",
        title: "Flood: deliveries a second",
        axis: "deliveries a second",
        unit: Unit::PerS,
        flood: Some(true),
        figure: |run| Some(run.deliveries_per_s),
        words: "As fast as messages are taken; more is better.",
    },
    Metric {
        slug: "peers-last",
        title: "Median time to the last subscriber",
        axis: "time to the last subscriber",
        unit: Unit::Us,
        flood: Some(false),
        figure: median_to_last,
        words: "Of each message; less is better.",
    },
    Metric {
        slug: "peers-latency",
        title: "Median latency at every subscriber",
        axis: "latency",
        unit: Unit::Us,
        flood: Some(false),
        figure: median,
        words: "Over every delivery; less is better.",
    },
    Metric {
        slug: "peers-cpu",
        title: "CPU time for each delivery",
        axis: "CPU time / delivery",
        unit: Unit::Ns,
        flood: None,
        figure: super::runs::cpu,
        words: "User and system time of whoever fans out, over deliveries; less is better.",
    },
    Metric {
        slug: "peers-memory",
        title: "Memory for each subscriber",
        axis: "resident memory / subscriber",
        unit: Unit::Bytes,
        flood: None,
        figure: |run| run.rss_per_subscriber_bytes,
        words: "Resident memory of whoever fans out, with every subscriber there and idle, less that before the \
                first; less is better.",
    },
];

/// The name of a bar: a peer's, or ours with its mode where the record names no peer.
fn bar_name(run: &RunRecord) -> String {
    let ours = || format!("{OURS} {}", run.mode);
    let mut name = run.peer.clone().unwrap_or_else(ours);
    if run.transport == "uds" && !name.ends_with("-uds") {
        name += ", Unix sockets";
    }
    // Everybody has the same raw sockets, unless it says so.
    if is_ours(&name) && run.clients.as_deref() == Some("native") {
        name += ", native clients";
    }
    name
}

fn is_ours(peer: &str) -> bool {
    peer.starts_with(OURS)
}

/// One question that all peers were asked: how many, how large, how fast.
struct Case<'a> {
    heading: String,
    flood: bool,
    runs: Vec<&'a Entry>,
}

impl<'a> Case<'a> {
    /// The rounds of one.
    fn of(&self, name: &str) -> Vec<&'a Entry> {
        self.runs.iter().copied().filter(|entry| bar_name(&entry.record) == name).collect()
    }
}

fn cases<'a>(runs: &[&'a Entry]) -> Vec<Case<'a>> {
    let key = |entry: &&Entry| {
        let run = &entry.record;
        let subscribers = counted(run.subscribers as usize, "subscriber");
        (format!("{subscribers}, {}, {}", payload(run.size_bytes), rate(run)), run.rate_hz.is_none())
    };
    let cases = grouped(runs.iter().copied(), key).into_iter();
    cases.map(|((heading, flood), runs)| Case { heading, flood, runs }).collect()
}

/// The bars of a metric in one case: name, series, figure.
fn bars_of(case: &Case<'_>, metric: &Metric) -> Vec<(String, usize, OverRounds)> {
    let names = distinct(case.runs.iter().map(|entry| bar_name(&entry.record)));
    let bar = |name: String| {
        let rounds = case.of(&name);
        let over = over_rounds(&rounds, metric.figure)?;
        let first = &rounds.first()?.record;
        let series = match &first.peer {
            Some(peer) if !is_ours(peer) => OTHERS,
            _ if first.mode == "direct" => DIRECT,
            _ => PROXY,
        };
        Some((name, series, over))
    };
    names.into_iter().filter_map(bar).collect()
}

/// The bar that others are set beside: ours in proxy mode if there is one, else ours, else the first.
fn reference(bars: &[(String, usize, OverRounds)]) -> Option<&(String, usize, OverRounds)> {
    let of = |wanted: usize| bars.iter().find(|(_, series, _)| *series == wanted);
    let plain = bars.iter().find(|(name, ..)| name == OURS);
    plain.or_else(|| of(PROXY)).or_else(|| of(DIRECT)).or(bars.first())
}

/// A plot for each figure, and the table of ours over theirs.
pub(crate) fn blocks(source: &Source, runs: &[&Entry]) -> Vec<Block> {
    if !runs.iter().any(|entry| entry.record.peer.is_some()) {
        return Vec::new();
    }
    let cases = cases(runs);
    let mut blocks: Vec<Block> =
        METRICS.iter().filter_map(|metric| figure(source, &cases, metric)).map(Block::figure).collect();
    blocks.extend(cases.iter().filter_map(ratios).map(Block::Table));
    blocks
}

fn figure(source: &Source, cases: &[Case<'_>], metric: &Metric) -> Option<Figure> {
    let wanted = |case: &&Case<'_>| metric.flood.is_none_or(|flood| flood == case.flood);
    let mut groups = Vec::new();
    let mut shown: Vec<&Entry> = Vec::new();
    for case in cases.iter().filter(wanted) {
        let mut bars = bars_of(case, metric);
        let Some((name, ..)) = reference(&bars).cloned() else { continue };
        let ours = case.of(&name);
        // The best first.
        bars.sort_by(|(_, _, one), (_, _, other)| one.median.total_cmp(&other.median));
        if metric.unit == Unit::PerS {
            bars.reverse();
        }
        let bar = |(bar_name, series, over): &(String, usize, OverRounds)| {
            let ratio = ratio(&case.of(bar_name), &ours, metric).filter(|_| *bar_name != name);
            over.bar(
                bar_name,
                *series,
                ratio.map_or_else(String::new, |ratio| Unit::Ratio.text(ratio.median)),
            )
        };
        groups.push(Group { heading: case.heading.clone(), bars: bars.iter().map(bar).collect() });
        shown.extend(&case.runs);
    }
    let bars = || groups.iter().flat_map(|group| &group.bars);
    bars().next()?;
    let keys = [("corecast, proxy mode", PROXY), ("corecast, direct mode", DIRECT), ("others", OTHERS)];
    let keys = keys.into_iter().filter(|(_, series)| bars().any(|bar| bar.series == *series));
    let keys: Vec<_> = keys.map(|(name, series)| key(name, series)).collect();
    let rounds = shown.iter().filter_map(|entry| entry.record.round).max().unwrap_or(1);
    Some(Figure {
        slug: metric.slug.into(),
        title: metric.title.into(),
        chart: Chart::Bars(Bars::new((metric.axis, metric.unit), keys, groups)),
        caption: format!(
            "{} The bar is the median over {}, the line across it reaches from the least to the greatest; behind \
             the figure, how many times ours it is (the median over the rounds).",
            metric.words,
            counted(rounds as usize, "round")
        ),
        runs: name_runs(&source.name, &shown),
    })
}

/// Ours over each, with the least and the greatest over rounds that were made side by side.
fn ratios(case: &Case<'_>) -> Option<Table> {
    let metrics: Vec<&Metric> =
        METRICS.iter().filter(|metric| metric.flood.is_none_or(|flood| flood == case.flood)).collect();
    let first = METRICS.iter().find_map(|metric| reference(&bars_of(case, metric)).cloned())?;
    let ours = case.of(&first.0);
    let headings: Vec<String> = metrics.iter().map(|metric| format!("#{}", metric.axis)).collect();
    let mut columns = vec!["beside"];
    columns.extend(headings.iter().map(String::as_str));
    let mut table = Table::new(
        &format!("{} over each: {}", first.0, case.heading),
        &columns,
        "Median of the ratios round by round, with the least and the greatest. Above 1 ours is more.",
    );
    let names = rising(case.runs.iter().map(|entry| bar_name(&entry.record)));
    for name in names.into_iter().filter(|name| *name != first.0) {
        let theirs = case.of(&name);
        let cell = |metric: &&Metric| Cell::known(ratio(&ours, &theirs, metric).map(ratio_in_words));
        table.row(std::iter::once(Cell::text(&name[..])).chain(metrics.iter().map(cell)));
    }
    (!table.rows.is_empty()).then_some(table)
}

/// Those over these, round by round.
fn ratio(those: &[&Entry], these: &[&Entry], metric: &Metric) -> Option<OverRounds> {
    let ratio = |that: &&Entry| {
        let this = these.iter().find(|this| this.record.round == that.record.round)?;
        let (that, this) = ((metric.figure)(&that.record)?, (metric.figure)(&this.record)?);
        (this > 0.0).then_some(that / this)
    };
    OverRounds::of(those.iter().filter_map(ratio))
}

/// With the least and the greatest.
fn ratio_in_words(over: OverRounds) -> String {
    match over.spread() {
        Some((low, high)) => format!("{} ({}–{})", digits(over.median), digits(low), digits(high)),
        None => digits(over.median),
    }
}

/// Ours and theirs in words, for the answer: a sentence for each case that has peers.
pub(crate) fn answers(runs: &[&Entry]) -> Vec<String> {
    let sentence = |case: &Case<'_>| {
        let metric = if case.flood { &METRICS[0] } else { &METRICS[1] };
        let bars = bars_of(case, metric);
        let (name, _, ours) = reference(&bars)?;
        let others = bars.iter().filter(|(_, series, _)| *series == OTHERS);
        let rounds = case.of(name);
        let over = |peer: &String| {
            let ratio = ratio(&rounds, &case.of(peer), metric)?;
            Some(format!("{} {peer}'s", Unit::Ratio.text(ratio.median)))
        };
        let others: Vec<String> = others.filter_map(|(peer, ..)| over(peer)).collect();
        (!others.is_empty()).then(|| {
            let what = if case.flood { "deliveries a second" } else { "median time to the last subscriber" };
            let figure = metric.unit.text(ours.median);
            format!("{}: {name} has {figure} ({what}), {}.", case.heading, others.join(", "))
        })
    };
    cases(runs).iter().filter_map(sentence).collect()
}
