//! Owns what a delivery and a subscriber cost, over the number of subscribers and by the number of shards.

use super::super::document::{Block, Figure};
use super::super::plot::Chart;
use super::super::plot::frame::Dash;
use super::super::plot::lines::{Line, Lines};
use super::super::source::Source;
use super::super::table::{Cell, Table};
use super::counts::count_axis;
use super::family::{
    Family, Look, families_of_any_shards, line_over_counts, mode_look, name_runs, over_rounds,
};
use crate::order::rising;
use crate::record::RunRecord;
use crate::results::Entry;
use crate::unit::{Unit, count, counted};

/// CPU for each delivery and memory for each subscriber, for each family with several numbers of subscribers.
pub(crate) fn blocks(source: &Source, runs: &[&Entry]) -> Vec<Block> {
    let families = families_of_any_shards(runs);
    let families: Vec<&Family<'_>> = families.iter().filter(|family| family.counts().len() > 1).collect();
    let cost = families.iter().filter_map(|family| {
        let title = "CPU time for each delivery";
        let words = "User and system time of whoever fans out (the broker, or the publishers in direct mode) over \
                     deliveries. Flat is linear growth; falling is what batches and shared sessions save.";
        figure(source, family, ("cpu", title, "CPU time / delivery", words), Unit::Ns, super::runs::cpu)
    });
    let memory = families.iter().filter_map(|family| {
        let title = "Memory for each subscriber";
        let words = "Resident memory of whoever fans out with every subscriber there and idle, less that before the \
                     first one came, over subscribers.";
        let labels = ("memory", title, "resident memory / subscriber", words);
        figure(source, family, labels, Unit::Bytes, |run| run.rss_per_subscriber_bytes)
    });
    cost.chain(memory).map(Block::figure).collect()
}

fn figure(
    source: &Source,
    family: &Family<'_>,
    (slug, title, axis, words): (&str, &str, &str, &str),
    unit: Unit,
    value: fn(&RunRecord) -> Option<f64>,
) -> Option<Figure> {
    let lines = lines(family, |run| value(run).filter(|value| *value > 0.0));
    if lines.iter().all(|line| line.points.len() < 2) {
        return None;
    }
    let chart = Lines::new(count_axis(family), (axis, unit), lines);
    Some(Figure {
        slug: super::counts::slug_of(slug, family),
        title: format!("{title}{}", family.behind()),
        chart: Chart::Lines(chart),
        caption: words.to_owned(),
        runs: name_runs(&source.name, &family.runs),
    })
}

/// A line for each mode and number of shards.
fn lines(family: &Family<'_>, value: impl Fn(&RunRecord) -> Option<f64>) -> Vec<Line> {
    let mut kinds: Vec<(&str, usize)> =
        family.runs.iter().map(|entry| (&entry.record.mode[..], entry.record.shards.len())).collect();
    kinds.sort_unstable_by(|(mode, shards), (other, more)| other.cmp(mode).then(shards.cmp(more)));
    kinds.dedup();
    let shard_counts = rising(kinds.iter().map(|(_, shards)| *shards));
    let line = |(mode, shards): (&str, usize)| {
        let number = shard_counts.iter().position(|other| *other == shards).unwrap_or(0);
        let mut look = Look::of_mode(mode, "", Dash::Solid);
        if shard_counts.len() > 1 {
            let (_, shape) = mode_look(mode);
            look = Look::numbered(format!("{mode}, {}", counted(shards, "shard")), number * 2);
            look.shape = shape;
            look.series += mode_look(mode).0;
            look.dash = if mode == "direct" { Dash::Dashed } else { Dash::Solid };
        }
        let runs: Vec<&Entry> =
            family.of_mode(mode).into_iter().filter(|entry| entry.record.shards.len() == shards).collect();
        line_over_counts(look, &runs, &value)
    };
    kinds.into_iter().map(line).filter(|line| !line.points.is_empty()).collect()
}

/// All costs as a table, for each family.
pub(crate) fn tables(source: &Source, runs: &[&Entry]) -> Vec<Block> {
    families_of_any_shards(runs).iter().map(|family| Block::Table(table(source, family))).collect()
}

/// Figures in `extra` of whoever fans out, for each delivery.
const USER_NS: &str = "cpu_user_ns_per_delivery";
const SYSTEM_NS: &str = "cpu_system_ns_per_delivery";
const SYSCALLS: &str = "syscalls_per_delivery";

/// Costs by mode, shards and number of subscribers.
fn table<'a>(source: &Source, family: &Family<'a>) -> Table {
    const COLUMNS: [&str; 9] = [
        "mode",
        "#shards",
        "#subscribers",
        "#CPU / delivery",
        "#user",
        "#system",
        "#system calls / delivery",
        "#memory / subscriber",
        "runs",
    ];
    let mut table = Table::new(
        &format!("Cost{}", family.behind()),
        &COLUMNS,
        "Of whoever fans out; medians over rounds. User and system time are told apart only where there is enough of it.",
    );
    let kind = |entry: &&'a Entry| {
        let run = &entry.record;
        (&run.mode[..], run.shards.len(), run.subscribers)
    };
    let kinds = rising(family.runs.iter().map(kind));
    for (mode, shards, subscribers) in kinds {
        let mut rounds = family.rounds(mode, subscribers);
        rounds.retain(|entry| entry.record.shards.len() == shards);
        let cell = |unit: Unit, figure: &dyn Fn(&RunRecord) -> Option<f64>| {
            Cell::known(over_rounds(&rounds, figure).map(|over| unit.text(over.median)))
        };
        let extra = |name: &'static str| move |run: &RunRecord| run.extra.get(name).copied();
        table.row([
            Cell::text(mode),
            Cell::known((shards > 0).then(|| shards.to_string())),
            Cell::text(count(subscribers)),
            cell(Unit::Ns, &super::runs::cpu),
            cell(Unit::Ns, &extra(USER_NS)),
            cell(Unit::Ns, &extra(SYSTEM_NS)),
            cell(Unit::Plain, &extra(SYSCALLS)),
            cell(Unit::Bytes, &|run| run.rss_per_subscriber_bytes),
            Cell::text(name_runs(&source.name, &rounds)),
        ]);
    }
    table
}
