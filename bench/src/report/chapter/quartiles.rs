//! Owns the table of quartiles in the ancestor's shape (Q1, median, Q3, greatest, standard deviation), with p99, p99.9
//! and the time to the last subscriber beside it.

use super::super::document::Block;
use super::super::likeness::{Family, families_of_any_shards};
use super::super::runs::Runs;
use super::super::table::{Cell, Column, Table};
use super::counts::one_way;
use crate::measure::latency::Summary;
use crate::record::RunRecord;
use crate::results::Entry;
use crate::unit::{count, counted};

/// The table of each family: its columns are those of the ancestor's published figures, and five more.
pub(crate) fn blocks(runs: &Runs<'_>) -> Vec<Block> {
    families_of_any_shards(runs).iter().map(|family| Block::Table(table(family))).collect()
}

fn table(family: &Family<'_>) -> Table {
    let shards = family.runs.shards_differ();
    let mut rows: Vec<&Entry> = family.runs.entries().collect();
    // As the ancestor's table: by mode, then by number of subscribers.
    rows.sort_by_key(|entry| {
        let run = &entry.record;
        (name_of(run), run.shards.len() * usize::from(shards), run.subscribers)
    });
    let name = |run: &RunRecord| {
        let shards = if shards { format!(", {}", counted(run.shards.len(), "shard")) } else { String::new() };
        Cell::of_run(format!("{}{shards}", name_of(run)), run)
    };
    let columns: [Column<'_, Entry>; 12] = [
        ("mode", &|entry| name(&entry.record)),
        ("#subscribers", &|entry| Cell::text(count(entry.record.subscribers))),
        ("#Q1", &|entry| each(entry, |summary| summary.q1)),
        ("#median", &|entry| each(entry, |summary| summary.median)),
        ("#Q3", &|entry| each(entry, |summary| summary.q3)),
        ("#max", &|entry| each(entry, |summary| summary.max)),
        // A difference to all others alike, as clocks have it, is no deviation.
        ("#std dev", &|entry| Cell::known(entry.record.latency_us.map(|summary| in_ms(summary.stddev)))),
        ("#p99", &|entry| each(entry, |summary| summary.p99)),
        ("#p99.9", &|entry| each(entry, |summary| summary.p99_9)),
        ("#last: median", &|entry| last(entry, |summary| summary.median)),
        ("#last: p99", &|entry| last(entry, |summary| summary.p99)),
        ("run", &|entry| Cell::Run(entry.id.clone())),
    ];
    Table::of(&family.title, &caption(family.runs.clock_error()), rows, &columns)
}

fn each(entry: &Entry, figure: fn(&Summary) -> f64) -> Cell {
    ms(&entry.record, entry.record.latency_us, figure)
}

fn last(entry: &Entry, figure: fn(&Summary) -> f64) -> Cell {
    ms(&entry.record, entry.record.last_subscriber_us, figure)
}

fn caption(error_us: Option<f64>) -> String {
    let about = "One-way latency in milliseconds over every delivery; last: of each message, until its last \
                 subscriber had it.";
    match error_us {
        Some(_) => format!(
            "{about} ± is by how much the hosts' clocks may differ. A dash stands for what is smaller than that."
        ),
        None => about.to_owned(),
    }
}

/// The system that fanned out.
pub(crate) fn name_of(run: &RunRecord) -> String {
    match &run.peer {
        Some(peer) => peer.clone(),
        None => run.mode.clone(),
    }
}

/// Microseconds in milliseconds with three decimals.
pub(crate) fn in_ms(us: f64) -> String {
    format!("{:.3}", us / 1000.0)
}

fn ms(run: &RunRecord, summary: Option<Summary>, figure: fn(&Summary) -> f64) -> Cell {
    let us = one_way(run, summary, figure);
    Cell::known(us.map(|us| match run.clock_error_us {
        Some(error_us) => format!("{} ± {}", in_ms(us), in_ms(error_us)),
        None => in_ms(us),
    }))
}
