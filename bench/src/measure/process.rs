//! Owns what a process costs, read from procfs: CPU time and resident memory. Read before and after a run, never
//! during one.

use std::iter::Sum;
use std::path::{Path, PathBuf};

/// CPU time that a process, or some threads of one, have used, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cpu {
    /// All of it: exact to a clock tick, which is 10 ms on most machines, and to the nanosecond where the kernel counts
    /// the run time of threads (`schedstat`).
    pub ns: u64,
    /// The part in user mode, by clock ticks.
    pub user_ns: u64,
    /// The part in kernel mode, by clock ticks.
    pub system_ns: u64,
}

impl Cpu {
    /// CPU time used after `before`.
    #[must_use]
    pub fn since(self, before: Cpu) -> Cpu {
        Cpu {
            ns: self.ns.saturating_sub(before.ns),
            user_ns: self.user_ns.saturating_sub(before.user_ns),
            system_ns: self.system_ns.saturating_sub(before.system_ns),
        }
    }
}

impl Sum for Cpu {
    fn sum<I: Iterator<Item = Cpu>>(all: I) -> Self {
        all.fold(Cpu::default(), |sum, one| Cpu {
            ns: sum.ns + one.ns,
            user_ns: sum.user_ns + one.user_ns,
            system_ns: sum.system_ns + one.system_ns,
        })
    }
}

/// Resources that a process has used so far, and holds now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// CPU time, its threads together.
    pub cpu: Cpu,
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
}

impl Usage {
    /// That of two processes together.
    #[must_use]
    pub fn with(self, other: Usage) -> Usage {
        Usage { cpu: [self.cpu, other.cpu].into_iter().sum(), rss_bytes: self.rss_bytes + other.rss_bytes }
    }
}

/// A failure to read the usage of a process.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// A file of procfs could not be read: most likely the process is gone.
    #[error("cannot read {path}: {why}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: std::io::Error,
    },
    /// A file of procfs is not as the kernel documents it.
    #[error("{path} has no {field} where proc(5) says it is")]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// The field that is missing.
        field: &'static str,
    },
}

/// Resources that process `pid` has used so far, and holds now.
pub fn usage_of(pid: u32) -> Result<Usage, UsageError> {
    usage_in(&Path::new("/proc").join(pid.to_string()), ticks_per_s())
}

/// CPU time that those of this process's threads have used that have such a name. What cannot be read counts as none:
/// a thread may end while it is looked at.
pub fn cpu_of_own_threads(named: impl Fn(&str) -> bool) -> Cpu {
    let own = threads(Path::new("/proc/self")).filter(|thread| is_named(thread, &named));
    own.filter_map(|thread| cpu_of(&thread, ticks_per_s())).sum()
}

/// The folders of the threads of a process.
fn threads(process: &Path) -> impl Iterator<Item = PathBuf> {
    let threads = std::fs::read_dir(process.join("task")).into_iter().flatten();
    threads.filter_map(|thread| Some(thread.ok()?.path()))
}

fn is_named(thread: &Path, named: &impl Fn(&str) -> bool) -> bool {
    std::fs::read_to_string(thread.join("comm")).is_ok_and(|name| named(name.trim_end()))
}

/// CPU time of a thread; nothing if it has ended.
fn cpu_of(thread: &Path, ticks_per_s: u64) -> Option<Cpu> {
    let by_ticks = cpu_in(&std::fs::read_to_string(thread.join("stat")).ok()?, ticks_per_s)?;
    let exact = std::fs::read_to_string(thread.join("schedstat")).ok();
    let exact = exact.and_then(|text| text.split(' ').next()?.parse().ok());
    Some(Cpu { ns: exact.unwrap_or(by_ticks.ns), ..by_ticks })
}

