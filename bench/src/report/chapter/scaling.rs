//! Owns what a delivery and a subscriber cost, over the number of subscribers and by the number of shards.

use super::super::document::Block;
use super::super::likeness::{Family, families, families_of_any_shards};
use super::super::plot::Chart;
use super::super::plot::frame::{Dash, Key};
use super::super::plot::lines::{Line, Lines};
use super::super::runs::{Measure, Runs};
use super::super::table::{Cell, Table};
use super::counts::count_axis;
use super::look::{dash_of_mode, of_mode};
use crate::order::rising;
use crate::record::RunRecord;
use crate::unit::{Unit, count, counted};

/// A cost over the number of subscribers: its slug and title, its axis, and its caption.
type Cost = (&'static str, &'static str, (&'static str, Unit), Measure, &'static str);

const COSTS: [Cost; 2] = [
    (
        "cpu",
        "CPU time for each delivery",
        ("CPU time / delivery", Unit::Ns),
        cpu,
        "User and system time of whoever fans out (the broker, or the publishers in direct mode) over deliveries. Flat is \
         linear growth; falling is what batches and shared sessions save.",
    ),
    (
        "memory",
        "Memory for each subscriber",
        ("resident memory / subscriber", Unit::Bytes),
        |run| run.rss_per_subscriber_bytes,
        "Resident memory of whoever fans out with every subscriber there and idle, less that before the first one came, over \
         subscribers.",
    ),
];

/// CPU time of whoever fans out over deliveries, wherever it stands in the record.
pub(crate) fn cpu(run: &RunRecord) -> Option<f64> {
    let direct = run.mode == "direct" && run.peer.is_none();
    let elsewhere =
        if direct { run.publisher_executors.cpu_ns_per_delivery } else { run.broker.cpu_ns_per_delivery };
    run.cpu_ns_per_delivery.or(elsewhere)
}

/// Each cost, for each family with several numbers of subscribers.
pub(crate) fn blocks(runs: &Runs<'_>) -> Vec<Block> {
    let mut families = families_of_any_shards(runs);
    families.retain(|family| family.runs.counts().len() > 1);
    COSTS.iter().flat_map(|cost| families.iter().filter_map(|family| figure(family, cost))).collect()
}

fn figure(family: &Family<'_>, (slug, title, axis, figure, caption): &Cost) -> Option<Block> {
    let lines = lines(&family.runs, |run| figure(run).filter(|value| *value > 0.0));
    lines.iter().find(|line| line.points.len() > 1)?;
    let chart = Lines::new(count_axis(&family.runs.counts()), *axis, lines);
    let title = format!("{title}{}", family.behind());
    Some(family.runs.figure(&family.slug(slug), title, Chart::Lines(chart), (*caption).to_owned()))
}

/// A line for each mode and number of shards.
fn lines(runs: &Runs<'_>, value: impl Fn(&RunRecord) -> Option<f64>) -> Vec<Line> {
    let mut kinds = runs.by(|run| (&run.mode[..], run.shards.len()));
    kinds.sort_by(|((mode, shards), _), ((other, more), _)| other.cmp(mode).then(shards.cmp(more)));
    let shard_counts = rising(kinds.iter().map(|((_, shards), _)| *shards));
    let line = |((mode, shards), runs): ((&str, usize), Runs<'_>)| {
        let number = shard_counts.iter().position(|other| *other == shards).unwrap_or(0);
        let (series, shape) = of_mode(mode);
        let key = if shard_counts.len() > 1 {
            let name = format!("{mode}, {}", counted(shards, "shard"));
            Key::line(name, series + number * 2, dash_of_mode(mode), Some(shape))
        } else {
            Key::line(mode, series, Dash::Solid, Some(shape))
        };
        runs.line(key, &value)
    };
    kinds.into_iter().map(line).filter(|line| !line.points.is_empty()).collect()
}

/// Figures in `extra` of whoever fans out, for each delivery.
const USER_NS: &str = "cpu_user_ns_per_delivery";
const SYSTEM_NS: &str = "cpu_system_ns_per_delivery";
const SYSCALLS: &str = "syscalls_per_delivery";

/// All costs as a table, for each family: by mode, shards and number of subscribers.
pub(crate) fn tables(runs: &Runs<'_>) -> Vec<Block> {
    fn median(rounds: &Runs<'_>, unit: Unit, figure: impl Fn(&RunRecord) -> Option<f64>) -> Cell {
        Cell::known(rounds.over(figure).map(|over| unit.text(over.median)))
    }
    fn extra(name: &'static str) -> impl Fn(&RunRecord) -> Option<f64> {
        |run| run.extra.get(name).copied()
    }
    let table = |family: &Family<'_>| {
        let mut rows = family.runs.by(|run| (&run.mode[..], run.shards.len(), run.subscribers));
        rows.sort_by_key(|(kind, _)| *kind);
        Block::Table(Table::of(
            &format!("Cost{}", family.behind()),
            "Of whoever fans out; medians over rounds. User and system time are told apart only where there is \
             enough of it.",
            &rows,
            &[
                ("mode", &|((mode, ..), _)| Cell::text(*mode)),
                ("#shards", &|((_, shards, _), _)| Cell::known((*shards > 0).then(|| shards.to_string()))),
                ("#subscribers", &|((.., subscribers), _)| Cell::text(count(*subscribers))),
                ("#CPU / delivery", &|(_, rounds)| median(rounds, Unit::Ns, cpu)),
                ("#user", &|(_, rounds)| median(rounds, Unit::Ns, extra(USER_NS))),
                ("#system", &|(_, rounds)| median(rounds, Unit::Ns, extra(SYSTEM_NS))),
                ("#system calls / delivery", &|(_, rounds)| median(rounds, Unit::Plain, extra(SYSCALLS))),
                ("#memory / subscriber", &|(_, rounds)| {
                    median(rounds, Unit::Bytes, |run| run.rss_per_subscriber_bytes)
                }),
                ("runs", &|(_, rounds)| Cell::text(rounds.name())),
            ],
        ))
    };
    families_of_any_shards(runs).iter().map(table).collect()
}

/// CPU time for each delivery, from the least to the most subscribers.
pub(crate) fn answers(runs: &Runs<'_>) -> Vec<String> {
    let sentence = |family: &Family<'_>| {
        let counts = family.runs.counts();
        let (least, most) = (*counts.first()?, *counts.last()?);
        let of = |mode: &str| {
            let at = |count| Some(Unit::Ns.text(family.runs.of_mode(mode).of_count(count).over(cpu)?.median));
            Some(format!("from {} to {} in {mode} mode", at(least)?, at(most)?))
        };
        let modes: Vec<String> = family.runs.modes().into_iter().filter_map(of).collect();
        (least < most && !modes.is_empty()).then(|| {
            format!(
                "{}from {} to {} subscribers CPU time for each delivery goes {}.",
                family.before(),
                Unit::Count.text(least as f64),
                Unit::Count.text(most as f64),
                modes.join(", ")
            )
        })
    };
    families(runs).iter().filter_map(sentence).collect()
}
