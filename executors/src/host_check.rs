//! Checks of this host, with remedies. Run by `corecast doctor` and by start-up code; each finding is one line of the
//! report.

mod cpu_quota;
mod io_uring;
mod jitter;

use std::fs;
use std::time::Duration;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use serde::Serialize;

use self::cpu_quota::CpuQuota;
use self::io_uring::Trial;
use crate::core_set::CoreSet;
use crate::cpu_list;
use crate::executor::{ExecutorError, MEMLOCK_BYTES_MIN, MEMLOCK_FIX, Sockets};
use crate::ids::CoreId;
use crate::open_files::{OPEN_FILES_RESERVED_MAX, raise_open_files, reserved_open_files};
use crate::topology::Topology;

/// The oldest kernel with every ring operation that the runtime uses.
const KERNEL_MIN: (u32, u32) = (5, 8);

/// The level of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// No problem.
    Ok,
    /// It will run, but not as well as it could.
    Warning,
    /// It will not run.
    Error,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The subject, such as `memlock`. Each name occurs at most once in a report.
    pub name: &'static str,
    /// The verdict.
    pub level: Level,
    /// The observation, in words.
    pub found: String,
    /// The remedy; always present unless the level is [`Level::Ok`].
    pub fix: Option<String>,
}

impl Finding {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, level: Level::Ok, found: found.into(), fix: None }
    }

    fn warning(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, level: Level::Warning, found: found.into(), fix: Some(fix.into()) }
    }

    fn error(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, level: Level::Error, found: found.into(), fix: Some(fix.into()) }
    }
}

/// The planned use of the host, for the checks that depend on it.
#[derive(Debug, Clone, Default)]
pub struct HostCheck {
    /// The cores to be used. `None`: all that are allowed.
    pub cores: Option<CoreSet>,
    /// The number of shards. `None`: one for each of these cores.
    pub shards: Option<usize>,
    /// The number of connections that will be open at once. `None`: there should be room for 900.
    pub connections_wanted: Option<u64>,
    /// The time to measure pauses of the machine itself, on one core. Zero: not measured.
    pub jitter: Duration,
}

impl HostCheck {
    /// Runs every check, in the order of a report. Blocks for the time of `jitter`.
    #[must_use]
    pub fn run(&self) -> Vec<Finding> {
        let mut findings = vec![kernel()];
        let (cpus, cores) = self.cpus();
        let shards = self.shards.unwrap_or(cores.len()).max(1);
        let open_files = open_files(shards as u64, self.connections_wanted);
        // As a broker does, so that its executors find the descriptors that it would have. A refusal shows in the trial.
        let _ = raise_open_files(u64::MAX);
        let trial = io_uring::try_shards(&cores, shards);
        findings.push(io_uring::check(&trial));
        findings.push(memlock(shards as u64, &trial));
        findings.push(open_files);
        findings.extend(cpus);
        findings.push(cpu_quota(cpu_quota::of_process(), shards));
        findings.extend(governor(&cores));
        if !self.jitter.is_zero() {
            findings.push(jitter::check(cores.first().copied(), self.jitter));
        }
        findings
    }

    /// The allowed CPUs against the requested ones, and the CPUs for the further checks: the requested ones, else the
    /// allowed ones, else none.
    fn cpus(&self) -> (Vec<Finding>, Vec<CoreId>) {
        const FIX: &str = "name CPUs from that list with --cores, or widen it: taskset, the cpuset of the \
                           container, AllowedCPUs of the systemd unit";
        let topology = match Topology::detect() {
            Ok(topology) => topology,
            Err(error) => return (vec![Finding::error("cpus", error.to_string(), FIX)], Vec::new()),
        };
        let allowed = cpu_list::format(topology.allowed());
        let asked = self.cores.clone().unwrap_or_default();
        let cores = match asked.resolve(&topology) {
            Ok(cores) => cores,
            Err(error) => {
                return (vec![Finding::error("cpus", error.to_string(), FIX)], topology.allowed().to_vec());
            }
        };
        let found =
            format!("asked for {asked}: {} of {} allowed ({allowed})", cores.len(), topology.allowed().len());
        (vec![Finding::ok("cpus", found), smt(&topology, &cores)], cores)
    }
}

