//! Owns which runs were made alike: in everything that was asked for, whatever came of it. Rounds of the same run are
//! one group.

use super::super::chapter::family::{WHOLE, rate, shards_differ, slow};
use super::super::source::Source;
use crate::order::grouped;
use crate::record::RunRecord;
use crate::results::Entry;
use crate::unit::{count, counted, payload};
use std::fmt;

/// The parameters that a run was made with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Likeness {
    who: String,
    subscribers: u64,
    /// The other parameters, in words; empty where one was left open.
    asked: [String; 9],
}

impl Likeness {
    /// The parameters of a run; the number of its shards is one only if that was asked for.
    fn of(run: &RunRecord, shards: bool) -> Self {
        let word = |what: &str, word: &Option<String>| {
            word.as_ref().map_or_else(String::new, |word| format!("{what} {word}"))
        };
        let peer = run.peer.as_ref().map_or_else(String::new, |peer| format!("{peer} "));
        Likeness {
            who: format!("{peer}{}", run.mode),
            subscribers: run.subscribers,
            asked: [
                format!("sessions {}", run.sessions),
                run.transport.clone(),
                payload(run.size_bytes),
                rate(run),
                if run.publishers == 1 {
                    String::new()
                } else {
                    format!("{} publishers", count(run.publishers))
                },
                word("clients", &run.clients),
                slow(run).unwrap_or_default(),
                [word("idle", &run.idle), word("overflow", &run.overflow)].join(" ").trim().to_owned(),
                if shards { counted(run.shards.len(), "shard") } else { String::new() },
            ],
        }
    }
}

impl fmt::Display for Likeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.who, counted(self.subscribers as usize, "subscriber"))?;
        self.asked.iter().filter(|words| !words.is_empty()).try_for_each(|words| write!(f, ", {words}"))
    }
}

/// True for a run that says something on its own.
fn counts(entry: &Entry) -> bool {
    entry.record.incomplete.is_none() && !entry.record.extra.contains_key(WHOLE)
}

/// The finished runs of a source, rounds together, in the order in which they were made.
pub fn groups(source: &Source) -> Vec<(Likeness, Vec<&Entry>)> {
    let runs: Vec<&Entry> = source.results.runs.iter().filter(|entry| counts(entry)).collect();
    let shards = shards_differ(&runs);
    grouped(runs, |entry| Likeness::of(&entry.record, shards))
}

/// Those that are in no group.
pub fn left_out(source: &Source) -> Vec<String> {
    let others = source.results.runs.iter().filter(|entry| !counts(entry));
    others.map(|entry| format!("{} {}", source.name, entry.id)).collect()
}
