//! `corecast-bench run` in direct mode, and in both, against the real broker.
#![expect(clippy::unwrap_used, reason = "a test that cannot read what it wants to check has failed")]

mod command;

use command::{assert_exit, assert_fine_or_late, bench, record, run, text};
use serde_json::Value;

/// Conditions on every run, whatever its mode.
const ACCOUNTED: [&str; 6] = [
    "--assert",
    "lost == 0",
    "--assert",
    "deliveries + gaps_reported == deliveries_expected",
    "--assert",
    "duplicated + reordered + corrupted == 0",
];

/// The runs of a call that asked for the record on stdout.
fn runs(arguments: &[&str]) -> Vec<Value> {
    let output = run(&[arguments, &ACCOUNTED, &["--json", "-"]].concat());
    assert_fine_or_late(&output);
    record(&output)["runs"].as_array().unwrap().clone()
}

#[test]
fn both_modes_stand_in_one_record_on_every_kind_of_session_and_transport() {
    for transport in ["tcp", "uds"] {
        for sessions in ["per-subscriber", "per-executor"] {
            let runs = runs(&[
                "--mode",
                "both",
                "--subscribers",
                "3,24",
                "--publishers",
                "3",
                "--messages",
                "40",
                "--rate",
                "400",
                "--transport",
                transport,
                "--sessions",
                sessions,
                "--assert",
                "deliveries == deliveries_expected",
                "--assert",
                "publisher_executors.cpu_ns_per_delivery > 0",
            ]);
            let names: Vec<_> = runs.iter().map(|run| (run["subscribers"].as_u64(), &run["mode"])).collect();
            let (proxy, direct) = (Value::from("proxy"), Value::from("direct"));
            let wanted = [(Some(3), &proxy), (Some(3), &direct), (Some(24), &proxy), (Some(24), &direct)];
            assert_eq!(names, wanted, "{transport} {sessions}");
            for run in &runs {
                assert_eq!((&run["transport"], &run["sessions"]), (&transport.into(), &sessions.into()));
                assert_eq!(run["incomplete"], Value::Null);
            }
        }
    }
}

#[test]
fn a_direct_flood_is_accounted_for_under_every_policy_that_keeps_the_session() {
    for policy in ["drop-oldest", "drop-newest", "latest", "block"] {
        let runs = runs(&[
            "--mode",
            "direct",
            "--subscribers",
            "16",
            "--rate",
            "flood",
            "--messages",
            "20000",
            "--size",
            "2000",
            "--overflow",
            policy,
            // Less than the flood, so that queues do fill.
            "--egress-bytes",
            "5000000",
            "--assert",
            "messages_sent == 20000",
        ]);
        assert_eq!(runs[0]["mode"], "direct");
        if policy == "block" {
            assert_eq!(runs[0]["gaps_reported"], 0);
        }
    }
}

/// By default the first flood would fit into the queues.
#[test]
fn the_bounds_that_are_asked_for_are_those_of_the_publishers() {
    let flood = |policy: &str| {
        runs(&[
            "--mode",
            "direct",
            "--subscribers",
            "64",
            "--rate",
            "flood",
            "--messages",
            "3000",
            "--size",
            "60000",
            "--overflow",
            policy,
            "--egress-bytes",
            "4325376",
        ])
    };
    assert!(flood("drop-oldest")[0]["gaps_reported"].as_u64() > Some(0), "180 MB do not fit 4 MiB");
    assert_eq!(flood("block")[0]["gaps_reported"], 0);
}

#[test]
fn the_tables_of_both_modes_are_compared() {
    let output = run(&["--mode", "both", "--subscribers", "4", "--messages", "5", "--rate", "100"]);
    assert_fine_or_late(&output);
    let stdout = text(&output.stdout);
    for wanted in [
        "proxy and direct mode, tcp, sessions per-subscriber",
        "proxy 4 ",
        "direct 4 ",
        "4 subscribers: median time to the last, direct ",
        "direct 4: direct: the publishers fan out",
    ] {
        assert!(stdout.contains(wanted), "no `{wanted}` in\n{stdout}");
    }
}

#[test]
fn a_broker_of_another_mode_is_a_failure_that_says_which() {
    use std::io::{BufRead, BufReader};
    let corecast = std::path::Path::new(command::BENCH).with_file_name("corecast");
    // Built by the first call of the command under test.
    assert_exit(&bench(&["run", "--help"]).output().unwrap(), 0);
    let mut broker = std::process::Command::new(corecast)
        .args(["broker", "--listen", "tcp://127.0.0.1:0", "--mode", "direct", "-o", "json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(broker.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap();
    let url = ready["endpoints"][0].as_str().unwrap();
    let common = ["--broker", url, "--subscribers", "2", "--messages", "3", "--rate", "100", "--json", "-"];
    let wrong = run(&[&common[..], &["--mode", "proxy"]].concat());
    let right = run(&[&common[..], &["--mode", "direct"]].concat());
    broker.kill().unwrap();
    broker.wait().unwrap();
    assert_exit(&wrong, 1);
    assert!(text(&wrong.stderr).contains("say --mode direct"), "{}", text(&wrong.stderr));
    assert_fine_or_late(&right);
    assert_eq!(record(&right)["runs"][0]["deliveries"], 6);
}
