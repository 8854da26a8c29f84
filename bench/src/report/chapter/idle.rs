//! Owns what it costs, and brings, not to sleep: latency and CPU time of the broker by what it does when idle.

use super::super::document::{Block, Figure};
use super::super::plot::Chart;
use super::super::plot::bars::{Bars, Group};
use super::super::source::Source;
use super::counts::about_latencies;
use super::family::{counts_of, median, name_runs, over_rounds, p99};
use super::quartiles::name_of;
use crate::order::distinct;
use crate::record::RunRecord;
use crate::results::Entry;
use crate::unit::{Unit, counted};

/// The name of a figure in `extra`: cores that whoever fans out kept busy.
const CORES: &str = "cpu_cores";
/// The colours of figures.
const MEDIAN: usize = 0;
const P99: usize = 3;
const BUSY: usize = 2;

/// The plots, if it was measured with several kinds of idling.
pub(crate) fn blocks(source: &Source, runs: &[&Entry]) -> Vec<Block> {
    let known: Vec<&Entry> = runs.iter().copied().filter(|entry| entry.record.idle.is_some()).collect();
    if policies(&known).len() < 2 {
        return Vec::new();
    }
    let words = about_latencies(&known);
    let latency = |slug, title, part: Part| {
        let caption =
            format!("One-way, over every delivery. A parked shard has to be woken for each message.{words}");
        figure(source, &known, part, Labels { slug, title, axis: "latency", unit: Unit::Us, caption })
    };
    let busy = Labels {
        slug: "idle-cpu",
        title: "Cores that the broker keeps busy",
        axis: "cores busy",
        unit: Unit::Plain,
        caption: "CPU time of whoever fans out over the time from the start to the last arrival.".into(),
    };
    let plots = [
        latency("idle-median", "Median latency by what the broker does when idle", (MEDIAN, median)),
        latency("idle-p99", "99th percentile by what the broker does when idle", (P99, p99)),
        figure(source, &known, (BUSY, |run| run.extra.get(CORES).copied()), busy),
    ];
    plots.into_iter().flatten().map(Block::figure).collect()
}

/// A figure of a run: its colour, and where it is.
type Part = (usize, fn(&RunRecord) -> Option<f64>);

struct Labels {
    slug: &'static str,
    title: &'static str,
    axis: &'static str,
    unit: Unit,
    caption: String,
}

/// Idle policies in the order in which they were run.
pub(crate) fn policies(runs: &[&Entry]) -> Vec<String> {
    distinct(runs.iter().filter_map(|entry| entry.record.idle.clone()))
}

/// The runs of one policy at one number of subscribers.
pub(crate) fn of_policy<'a>(runs: &[&'a Entry], count: u64, policy: &str) -> Vec<&'a Entry> {
    let alike =
        |entry: &&Entry| entry.record.subscribers == count && entry.record.idle.as_deref() == Some(policy);
    runs.iter().copied().filter(alike).collect()
}

fn figure(source: &Source, runs: &[&Entry], (series, value): Part, labels: Labels) -> Option<Figure> {
    let bars = |count: u64| {
        let bar = |policy: String| {
            let over = over_rounds(&of_policy(runs, count, &policy), value)?;
            Some(over.bar(&policy, series, String::new()))
        };
        policies(runs).into_iter().filter_map(bar).collect::<Vec<_>>()
    };
    let mode = runs.first().map_or_else(String::new, |entry| name_of(&entry.record));
    let group = |count: u64| Group {
        heading: format!("{mode}, {}", counted(count as usize, "subscriber")),
        bars: bars(count),
    };
    let groups: Vec<Group> = counts_of(runs).into_iter().map(group).collect();
    groups.iter().find(|group| !group.bars.is_empty())?;
    Some(Figure {
        slug: labels.slug.into(),
        title: labels.title.into(),
        chart: Chart::Bars(Bars::new((labels.axis, labels.unit), Vec::new(), groups)),
        caption: labels.caption,
        runs: name_runs(&source.name, runs),
    })
}

/// A sentence for each number of subscribers.
pub(crate) fn answers(runs: &[&Entry]) -> Vec<String> {
    let sentence = |count: u64| {
        let of = |policy: String| {
            let rounds = of_policy(runs, count, &policy);
            let median = over_rounds(&rounds, median)?;
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
    counts_of(runs).into_iter().filter_map(sentence).collect()
}
