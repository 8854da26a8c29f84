//! `corecast-bench compare` as a person or a script calls it, on made-up results.
#![expect(clippy::unwrap_used, reason = "a test that cannot read what it wants to check has failed")]

#[allow(dead_code, reason = "each test program uses what it needs")]
mod command;
mod made_up;

use command::{assert_exit, bench, text};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;

fn compare(a: &Path, b: &Path, more: &[&str]) -> Output {
    let mut command = bench(&["compare"]);
    command.arg(a).arg(b).args(more);
    command.output().unwrap()
}

struct Folders {
    folder: tempfile::TempDir,
}

impl Folders {
    fn new() -> Self {
        Folders { folder: tempfile::tempdir().unwrap() }
    }

    fn small(&self, name: &str, rounds: u32, slower: f64) -> PathBuf {
        let path = self.folder.path().join(name);
        made_up::small(&path, rounds, slower);
        path
    }
}

#[test]
fn rounds_give_an_interval_around_the_ratio() {
    let folders = Folders::new();
    let (before, after) = (folders.small("before", 5, 1.0), folders.small("after", 5, 1.5));
    let output = compare(&before, &after, &["--json", "-"]);
    assert_exit(&output, 0);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["schema"], "corecast-bench-compare/1");
    let pairs = json["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), 4);
    for pair in pairs {
        assert_eq!(pair["a_runs"].as_array().unwrap().len(), 5);
        let figure = &pair["figures"]["last_subscriber_us.median"];
        let ratio = figure["ratio"].as_f64().unwrap();
        assert!((ratio - 1.5).abs() < 0.01, "{pair}");
        let (low, high) = (&figure["interval"]["low"], &figure["interval"]["high"]);
        assert!(low.as_f64().unwrap() <= ratio && ratio <= high.as_f64().unwrap(), "{figure}");
        assert_eq!(figure["interval"]["from"], "rounds");
    }
    assert_eq!(json["only_in_a"].as_array().unwrap().len(), 0);
    // The same call says the same.
    assert_eq!(compare(&before, &after, &["--json", "-"]).stdout, output.stdout);
}

#[test]
fn one_run_of_each_has_an_interval_from_its_samples_and_a_record_has_none() {
    let folders = Folders::new();
    let (before, after) = (folders.small("before", 1, 1.0), folders.small("after", 1, 2.0));
    let said = text(&compare(&before, &after, &[]).stdout);
    assert!(
        said.contains("proxy, 64 subscribers, sessions per-subscriber, tcp, 64 B, 4 messages/s"),
        "{said}"
    );
    let line = said.lines().find(|line| line.contains("to the last: median")).unwrap();
    assert!(line.contains("2.00") && line.ends_with("samples"), "{line}");
    assert!(said.contains("two runs of the same thing can differ by more"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 120), "{said}");

    let record = folders.folder.path().join("both.json");
    made_up::record(&record);
    let output = compare(&record, &record, &["--json", "-"]);
    assert_exit(&output, 0);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let figure = &json["pairs"][0]["figures"]["latency_us.p99"];
    assert_eq!((figure["ratio"].as_f64(), &figure["interval"]), (Some(1.0), &Value::Null));
}

#[test]
fn an_assertion_that_does_not_hold_is_two_and_names_the_figures() {
    let folders = Folders::new();
    let (before, after) = (folders.small("before", 3, 1.0), folders.small("after", 3, 1.5));
    let asserted = |claim: &str| compare(&before, &after, &["--assert", claim]);
    assert_exit(&asserted("last_subscriber_us.median.ratio < 1.6"), 0);
    assert_exit(&asserted("latency_us.median.ratio_low > 1.4"), 0);
    assert_exit(&asserted("lost.b == 0"), 0);
    let output = asserted("last_subscriber_us.median.ratio < 1.1");
    assert_exit(&output, 2);
    let said = text(&output.stderr);
    assert_eq!(said.lines().count(), 4, "one for each pair: {said}");
    assert!(said.contains("does not hold (proxy, 8 subscribers") && said.contains(".ratio = 1.5"), "{said}");
    for (claim, says) in
        [("latency_us.median < 2", "such as"), ("x.ratio < 1", "deliveries_per_s"), ("x", "expected")]
    {
        let output = asserted(claim);
        assert_exit(&output, 2);
        assert!(text(&output.stderr).contains(says), "{claim}: {}", text(&output.stderr));
    }
}

#[test]
fn what_only_one_of_them_has_is_said() {
    let folders = Folders::new();
    let canonical = folders.folder.path().join("canonical");
    made_up::canonical(&canonical);
    let output = compare(&canonical, &folders.small("small", 1, 1.0), &[]);
    assert_exit(&output, 0);
    let said = text(&output.stdout);
    assert!(said.contains("only in A: direct, 512 subscribers, sessions per-executor"), "{said}");
    assert!(!said.contains("only in B"), "{said}");

    let record = folders.folder.path().join("both.json");
    made_up::record(&record);
    let isolation = folders.folder.path().join("isolation");
    made_up::isolation(&isolation);
    let output = compare(&isolation, &record, &[]);
    assert_exit(&output, 1);
    assert!(text(&output.stderr).contains("was made like any"), "{}", text(&output.stderr));
}

#[test]
fn what_is_no_result_is_an_error() {
    let folders = Folders::new();
    let before = folders.small("before", 1, 1.0);
    let other = folders.folder.path().join("other.json");
    std::fs::write(&other, r#"{"schema": "corecast-bench/2", "runs": []}"#).unwrap();
    let output = compare(&before, &other, &[]);
    assert_exit(&output, 1);
    assert!(text(&output.stderr).contains("has the schema corecast-bench/2"), "{}", text(&output.stderr));
    assert_exit(&compare(&before, Path::new("/nowhere/at/all"), &[]), 1);
    assert_exit(&bench(&["compare"]).output().unwrap(), 2);
}

#[test]
fn versions_of_peers_that_differ_are_said() {
    let folders = Folders::new();
    let [before, after] = ["before", "after"].map(|name| folders.folder.path().join(name));
    made_up::peers(&before);
    made_up::peers(&after);
    let file = after.join("results.json");
    let newer = std::fs::read_to_string(&file).unwrap().replace("\"8.2.1\"", "\"8.2.7\"");
    std::fs::write(&file, newer).unwrap();
    let output = compare(&before, &after, &["--json", "-"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let differs = json["differs"].as_array().unwrap();
    let [only] = &differs[..] else { panic!("{differs:?}") };
    assert_eq!(
        (&only["what"], &only["a"], &only["b"]),
        (&"peers".into(), &"redis-8.2 8.2.1".into(), &"redis-8.2 8.2.7".into())
    );
}
