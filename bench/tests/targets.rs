//! Experiments that are asked for a figure of the whole, against the real broker: what `scripts/targets.sh` stands on.
#![expect(clippy::unwrap_used, reason = "a test that cannot read what it wants to check has failed")]

mod command;

use command::{assert_exit, assert_fine_or_late, bench, text};
use corecast_executors::Topology;
use serde_json::Value;
use std::path::Path;
use std::process::Output;

fn experiment(folder: &Path, arguments: &[&str]) -> Output {
    bench(&[&["experiment"], arguments, &["--out", folder.to_str().unwrap()]].concat()).output().unwrap()
}

fn results(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("results.json")).unwrap()).unwrap()
}

fn records(results: &Value) -> Vec<Value> {
    results["runs"].as_array().unwrap().iter().map(|entry| entry["record"].clone()).collect()
}

#[test]
fn an_echo_is_compared_with_the_bare_connection_of_its_round() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let arguments = ["echo", "--messages", "20", "--rounds", "2", "--timeout", "60"];
    let asserts = ["--assert", "ratio.echo.busy > 0", "--assert", "lost == 0"];
    let output = experiment(&out, &[&arguments[..], &asserts].concat());
    if Topology::detect().unwrap().allowed().len() < 2 {
        assert_exit(&output, 2);
        assert!(text(&output.stderr).contains("takes 2 cores"), "{}", text(&output.stderr));
        return;
    }
    assert_fine_or_late(&output);
    let results = results(&out);
    let records = records(&results);
    let kinds: Vec<_> = records.iter().map(|run| (run["peer"].as_str(), run["idle"].as_str())).collect();
    let round =
        [(Some("echo-floor"), None), (None, Some("busy")), (None, Some("spin:100")), (None, Some("park"))];
    assert_eq!(kinds, [round, round].concat());
    let median = |run: &Value| run["latency_us"]["median"].as_f64().unwrap();
    for run in &records {
        assert_eq!((&run["deliveries"], &run["messages_sent"]), (&20.into(), &20.into()), "{run}");
        assert!(median(run) > 0.0, "{run}");
    }
    let mut ratios = [median(&records[1]) / median(&records[0]), median(&records[5]) / median(&records[4])];
    ratios.sort_by(f64::total_cmp);
    let busy = &results["figures"]["ratio.echo.busy"];
    for (name, wanted) in [("min", ratios[0]), ("max", ratios[1])] {
        assert!((busy[name].as_f64().unwrap() - wanted).abs() < 1e-4, "{busy} {ratios:?}");
    }
    assert!(text(&output.stdout).contains("ratio.echo.park "), "{}", text(&output.stdout));
    let report = bench(&["report", out.to_str().unwrap()]).output().unwrap();
    assert_exit(&report, 0);
}

#[test]
fn an_echo_over_unix_sockets_asserts_what_does_not_hold() {
    if Topology::detect().unwrap().allowed().len() < 2 {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["echo", "--transport", "uds", "--messages", "5", "--rounds", "1", "--timeout", "60"];
    let output = experiment(folder.path(), &[&arguments[..], &["--assert", "ratio.echo.busy < 0"]].concat());
    assert_exit(&output, 2);
    let said = text(&output.stderr);
    assert!(said.contains("--assert 'ratio.echo.busy < 0' does not hold: ratio.echo.busy = "), "{said}");
    assert!(records(&results(folder.path())).iter().all(|run| run["transport"] == "uds"));
}

#[test]
fn filters_of_one_session_and_of_many_have_a_cost() {
    let folder = tempfile::tempdir().unwrap();
    let asserts = ["--assert", "subscribing.one.cpu_us > 0", "--assert", "subscribing.many.growth > 0"];
    let output = experiment(folder.path(), &[&["subscribing", "--rounds", "1"][..], &asserts].concat());
    assert_exit(&output, 0);
    let results = results(folder.path());
    let records = records(&results);
    let counts: Vec<_> = records.iter().map(|run| (&run["subscribers"], &run["messages_sent"])).collect();
    assert_eq!(counts, [(&1.into(), &0.into()), (&1000.into(), &0.into())]);
    let one = &results["figures"]["subscribing.one.cpu_us"]["median"];
    assert_eq!(one, &records[0]["extra"]["cpu_us_per_filter"]);
    let report = bench(&["report", folder.path().to_str().unwrap()]).output().unwrap();
    assert_exit(&report, 0);
}

#[test]
fn a_quiet_broker_has_everybody_and_takes_next_to_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["quiet", "--subscribers", "3,40", "--rounds", "1", "--duration", "1"];
    // A broker that spins takes a core at least; on a busy machine one that parks is still far from that.
    let asserts = ["--assert", "quiet.cpu_cores < 0.5", "--assert", "deliveries == subscribers"];
    assert_fine_or_late(&experiment(folder.path(), &[&arguments[..], &asserts].concat()));
    let results = results(folder.path());
    let records = records(&results);
    assert_eq!(records.len(), 2);
    for run in &records {
        assert!(run["extra"]["quiet_cpu_cores"].as_f64().unwrap() > 0.0, "{run}");
        assert_eq!((&run["idle"], &run["messages_sent"]), (&"park".into(), &1.into()), "{run}");
    }
    let whole = &results["figures"]["quiet.cpu_cores"]["median"];
    assert_eq!(whole, &records[1]["extra"]["quiet_cpu_cores"], "that of the most subscribers");
}
