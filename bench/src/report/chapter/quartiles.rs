//! Owns the table of quartiles in the ancestor's shape (Q1, median, Q3, greatest, standard deviation), with p99, p99.9
//! and the time to the last subscriber beside it.

use super::super::document::Block;
use super::super::source::Source;
use super::super::table::{Cell, Table};
use super::family::{clock_error, families_of_any_shards, shards_differ};
use crate::measure::latency::Summary;
use crate::record::RunRecord;
use crate::results::Entry;
use crate::unit::{count, counted};

/// The table of one family: its columns are those of the ancestor's published figures, and five more.
pub(crate) fn blocks(source: &Source) -> Vec<Block> {
    let runs: Vec<&Entry> = source.results.runs.iter().collect();
    families_of_any_shards(&runs)
        .iter()
        .map(|family| {
            let error = clock_error(&family.runs);
            let mut table = Table::new(&family.title, &COLUMNS, &caption(error));
            let shards = shards_differ(&family.runs);
            let mut rows = family.runs.clone();
            // As the ancestor's table: by mode, then by number of subscribers.
            rows.sort_by(|one, other| {
                let key = |entry: &Entry| {
                    let run = &entry.record;
                    (name_of(run), run.shards.len() * usize::from(shards), run.subscribers)
                };
                key(one).cmp(&key(other))
            });
            rows.iter().for_each(|entry| table.row(row(entry, shards)));
            Block::Table(table)
        })
        .collect()
}

const COLUMNS: [&str; 12] = [
    "mode",
    "#subscribers",
    "#Q1",
    "#median",
    "#Q3",
    "#max",
    "#std dev",
    "#p99",
    "#p99.9",
    "#last: median",
    "#last: p99",
    "run",
];

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

fn row(entry: &Entry, shards: bool) -> Vec<Cell> {
    let run = &entry.record;
    let mut name = name_of(run);
    if shards {
        name += &format!(", {}", counted(run.shards.len(), "shard"));
    }
    let each = |figure: fn(&Summary) -> f64| ms(run, run.latency_us, figure);
    let last = |figure: fn(&Summary) -> f64| ms(run, run.last_subscriber_us, figure);
    // A difference to all others alike, as clocks have it, is no deviation.
    let deviation = Cell::known(run.latency_us.map(|summary| in_ms(summary.stddev)));
    vec![
        match &run.incomplete {
            Some(_) => Cell::Alarm(format!("{name}, incomplete")),
            None => Cell::text(name),
        },
        Cell::text(count(run.subscribers)),
        each(|summary| summary.q1),
        each(|summary| summary.median),
        each(|summary| summary.q3),
        each(|summary| summary.max),
        deviation,
        each(|summary| summary.p99),
        each(|summary| summary.p99_9),
        last(|summary| summary.median),
        last(|summary| summary.p99),
        Cell::Run(entry.id.clone()),
    ]
}

/// Microseconds in milliseconds with three decimals.
pub(crate) fn in_ms(us: f64) -> String {
    format!("{:.3}", us / 1000.0)
}

fn ms(run: &RunRecord, summary: Option<Summary>, figure: fn(&Summary) -> f64) -> Cell {
    let us = super::family::one_way(run, summary, figure);
    Cell::known(us.map(|us| match run.clock_error_us {
        Some(error_us) => format!("{} ± {}", in_ms(us), in_ms(error_us)),
        None => in_ms(us),
    }))
}
