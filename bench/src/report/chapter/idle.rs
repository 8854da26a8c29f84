//! Owns what it costs, and brings, not to sleep: latency and CPU time of the broker by what it does when idle.

use super::super::document::Block;
use super::super::plot::Chart;
use super::super::plot::bars::{Bars, Group};
use super::super::runs::{Measure, Runs};
use super::counts::{median, p99};
use super::quartiles::name_of;
use crate::record::RunRecord;
use crate::unit::{Unit, counted};

/// A figure by what the broker does when idle: its slug and title, its axis, its colour.
type Plot = (&'static str, &'static str, (&'static str, Unit), usize, Measure);

const LATENCY: &str = "One-way, over every delivery. A parked shard has to be woken for each message.";
const BUSY: &str = "CPU time of whoever fans out over the time from the start to the last arrival.";
const PLOTS: [Plot; 3] = [
    ("idle-median", "Median latency by what the broker does when idle", ("latency", Unit::Us), 0, median),
    ("idle-p99", "99th percentile by what the broker does when idle", ("latency", Unit::Us), 3, p99),
    ("idle-cpu", "Cores that the broker keeps busy", ("cores busy", Unit::Plain), 2, cores),
];

/// The cores that whoever fans out kept busy.
fn cores(run: &RunRecord) -> Option<f64> {
    run.extra.get("cpu_cores").copied()
}

/// The runs of each number of subscribers, by what was done when idle, in the order in which it was run.
fn by_policy<'a>(runs: &Runs<'a>) -> Vec<(u64, Vec<(&'a String, Runs<'a>)>)> {
    let policies = runs.values(|run| run.idle.as_ref());
    let of = |count| {
        let of_policy = |policy| runs.of_count(count).only(|run| run.idle.as_ref() == Some(policy));
        policies.iter().map(|policy| (*policy, of_policy(policy))).collect()
    };
    runs.counts().into_iter().map(|count| (count, of(count))).collect()
}

/// The plots, if it was measured with several kinds of idling.
pub(crate) fn blocks(runs: &Runs<'_>) -> Vec<Block> {
    let known = runs.only(|run| run.idle.is_some());
    if known.values(|run| run.idle.as_ref()).len() < 2 {
        return Vec::new();
    }
    PLOTS.iter().filter_map(|plot| figure(plot, &known)).collect()
}

/// The plot of these runs.
fn figure((slug, title, axis, series, figure): &Plot, runs: &Runs<'_>) -> Option<Block> {
    let mode = runs.first().map_or_else(String::new, name_of);
    let bar = |(policy, rounds): (&String, Runs<'_>)| {
        Some(rounds.over(*figure)?.bar(policy, *series, String::new()))
    };
    let group = |(count, policies): (u64, Vec<(&String, Runs<'_>)>)| Group {
        heading: format!("{mode}, {}", counted(count as usize, "subscriber")),
        bars: policies.into_iter().filter_map(bar).collect(),
    };
    let groups: Vec<Group> = by_policy(runs).into_iter().map(group).collect();
    groups.iter().find(|group| !group.bars.is_empty())?;
    let latency = || format!("{LATENCY}{}", runs.about_latencies());
    let caption = if axis.1 == Unit::Us { latency() } else { BUSY.to_owned() };
    let chart = Chart::Bars(Bars::new(*axis, Vec::new(), groups));
    Some(runs.figure(slug, (*title).to_owned(), chart, caption))
}

/// Latency and cores in a sentence for each number of subscribers.
pub(crate) fn answers(runs: &Runs<'_>) -> Vec<String> {
    let sentence = |(count, policies): (u64, Vec<(&String, Runs<'_>)>)| {
        let of = |(policy, rounds): (&String, Runs<'_>)| {
            let latency = Unit::Us.text(rounds.over(median)?.median);
            let cores = rounds.over(cores);
            let cores = cores.map_or_else(String::new, |cores| format!(" for {:.2} cores", cores.median));
            Some(format!("{policy} {latency}{cores}"))
        };
        let words: Vec<String> = policies.into_iter().filter_map(of).collect();
        let subscribers = counted(count as usize, "subscriber");
        (!words.is_empty()).then(|| format!("With {subscribers}, median latency is: {}.", words.join(", ")))
    };
    by_policy(runs).into_iter().filter_map(sentence).collect()
}

/// The plots without the runs between bare threads.
pub(crate) fn beside_the_floor(runs: &Runs<'_>) -> Vec<Block> {
    blocks(&runs.only(|run| run.peer.is_none()))
}

/// The same sentences behind one about the floor, which is what bare threads take.
pub(crate) fn answers_beside_the_floor(runs: &Runs<'_>) -> Vec<String> {
    let bare = runs.only(|run| run.peer.is_some());
    let floor = bare.over(|run| run.latency_us.map(|summary| summary.median)).map(|us| {
        format!("Between two threads, to and fro takes {} in the median.", Unit::Us.text(us.median))
    });
    floor.into_iter().chain(answers(&runs.only(|run| run.peer.is_none()))).collect()
}
