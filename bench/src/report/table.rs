//! Owns the tables that a person reads on stdout: what arrived, and how long it took. Everything in them is in the
//! record too, with more digits. They fit a terminal of 100 columns.

use super::record::RunRecord;
use crate::measure::latency::Summary;
use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};
use corecast::printable::printable_lines;

/// A line above, below, and under the header.
pub(crate) const STYLE: TableStyle =
    TableStyle::new().top_border(LINE).header_separator(LINE).bottom_border(LINE);
const LINE: LineStyle = LineStyle::none().fill('─').junction('─');

/// The tables of these runs, ready to print, and a line for everything that is worth knowing about them.
pub fn render(runs: &[RunRecord]) -> String {
    let mut text = String::new();
    if let Some(run) = runs.first() {
        text.push_str(&format!("{}\n", heading(run, runs)));
    }
    text.push_str(&format!("{}\n{ABOUT}\n\n{}\n", arrivals(runs).trim_fmt(), times(runs).trim_fmt()));
    for run in runs {
        let about = match runs {
            [_] => String::new(),
            _ => format!("{}: ", name(run)),
        };
        let incomplete = run.incomplete.as_ref().map(|why| format!("incomplete: {why}"));
        for note in incomplete.iter().chain(wrong(run).iter()).chain(&run.notes).chain(clocks(run).iter()) {
            text.push_str(&format!("{}\n", printable_lines(&format!("{about}{note}"))));
        }
    }
    for comparison in comparisons(runs) {
        text.push_str(&format!("{comparison}\n"));
    }
    text
}

/// What tells the runs of one call apart.
fn name(run: &RunRecord) -> String {
    format!("{} {}", run.mode, count(run.subscribers))
}

/// What the clocks of several hosts mean for the times, if they are not the same.
fn clocks(run: &RunRecord) -> Option<String> {
    let error_us = run.clock_error_us?;
    let apart = run.hosts.iter().filter(|host| host.clock_error_us.is_some()).count();
    Some(format!(
        "{apart} of {} hosts have a clock of their own: times are ± {}, and those below that are not shown",
        run.hosts.len(),
        duration(error_us)
    ))
}

/// What came that should not have, if any did.
fn wrong(run: &RunRecord) -> Option<String> {
    (wrong_count(run) > 0).then(|| {
        format!(
            "wrong: {} duplicated, {} reordered, {} corrupted",
            run.duplicated, run.reordered, run.corrupted
        )
    })
}

fn wrong_count(run: &RunRecord) -> u64 {
    run.duplicated + run.reordered + run.corrupted
}

/// A line for each direct run that has a proxied one to stand beside.
fn comparisons(runs: &[RunRecord]) -> Vec<String> {
    let of = |mode: &'static str| runs.iter().filter(move |run| run.mode == mode);
    let lines = of("direct").filter_map(|direct| {
        let proxy = of("proxy").find(|proxy| proxy.subscribers == direct.subscribers)?;
        let median = |run: &RunRecord| run.last_subscriber_us.map(|summary| summary.median);
        let (direct_us, proxy_us) = (median(direct)?, median(proxy)?);
        // A ratio of what may be nothing says nothing.
        let known = |us: f64, run: &RunRecord| run.clock_error_us.is_none_or(|error_us| us >= error_us);
        (known(direct_us, direct) && known(proxy_us, proxy)).then(|| {
            format!(
                "{} subscribers: median time to the last, direct {} / proxy {} = {:.2}",
                count(direct.subscribers),
                with_error(direct_us, direct.clock_error_us),
                with_error(proxy_us, proxy.clock_error_us),
                direct_us / proxy_us
            )
        })
    });
    lines.collect()
}

/// What the runs of one call have in common.
fn heading(run: &RunRecord, runs: &[RunRecord]) -> String {
    let mut modes: Vec<&str> = runs.iter().map(|run| &run.mode[..]).collect();
    modes.sort_unstable_by(|one, other| other.cmp(one));
    modes.dedup();
    let rate = match run.rate_hz {
        Some(rate_hz) => format!("{} messages/s each", number(rate_hz)),
        None => "flood".into(),
    };
    let publishers = match run.publishers {
        1 => "1 publisher".into(),
        publishers => format!("{} publishers", count(publishers)),
    };
    format!(
        "{} mode, {}, sessions {}, {publishers}, {rate}, {} bytes",
        modes.join(" and "),
        run.transport,
        run.sessions,
        count(run.size_bytes)
    )
}

/// What the short headers mean: longer ones would be broken to fit.
const ABOUT: &str = "run: mode and subscribers; CPU: of the broker, for a delivery;\n\
                     pub. CPU: of the publishers' executors; RSS: of the broker";

