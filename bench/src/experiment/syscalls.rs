//! Owns counting the system calls of a process: `perf stat` on the kernel's own tracepoint, attached while a run is made.
//! Counting costs each call some tens of nanoseconds, so whoever wants CPU figures counts in another run.

use corecast_executors::pause;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The name of the figure in `extra`.
pub const PER_DELIVERY: &str = "syscalls_per_delivery";
/// The tracepoint that every system call of every thread passes.
const EVENT: &str = "raw_syscalls:sys_enter";
/// Time that `perf` may take until it counts.
const READY_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval between two looks at whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Time between attaching to the last thread and counting.
const ENABLE: Duration = Duration::from_millis(50);

/// A count that is under way. Dropped, it ends.
#[derive(Debug)]
pub struct SyscallCount {
    perf: Child,
}

impl SyscallCount {
    /// Begins to count those of process `pid`. The error says why it cannot be.
    pub fn start(pid: u32) -> Result<Self, String> {
        let mut command = Command::new("perf");
        command.args(["stat", "--field-separator", ",", "--event", EVENT, "--pid", &pid.to_string()]);
        command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let perf = command.spawn().map_err(|error| format!("cannot run perf: {error}"))?;
        let mut count = SyscallCount { perf };
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        let deadline = Instant::now() + READY_TIMEOUT;
        while count.attached() < threads.max(1) {
            match count.perf.try_wait() {
                Ok(None) if Instant::now() < deadline => pause(LOOK_EVERY),
                Ok(None) => return Err("perf does not begin to count".into()),
                _ => return Err(format!("perf cannot count: {}", count.said())),
            }
        }
        pause(ENABLE);
        Ok(count)
    }

    /// Ends the count and returns it.
    pub fn stop(mut self) -> Result<u64, String> {
        let _ = kill(Pid::from_raw(self.perf.id() as i32), Signal::SIGINT);
        let said = self.said();
        parse(&said).ok_or_else(|| format!("perf did not count: {said}"))
    }

    /// Threads that it has been attached to.
    fn attached(&self) -> usize {
        let files = std::fs::read_dir(Path::new("/proc").join(self.perf.id().to_string()).join("fd"));
        let links = files.into_iter().flatten().filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        links.filter(|link| link.to_string_lossy().contains("[perf_event]")).count()
    }

    /// Its output, once it has ended.
    fn said(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut stderr) = self.perf.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut stderr, &mut text);
        }
        let _ = self.perf.wait();
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

impl Drop for SyscallCount {
    fn drop(&mut self) {
        let _ = self.perf.kill();
        let _ = self.perf.wait();
    }
}

/// Reads the count of `1234,,raw_syscalls:sys_enter,…`.
fn parse(said: &str) -> Option<u64> {
    said.split_ascii_whitespace().find(|line| line.contains(EVENT))?.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_the_first_field() {
        assert_eq!(parse("1234,,raw_syscalls:sys_enter,1000,100.00,,"), Some(1234));
        assert_eq!(parse("<not counted>,,raw_syscalls:sys_enter,0,100.00,,"), None);
        assert_eq!(parse("event syntax error"), None);
    }

    #[test]
    fn a_process_that_is_not_there_cannot_be_counted() {
        // Whether there is a perf or not.
        assert!(SyscallCount::start(u32::MAX - 1).is_err());
    }
}
