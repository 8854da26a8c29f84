//! One executor: its thread, its pin, its runtime and what can go wrong at its start. Used by
//! `pool` alone.

use std::future::Future;
use std::io;
use std::time::Duration;

use glommio::{
    CpuLocation, CpuSet, GlommioError, LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement,
};
use nix::errno::Errno;
use nix::sched::sched_setaffinity;
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::Pid;
use thiserror::Error;

use crate::idle::Idle;
use crate::ids::CoreId;
use crate::task::cancel_all;

/// The runtime's preempt timer, set out of reach. When it has fired as the runtime looks for
/// tasks, the runtime runs none and parks, for good. Turns end by themselves instead: `turn`.
const PREEMPT_TIMER: Duration = Duration::from_secs(24 * 3600);

/// Memory the runtime registers with the ring for direct file I/O. There is none here, so this is
/// the least it takes; its default of 10 MiB is over the usual memlock limit of 8 MiB.
const IO_MEMORY_BYTES: usize = 64 * 1024;

/// Entries of each of the executor's three rings: how many waits go to the kernel in one call.
///
/// 1,024 pairs of sockets that echo to each other in turns, on one core of a loaded 2-core VM:
/// 267,000 echoes a second with the runtime's 128, 347,000 with 512, 357,000 with 2,048. By the
/// sizes of its entries a ring costs 200 KiB.
const RING_DEPTH: usize = 2048;

/// The least memlock limit the runtime starts with, in bytes.
pub(crate) const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;

/// Why an executor did not start.
#[derive(Debug, Error)]
pub enum ExecutorError {
    /// The kernel did not let the thread onto its core.
    #[error("cannot pin a thread to CPU {core}")]
    Pin {
        /// The CPU.
        core: CoreId,
        /// ENOENT or EINVAL: the CPU is offline or outside the cpuset.
        #[source]
        source: io::Error,
    },
    /// The memlock limit is too low for the rings.
    #[error(
        "the memlock limit is {limit_bytes} bytes, an executor needs {MEMLOCK_BYTES_MIN}: raise it with \
         `ulimit -l 8192`, LimitMEMLOCK=8M in a systemd unit, or --ulimit memlock=8388608 of a container"
    )]
    Memlock {
        /// The limit of this process.
        limit_bytes: u64,
    },
    /// The kernel or a container forbids io_uring.
    #[error(
        "io_uring is not available to this process: see the sysctl kernel.io_uring_disabled (0 allows it) \
         and the seccomp profile of the container; `corecast doctor` says which"
    )]
    IoUring(#[source] io::Error),
    /// Descriptors are used up: a ring and a wake-up need five.
    #[error("no file descriptor left for the rings of an executor: raise the limit of open files")]
    Descriptors(#[source] io::Error),
    /// Anything else the kernel said.
    #[error("cannot set up the rings of an executor")]
    Rings(#[source] io::Error),
}

/// Pins the calling thread to `core` for good.
pub(crate) fn pin(core: CoreId) -> Result<(), ExecutorError> {
    let refused = |error: Errno| ExecutorError::Pin { core, source: error.into() };
    let mut mask = nix::sched::CpuSet::new();
    mask.set(core.index()).map_err(refused)?;
    sched_setaffinity(Pid::from_raw(0), &mask).map_err(refused)
}

/// Makes the runtime of the calling thread, which is pinned to `core` already, if to any.
pub(crate) fn make(core: Option<CoreId>, idle: Idle) -> Result<LocalExecutor, ExecutorError> {
    // The runtime looks at the same limit, but its error loses what it was about on the way out.
    let (limit_bytes, _hard) =
        getrlimit(Resource::RLIMIT_MEMLOCK).map_err(|e| ExecutorError::Rings(e.into()))?;
    if limit_bytes < MEMLOCK_BYTES_MIN {
        return Err(ExecutorError::Memlock { limit_bytes });
    }
    LocalExecutorBuilder::new(placement(core))
        .spin_before_park(idle.spin_before_park())
        .preempt_timer(PREEMPT_TIMER)
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_DEPTH)
        // Its thread for blocking calls is never used: one that sleeps for ever on the same core.
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
        .make()
        .map_err(explain)
}

/// Runs `body` to its end, then ends what it left.
pub(crate) fn run(executor: &LocalExecutor, body: impl Future<Output = ()>) {
    executor.run(async move {
        body.await;
        cancel_all().await;
    });
}

/// A fence of the one core the thread is on already, if it is pinned.
///
/// The runtime ignores its spin time when it is unbound, and asks sysfs for every CPU of the host
/// when it is fixed. A fence does neither; the places in it beside the CPU number are never read.
fn placement(core: Option<CoreId>) -> Placement {
    let Some(core) = core else { return Placement::Unbound };
    let place = CpuLocation { cpu: core.index(), core: 0, package: 0, numa_node: 0, cache_domain: 0 };
    Placement::Fenced(CpuSet::from_iter([place]))
}

/// Turns the runtime's error into what its reader can change.
fn explain(error: GlommioError<()>) -> ExecutorError {
    let error = io::Error::from(error);
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => ExecutorError::IoUring(error),
        Some(libc::EMFILE | libc::ENFILE) => ExecutorError::Descriptors(error),
        _ if error.kind() == io::ErrorKind::Unsupported => ExecutorError::IoUring(error),
        _ => ExecutorError::Rings(error),
    }
}
