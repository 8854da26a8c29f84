//! Owns the answer: a sentence or two computed from the figures, and what takes away from it.

use super::super::source::Source;
use super::crossover::ratios;
use super::family::{Family, families, median_to_last, over_rounds, paced};
use super::isolation::pairs;
use super::runs::cpu;
use crate::order::rising;
use crate::results::{Entry, Kind};
use crate::unit::{Unit, counted, digits};

/// The answer of the runs to the question of the experiment.
pub(crate) fn answer(source: &Source, runs: &[&Entry]) -> Vec<String> {
    if runs.is_empty() {
        return vec!["Nothing was measured to the end, so there is no answer.".into()];
    }
    let mut sentences = match (source.results.kind, &source.results.name[..]) {
        (Kind::Peers, _) => super::peers::answers(runs),
        (_, "crossover") => crossover(runs),
        (_, "echo") => echo(runs),
        (_, "flood") => flood(runs),
        (_, "quiet") => Vec::new(),
        (_, "idle") => super::idle::answers(runs),
        (_, "isolation") => isolation(runs),
        (_, "scaling") => scaling(runs),
        _ => Vec::new(),
    };
    sentences.extend(figures(source));
    if sentences.is_empty() {
        sentences = last(runs);
    }
    sentences.push(accounted(runs));
    sentences.iter().map(|sentence| capital(sentence)).collect()
}

/// The same with a capital at its beginning.
fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}

/// The figures of the experiment as a whole.
fn figures(source: &Source) -> impl Iterator<Item = String> {
    let figures = source.results.figures.iter();
    figures.map(|(name, figure)| format!("`{name}` is {}.", figure))
}

/// The floor; the idle chapter has the rest.
fn echo(runs: &[&Entry]) -> Vec<String> {
    let (bare, ours): (Vec<&Entry>, Vec<&Entry>) =
        runs.iter().copied().partition(|entry| entry.record.peer.is_some());
    let floor = over_rounds(&bare, |run| run.latency_us.map(|summary| summary.median));
    let floor = floor.map(|us| {
        format!("Between two threads, to and fro takes {} in the median.", Unit::Us.text(us.median))
    });
    floor.into_iter().chain(super::idle::answers(&ours)).collect()
}

/// At the largest number of subscribers, how long it takes to the last.
fn last(runs: &[&Entry]) -> Vec<String> {
    let sentence = |family: &Family<'_>| {
        let count = *family.counts().last()?;
        let of = |mode: &&str| {
            let rounds = family.rounds(mode, count);
            let us = over_rounds(&rounds, median_to_last)?;
            Some((format!("{} in {mode} mode", Unit::Us.text(us.median)), us.median))
        };
        let modes: Vec<(String, f64)> = family.modes().iter().filter_map(of).collect();
        let ratio = match &modes[..] {
            [(_, proxy), (_, direct)] => format!(" (direct / proxy = {})", digits(direct / proxy)),
            [] => return None,
            _ => String::new(),
        };
        let words: Vec<String> = modes.into_iter().map(|(words, _)| words).collect();
        let subscribers = counted(count as usize, "subscriber");
        let words = words.join(" and ");
        Some(format!(
            "{}a message reaches the last of {subscribers} in {words}, in the median{ratio}.",
            family.before()
        ))
    };
    families(&paced(runs)).iter().filter_map(sentence).collect()
}

/// The account of all deliveries in a sentence.
fn accounted(runs: &[&Entry]) -> String {
    let sum = |figure: fn(&Entry) -> u64| runs.iter().map(|entry| figure(entry)).sum::<u64>();
    let (lost, gaps) = (sum(|entry| entry.record.lost), sum(|entry| entry.record.gaps_reported));
    let deliveries = Unit::Count.text(sum(|entry| entry.record.deliveries) as f64);
    let gaps = if gaps == 0 {
        "no gap was told".into()
    } else {
        format!("{} were told as gaps", Unit::Count.text(gaps as f64))
    };
    let lost = if lost == 0 {
        "none was lost".into()
    } else {
        format!("{} were lost", Unit::Count.text(lost as f64))
    };
    format!("Of {deliveries} deliveries in {}, {lost}; {gaps}.", counted(runs.len(), "run"))
}

