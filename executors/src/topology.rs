//! The CPUs this process may use and how they sit together. Read once at start, then a value.

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::{Pid, getpid};
use thiserror::Error;

use crate::ids::CoreId;

/// The CPUs this process may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    allowed: Vec<CoreId>,
}

/// Why the CPUs could not be found out.
#[derive(Debug, Error)]
pub enum TopologyError {
    /// The kernel did not say which CPUs are allowed.
    #[error("cannot read the CPUs this process may use")]
    Affinity(#[source] nix::Error),
}

impl Topology {
    /// Reads it from the kernel: the mask of the process, then sysfs.
    ///
    /// # Errors
    /// When the kernel does not give the mask.
    pub fn detect() -> Result<Self, TopologyError> {
        let mask = process_mask().map_err(TopologyError::Affinity)?;
        let allowed = (0..CpuSet::count())
            .filter(|&cpu| mask.is_set(cpu).unwrap_or(false))
            .map(|cpu| CoreId(cpu as u32))
            .collect();
        Ok(Self { allowed })
    }

    /// The CPUs this process may use, ascending.
    #[must_use]
    pub fn allowed(&self) -> &[CoreId] {
        &self.allowed
    }
}

/// The mask of the process, whatever the calling thread is pinned to.
///
/// The kernel keeps masks per thread; that of the main thread is what taskset and cpusets set and
/// what nothing here ever narrows.
pub(crate) fn process_mask() -> nix::Result<CpuSet> {
    sched_getaffinity(Pid::from_raw(getpid().as_raw()))
}
