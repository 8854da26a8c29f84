//! The report of one source: each file knows one view of the runs, and gives nothing where it does not apply.
//!
//! | file | owns |
//! |---|---|
//! | [`family`] | which runs belong together, and what several rounds amount to |
//! | [`answer`] | the answer in a sentence, and the warnings |
//! | [`counts`] | boxes, means and medians, first and last, over the number of subscribers |
//! | [`percentiles`] | percentile curves |
//! | [`crossover`] | direct over proxy, and where it passes 1 |
//! | [`flood`] | deliveries a second |
//! | [`peers`] | ours beside others |
//! | [`isolation`] | what slow subscribers cost the others |
//! | [`scaling`] | CPU for each delivery, memory for each subscriber |
//! | [`idle`] | latency and CPU time by what a broker does when idle |
//! | [`ancestor`] | ours beside the ancestor's published figures |
//! | [`balance`] | between shards |
//! | [`quartiles`] | the table in the ancestor's shape |
//! | [`runs`] | every run |
//! | [`environment`] | the machine, and how to do it again |

pub(crate) mod ancestor;
pub(crate) mod answer;
pub(crate) mod balance;
pub(crate) mod counts;
pub(crate) mod crossover;
pub(crate) mod environment;
pub(crate) mod family;
pub(crate) mod flood;
pub(crate) mod idle;
pub(crate) mod isolation;
pub(crate) mod peers;
pub(crate) mod percentiles;
pub(crate) mod quartiles;
pub(crate) mod runs;
pub(crate) mod scaling;

use super::document::{Block, Chapter, Document, Section, slug};
use super::source::Source;
use crate::results::{Entry, Kind};
use crate::unit::counted;

/// The report of these sources.
pub(crate) fn document(sources: &[Source]) -> Document {
    let names: Vec<&str> = sources.iter().map(|source| &source.name[..]).collect();
    Document {
        title: format!("corecast, measured: {}", names.join(", ")),
        chapters: (0..sources.len()).map(|number| chapter(&sources[number], &sources[..number])).collect(),
    }
}

fn chapter(source: &Source, before: &[Source]) -> Chapter {
    let runs = source.complete();
    let mut sections = Vec::new();
    let mut section = |title: &str, blocks: Vec<Block>| {
        if !blocks.is_empty() {
            sections.push(Section { title: title.to_owned(), blocks });
        }
    };
    section("Results", plots(source, &runs));
    if source.results.name == "canonical" {
        section("Beside the ancestor", ancestor::blocks(source, &runs));
    }
    section("Quartiles", quartiles::blocks(source));
    section("Every run", runs::blocks(source));
    sections.extend(environment::sections(source, before));
    Chapter {
        slug: slug(&source.name),
        title: title(source),
        facts: facts(source),
        question: source.results.question.clone(),
        answer: answer::answer(source, &runs),
        warnings: answer::warnings(source),
        sections,
    }
}

/// The plots that this kind of results is about first, then whatever else there is to see.
fn plots(source: &Source, runs: &[&Entry]) -> Vec<Block> {
    let mut blocks = Vec::new();
    if source.results.kind == Kind::Peers {
        blocks.extend(peers::blocks(source, runs));
        blocks.extend(balance::blocks(source, runs));
        return blocks;
    }
    match &source.results.name[..] {
        "crossover" => blocks.extend(crossover::blocks(source, runs)),
        "flood" => blocks.extend(flood::blocks(source, runs)),
        "echo" => {
            let ours: Vec<&Entry> =
                runs.iter().copied().filter(|entry| entry.record.peer.is_none()).collect();
            blocks.extend(idle::blocks(source, &ours));
        }
        "idle" => blocks.extend(idle::blocks(source, runs)),
        "isolation" => blocks.extend(isolation::blocks(source, runs)),
        "scaling" => {
            blocks.extend(scaling::blocks(source, runs));
            blocks.extend(scaling::tables(source, runs));
            blocks.extend(counts::blocks(source, runs));
            blocks.extend(flood::blocks(source, runs));
        }
        _ => {
            blocks.extend(counts::blocks(source, runs));
            blocks.extend(percentiles::blocks(source, runs));
            blocks.extend(crossover::blocks(source, runs));
            blocks.extend(flood::blocks(source, runs));
            blocks.extend(isolation::blocks(source, runs));
            blocks.extend(scaling::blocks(source, runs));
        }
    }
    blocks.extend(balance::blocks(source, runs));
    blocks
}

fn title(source: &Source) -> String {
    match source.results.kind {
        Kind::Peers => format!("Beside others: {}", source.name),
        Kind::Experiment if source.results.name == source.name => format!("Experiment {}", source.name),
        Kind::Experiment if source.results.name == "run" => format!("Runs of {}", source.name),
        Kind::Experiment => format!("Experiment {} ({})", source.results.name, source.name),
    }
}

fn facts(source: &Source) -> Vec<String> {
    let results = &source.results;
    let mut facts = vec![counted(results.runs.len(), "run")];
    if !results.started_at.is_empty() {
        facts.push(format!("begun {}", to_the_second(&results.started_at)));
    }
    let environment = &results.environment;
    facts.push(format!(
        "version {}, commit {}, {} build",
        environment.version, environment.git_commit, environment.build
    ));
    facts.extend(environment.cpu_model.clone());
    facts
}

/// An instant of RFC 3339 without its decimals.
fn to_the_second(instant: &str) -> String {
    match instant.split_once('.') {
        Some((seconds, _)) if instant.ends_with('Z') => format!("{seconds}Z"),
        _ => instant.to_owned(),
    }
}