/// The header over the names of runs.
const RUN: &str = "run";

/// What was sent and what became of it, a line for each run.
fn arrivals(runs: &[RunRecord]) -> Table {
    let mut table = table(&[
        RUN,
        "messages",
        "deliveries",
        "gaps",
        "lost",
        "wrong",
        "per second",
        "CPU",
        "pub. CPU",
        "RSS",
    ]);
    for run in runs {
        table.add_row(
            [
                name(run),
                count(run.messages_sent),
                count(run.deliveries),
                count(run.gaps_reported),
                count(run.lost),
                count(wrong_count(run)),
                count(run.deliveries_per_s.round() as u64),
                cpu(run.broker.cpu_ns_per_delivery),
                cpu(run.publisher_executors.cpu_ns_per_delivery),
                run.broker.rss_bytes.map_or_else(|| "-".into(), bytes),
            ]
            .map(right),
        );
    }
    tighten(table)
}

fn cpu(ns: Option<f64>) -> String {
    ns.map_or_else(|| "-".into(), |ns| duration(ns / 1000.0))
}

/// How long it took to each subscriber, to the first and to the last, a line each for each run. Where sender and
/// receivers have different clocks, the bound of the error takes the place of the deviation, which the record has.
fn times(runs: &[RunRecord]) -> Table {
    let bounded = runs.iter().any(|run| run.clock_error_us.is_some());
    let last = if bounded { "±" } else { "std dev" };
    let mut table = table(&[RUN, "to", "min", "Q1", "median", "Q3", "p99", "p99.9", "max", "mean", last]);
    for run in runs {
        let distributions = [
            ("each", &run.latency_us),
            ("first", &run.first_subscriber_us),
            ("last", &run.last_subscriber_us),
        ];
        for (what, summary) in distributions {
            let mut figures = match summary {
                Some(summary) => figures(summary).map(|us| one_way(us, run.clock_error_us)),
                None => std::array::from_fn(|_| "-".into()),
            };
            if let (true, [.., last]) = (bounded, &mut figures) {
                *last = run.clock_error_us.map_or_else(|| "-".into(), duration);
            }
            let start = [right(name(run)), Cell::new(what)];
            table.add_row(start.into_iter().chain(figures.map(right)));
        }
    }
    tighten(table)
}

fn with_error(us: f64, error_us: Option<f64>) -> String {
    let error = error_us.map(|error_us| format!(" ± {}", duration(error_us)));
    duration(us) + &error.unwrap_or_default()
}

/// A time from one host to another; none if it is below what it may be wrong by.
fn one_way(us: f64, error_us: Option<f64>) -> String {
    if error_us.is_some_and(|error_us| us < error_us) { "-".into() } else { duration(us) }
}

fn figures(summary: &Summary) -> [f64; 9] {
    let Summary { min, q1, median, q3, p99, p99_9, max, mean, stddev } = *summary;
    [min, q1, median, q3, p99, p99_9, max, mean, stddev]
}

/// A table without lines between its columns, which are right-aligned but for words.
fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    let header = header.iter().map(|name| match *name {
        "to" => Cell::new(name),
        name => right(name.to_owned()),
    });
    table.load_style(STYLE).set_header(header);
    table
}

/// Two blanks between columns instead of three, for a terminal of 100 columns.
pub(crate) fn tighten(mut table: Table) -> Table {
    let last = table.column_count() - 1;
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, u16::from(index < last)));
    }
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

/// Microseconds with three digits, in the unit that fits: `812 us`, `2.41 ms`, `1.20 s`.
pub(crate) fn duration(us: f64) -> String {
    let units = [(1e-3, "ns"), (1.0, "us"), (1e3, "ms"), (1e6, "s")];
    // The bound is where three digits round to a thousand, which is one of the next unit.
    let (unit_us, name) = units.into_iter().find(|(unit_us, _)| us < 999.5 * unit_us).unwrap_or((1e6, "s"));
    let amount = us / unit_us;
    let decimals = match amount {
        amount if amount >= 99.95 => 0,
        amount if amount >= 9.995 => 1,
        _ => 2,
    };
    format!("{amount:.decimals$} {name}")
}

