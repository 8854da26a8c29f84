//! Measurements under TLS as a person or a script calls them: with the floor and our own broker always, with nats-server,
//! redis-server and mosquitto where they are installed (`scripts/peers.sh install`) and know TLS.
#![expect(clippy::unwrap_used, reason = "a test that cannot read what it wants to check has failed")]

mod command;

use command::{assert_exit, assert_fine_or_late, bench, record, run, text};
use serde_json::Value;

/// A comparison that takes a moment.
const SMALL: [&str; 10] =
    ["--subscribers", "24", "--rate", "40", "--duration", "0.5", "--flood-messages", "2000", "--rounds", "1"];
/// The reasons for which a server of others is not measured.
const MISSING: [&str; 2] = ["is not there: scripts/peers.sh install", "was built without TLS"];

#[test]
fn everybody_delivers_everything_under_tls_where_it_is_there() {
    let names = "corecast-tls,corecast,floor-tls,floor-tls-blocks,floor-tls-frames,nats-tls,nats-2.15-tls,redis-tls,\
                 redis-8.2-tls,mosquitto-tls";
    let peers = ["peers", "--json", "-", "--floor-threads", "2", "--peers", names];
    let output = bench(&[&peers[..], &SMALL].concat()).output().unwrap();
    assert_fine_or_late(&output);
    let record = record(&output);
    let entries = |field: &str| record[field].as_array().into_iter().flatten();
    for name in names.split(',') {
        let Some(entry) = entries("peers").find(|entry| entry["peer"] == name) else {
            let skipped = entries("skipped").find(|skipped| skipped["peer"] == name).unwrap();
            let why = skipped["why"].as_str().unwrap();
            assert!(MISSING.iter().any(|missing| why.contains(missing)), "{name}: {why}");
            assert!(!name.starts_with("corecast") && !name.starts_with("floor"), "{name}: {why}");
            eprintln!("NOT TESTED: {name}: {why}");
            continue;
        };
        let transport = if name == "corecast" { "tcp" } else { "tls" };
        assert_eq!(entry["transport"], transport, "{entry}");
        assert_eq!((&entry["lost"], &entry["wrong"]), (&0.into(), &0.into()), "{entry}");
        assert_eq!(entry["deliveries"], entry["deliveries_expected"], "{entry}");
        assert!(entry["deliveries_per_s"].as_f64().unwrap() > 0.0, "{entry}");
        let ours = name == "corecast-tls";
        assert_eq!(
            entry["ratio"]["deliveries_per_s"].is_object(),
            !ours,
            "ours is the first corecast: {entry}"
        );
    }
}

#[test]
fn systems_without_tls_are_skipped_with_the_reason() {
    let names = ["corecast-zmtp-tls", "libzmq-tls", "zenoh-1.10-tls", "corecast-direct-tls"];
    let peers = ["peers", "--json", "-", "--peers", &names.join(",")];
    let output = bench(&[&peers[..], &SMALL].concat()).output().unwrap();
    assert_exit(&output, 1);
    let record = record(&output);
    for (name, why) in names.into_iter().zip([
        "ZeroMQ speaks no TLS",
        "ZeroMQ speaks no TLS",
        "measured over TCP only",
        "direct publishers speak no TLS",
    ]) {
        let mut skipped = record["skipped"].as_array().unwrap().iter();
        let skipped = skipped.find(|skipped| skipped["peer"] == name).unwrap();
        assert!(skipped["why"].as_str().unwrap().contains(why), "{skipped}");
    }
}

#[test]
fn our_own_library_is_measured_under_tls_too() {
    let brief =
        ["--subscribers", "8", "--messages", "20", "--rate", "100", "--json", "-", "--assert", "lost == 0"];
    let output = run(&[&["--transport", "tls"], &brief[..]].concat());
    assert_fine_or_late(&output);
    let run_record = &record(&output)["runs"][0];
    assert_eq!((&run_record["transport"], &run_record["deliveries"]), (&"tls".into(), &160.into()));
    let output = run(&["--transport", "tls", "--mode", "direct"]);
    assert_exit(&output, 2);
    assert!(text(&output.stderr).contains("with it the mode is proxy"), "{}", text(&output.stderr));
}

/// The results of an experiment with these arguments, of one round.
fn experiment(arguments: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let rest = ["--quick", "--rounds", "1", "--out", out.to_str().unwrap()];
    let output = bench(&[&["experiment"], arguments, &rest].concat()).output().unwrap();
    assert_fine_or_late(&output);
    serde_json::from_slice(&std::fs::read(out.join("results.json")).unwrap()).unwrap()
}

#[test]
fn clients_come_and_go_beside_those_that_stay() {
    let brief = ["--subscribers", "2", "--rate", "20", "--duration", "1", "--assert", "lost == 0"];
    for transport in [&[][..], &["--transport", "tcp"]] {
        let results = experiment(&[&["handshakes"], &brief[..], transport].concat());
        let runs: Vec<&Value> =
            results["runs"].as_array().unwrap().iter().map(|entry| &entry["record"]).collect();
        let over = transport.last().unwrap_or(&"tls");
        assert!(runs.len() == 2 && runs.iter().all(|run| run["transport"] == *over), "{results}");
        assert!(runs[0]["extra"]["visits"].is_null() && runs[1]["extra"]["visits"].as_f64().unwrap() > 0.0);
        assert_eq!(results["figures"]["handshakes.made"]["median"], runs[1]["extra"]["visits"]);
        assert!(results["figures"]["ratio.handshakes.p99"]["median"].as_f64().unwrap() > 0.0, "{results}");
    }
}

#[test]
fn idle_sessions_are_measured_under_tls_too() {
    let results = experiment(&["quiet", "--transport", "tls", "--subscribers", "40", "--duration", "0.3"]);
    let run = &results["runs"][0]["record"];
    assert_eq!((&run["transport"], &run["deliveries"]), (&"tls".into(), &40.into()), "{run}");
    assert!(results["figures"]["quiet.rss_per_subscriber_bytes"]["median"].as_f64().unwrap() > 0.0);
}
