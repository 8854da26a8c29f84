//! CPU quotas of control groups, which stop all threads of a process for the rest of each period. Used by `host_check` alone.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder where control groups are mounted, by all distributions.
const GROUPS: &str = "/sys/fs/cgroup";

/// A quota of a control group: all of its threads together have so many CPUs, over each period.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quota {
    pub(super) cpus: f64,
    pub(super) period_us: u64,
    /// The group, as /proc/PID/cgroup has it.
    pub(super) group: String,
}

/// The least quota of this process, if it has one. `None`: the host does not report any groups.
pub(super) fn of_this_process() -> Option<Option<Quota>> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    Some(least_quota(Path::new(GROUPS), &groups))
}

/// The least quota of the groups that a process is in, and of those around them, see cgroups(7). Inside a container the groups
/// may be named as they are outside, though only the container's own are mounted: those that are not there are passed over.
fn least_quota(mounted: &Path, groups: &str) -> Option<Quota> {
    let found = groups.lines().filter_map(folders_and_group).flat_map(|(folders, group)| {
        let around: Vec<PathBuf> = Path::new(group).ancestors().map(Path::to_owned).collect();
        folders.into_iter().flat_map(move |folder| {
            around.clone().into_iter().filter_map(move |group| {
                let inside = group.strip_prefix("/").unwrap_or(&group);
                quota_of(&mounted.join(&folder).join(inside), &group)
            })
        })
    });
    found.min_by(|a, b| a.cpus.total_cmp(&b.cpus))
}

/// The folders of a hierarchy that may have quotas, below the mount, and the group in it: of a line such as `0::/a` (version 2) or
/// `1:cpu,cpuacct:/a`.
fn folders_and_group(line: &str) -> Option<(Vec<String>, &str)> {
    let mut fields = line.splitn(3, ':');
    let (number, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
    if number == "0" && controllers.is_empty() {
        return Some((vec![String::new(), "unified".to_owned()], group));
    }
    let has_quotas = controllers.split(',').any(|controller| controller == "cpu");
    has_quotas.then(|| (vec!["cpu".to_owned(), controllers.to_owned()], group))
}

/// The quota in the folder of a group, if it has one.
fn quota_of(folder: &Path, group: &Path) -> Option<Quota> {
    let read = |file: &str| fs::read_to_string(folder.join(file)).ok();
    let (quota, period) = match read("cpu.max") {
        Some(both) => {
            let mut words = both.split_ascii_whitespace().map(str::to_owned);
            (words.next()?, words.next()?)
        }
        None => (read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?),
    };
    // `max`, or -1: there is none.
    let quota_us: u64 = quota.trim().parse().ok()?;
    let period_us: u64 = period.trim().parse().ok().filter(|period| *period > 0)?;
    let group = group.to_string_lossy().into_owned();
    Some(Quota { cpus: quota_us as f64 / period_us as f64, period_us, group })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of groups with these files.
    fn mounted(files: &[(&str, &str)]) -> tempfile::TempDir {
        let mounted = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = mounted.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        mounted
    }

    fn found(files: &[(&str, &str)], groups: &str) -> Option<(f64, String)> {
        let quota = least_quota(mounted(files).path(), groups)?;
        Some((quota.cpus, quota.group))
    }

    #[test]
    fn the_least_quota_of_all_groups_around_counts() {
        let files = [
            ("a/cpu.max", "150000 100000\n"),
            ("a/b/cpu.max", "max 100000\n"),
            ("a/b/c/cpu.max", "20000 10000\n"),
        ];
        assert_eq!(found(&files, "0::/a/b/c\n"), Some((1.5, "/a".to_owned())));
        assert_eq!(found(&files, "0::/a/b\n"), Some((1.5, "/a".to_owned())));
        assert_eq!(found(&files, "0::/other\n"), None);
        assert_eq!(found(&files[1..2], "0::/a/b\n"), None);
        // Of a container whose groups are named as they are outside.
        assert_eq!(found(&[("cpu.max", "50000 100000\n")], "0::/docker/x\n"), Some((0.5, "/".to_owned())));
    }

    #[test]
    fn groups_of_version_1_have_quotas_of_their_own() {
        for folder in ["cpu", "cpu,cpuacct"] {
            let quota = format!("{folder}/a/cpu.cfs_quota_us");
            let period = format!("{folder}/a/cpu.cfs_period_us");
            let files = [(quota.as_str(), "50000\n"), (period.as_str(), "100000\n")];
            let groups = format!("5:memory:/b\n1:{folder}:/a\n0::/\n");
            assert_eq!(found(&files, &groups), Some((0.5, "/a".to_owned())), "{folder}");
            assert_eq!(found(&[(quota.as_str(), "-1\n"), files[1]], &groups), None);
            assert_eq!(found(&[files[0], (period.as_str(), "0\n")], &groups), None);
        }
        assert_eq!(found(&[("cpuacct/cpu.cfs_quota_us", "1\n")], "1:cpuacct:/\nx\n"), None);
    }
}
