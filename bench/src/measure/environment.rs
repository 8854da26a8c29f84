//! Owns the description of the machine and the build that a result was measured with: a figure without it says
//! nothing. The host's name is left out on purpose, so that results can be published.

use corecast_executors::Topology;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The clock that latencies are read from, and the reason why one-way figures hold.
const CLOCK_NOTE: &str = "CLOCK_MONOTONIC: who publishes and subscribes on this machine reads the same one, and one-way latencies between \
                          them have no clock offset; those of other hosts are described with each run";

/// The machine, its limits, the build, and how it was called.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Environment {
    /// The processor's name.
    pub cpu_model: Option<String>,
    /// Processors that the kernel has online.
    pub cpus_online: Option<usize>,
    /// Processors that this process may use, such as `0,1`.
    pub cpus_allowed: Option<String>,
    /// Physical cores among them.
    pub physical_cores: Option<usize>,
    /// Main memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// Frequency governor of the first allowed processor; absent on most virtual machines.
    pub governor: Option<String>,
    /// Limits of the process.
    pub limits: Limits,
    /// The version of corecast.
    pub version: String,
    /// The commit it was built from, with `-dirty` behind it if sources differ from it, or `unknown`.
    pub git_commit: String,
    /// `release` or `debug`.
    pub build: String,
    /// The command line.
    pub command_line: Vec<String>,
    /// The clock, and its meaning for the figures.
    pub clock: String,
}

/// Limits of the process; absent means without limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Open files, the soft limit.
    pub nofile_soft: Option<u64>,
    /// Open files, the hard limit.
    pub nofile_hard: Option<u64>,
    /// Locked memory, the soft limit in bytes.
    pub memlock_soft_bytes: Option<u64>,
    /// Locked memory, the hard limit in bytes.
    pub memlock_hard_bytes: Option<u64>,
}

impl Environment {
    /// Reads it all. What cannot be read is absent: a result is worth keeping without it.
    pub fn read() -> Self {
        let topology = Topology::detect().ok();
        let allowed = topology.as_ref().map(|topology| topology.allowed().to_vec());
        let governor = allowed.as_ref().and_then(|allowed| allowed.first()).and_then(|core| {
            first_line(format!("/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"))
        });
        Environment {
            cpu_model: proc_field("/proc/cpuinfo", "model name")
                .or_else(|| proc_field("/proc/cpuinfo", "Model")),
            cpus_online: nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN)
                .ok()
                .flatten()
                .and_then(|cpus| usize::try_from(cpus).ok()),
            cpus_allowed: allowed
                .map(|allowed| allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
            physical_cores: topology.map(|topology| topology.physical().len()),
            memory_bytes: proc_field("/proc/meminfo", "MemTotal").and_then(|total| kib(&total)),
            kernel: first_line("/proc/sys/kernel/osrelease"),
            governor,
            limits: Limits::read(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            git_commit: option_env!("CORECAST_GIT_COMMIT").unwrap_or("unknown").to_owned(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
            command_line: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            clock: CLOCK_NOTE.to_owned(),
        }
    }
}

impl Limits {
    fn read() -> Self {
        let (nofile_soft, nofile_hard) = limit(Resource::RLIMIT_NOFILE);
        let (memlock_soft_bytes, memlock_hard_bytes) = limit(Resource::RLIMIT_MEMLOCK);
        Limits { nofile_soft, nofile_hard, memlock_soft_bytes, memlock_hard_bytes }
    }
}

fn limit(resource: Resource) -> (Option<u64>, Option<u64>) {
    let finite = |limit: u64| (limit != RLIM_INFINITY).then_some(limit);
    getrlimit(resource).map_or((None, None), |(soft, hard)| (finite(soft), finite(hard)))
}

fn first_line(path: impl AsRef<Path>) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

/// The value of the first `key : value` line of that key.
fn proc_field(path: &str, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields
        .map(|(name, value)| (name.trim(), value.trim()))
        .find(|(name, _)| *name == key)
        .map(|(_, v)| v.to_owned())
}

fn kib(amount: &str) -> Option<u64> {
    let kib: u64 = amount.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let environment = Environment::read();
        assert!(environment.kernel.is_some());
        assert!(environment.cpus_online.unwrap() >= 1);
        assert!(environment.memory_bytes.unwrap() > 1 << 20);
        assert!(!environment.command_line.is_empty());
        assert_eq!(environment.version, env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn an_amount_of_procfs_is_in_bytes() {
        assert_eq!(kib("2048 kB"), Some(2 << 20));
        assert_eq!(kib("2048"), None);
    }
}
