//! The wall clock leaps by hours and years, forward and back: nobody is closed, and no message is missed. Time comes
//! from the monotonic clock; this keeps it so.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

#[path = "../broker_process/mod.rs"]
mod broker_process;
#[path = "../healthy_pair/mod.rs"]
mod healthy_pair;
#[path = "../watchdog/mod.rs"]
mod watchdog;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use broker_process::{BrokerProcess, Transport, corecast};
use corecast_executors::pause;
use healthy_pair::HealthyPair;

const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 24 * HOUR;

/// Compiles what makes the clock leap.
fn compile(into: &Path) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wall_clock/leap.c");
    let library = into.join("leap.so");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    assert!(compiled.is_ok_and(|status| status.success()), "a C compiler, which Rust links with, too");
    library.display().to_string()
}

#[test]
fn leaps_of_the_wall_clock_end_no_session_and_lose_no_message() {
    let _watchdog = watchdog::watch("leaps_of_the_wall_clock_end_no_session_and_lose_no_message");
    let dir = tempfile::tempdir().expect("a directory");
    let leap_path = dir.path().join("seconds");
    fs::write(&leap_path, 0_i64.to_ne_bytes()).expect("a file");
    let leap = fs::File::options().write(true).open(&leap_path).expect("a file");
    let preload = format!("LD_PRELOAD={}", compile(dir.path()));
    let seconds = format!("WALL_CLOCK_LEAP={}", leap_path.display());
    let leaping = ["env", &preload, &seconds];
    let mut broker =
        BrokerProcess::start_under(&leaping, Transport::Tcp, &["--shards", "2", "--heartbeat", "500ms"]);
    let pair = HealthyPair::start(&broker.client());
    // A client whose own clock leaps, and which says nothing by itself.
    let mut sub = Command::new(leaping[0]);
    sub.args(&leaping[1..]).arg(corecast().get_program());
    sub.args(["sub", "--broker", broker.endpoint(), "--log-level", "info", "healthy.*"]);
    let mut sub = sub.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it can be started");
    broker.until(|page| page.sum("corecast_subscriptions") == 2);
    for seconds in [3 * HOUR, -2 * HOUR, 10 * YEAR, -20 * YEAR, 0] {
        leap.write_all_at(&seconds.to_ne_bytes(), 0).expect("room for a number");
        let before = broker.page().sum("corecast_deliveries_total");
        // Longer than a session may be silent.
        pause(Duration::from_millis(1600));
        broker.until(|page| page.sum("corecast_deliveries_total") > before + 20);
        assert_eq!(broker.page().sum("corecast_closes_total"), 0, "after {seconds} s");
    }
    pair.assert_well();
    assert_eq!(sub.try_wait().expect("it is ours"), None);
    sub.kill().expect("it is ours");
    let output = sub.wait_with_output().expect("it is ours");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "no gap, and no connection lost");
    // The clock did leap: this line has its time.
    leap.write_all_at(&(100 * YEAR).to_ne_bytes(), 0).expect("room for a number");
    assert_eq!(broker.stop().code(), Some(0));
    let log = broker.log();
    let asked = log.lines().find(|line| line.contains("asked to stop")).expect("a line about it");
    assert!(asked.starts_with("21"), "{asked}");
}
