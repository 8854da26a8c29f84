//! Owns the tables that a person reads on stdout: what arrived, and how long it took. Everything in them is in the
//! record too, with more digits.

use super::record::RunRecord;
use crate::measure::latency::Summary;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

/// The tables of these runs, ready to print, and a line for everything that is worth knowing about them.
pub fn render(runs: &[RunRecord]) -> String {
    let mut text = format!("{}\n\n{}\n", arrivals(runs), times(runs));
    for (index, run) in runs.iter().enumerate() {
        let about = if runs.len() > 1 { format!("run {} ({} subscribers): ", index + 1, run.subscribers) } else { String::new() };
        let incomplete = run.incomplete.as_ref().map(|why| format!("incomplete: {why}"));
        for note in incomplete.iter().chain(&run.notes) {
            text.push_str(&format!("{about}{note}\n"));
        }
    }
    text
}

/// What was sent and what became of it, a line for each run.
fn arrivals(runs: &[RunRecord]) -> Table {
    let mut table = table(&[
        "mode", "transport", "sessions", "subscribers", "messages", "deliveries", "gaps", "lost", "again", "late",
        "damaged", "deliveries/s", "broker CPU", "broker RSS",
    ]);
    for run in runs {
        let messages = match run.rate_hz {
            Some(rate_hz) => format!("{} at {}/s", count(run.messages_sent), number(rate_hz)),
            None => format!("{} flood", count(run.messages_sent)),
        };
        let cpu = run.broker.cpu_ns_per_delivery.map_or_else(|| "-".into(), |ns| duration(ns / 1000.0));
        let rss = run.broker.rss_bytes.map_or_else(|| "-".into(), bytes);
        let text = [run.mode.clone(), run.transport.clone(), run.sessions.clone()];
        let figures = [
            count(run.subscribers),
            messages,
            count(run.deliveries),
            count(run.gaps_reported),
            count(run.lost),
            count(run.duplicated),
            count(run.reordered),
            count(run.corrupted),
            count(run.deliveries_per_s.round() as u64),
            cpu,
            rss,
        ];
        let text = text.into_iter().map(Cell::new);
        table.add_row(text.chain(figures.into_iter().map(right)));
    }
    table
}

/// How long it took, three lines for each run.
fn times(runs: &[RunRecord]) -> Table {
    let mut table = table(&[
        "subscribers", "time to", "min", "Q1", "median", "Q3", "p99", "p99.9", "max", "mean", "std dev",
    ]);
    for run in runs {
        let distributions = [
            ("every subscriber", &run.latency_us),
            ("the first", &run.first_subscriber_us),
            ("the last", &run.last_subscriber_us),
        ];
        for (what, summary) in distributions {
            let figures: Vec<String> = match summary {
                Some(summary) => figures(summary).into_iter().map(duration).collect(),
                None => vec!["-".into(); 9],
            };
            let start = [right(count(run.subscribers)), Cell::new(what)];
            table.add_row(start.into_iter().chain(figures.into_iter().map(right)));
        }
    }
    table
}

fn figures(summary: &Summary) -> [f64; 9] {
    let Summary { min, q1, median, q3, p99, p99_9, max, mean, stddev } = *summary;
    [min, q1, median, q3, p99, p99_9, max, mean, stddev]
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
    table
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// A count with its thousands set apart: `51,200`.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number without needless decimals: `20`, `0.5`.
pub(crate) fn number(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 { count(number as u64) } else { format!("{number}") }
}

/// Microseconds in the unit that fits: `812 us`, `2.41 ms`, `1.20 s`.
pub(crate) fn duration(us: f64) -> String {
    // The bounds are where rounding would give a thousand of the smaller unit.
    match us {
        us if us < 0.9995 => format!("{:.0} ns", us * 1000.0),
        us if us < 9.995 => format!("{us:.2} us"),
        us if us < 999.5 => format!("{us:.0} us"),
        us if us < 999_950.0 => format!("{:.2} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

/// Bytes in MB (a million bytes), the unit of the limits that it is compared with.
fn bytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::sample_run;
    use super::*;

    #[test]
    fn counts_are_set_in_thousands() {
        let counts = [0, 999, 1000, 51_200, 10_240_000].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "51,200", "10,240,000"]);
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        let durations = [0.5, 0.9996, 4.0, 12.3, 999.4, 999.6, 2_410.0, 1_204_000.0].map(duration);
        assert_eq!(durations, ["500 ns", "1.00 us", "4.00 us", "12 us", "999 us", "1.00 ms", "2.41 ms", "1.20 s"]);
    }

    #[test]
    fn everything_is_in_the_tables() {
        let interrupted = RunRecord {
            rate_hz: None,
            latency_us: None,
            lost: 3,
            incomplete: Some("interrupted".into()),
            notes: vec!["latency is that of a saturated system".into()],
            ..sample_run()
        };
        let text = render(&[sample_run(), interrupted]);
        for wanted in [
            "512",
            "100 at 20/s",
            "100 flood",
            "51,200",
            "20.0 MB",
            "4.00 us",
            "1.23 ms",
            "run 2 (512 subscribers): incomplete: interrupted",
            "run 2 (512 subscribers): latency is that of a saturated system",
        ] {
            assert!(text.contains(wanted), "no `{wanted}` in\n{text}");
        }
    }
}
