//! Owns the broker as a process of its own: found, started on a free endpoint, waited for until it serves, stopped.
//! Whoever drops a [`BrokerProcess`] ends it.

use super::guard;
use super::plan::{BrokerOptions, Transport};
use corecast::{Endpoint, Mode};
use corecast_executors::{RecvTimeout, link, spawn_plain};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The command's file name.
const PROGRAM: &str = "corecast";
/// The environment variable that names the command's file.
pub const PROGRAM_VARIABLE: &str = "CORECAST_BIN";
/// How long a broker may take until it serves. It takes milliseconds; this is for a machine that is busy.
const READY_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a broker may take to drain its queues, after which it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for one whose run has failed: nobody waits for what is queued.
const DROP_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a broker that is to end is looked at.
const STOP_LOOK_EVERY: Duration = Duration::from_millis(5);
/// Lines of the broker's stderr that an error message repeats.
const STDERR_LINES_MAX: usize = 20;
/// Bytes of a line of the broker that are read, so that a broken one cannot fill the memory.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// There is no `corecast` command.
    #[error(
        "there is no `corecast` command beside {beside} nor on the PATH: build it (cargo build --release --bin corecast), or name its file with CORECAST_BIN"
    )]
    NotFound {
        /// Where it was looked for first.
        beside: PathBuf,
    },
    /// `CORECAST_BIN` names no file.
    #[error("CORECAST_BIN names {path}, which is no file")]
    NoSuchFile {
        /// The name.
        path: PathBuf,
    },
    /// The process could not be made, or its socket's folder.
    #[error("cannot start {program}: {source}")]
    Spawn {
        /// The command's file.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It ended, or closed its stdout, before it served.
    #[error("the broker ended before it served ({status}){stderr}")]
    Ended {
        /// How.
        status: String,
        /// What it said, on lines of their own.
        stderr: String,
    },
    /// It did not serve in time.
    #[error("the broker did not serve within {} s{stderr}", READY_TIMEOUT.as_secs())]
    Silent {
        /// What it said, on lines of their own.
        stderr: String,
    },
    /// It says that it serves, but not where.
    #[error("the broker's first line names no endpoint: `{line}`")]
    NotReady {
        /// The line.
        line: String,
    },
}

/// A broker that serves.
#[derive(Debug)]
pub struct BrokerProcess {
    endpoint: Endpoint,
    /// Where its counters are served, if they are.
    metrics: Option<SocketAddr>,
    child: Child,
    stderr: Option<JoinHandle<String>>,
    /// Where its Unix socket is, to be removed after it.
    _folder: Option<TempDir>,
}

impl BrokerProcess {
    /// Starts the `corecast` command as a broker and waits until it serves: at `listen`, or else where only this host
    /// reaches it. With `guard`, the file of this command, it is ended even if this process is killed.
    pub fn start(
        options: &BrokerOptions,
        mode: Mode,
        listen: Option<&Endpoint>,
        guard: Option<&Path>,
    ) -> Result<Self, BrokerError> {
        let program = find_program()?;
        let failed = |source| BrokerError::Spawn { program: program.clone(), source };
        let folder = match options.transport {
            Transport::Uds => {
                Some(tempfile::Builder::new().prefix("corecast-bench-").tempdir().map_err(failed)?)
            }
            Transport::Tcp => None,
        };
        let listen = match (&folder, listen) {
            (Some(folder), _) => Endpoint::Uds { path: folder.path().join("broker.sock") },
            (None, Some(listen)) => listen.clone(),
            (None, None) => Endpoint::Tcp { host: "127.0.0.1".into(), port: 0 },
        };
        let mut child = command(&program, guard, arguments(options, mode, &listen))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C goes to the whole group of a terminal: this process ends the broker, when it has its results.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let pipes = (child.stdout.take(), child.stderr.take());
        let mut broker =
            BrokerProcess { endpoint: listen, metrics: None, child, stderr: None, _folder: folder };
        let (Some(stdout), Some(stderr)) = pipes else {
            return Err(failed(io::Error::other("its pipes are not there")));
        };
        broker.stderr = Some(spawn_plain("broker-stderr", move || last_lines(stderr)).map_err(failed)?);
        let line = broker.first_line(stdout).map_err(|error| match error {
            FirstLineError::Io(source) => failed(source),
            FirstLineError::Ended => broker.ended(),
            FirstLineError::Silent => BrokerError::Silent { stderr: broker.end_and_read_stderr() },
        })?;
        broker.metrics = metrics_in(&line);
        broker.endpoint = endpoint_in(&line).ok_or(BrokerError::NotReady { line })?;
        Ok(broker)
    }

