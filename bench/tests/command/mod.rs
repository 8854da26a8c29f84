//! The command as a person or a script calls it, and what it says.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Once;

pub(crate) const BENCH: &str = env!("CARGO_BIN_EXE_corecast-bench");

/// The command, with a broker to start: the `corecast` command is built beside it if it is not there yet.
pub(crate) fn bench(arguments: &[&str]) -> Command {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let beside = Path::new(BENCH).with_file_name("corecast");
        if !beside.is_file() {
            let mut cargo = Command::new(env!("CARGO"));
            cargo
                .args(["build", "--quiet", "--package", "corecast", "--bin", "corecast"])
                .args(["--features", "cli"]);
            if !cfg!(debug_assertions) {
                cargo.arg("--release");
            }
            assert!(cargo.status().unwrap().success(), "corecast does not build");
        }
    });
    let mut command = Command::new(BENCH);
    command.args(arguments).stdin(Stdio::null());
    command
}

#[allow(dead_code, reason = "the tests of other subcommands call those")]
pub(crate) fn run(arguments: &[&str]) -> Output {
    let mut arguments = arguments.to_vec();
    arguments.insert(0, "run");
    bench(&arguments).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
pub(crate) fn assert_exit(output: &Output, code: i32) {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout:\n{stdout}\nstderr:\n{stderr}");
}

/// Checks that it went well, but for the pace: on a machine that does other things too, some messages may have gone
/// out late.
#[track_caller]
pub(crate) fn assert_fine_or_late(output: &Output) {
    let code = if output.status.code() == Some(3) { 3 } else { 0 };
    assert_exit(output, code);
}

/// The record on stdout.
#[allow(dead_code, reason = "experiments write theirs into a folder")]
pub(crate) fn record(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}
