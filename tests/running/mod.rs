//! Commands as a user runs them: their start, their end, and their output.
#![allow(dead_code, reason = "not every test file asks for all of it")]

use std::io::Read as _;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use super::broker_process::{BrokerProcess, corecast};

/// A command that ends before the test does.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Waits for its end; returns the output that was piped.
    pub(crate) fn output(mut self) -> Output {
        let mut output = Output { status: Default::default(), stdout: Vec::new(), stderr: Vec::new() };
        if let Some(mut stdout) = self.0.stdout.take() {
            stdout.read_to_end(&mut output.stdout).expect("its output");
        }
        if let Some(mut stderr) = self.0.stderr.take() {
            stderr.read_to_end(&mut output.stderr).expect("its words");
        }
        output.status = self.0.wait().expect("it is ours");
        output
    }

    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.0.stdout.take().expect("it is piped")
    }
}

pub(crate) fn start(command: &mut Command) -> Running {
    Running(command.spawn().expect("the command can be started"))
}

/// A command at this broker, with everything piped that it says.
pub(crate) fn at(broker: &BrokerProcess, args: &[&str]) -> Command {
    let mut command = corecast();
    command.args(args).args(["--broker", broker.endpoint()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A subscriber that is connected, as one of this many: it prints what is published from now on.
pub(crate) fn subscribed(broker: &BrokerProcess, as_one_of: u64, command: &mut Command) -> Running {
    broker.until(|page| page.sum("corecast_subscriptions") == as_one_of - 1);
    let running = start(command);
    broker.until(|page| page.sum("corecast_subscriptions") == as_one_of);
    running
}

/// Runs a command to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    corecast().args(args).stdin(Stdio::null()).output().expect("the command can be started")
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// Asserts an exit code, and returns stderr.
pub(crate) fn said(output: &Output, code: i32) -> String {
    let said = text(&output.stderr).to_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

pub(crate) fn succeeded(output: &Output) {
    assert_eq!(said(output, 0), "", "nothing is to be said");
}
