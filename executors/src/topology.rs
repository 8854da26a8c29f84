//! The CPUs that this process may use and their relations. Read once at start, then a value.
//!
//! The mask of the process determines the CPUs: taskset, cpusets and containers all end in it, while counts of "online"
//! CPUs are the host's. sysfs only gives their relations, and where it is missing every CPU counts as a core of its
//! own.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::getpid;
use thiserror::Error;

use crate::cpu_list;
use crate::ids::CoreId;

/// The CPUs this process may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// The CPUs, ascending; at least one.
    allowed: Vec<CoreId>,
    /// The allowed CPUs of each physical core, in order of the lowest of each.
    physical_cores: Vec<Vec<CoreId>>,
    /// The nodes of the host, each with its allowed CPUs, by number.
    numa_nodes: Vec<(u32, Vec<CoreId>)>,
}

/// The reason why the CPUs could not be determined.
#[derive(Debug, Error)]
pub enum TopologyError {
    /// The kernel did not say which CPUs are allowed.
    #[error("cannot read the CPUs this process may use")]
    Affinity(#[source] nix::Error),
    /// No CPU is allowed, which only a test can cause.
    #[error("no CPU is allowed")]
    NoCpu,
    /// A file of sysfs could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file of sysfs holds no CPU list.
    #[error("{path} holds no CPU list: `{text}`")]
    Content {
        /// The file.
        path: PathBuf,
        /// The text in the file.
        text: String,
    },
}

impl Topology {
    /// Reads it from the kernel: the mask of the process, then `/sys`.
    ///
    /// # Errors
    /// If the kernel does not give the mask, or sysfs has nonsense.
    pub fn detect() -> Result<Self, TopologyError> {
        let mask = process_mask().map_err(TopologyError::Affinity)?;
        let allowed: Vec<CoreId> = (0..CpuSet::count())
            .filter(|&cpu| mask.is_set(cpu).unwrap_or(false))
            .filter_map(|cpu| u32::try_from(cpu).ok().map(CoreId))
            .collect();
        Self::from_sysfs(Path::new("/sys"), &allowed)
    }

    /// Builds it from a copy of `/sys` at `root` and the allowed CPUs. For tests.
    ///
    /// # Errors
    /// If `allowed` is empty, or a file that exists cannot be read or is not a CPU list.
    pub fn from_sysfs(root: &Path, allowed: &[CoreId]) -> Result<Self, TopologyError> {
        let mut allowed = allowed.to_vec();
        allowed.sort_unstable();
        allowed.dedup();
        if allowed.is_empty() {
            return Err(TopologyError::NoCpu);
        }
        let physical_cores = read_physical_cores(root, &allowed)?;
        let numa_nodes = read_numa_nodes(root, &allowed)?;
        Ok(Self { allowed, physical_cores, numa_nodes })
    }

    /// The CPUs this process may use, ascending.
    #[must_use]
    pub fn allowed(&self) -> &[CoreId] {
        &self.allowed
    }

    /// One CPU of each physical core, the lowest allowed one.
    #[must_use]
    pub fn physical(&self) -> Vec<CoreId> {
        self.physical_cores.iter().map(|siblings| siblings[0]).collect()
    }

    /// The allowed CPUs on the same physical core, including `core`. Empty if `core` is not allowed.
    #[must_use]
    pub fn siblings(&self, core: CoreId) -> Vec<CoreId> {
        let same = self.physical_cores.iter().find(|siblings| siblings.contains(&core));
        same.cloned().unwrap_or_default()
    }

    /// The allowed CPUs of a NUMA node, possibly none. `None`: the host has no such node.
    #[must_use]
    pub fn numa(&self, node: u32) -> Option<Vec<CoreId>> {
        let found = self.numa_nodes.iter().find(|(number, _)| *number == node);
        found.map(|(_, cores)| cores.clone())
    }

    /// The numbers of the host's NUMA nodes, ascending.
    #[must_use]
    pub fn numa_nodes(&self) -> Vec<u32> {
        self.numa_nodes.iter().map(|(number, _)| *number).collect()
    }
}

/// The mask of the process, whatever the calling thread is pinned to.
///
/// The kernel keeps masks per thread; taskset and cpusets set that of the main thread, and nothing in this crate ever
/// narrows it. Masks hold 1,024 CPUs; a host with more is refused.
pub(crate) fn process_mask() -> nix::Result<CpuSet> {
    sched_getaffinity(getpid())
}

/// Groups the allowed CPUs by physical core. The file has its old name, which kernels before 5.3 have, too.
fn read_physical_cores(root: &Path, allowed: &[CoreId]) -> Result<Vec<Vec<CoreId>>, TopologyError> {
    let mut cores: Vec<Vec<CoreId>> = Vec::new();
    for &core in allowed {
        if cores.iter().any(|siblings| siblings.contains(&core)) {
            continue;
        }
        let file = root.join(format!("devices/system/cpu/cpu{core}/topology/thread_siblings_list"));
        let mut siblings = read_list(&file)?.unwrap_or_default();
        // A CPU is its own sibling, whatever a broken table says; a CPU that is not allowed does not count.
        siblings.push(core);
        siblings.retain(|sibling| allowed.binary_search(sibling).is_ok());
        siblings.retain(|sibling| !cores.iter().any(|taken| taken.contains(sibling)));
        siblings.sort_unstable();
        siblings.dedup();
        cores.push(siblings);
    }
    Ok(cores)
}

/// Reads the allowed CPUs of each node. A kernel without NUMA has no table: all CPUs are node 0 there.
fn read_numa_nodes(root: &Path, allowed: &[CoreId]) -> Result<Vec<(u32, Vec<CoreId>)>, TopologyError> {
    let folder = root.join("devices/system/node");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![(0, allowed.to_vec())]),
        Err(source) => return Err(TopologyError::Read { path: folder, source }),
    };
    let mut nodes = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| TopologyError::Read { path: folder.clone(), source })?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("node")?.parse::<u32>().ok());
        let Some(number) = number else { continue };
        let mut cores = read_list(&entry.path().join("cpulist"))?.unwrap_or_default();
        cores.retain(|core| allowed.binary_search(core).is_ok());
        nodes.push((number, cores));
    }
    nodes.sort_unstable();
    if nodes.is_empty() {
        nodes.push((0, allowed.to_vec()));
    }
    Ok(nodes)
}

