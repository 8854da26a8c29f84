//! Owns what a process costs, read from procfs: CPU time and resident memory. Read before and after a run, never
//! during one.

use std::iter::Sum;
use std::path::{Path, PathBuf};

/// CPU time that a process has used, in user and kernel mode, its threads together, in nanoseconds.
///
/// The kernel gives it in clock ticks, exact to 10 ms on most machines, and to the nanosecond where it counts the run
/// time of threads (`schedstat`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CpuNs(pub u64);

/// Resources that a process has used so far, and holds now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// User and system time.
    pub cpu: CpuNs,
    /// The same time, split in two.
    pub split: CpuSplit,
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
}

/// CPU time in user and in kernel mode, by the kernel's clock ticks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CpuSplit {
    /// In user mode.
    pub user: CpuNs,
    /// In kernel mode.
    pub system: CpuNs,
}

impl Sum for CpuNs {
    fn sum<I: Iterator<Item = CpuNs>>(all: I) -> Self {
        CpuNs(all.map(|CpuNs(ns)| ns).sum())
    }
}

impl Sum for CpuSplit {
    fn sum<I: Iterator<Item = CpuSplit>>(all: I) -> Self {
        all.fold(CpuSplit { user: CpuNs(0), system: CpuNs(0) }, |sum, one| CpuSplit {
            user: CpuNs(sum.user.0 + one.user.0),
            system: CpuNs(sum.system.0 + one.system.0),
        })
    }
}

/// A failure to read the usage of a process.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// A file of procfs could not be read: most likely the process is gone.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
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
pub fn cpu_of_own_threads(named: impl Fn(&str) -> bool) -> CpuNs {
    let own = threads(Path::new("/proc/self")).filter(|thread| is_named(thread, &named));
    own.filter_map(|thread| cpu_of_thread(&thread, ticks_per_s())).sum()
}

/// The same in user and in kernel mode.
pub fn split_of_own_threads(named: impl Fn(&str) -> bool) -> CpuSplit {
    let own = threads(Path::new("/proc/self")).filter(|thread| is_named(thread, &named));
    own.filter_map(|thread| split_of(&std::fs::read_to_string(thread.join("stat")).ok()?, ticks_per_s()))
        .sum()
}

/// The folders of the threads of a process.
fn threads(process: &Path) -> impl Iterator<Item = PathBuf> {
    let threads = std::fs::read_dir(process.join("task")).into_iter().flatten();
    threads.filter_map(|thread| Some(thread.ok()?.path()))
}

fn is_named(thread: &Path, named: &impl Fn(&str) -> bool) -> bool {
    std::fs::read_to_string(thread.join("comm")).is_ok_and(|name| named(name.trim_end()))
}

fn cpu_of_thread(thread: &Path, ticks_per_s: u64) -> Option<CpuNs> {
    let precise = std::fs::read_to_string(thread.join("schedstat")).ok();
    precise.and_then(|text| text.split(' ').next()?.parse().ok()).map(CpuNs).or_else(|| {
        let stat = std::fs::read_to_string(thread.join("stat")).ok()?;
        let CpuSplit { user, system } = split_of(&stat, ticks_per_s)?;
        Some(CpuNs(user.0 + system.0))
    })
}

fn usage_in(folder: &Path, ticks_per_s: u64) -> Result<Usage, UsageError> {
    let stat = read(folder.join("stat"))?;
    let split = split_of(&stat.text, ticks_per_s)
        .ok_or(UsageError::Unexpected { path: stat.path, field: "utime and stime" })?;
    // Threads that have ended count in the one, and less than a tick in the other.
    let by_threads: CpuNs = threads(folder).filter_map(|thread| cpu_of_thread(&thread, ticks_per_s)).sum();
    let cpu = by_threads.max(CpuNs(split.user.0 + split.system.0));
    let status = read(folder.join("status"))?;
    let rss_kib =
        rss_kib(&status.text).ok_or(UsageError::Unexpected { path: status.path, field: "VmRSS" })?;
    Ok(Usage { cpu, split, rss_bytes: rss_kib * 1024 })
}

struct File {
    path: PathBuf,
    text: String,
}

fn read(path: PathBuf) -> Result<File, UsageError> {
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(File { path, text }),
        Err(source) => Err(UsageError::Unreadable { path, source }),
    }
}

/// utime and stime, fields 14 and 15. The name in field 2 may hold spaces and parentheses, so counting starts after
/// its last parenthesis.
fn split_of(stat: &str, ticks_per_s: u64) -> Option<CpuSplit> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut ns = || Some(CpuNs(fields.next()?.parse::<u64>().ok()? * (1_000_000_000 / ticks_per_s)));
    Some(CpuSplit { user: ns()?, system: ns()? })
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
        let split = CpuSplit { user: CpuNs(2_500_000_000), system: CpuNs(500_000_000) };
        assert_eq!(split_of(stat, 100), Some(split));
        assert_eq!(split_of("7 (a) S 1", 100), None);
        assert_eq!(split_of("", 100), None);
    }

    #[test]
    fn a_made_up_process_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("stat"), "7 (x) S 1 7 7 0 -1 0 0 0 0 0 200 100 0 0").unwrap();
        std::fs::write(folder.path().join("status"), "Name:\tx\nVmRSS:\t  2048 kB\nThreads:\t3\n").unwrap();
        let usage = usage_in(folder.path(), 100).unwrap();
        let split = CpuSplit { user: CpuNs(2_000_000_000), system: CpuNs(1_000_000_000) };
        assert_eq!(usage, Usage { cpu: CpuNs(3_000_000_000), split, rss_bytes: 2 << 20 });
        let thread = folder.path().join("task").join("7");
        std::fs::create_dir_all(&thread).unwrap();
        std::fs::write(thread.join("schedstat"), "3000000123 5 6\n").unwrap();
        assert_eq!(usage_in(folder.path(), 100).unwrap().cpu, CpuNs(3_000_000_123), "it is more exact");
    }

    #[test]
    fn threads_are_told_apart_by_name() {
        let thread = corecast_executors::spawn_plain("burns-cpu", || {
            let begun = std::time::Instant::now();
            while cpu_of_own_threads(|name| name == "burns-cpu") == CpuNs(0) {
                assert!(begun.elapsed() < std::time::Duration::from_secs(60), "it uses none");
            }
        });
        thread.unwrap().join().unwrap();
        assert_eq!(cpu_of_own_threads(|name| name == "nobody"), CpuNs(0));
    }

    #[test]
    fn this_process_uses_memory_and_a_made_up_one_is_gone() {
        let usage = usage_of(std::process::id()).unwrap();
        assert!(usage.rss_bytes > 100_000, "{usage:?}");
        let error = usage_of(u32::MAX).unwrap_err();
        assert!(error.to_string().contains("/proc/4294967295/stat"), "{error}");
    }
}
