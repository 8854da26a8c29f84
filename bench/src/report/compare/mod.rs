//! Two results side by side: runs that were made alike are matched, and each figure of the second is set over that of
//! the first, with an interval that says how far to trust it.
//!
//! | file | owns |
//! |---|---|
//! | [`interval`] | how far a ratio may be trusted, and what that rests on |
//! | [`claim`] | `--assert` about ratios |
//! | [`text`] | the tables that a terminal shows |

pub mod claim;
pub mod interval;
pub mod text;

use super::likeness::{WHOLE, alike};
use super::runs::Runs;
use super::source::Source;
use crate::order::median;
use crate::record::RunRecord;
use crate::record::assertion::numbers_of;
use crate::results::Raw;
use interval::{Basis, Interval, Sampled};
use serde::Serialize;
use std::collections::BTreeMap;

/// The schema of what `compare --json` writes.
pub const SCHEMA: &str = "corecast-bench-compare/1";

/// Two results, compared.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Comparison {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// The base.
    pub a: Side,
    /// The side that is set over it.
    pub b: Side,
    /// Runs that were made alike, in the order of A.
    pub pairs: Vec<Pair>,
    /// Runs of A that B has nothing alike for.
    pub only_in_a: Vec<String>,
    /// Runs of B that A has nothing alike for.
    pub only_in_b: Vec<String>,
    /// Runs that are in no pair because they say nothing on their own: unfinished, or tries of a search.
    pub left_out: Vec<String>,
    /// Differences between the machines and builds: name, in A, in B.
    pub differs: Vec<Difference>,
}

/// One of the two.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Side {
    /// The last part of its path.
    pub name: String,
    /// The experiment, or `run`.
    pub experiment: String,
    /// Number of its runs.
    pub runs: usize,
}

/// A property of machine or build that is not the same in both.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Difference {
    /// Which.
    pub what: &'static str,
    /// In A.
    pub a: String,
    /// In B.
    pub b: String,
}

/// Runs that were made alike: one of each, or several rounds.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Pair {
    /// Their common parameters, in words.
    pub run: String,
    /// Their names in A.
    pub a_runs: Vec<String>,
    /// Their names in B.
    pub b_runs: Vec<String>,
    /// By how much one-way latencies of either may be wrong because clocks differ, in microseconds; absent if all read
    /// the same one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_error_us: Option<f64>,
    /// Every figure that both have, under its name in the record.
    pub figures: BTreeMap<String, Compared>,
}

/// One figure of both.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Compared {
    /// In A: the median over its rounds.
    pub a: f64,
    /// In B.
    pub b: f64,
    /// B over A; absent if A is 0.
    pub ratio: Option<f64>,
    /// Between these the ratio is with 95 % confidence; absent where nothing is known about that.
    pub interval: Option<Interval>,
}

/// Compares B with A.
pub fn compare(a: &Source, b: &Source) -> Comparison {
    let [in_a, in_b] = [a, b].map(|source| alike(&Runs::all(source).only(says_something)));
    let pair = |(run, of_a): &(String, Runs<'_>)| {
        let (_, of_b) = in_b.iter().find(|(other, _)| other == run)?;
        Some(Pair {
            run: run.clone(),
            a_runs: names(of_a),
            b_runs: names(of_b),
            clock_error_us: [of_a, of_b].into_iter().filter_map(Runs::clock_error).reduce(f64::max),
            figures: figures(of_a, of_b),
        })
    };
    let alone = |groups: &[(String, Runs<'_>)], others: &[(String, Runs<'_>)]| {
        let lonely = groups.iter().filter(|(run, _)| !others.iter().any(|(other, _)| other == run));
        lonely.map(|(run, runs)| format!("{run} ({})", names(runs).join(", "))).collect()
    };
    let left_out = |source: &Source| {
        let others = names(&Runs::all(source).only(|run| !says_something(run))).into_iter();
        others.map(|id| format!("{} {id}", source.name)).collect::<Vec<_>>()
    };
    Comparison {
        schema: SCHEMA,
        a: side(a),
        b: side(b),
        pairs: in_a.iter().filter_map(pair).collect(),
        only_in_a: alone(&in_a, &in_b),
        only_in_b: alone(&in_b, &in_a),
        left_out: [a, b].into_iter().flat_map(left_out).collect(),
        differs: differs(a, b),
    }
}

