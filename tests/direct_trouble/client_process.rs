//! `corecast pub` and `corecast sub` as processes of their own, so that they can be killed and frozen. Ended by their
//! own pid when they are dropped.

use std::fs::File;
use std::io::Write as _;
use std::process::{Child, ExitStatus, Stdio};

use corecast_executors::pause;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tempfile::NamedTempFile;

use super::SHORT;
use super::broker_process::{BrokerProcess, corecast};

pub(crate) struct ClientProcess {
    child: Child,
    stderr: NamedTempFile,
}

impl ClientProcess {
    /// Publishes numbers on this topic, 200 a second, for longer than any test.
    pub(crate) fn publish(broker: &BrokerProcess, topic: &str, args: &[&str]) -> Self {
        let endless = ["pub", topic, "--count", "100000000", "--rate", "200", "--size", "16"];
        Self::start(broker, &[&endless, args].concat())
    }

    /// Prints what comes, to nobody; what it logs can be read.
    pub(crate) fn subscribe(broker: &BrokerProcess, filter: &str) -> Self {
        Self::start(broker, &["sub", filter])
    }

    pub(crate) fn start(broker: &BrokerProcess, args: &[&str]) -> Self {
        let stderr = NamedTempFile::new().expect("a file for its words");
        let written: File = stderr.reopen().expect("it is there");
        let mut command = corecast();
        command.args(args).args(["--broker", broker.endpoint()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(written);
        ClientProcess { child: command.spawn().expect("the command can be started"), stderr }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("Linux has no longer pids"))
    }

    /// Ends it at once, with kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("a child can be waited for");
    }

    /// Stops it where it is, with every thread, and returns when it has.
    pub(crate) fn freeze(&self) {
        kill(self.pid(), Signal::SIGSTOP).expect("it runs");
        let stopped = waitpid(self.pid(), Some(WaitPidFlag::WUNTRACED));
        assert!(matches!(stopped, Ok(WaitStatus::Stopped(..))), "{stopped:?}");
    }

    pub(crate) fn thaw(&self) {
        kill(self.pid(), Signal::SIGCONT).expect("it is frozen");
    }

    /// Waits until it ends by itself, and returns its output.
    pub(crate) fn wait(&mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("a child can be waited for");
        (status, self.said())
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.stderr.path()).expect("it is there")
    }

    /// Waits until one line of its output contains all of these, and returns that line.
    pub(crate) fn until_says(&self, parts: &[&str]) -> String {
        loop {
            let said = self.said();
            if let Some(line) = said.lines().find(|line| parts.iter().all(|part| line.contains(part))) {
                return line.to_owned();
            }
            pause(SHORT / 10);
        }
    }
}

impl Drop for ClientProcess {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "a client said:\n{}", self.said());
        }
    }
}
