//! The content of a report about one source: each file knows one view of the runs, gives nothing where it does not
//! apply, and has the sentences that answer a question from it.
//!
//! | file | owns |
//! |---|---|
//! | [`answer`] | the answer in a sentence, and the warnings |
//! | [`look`] | the colours and shapes of series |
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
//! | [`index`] | every run |
//! | [`environment`] | the machine, and how to do it again |

mod ancestor;
mod answer;
mod balance;
mod counts;
mod crossover;
mod environment;
mod flood;
mod idle;
mod index;
mod isolation;
mod look;
mod peers;
mod percentiles;
mod quartiles;
mod scaling;

use super::document::{Block, Chapter, Document, RESULTS, Section, slug};
use super::runs::Runs;
use super::source::Source;
use crate::results::{Kind, Results};
use crate::unit::counted;
use answer::Answers;

/// Plots and tables of runs; none where the view does not apply.
type View = fn(&Runs<'_>) -> Vec<Block>;

/// The experiments with views of their own, by name.
const EXPERIMENTS: [(&str, &[View], Answers); 7] = [
    ("crossover", &[crossover::blocks], crossover::answers),
    ("echo", &[idle::beside_the_floor], idle::answers_beside_the_floor),
    ("flood", &[flood::blocks], flood::answers),
    ("idle", &[idle::blocks], idle::answers),
    ("isolation", &[isolation::blocks], isolation::answers),
    ("scaling", &[scaling::blocks, scaling::tables, counts::blocks, flood::blocks], scaling::answers),
    ("topics", &[peers::blocks], peers::answers),
];
/// The views of all others: whatever there is to see.
const ANY: [View; 6] = [
    counts::blocks,
    percentiles::blocks,
    crossover::blocks,
    flood::blocks,
    isolation::blocks,
    scaling::blocks,
];

/// The views of this kind of results, and the sentences that answer its question.
fn about(results: &Results) -> (&'static [View], Answers) {
    let own = EXPERIMENTS.iter().find(|(name, ..)| *name == results.name);
    match results.kind {
        Kind::Peers => (&[peers::blocks], peers::answers),
        Kind::Experiment => own.map_or((&ANY, |_| Vec::new()), |(_, views, answers)| (views, *answers)),
    }
}

/// The report of these sources.
pub(crate) fn document(sources: &[Source]) -> Document {
    let names: Vec<&str> = sources.iter().map(|source| &source.name[..]).collect();
    let chapters: Vec<_> = (0..sources.len()).map(|at| chapter(&sources[at], &sources[..at])).collect();
    let has_rivals = |source: &Source| source.results.runs.iter().any(|entry| entry.record.peer.is_some());
    let first = chapters.get(sources.iter().position(has_rivals).unwrap_or(0));
    Document {
        title: format!("corecast, measured: {}", names.join(", ")),
        headline: first.and_then(|chapter| chapter.answer.first().cloned()).unwrap_or_default(),
        chapters,
    }
}

fn chapter(source: &Source, before: &[Source]) -> Chapter {
    let (all, runs) = (Runs::all(source), Runs::finished(source));
    let (views, answers) = about(&source.results);
    let plots = views.iter().chain(&[balance::blocks as View]).flat_map(|view| view(&runs)).collect();
    let ancestor = if source.results.name == "canonical" { ancestor::blocks(&runs) } else { Vec::new() };
    let mut sections = vec![
        Section::new(RESULTS, plots),
        Section::new("Beside the ancestor", ancestor),
        Section::new("Quartiles", quartiles::blocks(&all)),
        Section::new("Every run", index::blocks(&all)),
    ];
    sections.retain(|section| !section.blocks.is_empty());
    sections.extend(environment::sections(source, before));
    Chapter {
        slug: slug(&source.name),
        title: title(source),
        facts: facts(source),
        question: source.results.question.clone(),
        answer: answer::answer(&runs, answers),
        warnings: answer::warnings(source),
        sections,
    }
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
