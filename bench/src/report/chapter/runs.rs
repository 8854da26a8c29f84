//! Owns the table of every run: what became of its messages. Every other figure names runs of this table.

use super::super::document::Block;
use super::super::source::Source;
use super::super::table::{Cell, Table};
use super::family::name_runs;
use super::quartiles::name_of;
use crate::order::grouped;
use crate::record::RunRecord;
use crate::results::Entry;
use crate::unit::{Unit, count, digits, payload};

/// Each note with the runs that have it.
fn notes(source: &Source) -> Vec<(String, Vec<&Entry>)> {
    let notes = source.results.runs.iter().flat_map(|entry| {
        let incomplete = entry.record.incomplete.iter().map(|why| format!("incomplete: {why}"));
        incomplete.chain(entry.record.notes.iter().cloned()).map(move |note| (note, entry))
    });
    let alike = grouped(notes, |(note, _)| note.clone()).into_iter();
    alike.map(|(note, runs)| (note, runs.into_iter().map(|(_, entry)| entry).collect())).collect()
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
