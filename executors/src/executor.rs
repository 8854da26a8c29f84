//! One executor: its thread's pin, its size, and its start-up errors. Its runtime is the reactor's.

use std::io;

use nix::errno::Errno;
use nix::sched::sched_setaffinity;
use nix::unistd::Pid;
use thiserror::Error;

use crate::ids::CoreId;

/// Memory that the runtime registers with each ring for direct file I/O. No file I/O happens here, so this is the
/// minimum that the runtime accepts; its default of 10 MiB exceeds the usual memlock limit of 8 MiB.
pub(crate) const IO_MEMORY_BYTES: usize = 64 * 1024;

/// Rings that the runtime makes for each executor.
const RINGS: u64 = 3;

/// The lowest memlock limit with which the runtime starts, in bytes.
pub(crate) const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;

/// Descriptors of one executor: its rings, two for wake-ups, and one for its sockets.
pub(crate) const DESCRIPTORS: usize = 6;

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
    #[cfg(feature = "ring")]
    pub(crate) fn ring_depth(self) -> usize {
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
    /// io_uring was asked for, and this build is without it.
    #[error("this build has no io_uring (cargo feature `ring`): choose the reactor `epoll`, or `auto`")]
    NoRingInBuild,
    /// No file descriptors are left.
    #[error(
        "an executor needs {DESCRIPTORS} file descriptors, and they are used up: raise the limit of open files (ulimit -n)"
    )]
    Descriptors(#[source] io::Error),
    /// Any other error of the kernel.
    #[error("cannot set up the rings of an executor")]
    Rings(#[source] io::Error),
    /// An error of the kernel at the start of the other reactor.
    #[error("cannot set up epoll for an executor")]
    Epoll(#[source] io::Error),
}

impl ExecutorError {
    /// True if io_uring, or the locked memory for it, is all that was missing.
    pub(crate) fn is_want_of_io_uring(&self) -> bool {
        matches!(
            self,
            Self::Memlock { .. } | Self::MemlockUsedUp { .. } | Self::IoUring(_) | Self::NoRingInBuild
        )
    }
}

/// Pins the calling thread to `core` for good.
pub(crate) fn pin(core: CoreId) -> Result<(), ExecutorError> {
    let refused = |error: Errno| ExecutorError::Pin { core, source: error.into() };
    let mut mask = nix::sched::CpuSet::new();
    mask.set(core.index()).map_err(refused)?;
    sched_setaffinity(Pid::from_raw(0), &mask).map_err(refused)
}