fn usage_in(folder: &Path, ticks_per_s: u64) -> Result<Usage, UsageError> {
    let unexpected = |path, field| UsageError::Unexpected { path, field };
    let (stat, status) = (folder.join("stat"), folder.join("status"));
    let by_ticks = cpu_in(&read(&stat)?, ticks_per_s).ok_or(unexpected(stat, "utime and stime"))?;
    // Threads that have ended count in the one, and less than a tick in the other.
    let by_threads: Cpu = threads(folder).filter_map(|thread| cpu_of(&thread, ticks_per_s)).sum();
    let cpu = Cpu { ns: by_threads.ns.max(by_ticks.ns), ..by_ticks };
    let rss_kib = rss_kib(&read(&status)?).ok_or(unexpected(status, "VmRSS"))?;
    Ok(Usage { cpu, rss_bytes: rss_kib * 1024 })
}

fn read(path: &Path) -> Result<String, UsageError> {
    std::fs::read_to_string(path).map_err(|why| UsageError::Unreadable { path: path.to_owned(), why })
}

/// utime and stime, fields 14 and 15. The name in field 2 may hold spaces and parentheses, so counting starts after
/// its last parenthesis.
fn cpu_in(stat: &str, ticks_per_s: u64) -> Option<Cpu> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut ns = || Some(fields.next()?.parse::<u64>().ok()? * (1_000_000_000 / ticks_per_s));
    let (user_ns, system_ns) = (ns()?, ns()?);
    Some(Cpu { ns: user_ns + system_ns, user_ns, system_ns })
}

fn rss_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn ticks_per_s() -> u64 {
    /// The value on every architecture of today, should sysconf not say.
    const USUAL: u64 = 100;
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
    ticks.and_then(|ticks| u64::try_from(ticks).ok()).filter(|ticks| *ticks > 0).unwrap_or(USUAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 99 0 1 0 250 50 3 4 20 0 9 0 100 1 2 3";
        let cpu = Cpu { ns: 3_000_000_000, user_ns: 2_500_000_000, system_ns: 500_000_000 };
        assert_eq!(cpu_in(stat, 100), Some(cpu));
        assert_eq!(cpu_in("7 (a) S 1", 100), None);
        assert_eq!(cpu_in("", 100), None);
    }

    #[test]
    fn a_made_up_process_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let stat = "7 (x) S 1 7 7 0 -1 0 0 0 0 0 200 100 0 0";
        std::fs::write(folder.path().join("stat"), stat).unwrap();
        std::fs::write(folder.path().join("status"), "Name:\tx\nVmRSS:\t  2048 kB\nThreads:\t3\n").unwrap();
        let usage = usage_in(folder.path(), 100).unwrap();
        let cpu = Cpu { ns: 3_000_000_000, user_ns: 2_000_000_000, system_ns: 1_000_000_000 };
        assert_eq!(usage, Usage { cpu, rss_bytes: 2 << 20 });
        let thread = folder.path().join("task").join("7");
        std::fs::create_dir_all(&thread).unwrap();
        std::fs::write(thread.join("stat"), stat).unwrap();
        std::fs::write(thread.join("schedstat"), "3000000123 5 6\n").unwrap();
        assert_eq!(usage_in(folder.path(), 100).unwrap().cpu.ns, 3_000_000_123, "it is more exact");
    }

    #[test]
    fn threads_are_told_apart_by_name() {
        let thread = corecast_executors::spawn_plain("burns-cpu", || {
            let begun = std::time::Instant::now();
            while cpu_of_own_threads(|name| name == "burns-cpu").ns == 0 {
                assert!(begun.elapsed() < std::time::Duration::from_secs(60), "it uses none");
            }
        });
        thread.unwrap().join().unwrap();
        assert_eq!(cpu_of_own_threads(|name| name == "nobody"), Cpu::default());
    }

    #[test]
    fn this_process_uses_memory_and_a_made_up_one_is_gone() {
        let usage = usage_of(std::process::id()).unwrap();
        assert!(usage.rss_bytes > 100_000, "{usage:?}");
        let error = usage_of(u32::MAX).unwrap_err();
        assert!(error.to_string().contains("/proc/4294967295/stat"), "{error}");
    }
}
