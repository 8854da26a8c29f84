//! `corecast-bench report` as a person calls it, on made-up results: what it writes, and what it says when it cannot.
//!
//! To look at the results themselves, set CORECAST_TEST_KEEP to a folder: `scripts/report-shots.sh` does.
#![expect(clippy::unwrap_used, reason = "a test that cannot read what it wants to check has failed")]

#[allow(dead_code, reason = "each test program uses what it needs")]
mod command;
mod made_up;
mod markup;

use command::{assert_exit, bench, text};
use corecast_bench::measure::latency::Summary;
use corecast_bench::results::{Entry, Results};
use std::path::{Path, PathBuf};
use std::process::Output;

/// A folder that is removed at the end, unless somebody wants to look at it.
struct Scratch {
    path: PathBuf,
    _removed: Option<tempfile::TempDir>,
}

impl Scratch {
    fn new(name: &str) -> Self {
        let Some(keep) = std::env::var_os("CORECAST_TEST_KEEP") else {
            let folder = tempfile::tempdir().unwrap();
            return Scratch { path: folder.path().to_owned(), _removed: Some(folder) };
        };
        let path = Path::new(&keep).join(name);
        if path.exists() {
            std::fs::remove_dir_all(&path).unwrap();
        }
        std::fs::create_dir_all(&path).unwrap();
        Scratch { path, _removed: None }
    }

    fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

fn report(results: &[&Path], out: &Path) -> Output {
    let mut command = bench(&["report"]);
    command.args(results).arg("--out").arg(out);
    command.output().unwrap()
}

/// The page and the Markdown of one folder of results.
fn written(results: &Path, out: &Path) -> (String, String) {
    assert_exit(&report(&[results], out), 0);
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    (read("report.html"), read("report.md"))
}

/// Writes made-up results into a folder.
type MakeUp = fn(&Path) -> Results;

#[test]
fn everything_is_written_and_sound() {
    let scratch = Scratch::new("everything");
    let all: [(&str, MakeUp); 8] = [
        ("canonical", made_up::canonical),
        ("crossover", made_up::crossover),
        ("peers", made_up::peers),
        ("flood", made_up::flood),
        ("isolation", made_up::isolation),
        ("scaling", made_up::scaling),
        ("idle", made_up::idle),
        ("hosts", made_up::broken_off),
    ];
    let results = all.map(|(name, make)| (scratch.join(name), make(&scratch.join(name))));
    let folders: Vec<&Path> = results.iter().map(|(path, _)| path.as_path()).collect();
    let out = scratch.join("report");
    let output = report(&folders, &out);
    assert_exit(&output, 0);
    assert_eq!(text(&output.stdout), format!("{}\n", out.join("report.html").display()));

    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    markup::assert_sound(&page);
    markup::assert_needs_nothing(&page);
    let markdown = std::fs::read_to_string(out.join("report.md")).unwrap();
    for (_, results) in &results {
        for Entry { id, .. } in &results.runs {
            assert!(page.contains(&format!("<td>{id}</td>")), "{id} is not in the page");
            assert!(markdown.contains(&format!("| {id} |")), "{id} is not in the Markdown");
        }
    }
    let mut plots = 0;
    for part in markdown.split('"').filter(|part| part.starts_with("plots/")) {
        let svg = std::fs::read_to_string(out.join(part)).unwrap();
        markup::assert_sound(&svg);
        assert!(!svg.contains("var(--"), "a file has colours of its own: {part}");
        plots += 1;
    }
    assert!(plots > 60, "{plots} pictures");
    let png = std::fs::read(out.join("plots/peers-peers-flood.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000, "{} bytes", png.len());
}

#[test]
fn the_same_results_give_the_same_bytes() {
    let scratch = tempfile::tempdir().unwrap();
    let results = scratch.path().join("isolation");
    made_up::isolation(&results);
    let outs = ["one", "two"].map(|name| scratch.path().join(name));
    let files = outs.map(|out| {
        assert_exit(&report(&[&results], &out), 0);
        let mut files: Vec<(PathBuf, Vec<u8>)> = ["", "plots"]
            .iter()
            .flat_map(|folder| std::fs::read_dir(out.join(folder)).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (path.strip_prefix(&out).unwrap().to_owned(), std::fs::read(&path).unwrap()))
            .collect();
        files.sort();
        files
    });
    assert!(files[0].len() > 4);
    assert!(files[0] == files[1]);
}

/// Milliseconds with three decimals, as the table has them.
fn ms(us: f64) -> String {
    format!("{:.3}", us / 1000.0)
}

#[test]
fn the_table_of_quartiles_has_the_records_figures() {
    let scratch = tempfile::tempdir().unwrap();
    let results = made_up::canonical(&scratch.path().join("canonical"));
    let (page, markdown) = written(&scratch.path().join("canonical"), &scratch.path().join("out"));
    for Entry { id, record } in &results.runs {
        let (each, last) = (record.latency_us.unwrap(), record.last_subscriber_us.unwrap());
        let Summary { q1, median, q3, max, stddev, p99, p99_9, .. } = each;
        let figures = [q1, median, q3, max, stddev, p99, p99_9, last.median, last.p99].map(ms);
        let cells: Vec<String> = std::iter::once(record.subscribers.to_string()).chain(figures).collect();
        let row =
            format!("<td>{}</td><td class=\"n\">{}</td>", record.mode, cells.join("</td><td class=\"n\">"));
        assert!(page.contains(&row), "{id}: no row {row}");
        let row = format!("| {} | {} | {id} |", record.mode, cells.join(" | "));
        assert!(markdown.contains(&row), "{id}: no row {row}");
    }
    // The answer is of the largest count, and of these figures.
    let of = |mode: &str| {
        let alike = |entry: &&Entry| {
            let record = &entry.record;
            (&record.mode[..], record.subscribers, &record.sessions[..]) == (mode, 512, "per-subscriber")
        };
        results.runs.iter().find(alike).unwrap().record.last_subscriber_us.unwrap().median
    };
    let (proxy, direct) = (of("proxy"), of("direct"));
    let answer = format!(
        "a message reaches the last of 512 subscribers in {:.2} ms in proxy mode and {:.2} ms in direct mode, in the \
         median (direct / proxy = {:.2})",
        proxy / 1000.0,
        direct / 1000.0,
        direct / proxy
    );
    assert!(markdown.contains(&answer), "no `{answer}`");
}

#[test]
fn each_experiment_is_answered_from_its_figures() {
    let scratch = tempfile::tempdir().unwrap();
    let answered = |name: &str, make: MakeUp| {
        let path = scratch.path().join(name);
        (make(&path), written(&path, &scratch.path().join(format!("{name}-report"))).1)
    };
    let has =
        |markdown: &str, wanted: &str| assert!(markdown.contains(wanted), "no `{wanted}` in {markdown}");

    let (_, markdown) = answered("flood", made_up::flood);
    has(&markdown, "64 B: at most 8.98 M deliveries a second, in direct mode with 512 subscribers.");
    has(&markdown, "16 KiB: at most 199,610 deliveries a second");
    // The tries of the search that were not delivered whole, 11 and 17, are in no plot.
    has(&markdown, "Runs: flood 0001–0010, 0012–0016");

    let (results, markdown) = answered("isolation", made_up::isolation);
    let p99 = |run: usize| results.runs[run].record.latency_us.unwrap().p99;
    let ratio = format!("with 5 slow by 50 ms (ratio {:.2})", p99(2) / p99(0));
    has(&markdown, &ratio);
    has(&markdown, "with 5 stalled (ratio");

    let (_, markdown) = answered("scaling", made_up::scaling);
    has(
        &markdown,
        "1 shard: from 512 to 2,048 subscribers CPU time for each delivery goes from 10.0 µs to 2.50 µs",
    );
    has(&markdown, "| proxy | 2 | 2,048 | 5.00 µs | 700 ns | 6.30 µs | 1.25 | 5.30 kB | scaling 0006 |");

    let (_, markdown) = answered("idle", made_up::idle);
    has(&markdown, "busy 1");
    has(&markdown, "for 0.30 cores, busy");

    let (_, markdown) = answered("crossover", made_up::crossover);
    has(&markdown, "64 B: direct mode is first up to about 80 subscribers, proxy mode beyond.");

    let (_, markdown) = answered("peers", made_up::peers);
    has(&markdown, "> **Not measured: mosquitto2: mosquitto2 is not there: scripts/peers.sh install.**");
    has(
        &markdown,
        "512 subscribers, 64 B, flood: corecast proxy has 34.0 M/s (deliveries a second), 1.30× redis-8.2's (the best \
         of redis), 1.40× libzmq's, 1.60× nats's, 20.0× mosquitto's, 2.00× zenoh-1.10's (own \
         clients)",
    );
    has(&markdown, "| best of redis | 1.30 (1.30–1.30), redis-8.2 |");
    has(&markdown, "Versions, as the peers state them: redis-8.2 8.2.1.");
}

#[test]
fn the_ancestors_figures_stand_beside_ours_and_the_hardware_is_said_to_differ() {
    let scratch = tempfile::tempdir().unwrap();
    made_up::canonical(&scratch.path().join("canonical"));
    let (page, _) = written(&scratch.path().join("canonical"), &scratch.path().join("out"));
    assert!(page.contains("The hardware differs: zmqmw was measured on three cloud instances"));
    // Theirs, proxy at 512: Q3 and the greatest.
    assert!(page.contains("<td class=\"n\">32.012</td>") && page.contains("<td class=\"n\">39.413</td>"));
}

#[test]
fn what_is_incomplete_or_below_the_clocks_error_is_said_and_not_shown() {
    let scratch = tempfile::tempdir().unwrap();
    let results = made_up::broken_off(&scratch.path().join("hosts"));
    let (page, markdown) = written(&scratch.path().join("hosts"), &scratch.path().join("out"));
    for said in [
        "Incomplete (interrupted): 3 of 8 planned runs were made.",
        "0003-proxy-per-subscriber-512x64 (interrupted)",
        "3 messages were lost without a word",
        "clocks may differ by up to ±\u{a0}300\u{a0}µs",
        "proxy, incomplete",
        "Host worker1: 1 subscriber, its clock 1.20 ms ± 300 µs behind",
        "5.15.0-worker",
        // Plots are of what was finished.
        "Runs: hosts 0001–0002<",
    ] {
        assert!(page.contains(said), "no `{said}`");
    }
    assert!(markdown.contains("> **Incomplete (interrupted): 3 of 8 planned runs were made.**"));
    let least = results.runs[0].record.latency_us.unwrap();
    assert!(least.q1 < 300.0 && least.max > 300.0, "what the test is about: {least:?}");
    let row = markdown.lines().find(|line| line.ends_with("0001-proxy-per-subscriber-1x64 |")).unwrap();
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    assert_eq!((cells[3], cells[6]), ("–", &format!("{} ± 0.300", ms(least.max))[..]), "{row}");
    for figure in markdown.split('|').filter_map(|cell| cell.trim().strip_suffix(" ± 0.300")) {
        assert!(figure.parse::<f64>().unwrap() >= 0.3, "{figure}");
    }
}

#[test]
fn a_record_of_run_is_reported_beside_it() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("both.json");
    made_up::record(&path);
    let output = bench(&["report", path.to_str().unwrap()]).output().unwrap();
    assert_exit(&output, 0);
    let page = scratch.path().join("both-report/report.html");
    assert_eq!(text(&output.stdout).trim_end(), page.to_str().unwrap());
    let page = std::fs::read_to_string(page).unwrap();
    markup::assert_sound(&page);
    assert!(
        page.contains("0002-direct-per-subscriber-8x64")
            && page.contains("Example CPU &lt;4 GHz&gt; &amp; more")
    );
}

#[test]
fn what_cannot_be_reported_is_an_error_that_says_what_to_do() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name);
    std::fs::create_dir(path("empty")).unwrap();
    std::fs::create_dir(path("other")).unwrap();
    std::fs::write(path("other").join("results.json"), r#"{"schema": "corecast-bench-results/9"}"#).unwrap();
    std::fs::write(path("other.json"), r#"{"schema": "corecast-bench/9"}"#).unwrap();
    for (name, says) in [
        ("empty", "holds no results"),
        ("gone", "name a folder that an experiment made"),
        ("other", "corecast-bench-results/9"),
        ("other.json", "corecast-bench/9"),
    ] {
        let output = report(&[&path(name)], &path("out"));
        assert_exit(&output, 1);
        assert!(text(&output.stderr).contains(says), "{name}: {}", text(&output.stderr));
        assert!(text(&output.stderr).matches("os error").count() < 2, "twice: {}", text(&output.stderr));
        assert!(!path("out").exists());
    }
    assert_exit(&bench(&["report"]).output().unwrap(), 2);
    made_up::isolation(&path("isolation"));
    std::fs::write(path("file"), "").unwrap();
    let output = report(&[&path("isolation")], &path("file").join("out"));
    assert_exit(&output, 2);
    assert!(text(&output.stderr).contains("cannot write into"), "{}", text(&output.stderr));
    assert!(text(&output.stdout).is_empty(), "it is said before the work");
}
