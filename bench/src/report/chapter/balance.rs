//! Owns the balance between shards: who had how many sessions and deliveries. The fullest shard sets the time to the
//! last subscriber.

use super::super::document::Block;
use super::super::plot::Chart;
use super::super::plot::bars::{Bar, Bars, Group};
use super::super::plot::frame::{Axis, Key};
use super::super::plot::scale::Scale;
use super::super::runs::Runs;
use super::quartiles::name_of;
use crate::record::RunRecord;
use crate::results::Entry;
use crate::unit::{Unit, counted};

/// More bars are no picture any more.
const BARS_MAX: usize = 48;
/// The colours of sessions and deliveries.
const SESSIONS: usize = 2;
const DELIVERIES: usize = 3;

/// The shares of each shard, in the largest run of each mode that had several.
pub(crate) fn blocks(runs: &Runs<'_>) -> Vec<Block> {
    let kinds = runs.only(|run| run.shards.len() > 1).by(|run| (name_of(run), &run.sessions));
    // The first of the largest.
    let size = |entry: &&Entry| (entry.record.subscribers, entry.record.shards.len());
    let shown = runs.of(kinds.iter().filter_map(|(_, kind)| kind.entries().rev().max_by_key(size)));
    let mut groups: Vec<Group> = shown.records().map(group).collect();
    let mut bars = 0;
    groups.retain(|group| {
        bars += group.bars.len();
        bars <= BARS_MAX
    });
    if groups.is_empty() {
        return Vec::new();
    }
    let values: Vec<f64> = groups.iter().flat_map(|group| &group.bars).map(|bar| bar.value).collect();
    let chart = Bars {
        axis: Axis::new("share of all", Scale::linear(values, Unit::Share)),
        keys: vec![Key::area("sessions", SESSIONS), Key::area("deliveries", DELIVERIES)],
        groups,
    };
    let caption = "Share of each shard in the sessions and in the deliveries, in the largest run of each kind. The \
                   fullest shard sets the time to the last subscriber.";
    vec![shown.figure("balance", "Balance between shards".into(), Chart::Bars(chart), caption.into())]
}

fn group(run: &RunRecord) -> Group {
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
