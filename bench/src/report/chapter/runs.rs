//! Owns the table of every run: what became of its messages. Every other figure names runs of this table.

use super::super::document::Block;
use super::super::record::RunRecord;
use super::super::source::Source;
use super::super::table::{Cell, Table};
use super::super::unit::{Unit, count, digits, payload};
use super::family::name_runs;
use super::quartiles::name_of;
use crate::results::Entry;

/// Each note with the runs that have it.
fn notes(source: &Source) -> Vec<(String, Vec<&Entry>)> {
    let mut notes: Vec<(String, Vec<&Entry>)> = Vec::new();
    for entry in &source.results.runs {
        let incomplete = entry.record.incomplete.iter().map(|why| format!("incomplete: {why}"));
        for note in incomplete.chain(entry.record.notes.iter().cloned()) {
            match notes.iter_mut().find(|(other, _)| *other == note) {
                Some((_, runs)) => runs.push(entry),
                None => notes.push((note, vec![entry])),
            }
        }
    }
    notes
}

const COLUMNS: [&str; 12] = [
    "run",
    "fan-out",
    "#subscribers",
    "#payload",
    "#rate",
    "#messages",
    "#deliveries",
    "#gaps told",
    "#lost",
    "#deliveries/s",
    "#CPU / delivery",
    "sessions",
];

/// All runs in the order in which they were made, and what there is to know about some.
pub(crate) fn blocks(source: &Source) -> Vec<Block> {
    let mut table = Table::new(
        "",
        &COLUMNS,
        "Gaps told: messages that subscribers were told they missed. Lost: neither delivered nor told.",
    );
    table.is_index = true;
    source.results.runs.iter().for_each(|entry| table.row(row(entry)));
    let mut blocks = vec![Block::Table(table)];
    let mut noted = Table::new("Notes", &["note", "runs"], "");
    for (note, runs) in notes(source) {
        noted.row([Cell::text(note), Cell::text(name_runs(&source.name, &runs))]);
    }
    if !noted.rows.is_empty() {
        blocks.push(Block::Table(noted));
    }
    blocks
}

fn row(entry: &Entry) -> Vec<Cell> {
    let run = &entry.record;
    let alarm = |number: u64| {
        if number == 0 { Cell::text("0") } else { Cell::Alarm(count(number)) }
    };
    vec![
        Cell::Run(entry.id.clone()),
        match &run.incomplete {
            Some(_) => Cell::Alarm(format!("{}, incomplete", name_of(run))),
            None => Cell::text(name_of(run)),
        },
        Cell::text(count(run.subscribers)),
        Cell::text(payload(run.size_bytes)),
        Cell::text(rate_of(run)),
        Cell::text(count(run.messages_sent)),
        Cell::text(count(run.deliveries)),
        Cell::text(count(run.gaps_reported)),
        alarm(run.lost),
        Cell::text(count(run.deliveries_per_s.round().max(0.0) as u64)),
        Cell::known(cpu(run).map(|ns| Unit::Ns.text(ns))),
        Cell::text(format!("{} over {}", run.sessions, run.transport)),
    ]
}

/// Messages a second, or how it floods.
fn rate_of(run: &RunRecord) -> String {
    let policy = run.overflow.as_ref().map_or_else(String::new, |policy| format!(", {policy}"));
    match run.rate_hz {
        Some(rate_hz) => format!("{}/s", digits(rate_hz)),
        None => format!("flood{policy}"),
    }
}

/// CPU time of whoever fans out over deliveries, wherever it stands in the record.
pub(crate) fn cpu(run: &RunRecord) -> Option<f64> {
    let direct = run.mode == "direct" && run.peer.is_none();
    let elsewhere =
        if direct { run.publisher_executors.cpu_ns_per_delivery } else { run.broker.cpu_ns_per_delivery };
    run.cpu_ns_per_delivery.or(elsewhere)
}
