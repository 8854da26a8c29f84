//! Owns the balance between shards: who had how many sessions and deliveries. The fullest shard sets the time to the
//! last subscriber.

use super::super::document::{Block, Figure};
use super::super::plot::Chart;
use super::super::plot::bars::{Bar, Bars, Group, key};
use super::super::plot::frame::Axis;
use super::super::plot::scale::Scale;
use super::super::source::Source;
use super::family::name_runs;
use super::quartiles::name_of;
use crate::results::Entry;
use crate::unit::{Unit, counted};

/// More bars are no picture any more.
const BARS_MAX: usize = 48;
/// The colours of sessions and deliveries.
const SESSIONS: usize = 2;
const DELIVERIES: usize = 3;

/// The shares of each shard, in the largest run of each mode that had several.
pub(crate) fn blocks(source: &Source, runs: &[&Entry]) -> Vec<Block> {
    let mut shown: Vec<&Entry> = Vec::new();
    for entry in runs.iter().filter(|entry| entry.record.shards.len() > 1) {
        let size = |entry: &Entry| (entry.record.subscribers, entry.record.shards.len());
        let alike = |other: &&mut &Entry| {
            name_of(&other.record) == name_of(&entry.record) && other.record.sessions == entry.record.sessions
        };
        match shown.iter_mut().find(alike) {
            Some(other) if size(entry) > size(other) => *other = entry,
            Some(_) => {}
            None => shown.push(entry),
        }
    }
    let mut groups: Vec<Group> = shown.iter().map(|entry| group(entry)).collect();
    let mut bars = 0;
    groups.retain(|group| {
        bars += group.bars.len();
        bars <= BARS_MAX
    });
    if groups.is_empty() {
        return Vec::new();
    }
    let values: Vec<f64> = groups.iter().flat_map(|group| &group.bars).map(|bar| bar.value).collect();
    let figure = Figure {
        slug: "balance".into(),
        title: "Balance between shards".into(),
        chart: Chart::Bars(Bars {
            axis: Axis::new("share of all", Scale::linear(values, Unit::Share)),
            keys: vec![key("sessions", SESSIONS), key("deliveries", DELIVERIES)],
            groups,
        }),
        caption:
            "Share of each shard in the sessions and in the deliveries, in the largest run of each kind. The \
                  fullest shard sets the time to the last subscriber."
                .into(),
        runs: name_runs(&source.name, &shown),
    };
    vec![Block::figure(figure)]
}

fn group(entry: &Entry) -> Group {
    let run = &entry.record;
    let sessions: u64 = run.shards.iter().map(|shard| shard.sessions).sum();
    let deliveries: u64 = run.shards.iter().map(|shard| shard.deliveries).sum();
    let bar = |name: String, series, value: u64, all: u64| Bar {
        name,
        series,
        value: if all == 0 { 0.0 } else { value as f64 / all as f64 },
        spread: None,
        words: Unit::Count.text(value as f64),
    };
    let bars = run.shards.iter().enumerate().flat_map(|(number, shard)| {
        [
            bar(format!("shard {number}, sessions"), SESSIONS, shard.sessions, sessions),
            bar(format!("shard {number}, deliveries"), DELIVERIES, shard.deliveries, deliveries),
        ]
    });
    Group {
        heading: format!(
            "{}, sessions {}, {}",
            name_of(run),
            run.sessions,
            counted(run.subscribers as usize, "subscriber")
        ),
        bars: bars.collect(),
    }
}
