//! Owns a peer's process: started through the guard, so that it ends with this one; its last words kept; ended with
//! patience, then without.

use crate::experiment::broker::{forget_variables, last_lines};
use crate::experiment::guard;
use corecast_executors::{RecvTimeout, link, pause, spawn_plain};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a process may take until it serves. It takes milliseconds; Python on a busy machine takes longer.
pub const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// How long it may take to end, after which it is killed: there is nothing in it that anybody waits for.
const END_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a process that is to end, or to serve, is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How a process is started.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its file.
    pub file: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Whether stdin is written to.
    pub stdin: bool,
    /// Whether stdout is read; else it goes where stderr goes, as servers write their log there.
    pub stdout: bool,
}

/// A process that ends when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    said: Vec<JoinHandle<String>>,
}

impl Process {
    /// Starts it. With `guard`, the file of this command, it ends even if this process is killed.
    pub fn start(program: &Program, guard: Option<&Path>) -> io::Result<Self> {
        let mut command = match guard {
            Some(guard) => {
                let mut command = Command::new(guard);
                command.arg(guard::SUBCOMMAND).arg(std::process::id().to_string()).arg(&program.file);
                command
            }
            None => Command::new(&program.file),
        };
        forget_variables(&mut command);
        let mut child = command
            .args(&program.args)
            .stdin(if program.stdin { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C goes to the whole group of a terminal: this process ends it, when it has its results.
            .process_group(0)
            .spawn()?;
        let stdin = child.stdin.take();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut process = Process { child, stdin, stdout: None, said: Vec::new() };
        if let Some(stderr) = stderr {
            process.said.push(spawn_plain("peer-stderr", move || last_lines(stderr))?);
        }
        match stdout {
            Some(stdout) if program.stdout => process.stdout = Some(BufReader::new(stdout)),
            Some(stdout) => process.said.push(spawn_plain("peer-stdout", move || last_lines(stdout))?),
            None => {}
        }
        Ok(process)
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its pipes, for whoever talks with it; given once.
    pub fn pipes(&mut self) -> Option<(ChildStdin, BufReader<ChildStdout>)> {
        self.stdin.take().zip(self.stdout.take())
    }

    /// The first line that it prints.
    pub fn first_line(&mut self) -> Result<String, String> {
        let Some(mut stdout) = self.stdout.take() else { return Err("its stdout is not read".into()) };
        // A pipe cannot be read with a deadline, so a thread of its own waits for it.
        let (answer, mut inbox) = link(1);
        let reader = spawn_plain("peer-first-line", move || {
            let mut line = String::new();
            let read = stdout.read_line(&mut line);
            let _ = answer.try_send(());
            (read, line, stdout)
        });
        let reader = reader.map_err(|error| error.to_string())?;
        match inbox.recv_deadline(Instant::now() + READY_TIMEOUT) {
            Ok(()) | Err(RecvTimeout::Closed) => {}
            Err(RecvTimeout::TimedOut) => {
                return Err(format!(
                    "it did not serve within {} s{}",
                    READY_TIMEOUT.as_secs(),
                    self.end_and_say()
                ));
            }
        }
        let Ok((read, line, stdout)) = reader.join() else { return Err("its stdout cannot be read".into()) };
        match read {
            Ok(length) if length > 0 => {
                self.stdout = Some(stdout);
                Ok(line.trim_end().to_owned())
            }
            _ => Err(format!("it ended before it served{}", self.end_and_say())),
        }
    }

    /// Waits until `serves` says that it does.
    pub fn wait_until(&mut self, mut serves: impl FnMut() -> bool) -> Result<(), String> {
        let deadline = Instant::now() + READY_TIMEOUT;
        while !serves() {
            if let Some(failure) = self.failure() {
                return Err(failure);
            }
            if Instant::now() >= deadline {
                return Err(format!(
                    "it did not serve within {} s{}",
                    READY_TIMEOUT.as_secs(),
                    self.end_and_say()
                ));
            }
            pause(LOOK_EVERY);
        }
        // Something answers: it is this one only if it has not ended over somebody else's port.
        self.failure().map_or(Ok(()), Err)
    }

    /// How it ended, if it has, and what it said; said once.
    pub fn failure(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        Some(format!("it has ended ({status}){}", self.read_said()))
    }

    fn end_and_say(&mut self) -> String {
        self.end();
        self.read_said()
    }

    /// The last lines of what it said; only once it has ended.
    fn read_said(&mut self) -> String {
        let said = self.said.drain(..).filter_map(|thread| thread.join().ok());
        let said: Vec<String> = said.filter(|text| !text.is_empty()).collect();
        if said.is_empty() { String::new() } else { format!("; it said:\n{}", said.join("\n")) }
    }

    /// Ends it.
    pub fn end(&mut self) {
        // It has not been waited for, so the id is still its own.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        }
        let deadline = Instant::now() + END_TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() >= deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            pause(LOOK_EVERY);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