fn crossover(runs: &[&Entry]) -> Vec<String> {
    let of = |one: &super::crossover::Ratios| {
        let below = one.points.iter().filter(|(_, ratio)| *ratio < 1.0).count();
        let name = &one.name;
        match (&one.crossings()[..], below) {
            ([], 0) => {
                format!("{name}: proxy mode reaches the last subscriber first at every number measured.")
            }
            ([], _) => {
                format!("{name}: direct mode reaches the last subscriber first at every number measured.")
            }
            ([at], _) => {
                let starts_below = one.points.first().is_some_and(|(_, ratio)| *ratio < 1.0);
                let (few, many) = if starts_below { ("direct", "proxy") } else { ("proxy", "direct") };
                format!(
                    "{name}: {few} mode is first up to about {} subscribers, {many} mode beyond.",
                    at.round()
                )
            }
            (several, _) => {
                let at: Vec<String> = several.iter().map(|at| at.round().to_string()).collect();
                format!(
                    "{name}: neither mode is first throughout; the order changes at about {} subscribers.",
                    at.join(", ")
                )
            }
        }
    };
    ratios(runs).iter().map(of).collect()
}

fn flood(runs: &[&Entry]) -> Vec<String> {
    let floods: Vec<&Entry> = runs.iter().copied().filter(|entry| entry.record.rate_hz.is_none()).collect();
    let sizes = rising(floods.iter().map(|entry| entry.record.size_bytes));
    let most = |size: u64| {
        let alike = floods.iter().filter(|entry| entry.record.size_bytes == size);
        let run = &alike
            .max_by(|one, other| one.record.deliveries_per_s.total_cmp(&other.record.deliveries_per_s))?
            .record;
        Some(format!(
            "{}: at most {} deliveries a second, in {} mode with {}.",
            crate::unit::payload(size),
            Unit::Count.text(run.deliveries_per_s),
            run.mode,
            counted(run.subscribers as usize, "subscriber"),
        ))
    };
    sizes.into_iter().filter_map(most).collect()
}

fn isolation(runs: &[&Entry]) -> Vec<String> {
    let sentence = |pair: &super::isolation::Pair<'_>| {
        let with = pair.with.iter().map(|with| {
            let (us, ratio) = (Unit::Us.text(with.p99_us.median), digits(with.ratio(pair)));
            format!("{us} with {} (ratio {ratio})", with.name)
        });
        let with = with.collect::<Vec<_>>().join(", ");
        let without = Unit::Us.text(pair.without.median);
        format!("{}: the healthy ones' p99 is {without} without slow subscribers, {with}.", pair.heading)
    };
    pairs(runs).iter().map(sentence).collect()
}

fn scaling(runs: &[&Entry]) -> Vec<String> {
    let sentence = |family: &Family<'_>| {
        let counts = family.counts();
        let (least, most) = (*counts.first()?, *counts.last()?);
        let of = |mode: &&str| {
            let at = |count| over_rounds(&family.rounds(mode, count), cpu).map(|over| over.median);
            let (from, to) = (at(least)?, at(most)?);
            Some(format!("from {} to {} in {mode} mode", Unit::Ns.text(from), Unit::Ns.text(to)))
        };
        let modes: Vec<String> = family.modes().iter().filter_map(of).collect();
        (least < most && !modes.is_empty()).then(|| {
            let (least, most) = (Unit::Count.text(least as f64), Unit::Count.text(most as f64));
            let modes = modes.join(", ");
            format!(
                "{}from {least} to {most} subscribers CPU time for each delivery goes {modes}.",
                family.before()
            )
        })
    };
    families(runs).iter().filter_map(sentence).collect()
}

/// Reasons to trust the figures less than they look.
pub(crate) fn warnings(source: &Source) -> Vec<String> {
    let results = &source.results;
    let mut warnings = Vec::new();
    let (made, planned) = (results.runs.len(), results.runs_planned);
    if let Some(why) = &results.incomplete {
        warnings.push(format!("Incomplete ({why}): {made} of {planned} planned runs were made."));
    } else if (made as u64) < planned {
        warnings.push(format!("Incomplete: {made} of {planned} planned runs were made."));
    }
    let unfinished: Vec<String> = results
        .runs
        .iter()
        .filter_map(|entry| Some(format!("{} ({})", entry.id, entry.record.incomplete.as_ref()?)))
        .collect();
    if !unfinished.is_empty() {
        let unfinished = unfinished.join(", ");
        warnings.push(format!("Not finished, and in no plot and no answer: {unfinished}."));
    }
    let wrong = |what: &str, figure: fn(&Entry) -> u64| {
        let runs: Vec<&str> =
            results.runs.iter().filter(|entry| figure(entry) > 0).map(|entry| &entry.id[..]).collect();
        let sum: u64 = results.runs.iter().map(figure).sum();
        (sum > 0).then(|| format!("{} {what}: {}.", Unit::Count.text(sum as f64), runs.join(", ")))
    };
    warnings.extend(wrong("messages were lost without a word", |entry| entry.record.lost));
    warnings.extend(wrong("messages arrived twice", |entry| entry.record.duplicated));
    warnings.extend(wrong("messages arrived out of order", |entry| entry.record.reordered));
    warnings.extend(wrong("messages arrived damaged", |entry| entry.record.corrupted));
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
