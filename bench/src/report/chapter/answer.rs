//! Owns the answer: a sentence or two computed from the figures, and what takes away from it.

use super::super::document::capital;
use super::super::likeness::{Family, alike, families};
use super::super::runs::Runs;
use super::super::source::Source;
use super::counts::median_to_last;
use crate::record::RunRecord;
use crate::unit::{Unit, counted, digits};

/// Sentences that answer the question of an experiment.
pub(crate) type Answers = fn(&Runs<'_>) -> Vec<String>;

/// The answer of the runs to the question of the experiment.
pub(crate) fn answer(runs: &Runs<'_>, answers: Answers) -> Vec<String> {
    if runs.is_empty() {
        return vec!["Nothing was measured to the end, so there is no answer.".into()];
    }
    let mut sentences = answers(runs);
    let figures = runs.source().results.figures.iter();
    sentences.extend(figures.map(|(name, figure)| format!("`{name}` is {figure}.")));
    if sentences.is_empty() {
        sentences = last(runs);
    }
    sentences.push(accounted(runs));
    sentences.iter().map(|sentence| capital(sentence)).collect()
}

/// At the largest number of subscribers, how long it takes to the last.
fn last(runs: &Runs<'_>) -> Vec<String> {
    let sentence = |family: &Family<'_>| {
        let count = *family.runs.counts().last()?;
        let at_count = family.runs.of_count(count);
        let of = |mode: &str| Some((mode.to_owned(), at_count.of_mode(mode).over(median_to_last)?.median));
        let modes: Vec<(String, f64)> = family.runs.modes().into_iter().filter_map(of).collect();
        let ratio = match &modes[..] {
            [(_, proxy), (_, direct)] => format!(" (direct / proxy = {})", digits(direct / proxy)),
            [] => return None,
            _ => String::new(),
        };
        let words = modes.iter().map(|(mode, us)| format!("{} in {mode} mode", Unit::Us.text(*us)));
        Some(format!(
            "{}a message reaches the last of {} in {}, in the median{ratio}.",
            family.before(),
            counted(count as usize, "subscriber"),
            words.collect::<Vec<_>>().join(" and ")
        ))
    };
    families(&runs.paced()).iter().filter_map(sentence).collect()
}

/// The account of all deliveries in a sentence.
fn accounted(runs: &Runs<'_>) -> String {
    let sum = |figure: fn(&RunRecord) -> u64| runs.records().map(figure).sum::<u64>();
    let (lost, gaps) = (sum(|run| run.lost), sum(|run| run.gaps_reported));
    let deliveries = Unit::Count.text(sum(|run| run.deliveries) as f64);
    let said = |number: u64, none: &str, some: &str| match number {
        0 => none.to_owned(),
        number => format!("{} {some}", Unit::Count.text(number as f64)),
    };
    let (lost, gaps) =
        (said(lost, "none was lost", "were lost"), said(gaps, "no gap was told", "were told as gaps"));
    format!("Of {deliveries} deliveries in {}, {lost}; {gaps}.", counted(runs.len(), "run"))
}

/// Factor between rounds of the same run above which it cannot be the run alone.
const UNSTEADY: f64 = 1.5;

/// The word on a machine that was disturbed: the same run took much longer in one round than in another.
fn unsteady(runs: &Runs<'_>) -> Option<String> {
    let factor = |(_, rounds): &(String, Runs<'_>)| {
        rounds.over(median_to_last)?.spread().map(|(low, high)| high / low)
    };
    let most = alike(&runs.paced()).iter().filter_map(factor).fold(1.0, f64::max);
    let words =
        "The machine was disturbed: the time to the last differs between rounds of the same run by up to";
    (most > UNSTEADY).then(|| format!("{words} {}.", Unit::Ratio.text(most)))
}

/// Reasons to trust the figures less than they look.
pub(crate) fn warnings(source: &Source) -> Vec<String> {
    let results = &source.results;
    let mut warnings = Vec::new();
    let (made, planned) = (results.runs.len(), results.runs_planned);
    if results.incomplete.is_some() || (made as u64) < planned {
        let why = results.incomplete.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
        warnings.push(format!("Incomplete{why}: {made} of {planned} planned runs were made."));
    }
    let unfinished: Vec<String> = results
        .runs
        .iter()
        .filter_map(|entry| Some(format!("{} ({})", entry.id, entry.record.incomplete.as_ref()?)))
        .collect();
    if !unfinished.is_empty() {
        warnings.push(format!("Not finished, and in no plot and no answer: {}.", unfinished.join(", ")));
    }
    let wrong = |what: &str, figure: fn(&RunRecord) -> u64| {
        let runs: Vec<&str> = results
            .runs
            .iter()
            .filter(|entry| figure(&entry.record) > 0)
            .map(|entry| &entry.id[..])
            .collect();
        let sum: u64 = results.runs.iter().map(|entry| figure(&entry.record)).sum();
        (sum > 0).then(|| format!("{} {what}: {}.", Unit::Count.text(sum as f64), runs.join(", ")))
    };
    warnings.extend(wrong("messages were lost without a word", |run| run.lost));
    warnings.extend(wrong("messages arrived twice", |run| run.duplicated));
    warnings.extend(wrong("messages arrived out of order", |run| run.reordered));
    warnings.extend(wrong("messages arrived damaged", |run| run.corrupted));
    let misdelivered = |run: &RunRecord| run.misdelivered.unwrap_or(0);
    warnings.extend(wrong("messages arrived on topics that were not wanted", misdelivered));
    warnings.extend(wrong("sessions left a core that something else took", |run| {
        run.sessions_moved.unwrap_or(0)
    }));
    warnings.extend(unsteady(&Runs::finished(source)));
    warnings.extend(results.skipped.iter().map(|skipped| {
        let round = skipped.round.map_or_else(String::new, |round| format!(" in round {round}"));
        format!("Not measured{round}: {}: {}.", skipped.peer, skipped.why.trim_end_matches('.'))
    }));
    if results.environment.build == "debug" {
        warnings.push("Measured with a debug build: no figure here says anything about a release.".into());
    }
    if results.quick {
        warnings.push("The quick version: short runs, so that high percentiles rest on few messages.".into());
    }
    warnings
}
