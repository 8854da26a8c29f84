//! Owns one process: started through the guard, so that it ends with this one; its last words kept; ended with
//! patience, then without.

use super::guard;
use corecast_executors::{RecvTimeout, link, pause, spawn_plain};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time until a process must serve. It takes milliseconds; Python on a busy machine takes longer.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// Time that a process which is no longer needed has to end before it is killed.
const DROP_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval between two looks at a process that is to end, or to serve.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Lines of a process's output that an error message repeats.
const LINES_MAX: usize = 20;
/// Bytes of a line that are read, so that a broken process cannot fill the memory.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// A way to start a process.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its name at the beginning of error messages: `the broker`.
    pub name: &'static str,
    /// Its file.
    pub file: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Set if stdin is written to.
    pub stdin: bool,
    /// Set if stdout is read; else it goes where stderr goes, as servers write their log there.
    pub stdout: bool,
}

/// A process that ends when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    /// Readers of its last words, until these are asked for.
    output: Vec<JoinHandle<String>>,
}

/// The reason for which a process does not serve.
#[derive(Debug, thiserror::Error)]
pub enum NotServing {
    /// The process ended, or closed its stdout.
    #[error("{name} ended before it served ({status}){said}")]
    Ended {
        /// Its name.
        name: &'static str,
        /// Its exit status.
        status: String,
        /// Its last words, on lines of their own.
        said: String,
    },
    /// A timeout.
    #[error("{name} did not serve within {} s{said}", READY_TIMEOUT.as_secs())]
    Silent {
        /// Its name.
        name: &'static str,
        /// Its last words, on lines of their own.
        said: String,
    },
    /// The process's stdout cannot be read.
    #[error("the stdout of {name} cannot be read: {why}")]
    Unreadable {
        /// Its name.
        name: &'static str,
        /// The reason.
        why: io::Error,
    },
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
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut process = Process { name: program.name, child, stdin, stdout: None, output: Vec::new() };
        if let Some(stderr) = stderr {
            process.output.push(spawn_plain("child-stderr", move || last_lines(stderr))?);
        }
        match stdout {
            Some(stdout) if program.stdout => process.stdout = Some(BufReader::new(stdout)),
            Some(stdout) => process.output.push(spawn_plain("child-stdout", move || last_lines(stdout))?),
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

    /// The first line that it prints, which says that it serves.
    pub fn first_line(&mut self) -> Result<String, NotServing> {
        let name = self.name;
        let unreadable = |why| NotServing::Unreadable { name, why };
        let stdout = self.stdout.take();
        let mut stdout = stdout.ok_or_else(|| unreadable(io::Error::other("nobody asked for it")))?;
        // A pipe cannot be read with a deadline, so a thread of its own waits for it.
        let (answer, mut inbox) = link(1);
        let reader = spawn_plain("child-first-line", move || {
            let mut line = String::new();
            let read = (&mut stdout).take(LINE_BYTES_MAX).read_line(&mut line);
            let _ = answer.try_send(());
            (read, line, stdout)
        });
        let reader = reader.map_err(unreadable)?;
        if matches!(inbox.recv_deadline(Instant::now() + READY_TIMEOUT), Err(RecvTimeout::TimedOut)) {
            return Err(self.silent());
        }
        match reader.join() {
            Ok((Ok(length), line, stdout)) if length > 0 => {
                self.stdout = Some(stdout);
                Ok(line.trim_end().to_owned())
            }
            Ok((Err(source), ..)) => Err(unreadable(source)),
            _ => Err(self.ended()),
        }
    }

    /// Waits until `serves` says that it does.
    pub fn wait_until(&mut self, mut serves: impl FnMut() -> bool) -> Result<(), NotServing> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let serves = serves();
            // Something that answers is this process only if it has not ended over somebody else's port.
            if self.has_ended() {
                return Err(self.ended());
            }
            if serves {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(self.silent());
            }
            pause(LOOK_EVERY);
        }
    }

    /// Describes its end, if it has ended, with its last words; said once.
    pub fn failure(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        if self.output.is_empty() {
            return None;
        }
        let said = self.last_words();
        Some(format!("{} has ended ({status}){said}", self.name))
    }

    /// Ends it: nobody waits for what it still has to say.
    pub fn end(&mut self) {
        // One that cannot be ended has ended.
        let _ = self.end_within(DROP_TIMEOUT);
    }

    /// Asks it to end, and kills it if that takes longer than `patience`.
    pub fn end_within(&mut self, patience: Duration) -> io::Result<()> {
        // It has not been waited for, so the id is still its own.
        if self.child.try_wait()?.is_none() {
            let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        }
        let deadline = Instant::now() + patience;
        while self.child.try_wait()?.is_none() {
            if Instant::now() >= deadline {
                self.child.kill()?;
                return self.child.wait().map(drop);
            }
            pause(LOOK_EVERY);
        }
        Ok(())
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn ended(&mut self) -> NotServing {
        let ended = self.end_within(DROP_TIMEOUT).and_then(|()| self.child.wait());
        let status = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        NotServing::Ended { name: self.name, status, said: self.last_words() }
    }

    fn silent(&mut self) -> NotServing {
        self.end();
        NotServing::Silent { name: self.name, said: self.last_words() }
    }

    /// The last lines of its output; only once it has ended.
    fn last_words(&mut self) -> String {
        let said = self.output.drain(..).filter_map(|thread| thread.join().ok());
        let said: Vec<String> = said.filter(|text| !text.is_empty()).collect();
        if said.is_empty() { String::new() } else { format!("; it said:\n{}", said.join("\n")) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Keeps the variables of this command, and of `corecast`, from a process whose arguments say all that it needs.
fn forget_variables(command: &mut Command) {
    let ours = |name: &OsString| name.as_encoded_bytes().starts_with(b"CORECAST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
}

/// Reads to the end, so that the pipe never fills, and keeps the last lines.
fn last_lines(output: impl Read) -> String {
    let mut lines = VecDeque::with_capacity(LINES_MAX);
    let mut output = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        match (&mut output).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {
                if lines.len() == LINES_MAX {
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
    fn only_the_last_lines_are_kept() {
        let text: String = (0..50).map(|line| format!("line {line}\n")).collect();
        let kept = last_lines(text.as_bytes());
        assert!(kept.starts_with("line 30\n") && kept.ends_with("\nline 49"), "{kept}");
        assert_eq!(last_lines(&b""[..]), "");
        assert_eq!(last_lines(&b"\xff no newline"[..]), "\u{fffd} no newline");
    }

    fn shell(script: &str) -> Process {
        let args = vec!["-c".into(), script.into()];
        let program = Program { name: "the shell", file: "/bin/sh".into(), args, stdin: false, stdout: true };
        Process::start(&program, None).unwrap()
    }

    #[test]
    fn a_process_says_that_it_serves_or_why_it_does_not() {
        let mut serving = shell("echo ready; exec sleep 60");
        assert_eq!(serving.first_line().unwrap(), "ready");
        assert_eq!(serving.failure(), None);
        let error = shell("echo no port >&2; exit 3").first_line().unwrap_err().to_string();
        let wanted = "the shell ended before it served (exit status: 3); it said:\nno port";
        assert_eq!(error, wanted);
    }

    #[test]
    fn a_failure_is_said_once() {
        let mut process = shell("echo ready; echo why >&2; exit 1");
        process.first_line().unwrap();
        process.end();
        let failure = process.failure();
        let said = failure.as_deref().unwrap_or_default();
        assert!(said.starts_with("the shell has ended (") && said.contains(')'), "{failure:?}");
        assert_eq!(process.failure(), None);
    }
}