/// The finding on threads of one physical core among the chosen CPUs.
fn smt(topology: &Topology, cores: &[CoreId]) -> Finding {
    let shared = cores.iter().find_map(|&core| {
        let siblings = topology.siblings(core);
        siblings
            .into_iter()
            .find(|sibling| *sibling != core && cores.contains(sibling))
            .map(|other| (core, other))
    });
    match shared {
        None => Finding::ok("smt", "every chosen CPU has its physical core to itself"),
        Some((core, other)) => Finding::warning(
            "smt",
            format!("CPUs {core} and {other} are threads of one physical core"),
            "--cores physical takes one CPU of each, for steadier latency",
        ),
    }
}

/// The kernel's version against the runtime's minimum.
fn kernel() -> Finding {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    judge_kernel(release.trim())
}

fn judge_kernel(release: &str) -> Finding {
    let least = KERNEL_MIN;
    match version(release) {
        None => Finding::warning(
            "kernel",
            format!("cannot read a version in `{release}`"),
            format!("Linux {}.{} or newer is needed", least.0, least.1),
        ),
        Some(version) if version < least => Finding::error(
            "kernel",
            format!("Linux {release}"),
            format!("Linux {}.{} or newer is needed", least.0, least.1),
        ),
        Some(_) => Finding::ok("kernel", format!("Linux {release}")),
    }
}

/// `6.18.44-generic` is (6, 18).
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The memlock limit against the memory that the rings of these shards lock.
fn memlock(shards: u64, trial: &Trial) -> Finding {
    let room = match trial.error {
        Some(ExecutorError::MemlockUsedUp { .. }) => Some(trial.made),
        _ => None,
    };
    match getrlimit(Resource::RLIMIT_MEMLOCK) {
        Ok((soft, _hard)) if may_lock_all() => judge_memlock(soft, 0, room),
        Ok((soft, _hard)) => judge_memlock(soft, shards, room),
        Err(error) => Finding::warning("memlock", format!("cannot read the limit: {error}"), MEMLOCK_FIX),
    }
}

/// True if none of this process's memory counts: it has CAP_IPC_LOCK, as root has, and not just in a user namespace.
fn may_lock_all() -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    let users = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if !users.split_whitespace().eq(["0", "0", "4294967295"]) {
        return false;
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    set.is_some_and(|set| set & (1 << CAP_IPC_LOCK) != 0)
}

/// The verdict on a limit; `shards` are those that count against it, and `room` is how many of them could start if not all
/// could.
fn judge_memlock(limit: u64, shards: u64, room: Option<usize>) -> Finding {
    let found = format!("limit {}", bytes_or_unlimited(limit));
    if limit < MEMLOCK_BYTES_MIN {
        let found = format!("{found}, {} KiB are needed", MEMLOCK_BYTES_MIN / 1024);
        return Finding::error("memlock", found, MEMLOCK_FIX);
    }
    if room == Some(0) {
        return Finding::error("memlock", format!("{found}, used up by this user's processes"), MEMLOCK_FIX);
    }
    let wanted = shards * Sockets::Many.locked_bytes();
    let client = Sockets::Few.locked_bytes() / 1024;
    let found = match shards {
        0 => format!("{found}, not enforced for this user (CAP_IPC_LOCK)"),
        _ => format!("{found}; {shards} shards lock {} KiB, each client process {client}", wanted / 1024),
    };
    if let Some(room) = room {
        let found =
            format!("{found}; there is room for {room} of the shards beside this user's other processes");
        return Finding::error("memlock", found, MEMLOCK_FIX);
    }
    if limit < wanted {
        return Finding::warning("memlock", found, MEMLOCK_FIX);
    }
    Finding::ok("memlock", found)
}

fn bytes_or_unlimited(limit: u64) -> String {
    if limit == RLIM_INFINITY { "none".to_owned() } else { format!("{} KiB", limit / 1024) }
}

