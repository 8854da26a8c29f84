//! Owns which runs belong together: those that differ only in mode and number of subscribers are a family, and those
//! that were asked for alike in everything are rounds of one run.

use super::document::capital;
use super::runs::Runs;
use crate::record::RunRecord;
use crate::unit::{counted, payload, tick};
use std::collections::BTreeSet;

/// The name of a figure in `extra` of runs that look for a rate: 1 if all was delivered at theirs.
pub(crate) const WHOLE: &str = "whole";
/// Another: clients that came and went while it sent; of runs that had some.
const VISITS: &str = "visits";
/// The trait of most runs, which goes without saying where runs are named in full.
const USUAL: &str = "1 publisher";
/// The reactor of clients of our own library that goes without saying: there was none but it, once.
const USUAL_REACTOR: &str = "io_uring";
/// Number of traits.
const TRAITS: usize = 13;

/// Runs that can stand in one plot over the number of subscribers.
#[derive(Clone, Debug)]
pub(crate) struct Family<'a> {
    /// The traits that set it apart from the others: `sessions per-executor, 1 KiB`; empty if there is only one.
    pub(crate) title: String,
    pub(crate) runs: Runs<'a>,
}

/// The settings that set runs apart, but for mode, number of subscribers and round. A part that says nothing is empty;
/// the number of shards says something if runs differ in it.
fn traits(run: &RunRecord, shards: bool) -> [String; TRAITS] {
    let word = |what: &str, word: &Option<String>| {
        word.as_ref().map_or_else(String::new, |word| format!("{what} {word}"))
    };
    [
        format!("sessions {}", run.sessions),
        run.transport.clone(),
        payload(run.size_bytes),
        rate(run),
        counted(run.publishers as usize, "publisher"),
        run.shared_topics().map(|shared| shared.to_string()).unwrap_or_default(),
        word("clients", &run.clients),
        reactor(run),
        slow(run).unwrap_or_default(),
        if run.extra.contains_key(VISITS) { "visitors".into() } else { String::new() },
        word("idle", &run.idle),
        word("overflow", &run.overflow),
        if shards { counted(run.shards.len(), "shard") } else { String::new() },
    ]
}

/// The reactor in words; empty if it is the usual one, or if it is not our library's clients that wait.
pub(crate) fn reactor(run: &RunRecord) -> String {
    let other = run.reactor.as_ref().filter(|reactor| *reactor != USUAL_REACTOR);
    other.map_or_else(String::new, |reactor| format!("reactor {reactor}"))
}

/// The rate in words. A search for a rate has a family of its own, whatever it tried.
pub(crate) fn rate(run: &RunRecord) -> String {
    match run.rate_hz {
        _ if run.extra.contains_key(WHOLE) => "a search for the rate".into(),
        Some(rate_hz) => format!("{rate_hz} messages/s"),
        None => "flood".into(),
    }
}

/// The slow subscribers in words; `None` if there were none.
pub(crate) fn slow(run: &RunRecord) -> Option<String> {
    let slow = run.slow_subscribers.filter(|slow| *slow > 0)?;
    Some(match run.extra.get("slow_delay_ms") {
        Some(ms) if *ms > 0.0 => format!("{slow} slow by {} ms", tick(*ms)),
        Some(_) => format!("{slow} stalled"),
        None => format!("{slow} slow"),
    })
}

/// The families of these runs, in the order in which they appear; numbers of shards are apart.
pub(crate) fn families<'a>(runs: &Runs<'a>) -> Vec<Family<'a>> {
    families_by(runs, runs.shards_differ())
}

/// The families of these runs, with all numbers of shards in one.
pub(crate) fn families_of_any_shards<'a>(runs: &Runs<'a>) -> Vec<Family<'a>> {
    families_by(runs, false)
}

fn families_by<'a>(runs: &Runs<'a>, shards: bool) -> Vec<Family<'a>> {
    let families = runs.by(|run| traits(run, shards));
    let differs =
        |part: usize| families.iter().map(|(traits, _)| &traits[part]).collect::<BTreeSet<_>>().len() > 1;
    let title = |traits: &[String; TRAITS]| {
        let parts = traits.iter().enumerate().filter(|(part, text)| !text.is_empty() && differs(*part));
        parts.map(|(_, text)| &text[..]).collect::<Vec<_>>().join(", ")
    };
    families.iter().map(|(traits, runs)| Family { title: title(traits), runs: runs.clone() }).collect()
}

