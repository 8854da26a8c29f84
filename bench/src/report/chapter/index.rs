//! Owns the table of every run: what became of its messages. Every other figure names runs of this table.

use super::super::document::Block;
use super::super::runs::Runs;
use super::super::table::{Cell, Column, Table};
use super::quartiles::name_of;
use super::scaling::cpu;
use crate::order::grouped;
use crate::record::RunRecord;
use crate::results::Entry;
use crate::unit::{Unit, count, digits, payload};

const COLUMNS: [Column<'_, Entry>; 12] = [
    ("run", &|entry| Cell::Run(entry.id.clone())),
    ("fan-out", &|entry| Cell::of_run(name_of(&entry.record), &entry.record)),
    ("#subscribers", &|entry| Cell::text(count(entry.record.subscribers))),
    ("#payload", &|entry| Cell::text(payload(entry.record.size_bytes))),
    ("#rate", &|entry| Cell::text(rate_of(&entry.record))),
    ("#messages", &|entry| Cell::text(count(entry.record.messages_sent))),
    ("#deliveries", &|entry| Cell::text(count(entry.record.deliveries))),
    ("#gaps told", &|entry| Cell::text(count(entry.record.gaps_reported))),
    ("#lost", &|entry| match entry.record.lost {
        0 => Cell::text("0"),
        lost => Cell::Alarm(count(lost)),
    }),
    ("#deliveries/s", &|entry| Cell::text(count(entry.record.deliveries_per_s.round().max(0.0) as u64))),
    ("#CPU / delivery", &|entry| Cell::known(cpu(&entry.record).map(|ns| Unit::Ns.text(ns)))),
    ("sessions", &|entry| Cell::text(format!("{} over {}", entry.record.sessions, entry.record.transport))),
];

/// All runs in the order in which they were made, and what there is to know about some.
pub(crate) fn blocks(runs: &Runs<'_>) -> Vec<Block> {
    let about =
        "Gaps told: messages that subscribers were told they missed. Lost: neither delivered nor told.";
    let mut table = Table::of("", about, runs.entries(), &COLUMNS);
    table.is_index = true;
    let notes = notes(runs);
    let notes_of: [Column<'_, (String, String)>; 2] =
        [("note", &|(note, _)| Cell::text(&note[..])), ("runs", &|(_, runs)| Cell::text(&runs[..]))];
    let noted = (!notes.is_empty()).then(|| Block::Table(Table::of("Notes", "", &notes, &notes_of)));
    std::iter::once(Block::Table(table)).chain(noted).collect()
}

/// Each note with the name of the runs that have it.
fn notes(runs: &Runs<'_>) -> Vec<(String, String)> {
    let notes = runs.entries().flat_map(|entry| {
        let incomplete = entry.record.incomplete.iter().map(|why| format!("incomplete: {why}"));
        incomplete.chain(entry.record.notes.iter().cloned()).map(move |note| (note, entry))
    });
    let alike = grouped(notes, |(note, _)| note.clone()).into_iter();
    alike.map(|(note, noted)| (note, runs.of(noted.into_iter().map(|(_, entry)| entry)).name())).collect()
}

/// Messages a second, or how it floods.
fn rate_of(run: &RunRecord) -> String {
    let policy = run.overflow.as_ref().map_or_else(String::new, |policy| format!(", {policy}"));
    match run.rate_hz {
        Some(rate_hz) => format!("{}/s", digits(rate_hz)),
        None => format!("flood{policy}"),
    }
}
