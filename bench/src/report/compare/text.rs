//! Owns what `compare` prints: a table for each pair, and what has no pair.

use super::super::table::{Cell, Column, Table};
use super::interval::{Ground, Interval};
use super::{Compared, Comparison, Pair};
use crate::unit::{Unit, digits};
use corecast::internals::printable::printable;
use std::fmt::Write as _;

/// The figures that are shown; the others are in the JSON. With words, and how they are written.
const SHOWN: [(&str, &str, Unit); 10] = [
    ("last_subscriber_us.median", "to the last: median", Unit::Us),
    ("last_subscriber_us.p99", "to the last: p99", Unit::Us),
    ("latency_us.median", "to each: median", Unit::Us),
    ("latency_us.p99", "to each: p99", Unit::Us),
    ("latency_us.p99_9", "to each: p99.9", Unit::Us),
    ("first_subscriber_us.median", "to the first: median", Unit::Us),
    ("deliveries_per_s", "deliveries / second", Unit::PerS),
    ("cpu_ns_per_delivery", "CPU / delivery", Unit::Ns),
    ("rss_per_subscriber_bytes", "memory / subscriber", Unit::Bytes),
    ("lost", "lost", Unit::Count),
];

/// All of it, for a terminal.
pub fn render(comparison: &Comparison) -> String {
    let mut text = String::new();
    let (a, b) = (&comparison.a, &comparison.b);
    let mut line = |line: String| writeln!(text, "{line}").expect("memory takes all that is written");
    for (letter, side) in [("A", a), ("B", b)] {
        let (name, experiment) = (printable(&side.name), printable(&side.experiment));
        line(format!("{letter}: {name} ({experiment}, {} runs)", side.runs));
    }
    for difference in &comparison.differs {
        let (a, b) = (printable(&difference.a), printable(&difference.b));
        line(format!("differs: {}: A {a}, B {b}", difference.what));
    }
    for pair in &comparison.pairs {
        line(format!("\n{}{}{}\n{}", pair.run, rounds(pair), clocks(pair), table(pair).text(1)));
    }
    if !comparison.pairs.is_empty() {
        line(format!("\n{ABOUT}"));
    }
    for (what, runs) in [
        ("only in A", &comparison.only_in_a),
        ("only in B", &comparison.only_in_b),
        ("left out (unfinished, or tries of a search)", &comparison.left_out),
    ] {
        runs.iter().for_each(|run| line(format!("{what}: {run}")));
    }
    text
}

const ABOUT: &str = "ratio: B / A. 95 % interval: from rounds, what changes from run to run is in it; from samples, \
                     only what\nvaries within one run, and two runs of the same thing can differ by more.";

fn rounds(pair: &Pair) -> String {
    match (pair.a_runs.len(), pair.b_runs.len()) {
        (1, 1) => String::new(),
        (a, b) => format!(" (rounds: A {a}, B {b})"),
    }
}

fn clocks(pair: &Pair) -> String {
    let error = pair.clock_error_us;
    error.map_or_else(String::new, |us| format!("; latencies may be wrong by {} (clocks)", Unit::Us.text(us)))
}

fn table(pair: &Pair) -> Table {
    type Row = (&'static str, Unit, Compared);
    let row = |(name, words, unit)| Some((words, unit, *pair.figures.get(name)?));
    let rows: Vec<Row> = SHOWN.into_iter().filter_map(row).collect();
    let columns: [Column<'_, Row>; 6] = [
        ("", &|(words, ..)| Cell::text(*words)),
        ("#A", &|(_, unit, compared)| Cell::text(unit.text(compared.a))),
        ("#B", &|(_, unit, compared)| Cell::text(unit.text(compared.b))),
        ("#ratio", &|(.., compared)| Cell::known(compared.ratio.map(digits))),
        ("#95 % interval", &|(.., compared)| {
            let ends = |of: Interval| format!("{}–{}", digits(of.low), digits(of.high));
            Cell::known(compared.interval.map(ends))
        }),
        ("#from", &|(.., compared)| {
            let from = |interval: Interval| match interval.from {
                Ground::Rounds => "rounds",
                Ground::Samples => "samples",
            };
            Cell::known(compared.interval.map(from))
        }),
    ];
    Table::of("", "", &rows, &columns)
}
