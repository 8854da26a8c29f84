//! Runs a test again in a process of its own: for limits, pinning, aborts and descriptor counts.

use std::process::{Command, Output};

/// Names the test whose second half is to run, in the child.
const CHILD_OF: &str = "CORECAST_TEST_CHILD_OF";

/// True if this process is the child of the named test.
pub(crate) fn is_child_of(test: &str) -> bool {
    std::env::var(CHILD_OF).is_ok_and(|name| name == test)
}

/// Runs the named test of this binary in a child, with the limits and the pin of this thread.
#[allow(dead_code, reason = "not every test file asks for it")]
pub(crate) fn run(test: &str) -> Output {
    run_under(&[], test)
}

/// The same, started by another command.
fn run_under(runner: &[String], test: &str) -> Output {
    let this = std::env::current_exe().expect("Linux says what runs");
    let this = this.to_str().expect("a path that Cargo made");
    let mut words = runner.iter().map(String::as_str).chain([this]);
    Command::new(words.next().expect("at least this binary"))
        .args(words)
        .args([test, "--exact", "--nocapture", "--test-threads", "1"])
        .env(CHILD_OF, test)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("a test can start itself")
}

/// As [`run`], for a child that has to succeed.
#[allow(dead_code, reason = "not every test file asks for it")]
pub(crate) fn run_to_success(test: &str) {
    run_under_to_success(&[], test);
}

/// The same, started by another command.
#[allow(dead_code, reason = "not every test file asks for it")]
pub(crate) fn run_under_to_success(runner: &[String], test: &str) {
    let output = run_under(runner, test);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}: {said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
}
