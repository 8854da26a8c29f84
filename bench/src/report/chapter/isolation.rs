//! Owns the isolation of healthy subscribers from slow ones: their 99th percentile with and without.

use super::super::document::Block;
use super::super::likeness::{rate, slow};
use super::super::plot::Chart;
use super::super::plot::bars::{Bars, Group};
use super::super::plot::frame::Key;
use super::super::runs::{OverRounds, Runs};
use super::counts::p99;
use super::quartiles::name_of;
use crate::unit::{Unit, counted, digits, payload};

/// Colours of runs without and with slow subscribers.
const WITHOUT: usize = 2;
const WITH: usize = 3;
/// The name in `extra` of the ratio of one round, where the experiment has put it into the record.
const RATIO: &str = "isolation_ratio";

/// One kind of run, without slow subscribers and with.
struct Contrast<'a> {
    heading: String,
    without: OverRounds,
    with: Vec<With>,
    runs: Runs<'a>,
}

/// The healthy ones, beside some slow.
struct With {
    name: String,
    p99_us: OverRounds,
    /// By how much slow subscribers moved the healthy ones' p99: the median over rounds, if it is known of each.
    ratio: f64,
}

/// Each kind of run that was made both without and with slow subscribers.
fn contrasts<'a>(runs: &Runs<'a>) -> Vec<Contrast<'a>> {
    let kinds = runs.by(|run| {
        let (sessions, size, rate) = (&run.sessions, payload(run.size_bytes), rate(run));
        let subscribers = counted(run.subscribers as usize, "subscriber");
        format!("{}, sessions {sessions}, {subscribers}, {size}, {rate}", name_of(run))
    });
    let contrast = |(heading, alike): (String, Runs<'a>)| {
        let without = alike.only(|run| slow(run).is_none()).over(p99)?;
        let with = |name: String| {
            let rounds = alike.only(|run| slow(run).as_ref() == Some(&name));
            let p99_us = rounds.over(p99)?;
            let by_round = rounds.over(|run| run.extra.get(RATIO).copied());
            let ratio = by_round.map_or(p99_us.median / without.median, |ratio| ratio.median);
            Some(With { name, p99_us, ratio })
        };
        let with: Vec<With> = alike.values(slow).into_iter().filter_map(with).collect();
        (!with.is_empty()).then_some(Contrast { heading, without, with, runs: alike })
    };
    kinds.into_iter().filter_map(contrast).collect()
}

/// The plot.
pub(crate) fn blocks(runs: &Runs<'_>) -> Vec<Block> {
    let contrasts = contrasts(runs);
    if contrasts.is_empty() {
        return Vec::new();
    }
    let group = |contrast: &Contrast<'_>| {
        let with = |with: &With| with.p99_us.bar(&with.name, WITH, format!("ratio {}", digits(with.ratio)));
        let without = contrast.without.bar("all healthy", WITHOUT, String::new());
        let bars = std::iter::once(without).chain(contrast.with.iter().map(with)).collect();
        Group { heading: contrast.heading.clone(), bars }
    };
    let shown = runs.of(contrasts.iter().flat_map(|contrast| contrast.runs.entries()));
    let keys = vec![Key::area("all healthy", WITHOUT), Key::area("beside slow ones", WITH)];
    let axis = ("99th percentile of latency at healthy subscribers", Unit::Us);
    let chart = Chart::Bars(Bars::new(axis, keys, contrasts.iter().map(group).collect()));
    let caption = format!(
        "The 99th percentile at the subscribers that are not slow; the ratio is that with slow ones over that without, \
         the median over rounds. 1 is perfect isolation.{}",
        shown.about_latencies()
    );
    vec![shown.figure("isolation", "What slow subscribers cost the healthy ones".into(), chart, caption)]
}

/// The 99th percentile with and without, for each kind of run.
pub(crate) fn answers(runs: &Runs<'_>) -> Vec<String> {
    let sentence = |contrast: &Contrast<'_>| {
        let with = contrast.with.iter().map(|with| {
            let (us, ratio) = (Unit::Us.text(with.p99_us.median), digits(with.ratio));
            format!("{us} with {} (ratio {ratio})", with.name)
        });
        let with = with.collect::<Vec<_>>().join(", ");
        let without = Unit::Us.text(contrast.without.median);
        format!("{}: the healthy ones' p99 is {without} without slow subscribers, {with}.", contrast.heading)
    };
    contrasts(runs).iter().map(sentence).collect()
}
