//! Clients that measure: of our own library with either reactor, and of our package for Python, beside others in one call. Where
//! no Python has the package (`scripts/python-package.sh --env`), nothing of it is tested, which is said.
#![expect(clippy::unwrap_used, reason = "a test that cannot read what it wants to check has failed")]

mod command;

use command::{assert_exit, assert_fine_or_late, bench, record, text};
use serde_json::Value;
use std::process::Output;

/// A comparison that takes a moment: one round, with the record on stdout.
const SMALL: [&str; 11] = [
    "--subscribers",
    "24",
    "--rate",
    "40",
    "--duration",
    "0.5",
    "--rounds",
    "1",
    "--json",
    "-",
    "--timeout=30",
];

fn peers(arguments: &[&str]) -> Output {
    bench(&[&["peers"], &SMALL[..], arguments].concat()).output().unwrap()
}

fn named<'a>(record: &'a Value, peer: &str) -> &'a Value {
    let found = record["peers"].as_array().into_iter().flatten().find(|entry| entry["peer"] == peer);
    found.unwrap_or(&Value::Null)
}

#[test]
fn clients_wait_with_the_reactor_that_is_asked_for() {
    let output = peers(&[
        "--peers",
        "corecast-epoll,corecast,corecast-direct",
        "--clients",
        "native",
        "--flood-messages",
        "2000",
        "--assert",
        "ratio.corecast.last_subscriber_us.median > 0",
        "--assert",
        "ratio.corecast.deliveries_per_s > 0",
        "--assert",
        "lost + wrong == 0",
    ]);
    assert_fine_or_late(&output);
    let record = record(&output);
    for (peer, reactor) in
        [("corecast-epoll", "epoll"), ("corecast", "io_uring"), ("corecast-direct", "io_uring")]
    {
        let entry = named(&record, peer);
        assert_eq!((&entry["clients"], &entry["reactor"]), (&"native".into(), &reactor.into()), "{entry}");
        assert!(entry["deliveries"].as_u64().unwrap() > 0, "{entry}");
        assert_eq!(entry["deliveries"], entry["deliveries_expected"], "{entry}");
    }
    let direct = ["--peers", "corecast-direct", "--reactor", "epoll", "--flood-messages", "2000"];
    let output = peers(&direct);
    assert_fine_or_late(&output);
    let record = self::record(&output);
    let runs = record["runs"].as_array().unwrap();
    assert!(runs.len() == 2 && runs.iter().all(|run| run["reactor"] == "epoll" && run["mode"] == "direct"));
    let output = peers(&["--peers", "corecast", "--reactor", "auto"]);
    assert_exit(&output, 2);
    assert!(text(&output.stderr).contains("write `io_uring` or `epoll`"), "{}", text(&output.stderr));
}

#[test]
fn our_package_for_python_is_a_peer_where_it_is_there() {
    for (sessions, transport) in [("per-executor", "tcp"), ("per-subscriber", "uds")] {
        let output = peers(&[
            "--peers",
            "corecast-python,floor-tcp",
            "--sessions",
            sessions,
            "--transport",
            transport,
            "--reactor",
            "epoll",
            "--flood-messages",
            "0",
        ]);
        let record = record(&output);
        let entry = named(&record, "corecast-python");
        if entry.is_null() {
            let why = record["skipped"][0]["why"].as_str().unwrap();
            assert!(why.contains("is not there: scripts/python-package.sh --env"), "{why}");
            eprintln!("NOT TESTED: corecast-python: {why}");
            return;
        }
        assert_eq!((&entry["lost"], &entry["wrong"]), (&0.into(), &0.into()), "{entry}");
        assert_eq!(entry["deliveries"], entry["deliveries_expected"], "{entry}");
        assert_eq!((&entry["clients"], &entry["reactor"]), (&"python".into(), &"epoll".into()), "{entry}");
        assert_eq!(
            (&entry["sessions"], &entry["transport"]),
            (&sessions.into(), &transport.into()),
            "{entry}"
        );
        assert!(entry["last_subscriber_us"]["median"].as_f64().unwrap() > 0.0, "{entry}");
        assert!(entry["cpu_ns_per_delivery"].as_f64().unwrap() > 0.0, "{entry}");
        assert!(entry["version"].as_str().unwrap().contains("Python"), "{entry}");
    }
}