/// Descriptors of one executor: its rings, its wake-up event, that of its sockets, a share of a listener.
const DESCRIPTORS_PER_EXECUTOR: u64 = 6;
/// Further descriptors of a process, without the reserve: standard streams, signals, the tick clock, listeners, metrics.
const DESCRIPTORS_BESIDE: u64 = 10;
/// Connections below which the limit is worth a warning: the usual soft limit of 1,024, minus the descriptors of the
/// process itself.
const CONNECTIONS_EXPECTED: u64 = 900;

/// The limits of open files against the planned connections. The hard limit counts: a broker raises its soft limit by
/// itself.
fn open_files(executors: u64, connections: Option<u64>) -> Finding {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, hard)) => judge_open_files(soft, hard, executors.max(1), connections),
        Err(error) => Finding::warning("open_files", format!("cannot read the limit: {error}"), "ulimit -n"),
    }
}

fn judge_open_files(soft: u64, hard: u64, executors: u64, connections: Option<u64>) -> Finding {
    let own = executors * DESCRIPTORS_PER_EXECUTOR + DESCRIPTORS_BESIDE + reserved_open_files(hard);
    let room = hard.saturating_sub(own);
    let shards = if executors == 1 { "1 shard".to_owned() } else { format!("{executors} shards") };
    let limits =
        if soft == hard { format!("{hard} allowed") } else { format!("{soft} allowed, {hard} at most") };
    let found = format!("{limits}: room for {room} connections beside the {own} of {shards}");
    let wanted = connections.unwrap_or(CONNECTIONS_EXPECTED);
    if room >= wanted {
        return Finding::ok("open_files", found);
    }
    // The reserve of a limit that is raised may be larger than that of this one.
    let files = wanted.saturating_add(own - reserved_open_files(hard) + OPEN_FILES_RESERVED_MAX);
    let fix = format!(
        "raise the hard limit: `nofile {files}` in /etc/security/limits.conf, LimitNOFILE={files} in a systemd unit, or \
         --ulimit nofile={files} for a container"
    );
    match connections {
        Some(_) => Finding::error(
            "open_files",
            format!("{found}, {wanted} wanted"),
            format!("{fix}; or ask for fewer connections"),
        ),
        None if room == 0 => Finding::error("open_files", found, fix),
        None => Finding::warning("open_files", found, fix),
    }
}

/// The quota of CPU time against the number of shards.
fn cpu_quota(quota: Option<CpuQuota>, shards: usize) -> Finding {
    let Some(CpuQuota { cpus, period_us, group }) = quota else {
        return Finding::ok("cpu_quota", "no limit of CPU time");
    };
    let (group, period_ms) = (group.display(), period_us as f64 / 1e3);
    let found =
        format!("{group} gives {cpus} CPUs' worth of time in each {period_ms} ms, for {shards} shards");
    // The control thread, logs and look-ups want some as well, but little.
    if cpus > shards as f64 {
        return Finding::ok("cpu_quota", found);
    }
    let fix = "when it is used up, every shard stands still until the period is over: raise it above the number of shards \
               (CPUQuota= of the systemd unit, --cpus of the container, limits.cpu of the pod), or limit the CPUs themselves \
               instead (AllowedCPUs=, --cpuset-cpus), or have fewer shards";
    Finding::warning("cpu_quota", found, fix)
}