/// Reads a CPU list. `None`: there is no such file.
fn read_list(path: &Path) -> Result<Option<Vec<CoreId>>, TopologyError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(TopologyError::Read { path: path.to_owned(), source }),
    };
    match cpu_list::parse(&text) {
        Some(cores) => Ok(Some(cores)),
        None => Err(TopologyError::Content { path: path.to_owned(), text: text.trim().to_owned() }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Writes a sysfs of two nodes with two physical cores of two threads each:
    /// node 0 is CPUs 0, 1, 4, 5 (siblings 0+4 and 1+5), node 1 is 2, 3, 6, 7 (2+6 and 3+7).
    pub(crate) fn two_nodes() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for core in 0..8_u32 {
            write(root.path(), &format!("cpu/cpu{core}/topology/thread_siblings_list"), &{
                let low = core % 4;
                format!("{low},{}\n", low + 4)
            });
        }
        write(root.path(), "node/node0/cpulist", "0-1,4-5\n");
        write(root.path(), "node/node1/cpulist", "2-3,6-7\n");
        write(root.path(), "node/possible", "0-1\n");
        root
    }

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join("devices/system").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn cores(numbers: &[u32]) -> Vec<CoreId> {
        numbers.iter().copied().map(CoreId).collect()
    }

    #[test]
    fn siblings_and_nodes_of_a_whole_host() {
        let root = two_nodes();
        let topology = Topology::from_sysfs(root.path(), &cores(&[0, 1, 2, 3, 4, 5, 6, 7])).unwrap();
        assert_eq!(topology.physical(), cores(&[0, 1, 2, 3]));
        assert_eq!(topology.siblings(CoreId(6)), cores(&[2, 6]));
        assert_eq!(topology.numa(0), Some(cores(&[0, 1, 4, 5])));
        assert_eq!(topology.numa(1), Some(cores(&[2, 3, 6, 7])));
        assert_eq!(topology.numa(2), None);
        assert_eq!(topology.numa_nodes(), [0, 1]);
    }

    #[test]
    fn a_cpuset_hides_what_it_forbids() {
        let root = two_nodes();
        let topology = Topology::from_sysfs(root.path(), &cores(&[5, 4, 1])).unwrap();
        assert_eq!(topology.allowed(), cores(&[1, 4, 5]));
        assert_eq!(topology.physical(), cores(&[1, 4]));
        assert_eq!(topology.siblings(CoreId(4)), cores(&[4]));
        assert_eq!(topology.siblings(CoreId(0)), cores(&[]));
        assert_eq!(topology.numa(1), Some(vec![]));
    }

    #[test]
    fn without_sysfs_every_cpu_is_a_core_of_node_0() {
        let root = tempfile::tempdir().unwrap();
        let topology = Topology::from_sysfs(root.path(), &cores(&[0, 3])).unwrap();
        assert_eq!(topology.physical(), cores(&[0, 3]));
        assert_eq!(topology.siblings(CoreId(3)), cores(&[3]));
        assert_eq!(topology.numa(0), Some(cores(&[0, 3])));
    }

    #[test]
    fn nonsense_in_sysfs_is_an_error_that_names_the_file() {
        let root = two_nodes();
        write(root.path(), "cpu/cpu1/topology/thread_siblings_list", "what\n");
        let error = Topology::from_sysfs(root.path(), &cores(&[0, 1])).unwrap_err();
        assert!(error.to_string().contains("cpu1/topology/thread_siblings_list"), "{error}");
        assert!(error.to_string().contains("`what`"), "{error}");
        assert!(matches!(Topology::from_sysfs(root.path(), &[]), Err(TopologyError::NoCpu)));
    }

    #[test]
    fn a_broken_sibling_table_never_lists_a_cpu_twice() {
        let root = two_nodes();
        write(root.path(), "cpu/cpu0/topology/thread_siblings_list", "1\n");
        write(root.path(), "cpu/cpu1/topology/thread_siblings_list", "0-3\n");
        let topology = Topology::from_sysfs(root.path(), &cores(&[0, 1, 2, 3])).unwrap();
        let mut all: Vec<CoreId> = topology.physical_cores.concat();
        all.sort_unstable();
        assert_eq!(all, cores(&[0, 1, 2, 3]));
    }

    #[test]
    fn the_real_host_is_readable() {
        let topology = Topology::detect().unwrap();
        assert!(!topology.allowed().is_empty());
        assert!(topology.physical().len() <= topology.allowed().len());
        let in_nodes: usize = topology.numa_nodes().iter().map(|&n| topology.numa(n).unwrap().len()).sum();
        assert_eq!(in_nodes, topology.allowed().len());
    }
}
