//! One executor: its thread, its pinning, its runtime and its start-up errors. Only `pool` uses it.

use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use glommio::{CpuLocation, CpuSet, LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement};
use io_uring::IoUring;
use nix::errno::Errno;
use nix::sched::sched_setaffinity;
use nix::sys::eventfd::EventFd;
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::Pid;
use thiserror::Error;

use crate::idle::Idle;
use crate::ids::CoreId;
use crate::task::cancel_all;
use crate::thread::pause;

/// The runtime's preempt timer, set out of reach. If it has fired when the runtime looks for tasks, the runtime runs
/// none and parks, for good. Turns end by themselves instead: `turn`.
const PREEMPT_TIMER: Duration = Duration::from_secs(24 * 3600);

/// Memory that the runtime registers with each ring for direct file I/O. No file I/O happens here, so this is the
/// minimum that the runtime accepts; its default of 10 MiB exceeds the usual memlock limit of 8 MiB.
const IO_MEMORY_BYTES: usize = 64 * 1024;

/// Rings that the runtime makes for each executor.
const RINGS: u64 = 3;

/// The lowest memlock limit with which the runtime starts, in bytes.
pub(crate) const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;

/// Time for which a start that finds no memory to lock is tried again. The kernel gives the memory of rings back after
/// their process has ended or their executor is gone: mostly within 14 ms, at times after 50, on a 2-core VM with Linux
/// 6.18. A second covers a loaded machine, and nobody takes it for a hang.
const MEMLOCK_RETRY: Duration = Duration::from_secs(1);

/// The first pause between two of these tries; each is twice as long as the one before, since a try that fails locks
/// memory for a while, too.
const MEMLOCK_RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Time in which the kernel gives back the memory of a closed ring: 14 to 50 ms on Linux 6.18.
const RING_RELEASE: Duration = Duration::from_millis(60);

/// A memlock limit under this is tight: it holds fewer than four executors for many sockets, so that one which starts may depend
/// on the memory of one that has just ended.
const MEMLOCK_BYTES_TIGHT: u64 = 4 * Sockets::Many.locked_bytes();

/// Descriptors of one executor: its rings, two for wake-ups, and one for its sockets.
const DESCRIPTORS: usize = 6;

/// The number of sockets that an executor is expected to wait for: it sets the size of the rings, whose memory the
/// kernel charges to memlock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Sockets {
    /// Some dozens, such as a client's.
    Few,
    /// Hundreds and more.
    #[default]
    Many,
}

impl Sockets {
    /// Entries of each ring: waits that go to the kernel in one call.
    ///
    /// 1,024 pairs of sockets that echo to each other in turns, on one core of a loaded 2-core VM:
    /// 267,000 echoes a second with 128, 347,000 with 512, 357,000 with 2,048.
    fn ring_depth(self) -> usize {
        match self {
            Self::Few => 128,
            Self::Many => 512,
        }
    }

    /// Memory of one ring, measured as an ordinary user on Linux 6.18: 8 MiB of memlock are enough for 512 rings of 128
    /// entries, for 157 of 512, and for 40 of 2,048.
    const fn ring_bytes(self) -> u64 {
        match self {
            Self::Few => 16 * 1024,
            Self::Many => 52 * 1024,
        }
    }

    /// Memory that the kernel charges to memlock for one executor, in bytes. The limit covers all processes of a user;
    /// those with CAP_IPC_LOCK have none. Linux from 5.12 on does not charge rings, and from some version up to 6.18 it
    /// does again.
    #[must_use]
    pub const fn locked_bytes(self) -> u64 {
        RINGS * (self.ring_bytes() + IO_MEMORY_BYTES as u64)
    }
}

/// The ways to raise the memlock limit: 64 MiB are 64 shards and 170 client processes.
pub(crate) const MEMLOCK_FIX: &str = "`ulimit -l 65536`, `memlock` in /etc/security/limits.conf, LimitMEMLOCK=64M in a \
                                      systemd unit, or --ulimit memlock=67108864 of a container";

