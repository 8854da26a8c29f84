//! io_uring: one ring of the kernel for an executor, with the runtime that is made for it. The only file that names that runtime.

use std::future::Future;
use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use glommio::io::PollableFd;
use glommio::nop::NopSubmitter;
use glommio::{CpuLocation, CpuSet, LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement};
use io_uring::IoUring;
use nix::errno::Errno;
use nix::sys::eventfd::EventFd;
use nix::sys::resource::{Resource, getrlimit};

use crate::executor::{DESCRIPTORS, ExecutorError, IO_MEMORY_BYTES, MEMLOCK_BYTES_MIN, Sockets};
use crate::idle::Idle;
use crate::ids::CoreId;
use crate::thread::pause;

/// The runtime's preempt timer, set out of reach. If it has fired when the runtime looks for tasks, the runtime runs
/// none and parks, for good. Turns end by themselves instead: `turn`.
const PREEMPT_TIMER: Duration = Duration::from_secs(24 * 3600);

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

pub(crate) struct RingRuntime(LocalExecutor);

impl RingRuntime {
    /// Makes it, with tries for [`MEMLOCK_RETRY`] while there is no memory to lock.
    pub(super) fn make(core: Option<CoreId>, idle: Idle, sockets: Sockets) -> Result<Self, ExecutorError> {
        let give_up = Instant::now() + MEMLOCK_RETRY;
        let mut wait = MEMLOCK_RETRY_PAUSE;
        loop {
            match Self::make_at_once(core, idle, sockets) {
                Err(ExecutorError::MemlockUsedUp { .. }) if Instant::now() + wait <= give_up => {
                    pause(wait);
                    wait *= 2;
                }
                made => return made,
            }
        }
    }

    pub(super) fn make_at_once(
        core: Option<CoreId>,
        idle: Idle,
        sockets: Sockets,
    ) -> Result<Self, ExecutorError> {
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
        let made = LocalExecutorBuilder::new(placement(core))
            .spin_before_park(idle.spin_before_park())
            .preempt_timer(PREEMPT_TIMER)
            .io_memory(IO_MEMORY_BYTES)
            .ring_depth(sockets.ring_depth())
            // Its thread for blocking calls is never used: it sleeps for ever on the same core.
            .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
            .make();
        made.map(Self).map_err(|error| explain(error.into()))
    }

    pub(super) fn run<T>(&self, body: impl Future<Output = T>) -> T {
        self.0.run(body)
    }
}

/// Checks the prerequisites of an executor first. The runtime asks once in the life of a process if it may use
/// io_uring, takes every error for a no, and remembers it for good.
fn probe() -> io::Result<()> {
    let descriptors: Result<Vec<EventFd>, Errno> = (0..DESCRIPTORS).map(|_| EventFd::new()).collect();
    drop(descriptors?);
    IoUring::new(1).map(drop)
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

#[derive(Debug)]
pub(crate) struct RingPolled<T: AsRawFd>(PollableFd<T>);

impl<T: AsRawFd> RingPolled<T> {
    pub(super) fn new(fd: T) -> io::Result<Self> {
        PollableFd::new(fd).map(Self).map_err(io::Error::from)
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        self.0.readable().await.map_err(io::Error::from)
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        self.0.writable().await.map_err(io::Error::from)
    }

    pub(super) fn get_ref(&self) -> &T {
        self.0.get_ref()
    }

    pub(super) fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

/// A task of the runtime.
#[derive(Debug)]
pub(crate) struct RingHandle<T>(Option<glommio::Task<T>>);

pub(super) fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> RingHandle<T> {
    // The runtime's plain spawn polls the future at once, inside the call; this one queues it.
    let task = glommio::spawn_local_into(future, glommio::TaskQueueHandle::default())
        .expect("the default queue is there as long as the executor is");
    RingHandle(Some(task))
}

impl<T> Drop for RingHandle<T> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            drop(task.detach());
        }
    }
}

impl<T> Future for RingHandle<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let task = self.0.as_mut().expect("it is taken by the drop alone");
        Pin::new(task).poll(cx)
    }
}

pub(super) async fn end_turn() {
    // The kernel cannot refuse an empty operation; if it were cancelled, the turn would be over too.
    let _ = NopSubmitter::new().run_nop().await;
}
