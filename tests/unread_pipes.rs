//! A broker whose stdout or stderr is a pipe that nobody reads. It serves as usual, signals end it, and once the pipe
//! is read the log says how many lines are missing.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod healthy_pair;
mod raw_client;
mod watchdog;

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use broker_process::{BrokerProcess, Transport, corecast};
use corecast::{ClientConfig, Endpoint, ErrorCode};
use corecast_executors::{SAME_REQUEST, pause};
use healthy_pair::HealthyPair;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use raw_client::{RawClient, message};
use tempfile::TempDir;

/// More log lines than wait for a reader, and some: each hello is one.
const HELLOS: usize = corecast::internals::limits::LOG_LINES_MAX + 300;

/// A pipe in the file system that is full, and that nobody reads.
struct FullPipe {
    path: PathBuf,
    /// Both ends of it.
    pipe: File,
    filled: usize,
    _dir: TempDir,
}

impl FullPipe {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pipe");
        mkfifo(&path, Mode::S_IRWXU).expect("a pipe");
        let both = OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK).open(&path);
        let mut pipe = both.expect("Linux opens both ends at once");
        let mut filled = 0;
        for size in [4096, 1] {
            let part = vec![b'.'; size];
            while let Ok(written) = pipe.write(&part) {
                filled += written;
            }
        }
        FullPipe { path, pipe, filled, _dir: dir }
    }

    /// Reads what was written, behind the filling if that is still there, until it contains `text`.
    fn read_until(&mut self, text: &str) -> String {
        let filled = std::mem::take(&mut self.filled);
        let mut all = Vec::new();
        let mut part = vec![0; 64 << 10];
        loop {
            match self.pipe.read(&mut part) {
                Ok(read) => all.extend_from_slice(&part[..read]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => pause(std::time::Duration::from_millis(1)),
                Err(e) => panic!("{e}"),
            }
            let said = String::from_utf8_lossy(all.get(filled..).unwrap_or_default());
            if said.contains(text) {
                return said.into_owned();
            }
        }
    }
}

/// That of Linux on this architecture.
const O_NONBLOCK: i32 = nix::fcntl::OFlag::O_NONBLOCK.bits();

/// Starts a broker whose stderr is this pipe.
fn start_with_stderr(pipe: &FullPipe, args: &[&str]) -> BrokerProcess {
    let shell = format!("exec \"$@\" 2>'{}'", pipe.path.display());
    BrokerProcess::start_under(&["sh", "-c", &shell, "sh"], Transport::Tcp, args)
}

#[test]
fn a_stderr_that_nobody_reads_stops_no_message_and_no_signal() {
    let _watchdog = watchdog::watch("a_stderr_that_nobody_reads_stops_no_message_and_no_signal");
    let mut pipe = FullPipe::new();
    let mut broker = start_with_stderr(&pipe, &["--shards", "2", "--log-level", "debug"]);
    let pair = HealthyPair::start(&broker.client());
    for _ in 0..HELLOS {
        // Each is a line, and the one that is no client two.
        drop(RawClient::connect(broker.address()).open());
    }
    let mut stranger = RawClient::connect(broker.address());
    stranger.send_bytes(b"GET / HTTP/1.1\r\n\r\n");
    let page = broker.until(|page| page.sum("corecast_log_lines_dropped_total") > 0);
    assert!(page.has("corecast_sessions"));
    pair.assert_well();

    let log = pipe.read_until("log lines dropped");
    let said = log.lines().find(|line| line.contains("log lines dropped")).expect("just read");
    let lines: u64 = said.rsplit_once("lines=").expect("a number").1.trim().parse().expect("a number");
    let dropped = broker.page().sum("corecast_log_lines_dropped_total");
    assert!((1..=dropped).contains(&lines), "{said}, {dropped} counted");
    assert!(log.contains("session opened"), "{log}");
    assert_eq!(broker.stop().code(), Some(0));
    pipe.read_until("asked to stop");
}

#[test]
fn sigterm_drains_and_a_second_one_ends_at_once_while_nobody_reads_stderr() {
    let _watchdog = watchdog::watch("sigterm_drains_and_a_second_one_ends_at_once_while_nobody_reads_stderr");
    let pipe = FullPipe::new();
    let mut broker = start_with_stderr(&pipe, &["--drain-timeout", "1h", "--log-level", "debug"]);
    // Whoever does not read what it subscribed to holds the drain.
    let mut silent = RawClient::connect_narrow(broker.address(), 4096).open();
    silent.subscribe("flood");
    let mut publisher = RawClient::connect(broker.address()).open();
    for sequence in 1..=100 {
        publisher.send(&message("flood", &[b'x'; 64 << 10], sequence));
    }
    let watcher = RawClient::connect(broker.address()).open();
    broker.until(|page| page.sum("corecast_egress_bytes") > 0);
    broker.signal(Signal::SIGTERM);
    assert_eq!(watcher.refused().0, ErrorCode::ShuttingDown);
    pause(SAME_REQUEST);
    broker.signal(Signal::SIGTERM);
    assert_eq!(broker.wait().code(), Some(1));
}

#[test]
fn a_stdout_that_nobody_reads_keeps_no_client_and_no_signal_waiting() {
    let _watchdog = watchdog::watch("a_stdout_that_nobody_reads_keeps_no_client_and_no_signal_waiting");
    let pipe = FullPipe::new();
    let dir = tempfile::tempdir().expect("a directory");
    let endpoint = Endpoint::Uds { path: dir.path().join("broker.sock") };
    let mut child = corecast()
        .args(["broker", "--listen", &endpoint.to_string()])
        .stdout(Stdio::from(writing_end(&pipe.path)))
        .stderr(Stdio::null())
        .spawn()
        .expect("the command can be started");
    let pair = HealthyPair::start(&ClientConfig::new(endpoint));
    pair.assert_well();
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("Linux has no longer pids"));
    kill(pid, Signal::SIGTERM).expect("it runs");
    assert_eq!(child.wait().expect("a child can be waited for").code(), Some(0));
}

/// One that blocks.
fn writing_end(path: &Path) -> File {
    OpenOptions::new().write(true).open(path).expect("somebody has it open to read")
}