/// The reason why an executor did not start.
#[derive(Debug, Error)]
pub enum ExecutorError {
    /// The kernel did not let the thread run on its core.
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
        "the memlock limit is {limit_bytes} bytes, an executor needs {MEMLOCK_BYTES_MIN}: raise it with {MEMLOCK_FIX}"
    )]
    Memlock {
        /// The limit of this process.
        limit_bytes: u64,
    },
    /// The processes of this user have locked as much memory as they may.
    #[error(
        "the memlock limit of {limit_bytes} bytes, which holds for all processes of this user together, is used up: \
         raise it with {MEMLOCK_FIX}"
    )]
    MemlockUsedUp {
        /// The limit of this process.
        limit_bytes: u64,
        /// ENOMEM.
        #[source]
        source: io::Error,
    },
    /// The kernel or a container forbids io_uring.
    #[error(
        "io_uring is not available to this process: see the sysctl kernel.io_uring_disabled (0 allows it) \
         and the seccomp profile of the container; `corecast doctor` says which"
    )]
    IoUring(#[source] io::Error),
    /// No file descriptors are left.
    #[error(
        "an executor needs {DESCRIPTORS} file descriptors, and they are used up: raise the limit of open files (ulimit -n)"
    )]
    Descriptors(#[source] io::Error),
    /// Any other error of the kernel.
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

/// Makes the runtime of the calling thread, which is pinned to `core` already, if given. Blocks for a second at most while
/// there is no memory to lock.
pub(crate) fn make(
    core: Option<CoreId>,
    idle: Idle,
    sockets: Sockets,
) -> Result<LocalExecutor, ExecutorError> {
    let give_up = Instant::now() + MEMLOCK_RETRY;
    let mut wait = MEMLOCK_RETRY_PAUSE;
    loop {
        match make_once(core, idle, sockets) {
            Err(ExecutorError::MemlockUsedUp { .. }) if Instant::now() + wait <= give_up => {
                pause(wait);
                wait *= 2;
            }
            made => return made,
        }
    }
}

fn make_once(core: Option<CoreId>, idle: Idle, sockets: Sockets) -> Result<LocalExecutor, ExecutorError> {
    // The runtime checks the same limit, but its error loses the details on the way out.
    let (limit_bytes, _hard) =
        getrlimit(Resource::RLIMIT_MEMLOCK).map_err(|e| ExecutorError::Rings(e.into()))?;
    if limit_bytes < MEMLOCK_BYTES_MIN {
        return Err(ExecutorError::Memlock { limit_bytes });
    }
    let explain = |error| explain(error, limit_bytes);
    probe().map_err(explain)?;
    if limit_bytes < MEMLOCK_BYTES_TIGHT {
        // What the probe had may be all that there was, and the runtime does not ask again if it finds nothing.
        pause(RING_RELEASE);
    }
    LocalExecutorBuilder::new(placement(core))
        .spin_before_park(idle.spin_before_park())
        .preempt_timer(PREEMPT_TIMER)
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(sockets.ring_depth())
        // Its thread for blocking calls is never used: it sleeps for ever on the same core.
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
        .make()
        .map_err(|error| explain(error.into()))
}

/// Checks the prerequisites of an executor first. The runtime asks once in the life of a process if it may use
/// io_uring, takes every error for a no, and remembers it for good.
fn probe() -> io::Result<()> {
    let descriptors: Result<Vec<EventFd>, Errno> = (0..DESCRIPTORS).map(|_| EventFd::new()).collect();
    drop(descriptors?);
    IoUring::new(1).map(drop)
}

/// Runs `body` to its end, then cancels the tasks that it left.
pub(crate) fn run(executor: &LocalExecutor, body: impl Future<Output = ()>) {
    executor.run(async move {
        body.await;
        cancel_all().await;
    });
}

/// A fence of the one core that the thread is on already, if it is pinned.
///
/// The runtime ignores its spin time when it is unbound, and asks sysfs for every CPU of the host when it is fixed. A
/// fence avoids both; the places in it besides the CPU number are never read.
fn placement(core: Option<CoreId>) -> Placement {
    let Some(core) = core else { return Placement::Unbound };
    let place = CpuLocation { cpu: core.index(), core: 0, package: 0, numa_node: 0, cache_domain: 0 };
    Placement::Fenced(CpuSet::from_iter([place]))
}

/// Turns an error into one that names what the user can change.
fn explain(error: io::Error, limit_bytes: u64) -> ExecutorError {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => ExecutorError::IoUring(error),
        Some(libc::EMFILE | libc::ENFILE) => ExecutorError::Descriptors(error),
        Some(libc::ENOMEM) => ExecutorError::MemlockUsedUp { limit_bytes, source: error },
        _ if error.kind() == io::ErrorKind::Unsupported => ExecutorError::IoUring(error),
        _ => ExecutorError::Rings(error),
    }
}