    /// Where it listens.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Where its counters are served, if that was asked for.
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has, and what it said, for an error message; said once.
    pub fn failure(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        self.stderr.as_ref()?;
        Some(format!("the broker has ended ({status}){}", self.read_stderr()))
    }

    /// Lets it drain its queues and end; kills it if that takes too long.
    pub fn stop(mut self) -> io::Result<ExitStatus> {
        self.end(STOP_TIMEOUT)
    }

    /// Reads the first line in a thread of its own, since a pipe cannot be read with a deadline; then goes on to
    /// read whatever else may come, so that the broker never waits for a full pipe.
    fn first_line(&self, stdout: impl Read + Send + 'static) -> Result<String, FirstLineError> {
        let (lines, mut inbox) = link(1);
        spawn_plain("broker-stdout", move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = String::new();
            if matches!((&mut stdout).take(LINE_BYTES_MAX).read_line(&mut line), Ok(length) if length > 0) {
                let _ = lines.try_send(line.trim_end().to_owned());
            }
            drop(lines);
            let _ = io::copy(&mut stdout, &mut io::sink());
        })
        .map_err(FirstLineError::Io)?;
        match inbox.recv_deadline(Instant::now() + READY_TIMEOUT) {
            Ok(line) => Ok(line),
            Err(RecvTimeout::Closed) => Err(FirstLineError::Ended),
            Err(RecvTimeout::TimedOut) => Err(FirstLineError::Silent),
        }
    }

    fn ended(&mut self) -> BrokerError {
        // It closed its stdout: it is about to end, if it has not.
        let status = match self.end(DROP_TIMEOUT) {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        BrokerError::Ended { status, stderr: self.read_stderr() }
    }

    fn end_and_read_stderr(&mut self) -> String {
        let _ = self.end(DROP_TIMEOUT);
        self.read_stderr()
    }

    /// The last lines of its stderr, each on a line of its own; only once it has ended.
    fn read_stderr(&mut self) -> String {
        let said = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if said.is_empty() { said } else { format!("; it said:\n{said}") }
    }

    fn end(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        // It has not been waited for, so the id is still its own.
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let deadline = Instant::now() + patience;
        // Nothing is ever sent: waiting for the deadline of this inbox is the wait between two looks.
        let (_never, mut pause) = link::<()>(1);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            let _ = pause.recv_deadline(Instant::now() + STOP_LOOK_EVERY);
        }
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        let _ = self.end(DROP_TIMEOUT);
    }
}

enum FirstLineError {
    Io(io::Error),
    Ended,
    Silent,
}

fn command(program: &Path, guard: Option<&Path>, arguments: Vec<OsString>) -> Command {
    let mut command = match guard {
        Some(guard) => {
            let mut command = Command::new(guard);
            command.arg(guard::SUBCOMMAND).arg(std::process::id().to_string()).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.args(arguments);
    forget_variables(&mut command);
    command
}

/// Keeps the options that this environment has for `corecast` from a broker that is to run as the plan says.
pub(crate) fn forget_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"CORECAST_"))
    {
        command.env_remove(name);
    }
}

fn arguments(options: &BrokerOptions, mode: Mode, listen: &Endpoint) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["broker".into(), "-o".into(), "json".into()];
    let mut option = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            arguments.push(name.into());
            arguments.push(value.into());
        }
    };
    option("--listen", Some(listen.to_string()));
    option("--mode", Some(mode.to_string()));
    option("--cores", options.cores.as_ref().map(ToString::to_string));
    option("--idle", options.idle.as_ref().map(ToString::to_string));
    option("--overflow", options.overflow.as_ref().map(ToString::to_string));
    option("--egress-bytes", options.egress_bytes.as_ref().map(ToString::to_string));
    option("--frame-bytes-max", options.frame_bytes_max.as_ref().map(ToString::to_string));
    option("--metrics", options.metrics.then(|| "127.0.0.1:0".to_owned()));
    arguments
}

