//! Owns the text about runs that goes to stdout: what arrived, and how long it took. The record has all of it, with
//! more digits.

use super::likeness;
use super::table::{Cell, Column, Table};
use crate::measure::latency::Summary;
use crate::order::rising;
use crate::record::RunRecord;
use crate::unit::{Unit, count, counted, duration, number};
use corecast::internals::printable::printable_lines;

/// The tables of these runs, ready to print, and a line for everything that is worth knowing about them.
pub fn render(runs: &[RunRecord]) -> String {
    let mut text = String::new();
    if let Some(run) = runs.first() {
        text.push_str(&format!("{}\n", heading(run, runs)));
    }
    text.push_str(&format!("{}{ABOUT}\n\n{}", arrivals(runs).text(1), times(runs).text(2)));
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

/// The settings that tell the runs of one call apart.
fn name(run: &RunRecord) -> String {
    format!("{} {}", run.peer.as_ref().unwrap_or(&run.mode), count(run.subscribers))
}

/// The meaning of several hosts' clocks for the times, if they are not the same.
fn clocks(run: &RunRecord) -> Option<String> {
    let error_us = run.clock_error_us?;
    let apart = run.hosts.iter().filter(|host| host.clock_error_us.is_some()).count();
    Some(format!(
        "{apart} of {} hosts have a clock of their own: times are ± {},\nand those below that are not shown",
        run.hosts.len(),
        duration(error_us)
    ))
}

/// Deliveries that should not have come, if any did.
fn wrong(run: &RunRecord) -> Option<String> {
    let misdelivered = run.misdelivered.map_or_else(String::new, |count| format!(", {count} misdelivered"));
    (wrong_count(run) > 0).then(|| {
        format!(
            "wrong: {} duplicated, {} reordered, {} corrupted{misdelivered}",
            run.duplicated, run.reordered, run.corrupted
        )
    })
}

fn wrong_count(run: &RunRecord) -> u64 {
    run.duplicated + run.reordered + run.corrupted + run.misdelivered.unwrap_or(0)
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

/// The settings that the runs of one call have in common.
fn heading(run: &RunRecord, runs: &[RunRecord]) -> String {
    let modes: Vec<&str> = rising(runs.iter().map(|run| &run.mode[..])).into_iter().rev().collect();
    let rate = match run.rate_hz {
        Some(rate_hz) => format!("{} messages/s each", number(rate_hz)),
        None => "flood".into(),
    };
    let publishers = counted(run.publishers as usize, "publisher");
    let reactor = likeness::reactor(run);
    let reactor = if reactor.is_empty() { reactor } else { format!(", {reactor}") };
    let topics = run.shared_topics().map_or_else(String::new, |shared| format!(", {shared}"));
    format!(
        "{} mode, {}, sessions {}{reactor}\n{publishers}, {rate}, {} bytes{topics}",
        modes.join(" and "),
        run.transport,
        run.sessions,
        count(run.size_bytes)
    )
}

/// The meaning of the short headings.
const ABOUT: &str = "run: mode or system, and subscribers; CPU: of the broker, for a delivery;\n\
                     pub. CPU: of the publishers' executors; RSS: of the broker";

/// The messages sent and what became of them, a line for each run.
fn arrivals(runs: &[RunRecord]) -> Table {
    let columns: [Column<'_, RunRecord>; 10] = [
        ("#run", &|run| Cell::text(name(run))),
        ("#messages", &|run| Cell::text(count(run.messages_sent))),
        ("#deliveries", &|run| Cell::text(count(run.deliveries))),
        ("#gaps", &|run| Cell::text(count(run.gaps_reported))),
        ("#lost", &|run| Cell::text(count(run.lost))),
        ("#wrong", &|run| Cell::text(count(wrong_count(run)))),
        ("#per second", &|run| Cell::text(count(run.deliveries_per_s.round() as u64))),
        ("#CPU", &|run| Cell::known(run.broker.cpu_ns_per_delivery.map(cpu))),
        ("#pub. CPU", &|run| Cell::known(run.publisher_executors.cpu_ns_per_delivery.map(cpu))),
        ("#RSS", &|run| Cell::known(run.broker.rss_bytes.map(|bytes| Unit::Bytes.text(bytes as f64)))),
    ];
    Table::of("", "", runs, &columns)
}

fn cpu(ns: f64) -> String {
    duration(ns / 1000.0)
}

/// Latencies, three lines for each run. Where clocks may differ, their bound stands in place of the deviation, and
/// times below it are not shown.
fn times(runs: &[RunRecord]) -> Table {
    type Line<'a> = (&'a RunRecord, &'static str, Option<Summary>);
    fn time((run, _, summary): &Line<'_>, figure: fn(&Summary) -> f64) -> Cell {
        let us = summary.as_ref().map(figure);
        Cell::known(us.filter(|us| run.clock_error_us.is_none_or(|error_us| *us >= error_us)).map(duration))
    }
    let lines: Vec<Line<'_>> = runs
        .iter()
        .flat_map(|run| {
            [("each", run.latency_us), ("first", run.first_subscriber_us), ("last", run.last_subscriber_us)]
                .map(|(to, summary)| (run, to, summary))
        })
        .collect();
    let last: Column<'_, Line<'_>> = if runs.iter().any(|run| run.clock_error_us.is_some()) {
        ("#±", &|(run, ..)| Cell::known(run.clock_error_us.map(duration)))
    } else {
        ("#std dev", &|line| time(line, |summary| summary.stddev))
    };
    let columns: [Column<'_, Line<'_>>; 11] = [
        ("#run", &|(run, ..)| Cell::text(name(run))),
        ("to", &|(_, to, _)| Cell::text(*to)),
        ("#min", &|line| time(line, |summary| summary.min)),
        ("#Q1", &|line| time(line, |summary| summary.q1)),
        ("#median", &|line| time(line, |summary| summary.median)),
        ("#Q3", &|line| time(line, |summary| summary.q3)),
        ("#p99", &|line| time(line, |summary| summary.p99)),
        ("#p99.9", &|line| time(line, |summary| summary.p99_9)),
        ("#max", &|line| time(line, |summary| summary.max)),
        ("#mean", &|line| time(line, |summary| summary.mean)),
        last,
    ];
    Table::of("", "", &lines, &columns)
}

fn with_error(us: f64, error_us: Option<f64>) -> String {
    let error = error_us.map(|error_us| format!(" ± {}", duration(error_us)));
    duration(us) + &error.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::HostRecord;
    use crate::record::run::tests::sample_run;

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
            "proxy mode, tcp, sessions per-subscriber\n1 publisher, 20 messages/s each, 64 bytes\n",
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
        let rows: Vec<&str> = text.lines().filter(|line| line.contains(" each ")).collect();
        let cells: Vec<&str> = rows[0].split_whitespace().collect();
        assert_eq!(cells[3..8], ["–", "62.1", "us", "4.40", "ms"], "{text}");
        assert!(rows.last().unwrap().ends_with("62.0 us"), "{text}");
        for wanted in [
            " ±\n",
            "proxy 512: 1 of 2 hosts have a clock of their own: times are ± 62.0 us,\n    and those below",
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
        assert!(widest <= 80, "{widest} columns:\n{text}");
        // Each header is one line, between two rules.
        let rules: Vec<usize> =
            (0..).zip(text.lines()).filter(|(_, line)| line.starts_with('─')).map(|(at, _)| at).collect();
        assert!(rules.chunks(3).all(|rules| rules[1] == rules[0] + 2), "{text}");
    }
}
