//! Owns what it costs, and brings, not to sleep: latency and CPU time of the broker by what it does when idle.

use super::super::document::{Block, Figure};
use super::super::plot::Chart;
use super::super::plot::bars::{Bar, Bars, Group, key};
use super::super::plot::frame::Axis;
use super::super::plot::scale::Scale;
use super::super::record::RunRecord;
use super::super::source::Source;
use super::super::unit::{Unit, counted};
use super::counts::about_latencies;
use super::family::{name_runs, one_way, over_rounds};
use super::quartiles::name_of;
use crate::results::Entry;

/// The name of a figure in `extra`: cores that whoever fans out kept busy.
const CORES: &str = "cpu_cores";
/// The colours of figures.
const MEDIAN: usize = 0;
const P99: usize = 5;
const BUSY: usize = 2;

/// Both plots, if it was measured with several kinds of idling.
pub(crate) fn blocks(source: &Source, runs: &[&Entry]) -> Vec<Block> {
    let known: Vec<&Entry> = runs.iter().copied().filter(|entry| entry.record.idle.is_some()).collect();
    if policies(&known).len() < 2 {
        return Vec::new();
    }
    let latency: [Part; 2] = [
        ("median", MEDIAN, |run| one_way(run, run.latency_us, |summary| summary.median)),
        ("p99", P99, |run| one_way(run, run.latency_us, |summary| summary.p99)),
    ];
    let busy: [Part; 1] = [("cores busy", BUSY, |run| run.extra.get(CORES).copied())];
    let words = about_latencies(&known);
    let plots = [
        figure(
            source,
            &known,
            &latency,
            Labels {
                slug: "idle-latency",
                title: "Latency by what the broker does when idle",
                axis: "latency",
                unit: Unit::Us,
                caption: format!(
                    "One-way, over every delivery. A parked shard has to be woken for each message.{words}"
                ),
            },
        ),
        figure(
            source,
            &known,
            &busy,
            Labels {
                slug: "idle-cpu",
                title: "Cores that the broker keeps busy",
                axis: "cores",
                unit: Unit::Ratio,
                caption: "CPU time of whoever fans out over the time from the start to the last arrival."
                    .into(),
            },
        ),
    ];
    plots.into_iter().flatten().map(Block::Figure).collect()
}

/// A figure of a run: its name, its colour, and where it is.
type Part = (&'static str, usize, fn(&RunRecord) -> Option<f64>);

struct Labels {
    slug: &'static str,
    title: &'static str,
    axis: &'static str,
    unit: Unit,
    caption: String,
}

/// What was done when idle, in the order in which it was run.
pub(crate) fn policies(runs: &[&Entry]) -> Vec<String> {
    let mut policies: Vec<String> = Vec::new();
    for policy in runs.iter().filter_map(|entry| entry.record.idle.as_ref()) {
        if !policies.contains(policy) {
            policies.push(policy.clone());
        }
    }
    policies
}

/// The runs of one policy at one number of subscribers.
pub(crate) fn of_policy<'a>(runs: &[&'a Entry], count: u64, policy: &str) -> Vec<&'a Entry> {
    let alike =
        |entry: &&Entry| entry.record.subscribers == count && entry.record.idle.as_deref() == Some(policy);
    runs.iter().copied().filter(alike).collect()
}

/// The numbers of subscribers, rising.
pub(crate) fn counts(runs: &[&Entry]) -> Vec<u64> {
    let mut counts: Vec<u64> = runs.iter().map(|entry| entry.record.subscribers).collect();
    counts.sort_unstable();
    counts.dedup();
    counts
}

fn figure(source: &Source, runs: &[&Entry], parts: &[Part], labels: Labels) -> Option<Figure> {
    let bars = |count: u64| {
        let of = |policy: String| {
            let rounds = of_policy(runs, count, &policy);
            let bar = move |(name, series, value): &Part| {
                let over = over_rounds(&rounds, value)?;
                let name = if parts.len() > 1 { format!("{policy}, {name}") } else { policy.clone() };
                Some(Bar {
                    name,
                    series: *series,
                    value: over.median,
                    spread: over.spread(),
                    words: String::new(),
                })
            };
            parts.iter().filter_map(bar).collect::<Vec<_>>()
        };
        policies(runs).into_iter().flat_map(of).collect::<Vec<_>>()
    };
    let mode = runs.first().map_or_else(String::new, |entry| name_of(&entry.record));
    let group = |count: u64| Group {
        heading: format!("{mode}, {}", counted(count as usize, "subscriber")),
        bars: bars(count),
    };
    let groups: Vec<Group> = counts(runs).into_iter().map(group).collect();
    let all = || groups.iter().flat_map(|group| &group.bars);
    all().next()?;
    let ends: Vec<f64> = all().map(|bar| bar.spread.map_or(bar.value, |(_, high)| high)).collect();
    let keys = if parts.len() > 1 {
        parts.iter().map(|(name, series, _)| key(name, *series)).collect()
    } else {
        Vec::new()
    };
    Some(Figure {
        slug: labels.slug.into(),
        title: labels.title.into(),
        chart: Chart::Bars(Bars {
            axis: Axis::new(labels.axis, Scale::linear(ends, labels.unit)),
            keys,
            groups,
        }),
        caption: labels.caption,
        runs: name_runs(&source.name, runs),
    })
}

/// What it is in a sentence for each number of subscribers.
pub(crate) fn answers(runs: &[&Entry]) -> Vec<String> {
    let sentence = |count: u64| {
        let of = |policy: String| {
            let rounds = of_policy(runs, count, &policy);
            let median = over_rounds(&rounds, |run| one_way(run, run.latency_us, |summary| summary.median))?;
            let cores = over_rounds(&rounds, |run| run.extra.get(CORES).copied());
            let cores = cores.map_or_else(String::new, |cores| format!(" for {:.2} cores", cores.median));
            Some(format!("{policy} {}{cores}", Unit::Us.text(median.median)))
        };
        let words: Vec<String> = policies(runs).into_iter().filter_map(of).collect();
        (!words.is_empty()).then(|| {
            format!(
                "With {}, median latency is: {}.",
                counted(count as usize, "subscriber"),
                words.join(", ")
            )
        })
    };
    counts(runs).into_iter().filter_map(sentence).collect()
}