/// Runs that were made alike in everything that was asked for, whatever came of it, under their name in full. Rounds of
/// the same run are together.
pub(crate) fn alike<'a>(runs: &Runs<'a>) -> Vec<(String, Runs<'a>)> {
    let shards = runs.shards_differ();
    runs.by(|run| {
        let peer = run.peer.as_ref().map_or_else(String::new, |peer| format!("{peer} "));
        let subscribers = counted(run.subscribers as usize, "subscriber");
        let traits = traits(run, shards).into_iter().filter(|part| !part.is_empty() && part != USUAL);
        [format!("{peer}{}", run.mode), subscribers].into_iter().chain(traits).collect::<Vec<_>>().join(", ")
    })
}

impl Family<'_> {
    /// `Title: `, to set before a sentence; nothing if there is no other family.
    pub(crate) fn before(&self) -> String {
        if self.title.is_empty() { String::new() } else { format!("{}: ", capital(&self.title)) }
    }

    /// ` (title)`, to set behind something; nothing if there is no other family.
    pub(crate) fn behind(&self) -> String {
        if self.title.is_empty() { String::new() } else { format!(" ({})", self.title) }
    }

    /// The name of a kind of figure of this family, from which its slug is made.
    pub(crate) fn slug(&self, kind: &str) -> String {
        format!("{kind} {}", self.title)
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::Source;
    use super::*;
    use crate::measure::environment::Environment;
    use crate::record::ShardRecord;
    use crate::record::run::tests::sample_run;
    use crate::results::{Entry, Kind, Results};

    fn source(records: impl IntoIterator<Item = RunRecord>) -> Source {
        let mut results = Results::new(Kind::Experiment, "canonical", "", Environment::default());
        let entry = |record| Entry { id: "0001-x".into(), record };
        results.runs = records.into_iter().map(entry).collect();
        Source { name: "canonical".into(), folder: None, results }
    }

    #[test]
    fn families_are_named_by_what_differs() {
        let shared = RunRecord { sessions: "per-executor".into(), ..sample_run() };
        let source = source([sample_run(), shared, sample_run()]);
        let families = families(&Runs::all(&source));
        let titles: Vec<&str> = families.iter().map(|family| &family.title[..]).collect();
        assert_eq!(titles, ["sessions per-subscriber", "sessions per-executor"]);
        assert_eq!(families[0].runs.len(), 2);
    }

    #[test]
    fn runs_made_alike_are_named_by_all_that_was_asked_for() {
        let shards = |number| vec![ShardRecord::default(); number];
        let word = |word: &str| Some(word.to_owned());
        let plain = RunRecord { rate_hz: Some(20.0), publishers: 1, shards: shards(1), ..sample_run() };
        let again = RunRecord { round: Some(2), lost: 3, reactor: word("io_uring"), ..plain.clone() };
        let more = RunRecord { shards: shards(2), ..plain.clone() };
        let asked = RunRecord {
            peer: word("nats"),
            publishers: 2,
            topics: Some(100),
            topics_per_subscriber: Some(20),
            topic_spread: Some("uniform".into()),
            topic_filters: Some("exact".into()),
            slow_subscribers: Some(5),
            reactor: word("epoll"),
            idle: word("park"),
            overflow: word("block"),
            ..plain.clone()
        };
        let all = "proxy, 512 subscribers, sessions per-subscriber, tcp, 64 B, 20 messages/s";
        let full = format!(
            "nats {all}, 2 publishers, 20 of 100 topics, reactor epoll, 5 slow, idle park, overflow block"
        );

        let named = |records: Vec<RunRecord>| {
            let source = source(records);
            let alike = alike(&Runs::all(&source)).into_iter();
            alike.map(|(name, runs)| (name, runs.len())).collect::<Vec<_>>()
        };
        let wanted = [(all.to_owned(), 2), (full, 1)];
        assert_eq!(named(vec![plain.clone(), asked, again]), wanted);
        let wanted = [(format!("{all}, 1 shard"), 1), (format!("{all}, 2 shards"), 1)];
        assert_eq!(named(vec![plain, more]), wanted);
    }
}