/// True of a run that says something on its own.
fn says_something(run: &RunRecord) -> bool {
    run.incomplete.is_none() && !run.extra.contains_key(WHOLE)
}

fn side(source: &Source) -> Side {
    Side {
        name: source.name.clone(),
        experiment: source.results.name.clone(),
        runs: source.results.runs.len(),
    }
}

fn names(runs: &Runs<'_>) -> Vec<String> {
    runs.entries().map(|entry| entry.id.clone()).collect()
}

/// Every number that both have been measured for.
fn figures(a: &Runs<'_>, b: &Runs<'_>) -> BTreeMap<String, Compared> {
    let (a_rounds, b_rounds) = (rounds(a), rounds(b));
    let known = a_rounds.keys().filter(|name| b_rounds.contains_key(*name));
    // A run of each, without rounds, has its samples.
    let raw = |runs: &Runs<'_>| match runs.len() {
        1 => runs.entries().next().and_then(|entry| runs.source().raw(&entry.id)),
        _ => None,
    };
    let samples = raw(a).zip(raw(b));
    let compared = |name: &String| {
        let (in_a, in_b) = (&a_rounds[name], &b_rounds[name]);
        let [a, b] = [in_a, in_b].map(|rounds| median(rounds.iter().copied()).unwrap_or_default());
        let of_samples = || {
            let (raw_a, raw_b) = samples.as_ref()?;
            interval::of_samples(sampled(name, raw_a)?, sampled(name, raw_b)?)
        };
        let interval = interval::of_rounds(in_a, in_b).or_else(of_samples);
        let ratio = (a != 0.0).then(|| b / a);
        (name.clone(), Compared { a, b, ratio, interval: interval.filter(|_| ratio.is_some()) })
    };
    known.filter(|name| !IS_ASKED.contains(&&name[..])).map(compared).collect()
}

/// Numbers that were asked for, not measured: the same in both.
const IS_ASKED: [&str; 7] = [
    "subscribers",
    "publishers",
    "size_bytes",
    "round",
    "slow_subscribers",
    "topics",
    "topics_per_subscriber",
];

/// The figures of each round by name.
fn rounds(runs: &Runs<'_>) -> BTreeMap<String, Vec<f64>> {
    let mut rounds: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (name, value) in runs.records().flat_map(numbers_of) {
        if let Some(value) = value {
            rounds.entry(name).or_default().push(value);
        }
    }
    rounds
}

/// The distribution that a figure is read from, and how.
fn sampled<'a>(name: &str, raw: &'a Raw) -> Option<Sampled<'a>> {
    let (distribution, figure) = name.split_once('.')?;
    let latencies = match distribution {
        "latency_us" => &raw.latency,
        "first_subscriber_us" => &raw.first_subscriber,
        "last_subscriber_us" => &raw.last_subscriber,
        _ => return None,
    };
    let basis = match figure {
        "q1" => Basis::Quantile(0.25),
        "median" => Basis::Quantile(0.5),
        "q3" => Basis::Quantile(0.75),
        "p99" => Basis::Quantile(0.99),
        "p99_9" => Basis::Quantile(0.999),
        "mean" => Basis::Mean,
        _ => return None,
    };
    // Deliveries of one message are late together: what counts is how many messages there were.
    Some(Sampled { latencies, messages: raw.last_subscriber.len(), basis })
}

fn differs(a: &Source, b: &Source) -> Vec<Difference> {
    let (one, other) = (&a.results.environment, &b.results.environment);
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
    let all = [
        ("processor", known(&one.cpu_model), known(&other.cpu_model)),
        ("processors allowed", known(&one.cpus_allowed), known(&other.cpus_allowed)),
        ("kernel", known(&one.kernel), known(&other.kernel)),
        ("governor", known(&one.governor), known(&other.governor)),
        ("version", one.version.clone(), other.version.clone()),
        ("commit", one.git_commit.clone(), other.git_commit.clone()),
        ("build", one.build.clone(), other.build.clone()),
        ("peers", known(&Runs::all(a).peer_versions()), known(&Runs::all(b).peer_versions())),
    ];
    let differ = all.into_iter().filter(|(_, a, b)| a != b);
    differ.map(|(what, a, b)| Difference { what, a, b }).collect()
}