/// Bytes in MB (a million bytes), the unit of the limits that it is compared with.
fn bytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::super::record::HostRecord;
    use super::super::record::tests::sample_run;
    use super::*;

    #[test]
    fn counts_are_set_in_thousands() {
        let counts = [0, 999, 1000, 51_200, 10_240_000].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "51,200", "10,240,000"]);
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        let durations =
            [0.0, 0.5, 0.9996, 4.0, 12.34, 99.96, 999.4, 999.6, 2_410.0, 107_354.0, 1_204_000.0, 4e9]
                .map(duration);
        let wanted = [
            "0.00 ns", "500 ns", "1.00 us", "4.00 us", "12.3 us", "100 us", "999 us", "1.00 ms", "2.41 ms",
            "107 ms", "1.20 s", "4000 s",
        ];
        assert_eq!(durations, wanted);
    }

    #[test]
    fn everything_is_in_the_tables() {
        let interrupted = RunRecord {
            rate_hz: None,
            latency_us: None,
            lost: 3,
            duplicated: 2,
            incomplete: Some("interrupted".into()),
            notes: vec!["latency is that of a saturated system".into()],
            ..sample_run()
        };
        let text = render(&[sample_run(), interrupted]);
        for wanted in [
            "proxy mode, tcp, sessions per-subscriber, 1 publisher, 20 messages/s each, 64 bytes",
            "51,200",
            "20.0 MB",
            "4.00 us",
            "1.23 ms",
            "proxy 512: incomplete: interrupted",
            "proxy 512: wrong: 2 duplicated, 0 reordered, 0 corrupted",
            "proxy 512: latency is that of a saturated system",
        ] {
            assert!(text.contains(wanted), "no `{wanted}` in\n{text}");
        }
    }

    #[test]
    fn modes_are_compared_where_both_were_run() {
        let last = |median| Some(Summary { median, ..Summary::default() });
        let proxy = RunRecord { last_subscriber_us: last(4_400.0), ..sample_run() };
        let direct = RunRecord { mode: "direct".into(), last_subscriber_us: last(3_300.0), ..sample_run() };
        let alone = RunRecord { subscribers: 8, ..direct.clone() };
        let text = render(&[proxy, direct, alone]);
        assert!(text.starts_with("proxy and direct mode, tcp"), "{text}");
        let compared: Vec<&str> = text.lines().filter(|line| line.contains("median time")).collect();
        let wanted = "512 subscribers: median time to the last, direct 3.30 ms / proxy 4.40 ms = 0.75";
        assert_eq!(compared, [wanted]);
    }

    #[test]
    fn between_clocks_that_differ_times_have_a_bound_and_none_is_below_it() {
        let summary = Summary { min: 61.0, q1: 62.1, median: 4_400.0, ..Summary::default() };
        let (apart, shared) =
            (HostRecord { clock_error_us: Some(62.0), ..HostRecord::default() }, HostRecord::default());
        let proxy = RunRecord {
            latency_us: Some(summary),
            last_subscriber_us: Some(summary),
            clock_error_us: Some(62.0),
            hosts: vec![apart.clone(), shared],
            ..sample_run()
        };
        let direct = RunRecord { mode: "direct".into(), ..proxy.clone() };
        let text = render(&[proxy.clone(), direct.clone()]);
        let row = text.lines().find(|line| line.contains(" each ")).unwrap();
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(cells[3..8], ["-", "62.1", "us", "4.40", "ms"], "{row}");
        assert!(row.ends_with("62.0 us"), "{row}");
        for wanted in [
            " ±\n",
            "proxy 512: 1 of 2 hosts have a clock of their own: times are ± 62.0 us, and those below",
            "direct 4.40 ms ± 62.0 us / proxy 4.40 ms ± 62.0 us = 1.00",
        ] {
            assert!(text.contains(wanted), "no `{wanted}` in\n{text}");
        }
        let fast = Some(Summary { median: 61.9, ..Summary::default() });
        let text = render(&[proxy, RunRecord { last_subscriber_us: fast, ..direct }]);
        assert!(!text.contains("median time to the last"), "{text}");
    }

    #[test]
    fn they_fit_a_terminal() {
        let largest = Summary {
            min: 1e8,
            q1: 1e8,
            median: 1e8,
            q3: 1e8,
            p99: 1e8,
            p99_9: 1e8,
            max: 1e8,
            ..Summary::default()
        };
        let run = RunRecord {
            mode: "direct".into(),
            deliveries: 10_240_000,
            gaps_reported: 99_999,
            deliveries_per_s: 44e6,
            latency_us: Some(largest),
            ..sample_run()
        };
        let apart = RunRecord { clock_error_us: Some(7_654_321.0), ..run.clone() };
        let text = render(&[run]) + &render(&[apart]);
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 100, "{widest} columns:\n{text}");
        // Each header is one line, between two rules.
        let rules: Vec<usize> =
            (0..).zip(text.lines()).filter(|(_, line)| line.starts_with('─')).map(|(at, _)| at).collect();
        assert!(rules.chunks(3).all(|rules| rules[1] == rules[0] + 2), "{text}");
    }
}
