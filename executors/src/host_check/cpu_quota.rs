//! The quota of CPU time of this process: a limit of its control group, or of one above it. With a quota that is used up all threads
//! stand still until its period is over.

use std::fs;
use std::path::{Path, PathBuf};

/// Where control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";

/// The smallest quota that applies.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct CpuQuota {
    /// CPUs' worth of time.
    pub(super) cpus: f64,
    pub(super) period_us: u64,
    pub(super) group: PathBuf,
}

/// The smallest quota that applies to this process.
pub(super) fn of_process() -> Option<CpuQuota> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    find(Path::new(GROUPS), &groups)
}

/// Looks for the smallest quota of the groups in such a list (proc_pid_cgroup(5), under cgroups(7)), and of all above them.
fn find(mounted: &Path, groups: &str) -> Option<CpuQuota> {
    let mut least: Option<CpuQuota> = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        // Version 2 has one tree for all controllers; version 1 one for each, in a folder of that name.
        let top = match controllers {
            "" => mounted.to_owned(),
            controllers if controllers.split(',').any(|controller| controller == "cpu") => {
                mounted.join(controllers)
            }
            _ => continue,
        };
        let own = top.join(path.trim_start_matches('/'));
        for group in own.ancestors().take_while(|group| group.starts_with(&top)) {
            let quota = quota_of(group).map(|(cpus, period_us)| CpuQuota {
                cpus,
                period_us,
                group: group.to_owned(),
            });
            if let Some(quota) =
                quota.filter(|quota| least.as_ref().is_none_or(|least| quota.cpus < least.cpus))
            {
                least = Some(quota);
            }
        }
    }
    least
}

/// The quota of one group, in CPUs and with its period in microseconds. `None`: it has none.
fn quota_of(group: &Path) -> Option<(f64, u64)> {
    let read = |file: &str| fs::read_to_string(group.join(file)).ok();
    let (quota, period) = match read("cpu.max") {
        Some(both) => {
            let (quota, period) = both.trim().split_once(' ')?;
            (quota.to_owned(), period.to_owned())
        }
        None => (read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?),
    };
    // Neither `max` nor -1 is a number of this kind.
    let (quota_us, period_us): (u64, u64) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
    (period_us > 0).then(|| (quota_us as f64 / period_us as f64, period_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Control groups as the kernel shows them: files with their content.
    fn mounted(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for (file, content) in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("it is in one")).expect("made");
            fs::write(path, content).expect("written");
        }
        dir
    }

    #[test]
    fn the_smallest_quota_on_the_way_up_applies() {
        let dir = mounted(&[
            ("pod/cpu.max", "150000 100000\n"),
            ("pod/box/cpu.max", "max 100000\n"),
            ("pod/box/own/cpu.max", "800000 100000\n"),
            ("other/cpu.max", "10000 100000\n"),
        ]);
        let found = find(dir.path(), "0::/pod/box/own\n").expect("there is one");
        assert_eq!((found.cpus, found.period_us, found.group), (1.5, 100_000, dir.path().join("pod")));
        for groups in ["0::/\n", "0::/pod2\n", "", "nothing\n", "1:memory:/pod\n"] {
            assert_eq!(find(dir.path(), groups), None, "{groups:?}");
        }
    }

    #[test]
    fn version_1_of_control_groups_is_read_too() {
        let dir = mounted(&[
            ("cpu,cpuacct/box/cpu.cfs_quota_us", "50000\n"),
            ("cpu,cpuacct/box/cpu.cfs_period_us", "20000\n"),
            ("cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
            ("cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ]);
        let found = find(dir.path(), "4:memory:/box\n3:cpu,cpuacct:/box\n").expect("there is one");
        assert_eq!((found.cpus, found.period_us), (2.5, 20_000));
    }
}