/// The command's file: what `CORECAST_BIN` says, else beside this executable, else on the PATH.
pub(crate) fn find_program() -> Result<PathBuf, BrokerError> {
    if let Some(path) = std::env::var_os(PROGRAM_VARIABLE) {
        let path = PathBuf::from(path);
        return if path.is_file() { Ok(path) } else { Err(BrokerError::NoSuchFile { path }) };
    }
    let here = std::env::current_exe().unwrap_or_default();
    let beside = here.parent().map(Path::to_owned).unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(beside.clone()).chain(std::env::split_paths(&path));
    let mut files = folders.map(|folder| folder.join(PROGRAM));
    files.find(|file| file.is_file()).ok_or(BrokerError::NotFound { beside })
}

/// Where the ready object says that counters are served.
fn metrics_in(line: &str) -> Option<SocketAddr> {
    let ready: Value = serde_json::from_str(line).ok()?;
    ready["metrics"].as_str()?.parse().ok()
}

/// The first endpoint that the ready object names.
fn endpoint_in(line: &str) -> Option<Endpoint> {
    fn first(value: &Value) -> Option<Endpoint> {
        match value {
            Value::String(text) => text.parse().ok(),
            Value::Array(values) => values.iter().find_map(first),
            Value::Object(fields) => fields.values().find_map(first),
            _ => None,
        }
    }
    first(&serde_json::from_str(line).ok()?)
}

/// Reads to the end and keeps the last lines.
pub(crate) fn last_lines(stderr: impl Read) -> String {
    let mut lines = VecDeque::with_capacity(STDERR_LINES_MAX);
    let mut stderr = BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        match (&mut stderr).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {
                if lines.len() == STDERR_LINES_MAX {
                    lines.pop_front();
                }
                lines.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
        }
    }
    Vec::from(lines).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_those_that_were_asked_for() {
        let listen = Endpoint::Tcp { host: "127.0.0.1".into(), port: 0 };
        let plain = arguments(&BrokerOptions::default(), Mode::Direct, &listen);
        assert_eq!(plain, ["broker", "-o", "json", "--listen", "tcp://127.0.0.1:0", "--mode", "direct"]);
        let options = BrokerOptions {
            cores: Some("0".parse().unwrap()),
            idle: Some("busy".parse().unwrap()),
            egress_bytes: Some("5MB".parse().unwrap()),
            ..BrokerOptions::default()
        };
        let wanted = ["--mode", "proxy", "--cores", "0", "--idle", "busy", "--egress-bytes", "5000000"];
        assert_eq!(arguments(&options, Mode::Proxy, &listen)[5..], wanted);
    }

    #[test]
    fn the_endpoint_is_found_in_the_ready_object() {
        let endpoint = |line: &str| endpoint_in(line).map(|endpoint| endpoint.to_string());
        assert_eq!(
            endpoint(r#"{"ready":["tcp://127.0.0.1:4711","uds:///x"],"shards":2}"#).as_deref(),
            Some("tcp://127.0.0.1:4711")
        );
        assert_eq!(endpoint(r#"{"ready":"uds:///tmp/x y"}"#).as_deref(), Some("uds:///tmp/x y"));
        assert_eq!(endpoint(r#"{"shards":2}"#), None);
        assert_eq!(endpoint("ready tcp://127.0.0.1:4711"), None);
    }

    #[test]
    fn the_counters_are_where_the_ready_object_says() {
        let line = r#"{"endpoints":["tcp://127.0.0.1:4711"],"metrics":"127.0.0.1:9680"}"#;
        assert_eq!(metrics_in(line), Some(SocketAddr::from(([127, 0, 0, 1], 9680))));
        assert_eq!(metrics_in(r#"{"endpoints":[],"metrics":null}"#), None);
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let text: String = (0..50).map(|line| format!("line {line}\n")).collect();
        let kept = last_lines(text.as_bytes());
        assert!(kept.starts_with("line 30\n") && kept.ends_with("\nline 49"), "{kept}");
        assert_eq!(last_lines(&b""[..]), "");
        assert_eq!(last_lines(&b"\xff no newline"[..]), "\u{fffd} no newline");
    }
}