/// The frequency governors of the chosen CPUs. `None` if the host does not report them, like most virtual machines.
fn governor(cores: &[CoreId]) -> Option<Finding> {
    let read = |core: &CoreId| {
        let file = format!("/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor");
        fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
    };
    let mut governors: Vec<String> = cores.iter().filter_map(read).collect();
    governors.sort_unstable();
    governors.dedup();
    if governors.is_empty() {
        return None;
    }
    let found = governors.join(", ");
    Some(if found == "performance" {
        Finding::ok("governor", found)
    } else {
        Finding::warning("governor", found, "cpupower frequency-set -g performance, for steadier latency")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_that_is_no_more_than_the_shards_could_use_is_a_warning() {
        let quota = |cpus| Some(CpuQuota { cpus, period_us: 100_000, group: "/sys/fs/cgroup/box".into() });
        for (quota, shards, level) in [
            (None, 64, Level::Ok),
            (quota(4.0), 3, Level::Ok),
            (quota(4.0), 4, Level::Warning),
            (quota(0.5), 1, Level::Warning),
        ] {
            assert_eq!(cpu_quota(quota.clone(), shards).level, level, "{quota:?} for {shards}");
        }
        let text = cpu_quota(quota(1.5), 2);
        assert!(
            text.found.contains("box gives 1.5 CPUs' worth of time in each 100 ms, for 2 shards"),
            "{text:?}"
        );
    }

    #[test]
    fn kernels() {
        for (release, level) in [
            ("6.18.44-fc", Level::Ok),
            ("5.12.0", Level::Ok),
            ("5.10.0-28-amd64", Level::Ok),
            ("5.7.19", Level::Error),
            ("4.18.0-553.el8", Level::Error),
            ("", Level::Warning),
            ("six", Level::Warning),
        ] {
            assert_eq!(judge_kernel(release).level, level, "{release}");
        }
    }

    #[test]
    fn memlock_limits() {
        assert_eq!(judge_memlock(64 * 1024, 0, None).level, Level::Error);
        let enough = judge_memlock(8 << 20, 2, None);
        assert_eq!(
            enough,
            Finding::ok("memlock", "limit 8192 KiB; 2 shards lock 696 KiB, each client process 240")
        );
        assert_eq!(judge_memlock(8 << 20, 64, None).level, Level::Warning);
        let used_up = judge_memlock(8 << 20, 2, Some(0));
        assert_eq!(
            (used_up.level, used_up.found.ends_with("used up by this user's processes")),
            (Level::Error, true)
        );
        let too_few = judge_memlock(512 * 1024, 3, Some(2));
        let wanted = "limit 512 KiB; 3 shards lock 1044 KiB, each client process 240; there is room for 2 of the shards \
                      beside this user's other processes";
        assert_eq!(too_few, Finding::error("memlock", wanted, MEMLOCK_FIX));
        assert_eq!(judge_memlock(RLIM_INFINITY, 512, None).level, Level::Ok);
        let root = judge_memlock(8 << 20, 0, None);
        assert_eq!(root, Finding::ok("memlock", "limit 8192 KiB, not enforced for this user (CAP_IPC_LOCK)"));
    }

    #[test]
    fn open_file_limits() {
        assert_eq!(judge_open_files(1_024, 20_000, 2, None).level, Level::Ok);
        assert_eq!(judge_open_files(1_024, 20_000, 2, Some(19_946)).level, Level::Ok);
        let few = judge_open_files(1_024, 20_000, 2, Some(19_947));
        assert_eq!(few.level, Level::Error);
        assert_eq!(
            few.found,
            "1024 allowed, 20000 at most: room for 19946 connections beside the 54 of 2 shards, 19947 wanted"
        );
        assert!(few.fix.is_some_and(|fix| fix.contains("nofile 20001")));
        assert_eq!(judge_open_files(20, 20, 2, None).level, Level::Error);
        assert_eq!(judge_open_files(64, 64, 2, None).level, Level::Warning);
        assert_eq!(judge_open_files(64, 64, 1, Some(40)).level, Level::Ok);
    }

    #[test]
    fn a_core_that_may_not_be_used_is_an_error_that_names_it() {
        let check = HostCheck { cores: Some("4000".parse().unwrap()), ..HostCheck::default() };
        let findings = check.run();
        let cpus = findings.iter().find(|finding| finding.name == "cpus").unwrap();
        assert_eq!(cpus.level, Level::Error);
        assert!(cpus.found.starts_with("CPU 4000 is not among"), "{}", cpus.found);
    }

    #[test]
    fn this_host_runs_executors() {
        let check = HostCheck { jitter: Duration::from_millis(20), ..HostCheck::default() };
        let findings = check.run();
        let mut names: Vec<&str> = findings.iter().map(|finding| finding.name).collect();
        assert!(
            names.starts_with(&["kernel", "io_uring", "memlock", "open_files", "cpus", "smt"]),
            "{names:?}"
        );
        assert!(names.ends_with(&["jitter"]), "{names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), findings.len(), "each name occurs once");
        for finding in &findings {
            assert_ne!(finding.level, Level::Error, "{finding:?}");
            assert_eq!(finding.fix.is_none(), finding.level == Level::Ok, "{finding:?}");
        }
    }
}
