//! Owns the comparison with the ancestor's published figures: mode by mode and count by count, with the reminder that
//! the hardware was another.

use super::super::document::{Block, Figure};
use super::super::plot::Chart;
use super::super::plot::frame::{Axis, Dash, Shape};
use super::super::plot::lines::{Line, Lines};
use super::super::plot::scale::Scale;
use super::super::source::Source;
use super::super::table::{Cell, Table};
use super::counts::{SUBSCRIBERS, about_latencies, slug_of};
use super::family::{
    Family, Look, families, line_over_counts, median, mode_look, name_runs, one_way, over_rounds,
};
use super::quartiles::in_ms;
use crate::measure::latency::Summary;
use crate::reference::{Reference, ReferenceRow, zmqmw};
use crate::results::Entry;
use crate::unit::{Unit, count, digits};

/// Said with every figure that is set beside theirs.
const OTHER_HARDWARE: &str = "The hardware differs: zmqmw was measured on three cloud instances, its subscribers on two of \
     16 cores each (a process per core, a thread per subscriber), broker and publisher on the third; ours on what the \
     environment below says. What can be compared is the shape of the curves, not their height.";

/// A figure of a distribution, where ours has it and where theirs has it.
type Quartile = (&'static str, fn(&Summary) -> f64, fn(&ReferenceRow) -> f64);
const QUARTILES: [Quartile; 5] = [
    ("Q1", |ours| ours.q1, |theirs| theirs.q1_us),
    ("median", |ours| ours.median, |theirs| theirs.median_us),
    ("Q3", |ours| ours.q3, |theirs| theirs.q3_us),
    ("max", |ours| ours.max, |theirs| theirs.max_us),
    ("std dev", |ours| ours.stddev, |theirs| theirs.stddev_us),
];

/// Plot and table, for the family that is like theirs: a session for each subscriber, else the first.
pub(crate) fn blocks(source: &Source, runs: &[&Entry]) -> Vec<Block> {
    let reference = zmqmw();
    let families = families(runs);
    let like_theirs = |family: &&Family<'_>| {
        family
            .runs
            .iter()
            .all(|entry| entry.record.sessions == "per-subscriber" && entry.record.rate_hz.is_some())
    };
    let Some(family) = families.iter().find(like_theirs).or(families.first()) else { return Vec::new() };
    let table = table(family, &reference);
    if table.rows.is_empty() {
        return Vec::new();
    }
    let figure = figure(source, family, &reference);
    vec![
        Block::Words(format!(
            "Theirs are the figures published by zmqmw, this project's ancestor. {OTHER_HARDWARE}"
        )),
        Block::figure(figure),
        Block::Table(table),
    ]
}

fn figure(source: &Source, family: &Family<'_>, reference: &Reference) -> Figure {
    let mut lines = Vec::new();
    for mode in family.modes() {
        let look = Look::of_mode(mode, "ours", Dash::Solid);
        lines.push(line_over_counts(look, &family.of_mode(mode), median));
        let theirs = reference.rows.iter().filter(|row| row.mode == mode);
        lines.push(Line {
            name: format!("{mode}, zmqmw"),
            series: mode_look(mode).0,
            dash: Dash::Dashed,
            shape: Some(if mode == "direct" { Shape::Diamond } else { Shape::Triangle }),
            points: theirs.map(|row| (row.subscribers as f64, row.median_us)).collect(),
        });
    }
    let theirs = reference.rows.iter().map(|row| row.subscribers);
    let counts: Vec<u64> = family.counts().into_iter().chain(theirs).collect();
    Figure {
        slug: slug_of("ancestor", family),
        title: "Median latency beside the ancestor's".into(),
        chart: Chart::Lines(Lines::new(
            Axis::new(SUBSCRIBERS, Scale::counts(&counts)),
            ("latency", Unit::Us),
            lines,
        )),
        caption: format!(
            "Medians over every delivery, measured on different hardware.{}",
            about_latencies(&family.runs)
        ),
        runs: format!("{}; zmqmw: published", name_runs(&source.name, &family.runs)),
    }
}

fn table(family: &Family<'_>, reference: &Reference) -> Table {
    let headings: Vec<String> =
        QUARTILES.iter().flat_map(|(name, ..)| [format!("#{name}"), "#theirs".to_owned()]).collect();
    let mut columns = vec!["mode", "#subscribers"];
    columns.extend(headings.iter().map(String::as_str));
    columns.push("#ratio");
    let mut table = Table::new(
        "Quartiles beside the ancestor's",
        &columns,
        &format!(
            "One-way latency in milliseconds, on different hardware; ratio: our median over theirs. Source: {}",
            reference.source
        ),
    );
    for row in &reference.rows {
        let rounds = family.rounds(row.mode, row.subscribers);
        let ours =
            |figure: fn(&Summary) -> f64| over_rounds(&rounds, |run| one_way(run, run.latency_us, figure));
        if ours(|summary| summary.max).is_none() {
            continue;
        }
        let mut cells = vec![Cell::text(row.mode), Cell::text(count(row.subscribers))];
        for (_, figure, theirs) in QUARTILES {
            cells.extend([
                Cell::known(ours(figure).map(|over| in_ms(over.median))),
                Cell::text(in_ms(theirs(row))),
            ]);
        }
        let ratio = ours(|summary| summary.median).map(|over| digits(over.median / row.median_us));
        cells.push(Cell::known(ratio));
        table.row(cells);
    }
    table
}
