//! Owns the comparison with the ancestor's published figures: mode by mode and count by count, with the reminder that
//! the hardware was another.

use super::super::document::{Block, Figure, slug};
use super::super::likeness::{Family, families};
use super::super::plot::Chart;
use super::super::plot::frame::{Dash, Key, Shape};
use super::super::plot::lines::{Line, Lines};
use super::super::runs::Runs;
use super::super::table::{Cell, Table};
use super::counts::{count_axis, median, one_way};
use super::look::{mode_key, of_mode};
use super::quartiles::in_ms;
use crate::measure::latency::Summary;
use crate::reference::{Reference, ReferenceRow, zmqmw};
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
pub(crate) fn blocks(runs: &Runs<'_>) -> Vec<Block> {
    let reference = zmqmw();
    let families = families(runs);
    let like_theirs = |family: &&Family<'_>| {
        family.runs.records().all(|run| run.sessions == "per-subscriber" && run.rate_hz.is_some())
    };
    let Some(family) = families.iter().find(like_theirs).or(families.first()) else { return Vec::new() };
    let table = table(family, &reference);
    if table.rows.is_empty() {
        return Vec::new();
    }
    let words =
        format!("Theirs are the figures published by zmqmw, this project's ancestor. {OTHER_HARDWARE}");
    vec![Block::Words(words), figure(family, &reference), Block::Table(table)]
}

fn figure(family: &Family<'_>, reference: &Reference) -> Block {
    let theirs = |mode: &str| {
        let shape = if mode == "direct" { Shape::Diamond } else { Shape::Triangle };
        let rows = reference.rows.iter().filter(|row| row.mode == mode);
        Line {
            key: Key::line(format!("{mode}, zmqmw"), of_mode(mode).0, Dash::Dashed, Some(shape)),
            points: rows.map(|row| (row.subscribers as f64, row.median_us)).collect(),
        }
    };
    let ours = |mode: &str| family.runs.of_mode(mode).line(mode_key(mode, "ours", Dash::Solid), median);
    let lines = family.runs.modes().into_iter().flat_map(|mode| [ours(mode), theirs(mode)]).collect();
    let counts = reference.rows.iter().map(|row| row.subscribers).chain(family.runs.counts());
    let axis = count_axis(&counts.collect::<Vec<_>>());
    let chart = Chart::Lines(Lines::new(axis, ("latency", Unit::Us), lines));
    let title = "Median latency beside the ancestor's".into();
    let about = family.runs.about_latencies();
    let caption = format!("Medians over every delivery, measured on different hardware.{about}");
    let runs = format!("{}; zmqmw: published", family.runs.name());
    Block::figure(Figure { slug: slug(&family.slug("ancestor")), title, chart, caption, runs })
}

fn table(family: &Family<'_>, reference: &Reference) -> Table {
    let figures = QUARTILES.iter().flat_map(|(name, ..)| [format!("#{name}"), "#theirs".to_owned()]);
    let columns = ["mode".to_owned(), "#subscribers".to_owned()].into_iter();
    let mut table = Table::new(
        "Quartiles beside the ancestor's",
        columns.chain(figures).chain(["#ratio".to_owned()]),
        &format!(
            "One-way latency in milliseconds, on different hardware; ratio: our median over theirs. Source: {}",
            reference.source
        ),
    );
    for row in &reference.rows {
        let rounds = family.runs.of_mode(row.mode).of_count(row.subscribers);
        let ours = |figure: fn(&Summary) -> f64| rounds.over(|run| one_way(run, run.latency_us, figure));
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
