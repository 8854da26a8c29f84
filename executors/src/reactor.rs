//! The reactor of an executor: what its thread waits with, and what runs its tasks. Two kinds, behind one interface that is used
//! by this crate alone: the kernel's io_uring, and epoll for clients where io_uring cannot be had.
//!
//! | file | owns |
//! |---|---|
//! | `choice` | [`Reactor`], the choice among them |
//! | `ring` | io_uring, with the runtime that is made for it (feature `ring`) |
//! | `epoll` | epoll, with tokio's current-thread runtime |
//!
//! The kinds differ in what waiting costs, and not in what it means: a descriptor is waited for as long as it is not ready
//! (level-triggered), each wait ends a turn, and a spawned task is first polled once its maker waits.

mod choice;
mod epoll;
#[cfg(feature = "ring")]
mod ring;

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

pub use choice::{Reactor, ReactorError};

use crate::executor::{ExecutorError, Sockets};
use crate::idle::Idle;
use crate::ids::CoreId;

/// A reactor that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[cfg(feature = "ring")]
    Ring,
    Epoll,
}

thread_local! {
    /// The one that runs this thread's tasks; set for good by [`Runtime::run`].
    static KIND: Cell<Option<Kind>> = const { Cell::new(None) };
}

/// The reactor of this thread.
///
/// # Panics
/// Outside an executor of this crate.
fn kind() -> Kind {
    KIND.get().expect("only an executor of this crate has a reactor")
}

/// A reactor with the runtime for its tasks, made on the thread that it belongs to.
pub(crate) enum Runtime {
    #[cfg(feature = "ring")]
    Ring(ring::RingRuntime),
    Epoll(epoll::EpollRuntime),
}

impl Runtime {
    /// Makes the runtime of the calling thread, which is pinned to `core` already, if given. Blocks for a second at most while
    /// there is no memory to lock for a ring that must be one.
    ///
    /// # Errors
    /// If the reactor that was chosen is not to be had, or no descriptor is left.
    pub(crate) fn make(
        reactor: Reactor,
        core: Option<CoreId>,
        idle: Idle,
        sockets: Sockets,
    ) -> Result<Self, ExecutorError> {
        match reactor {
            Reactor::Epoll => epoll::EpollRuntime::make().map(Self::Epoll),
            Reactor::IoUring => Self::make_ring(core, idle, sockets),
            Reactor::Auto => match Self::make_first_ring(core, idle, sockets) {
                Err(reason) if reason.is_want_of_io_uring() => {
                    choice::report_fallback(&reason);
                    epoll::EpollRuntime::make().map(Self::Epoll)
                }
                made => made,
            },
        }
    }

    #[cfg(feature = "ring")]
    fn make_ring(core: Option<CoreId>, idle: Idle, sockets: Sockets) -> Result<Self, ExecutorError> {
        ring::RingRuntime::make(core, idle, sockets).map(Self::Ring)
    }

    /// The same, without the wait for memory: who has something else to turn to does not wait.
    #[cfg(feature = "ring")]
    fn make_first_ring(core: Option<CoreId>, idle: Idle, sockets: Sockets) -> Result<Self, ExecutorError> {
        ring::RingRuntime::make_at_once(core, idle, sockets).map(Self::Ring)
    }

    #[cfg(not(feature = "ring"))]
    fn make_ring(_: Option<CoreId>, _: Idle, _: Sockets) -> Result<Self, ExecutorError> {
        Err(ExecutorError::NoRingInBuild)
    }

    #[cfg(not(feature = "ring"))]
    fn make_first_ring(_: Option<CoreId>, _: Idle, _: Sockets) -> Result<Self, ExecutorError> {
        epoll::EpollRuntime::make().map(Self::Epoll)
    }

    /// Runs `body` to its end on the calling thread, with the tasks that it spawns.
    pub(crate) fn run<T>(&self, body: impl Future<Output = T>) -> T {
        match self {
            #[cfg(feature = "ring")]
            Self::Ring(runtime) => {
                KIND.set(Some(Kind::Ring));
                runtime.run(body)
            }
            Self::Epoll(runtime) => {
                KIND.set(Some(Kind::Epoll));
                runtime.run(body)
            }
        }
    }
}

/// A descriptor for whose readiness an executor waits. Each is waited for in one direction only, by one task at a time.
#[derive(Debug)]
pub(crate) enum Polled<T: AsRawFd> {
    #[cfg(feature = "ring")]
    Ring(ring::RingPolled<T>),
    Epoll(epoll::EpollPolled<T>),
}

impl<T: AsFd + AsRawFd> Polled<T> {
    /// Takes a descriptor in.
    ///
    /// # Errors
    /// If the reactor does not take it.
    ///
    /// # Panics
    /// Outside an executor.
    pub(crate) fn new(fd: T) -> io::Result<Self> {
        match kind() {
            #[cfg(feature = "ring")]
            Kind::Ring => ring::RingPolled::new(fd).map(Self::Ring),
            Kind::Epoll => Ok(Self::Epoll(epoll::EpollPolled::new(fd))),
        }
    }

    /// Waits until the descriptor can be read, or has failed.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            #[cfg(feature = "ring")]
            Self::Ring(polled) => polled.readable().await,
            Self::Epoll(polled) => polled.readable().await,
        }
    }

    /// Waits until the descriptor can be written to, or has failed.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match self {
            #[cfg(feature = "ring")]
            Self::Ring(polled) => polled.writable().await,
            Self::Epoll(polled) => polled.writable().await,
        }
    }

    /// The descriptor.
    pub(crate) fn get_ref(&self) -> &T {
        match self {
            #[cfg(feature = "ring")]
            Self::Ring(polled) => polled.get_ref(),
            Self::Epoll(polled) => polled.get_ref(),
        }
    }

    /// Gives the descriptor back.
    pub(crate) fn into_inner(self) -> T {
        match self {
            #[cfg(feature = "ring")]
            Self::Ring(polled) => polled.into_inner(),
            Self::Epoll(polled) => polled.into_inner(),
        }
    }
}

/// A task that was given to the reactor's runtime. Dropped, it goes on by itself.
#[derive(Debug)]
pub(crate) enum Handle<T> {
    #[cfg(feature = "ring")]
    Ring(ring::RingHandle<T>),
    Epoll(epoll::EpollHandle<T>),
}

/// Queues `future`, which is first polled once the caller waits.
///
/// # Panics
/// Outside an executor.
pub(crate) fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Handle<T> {
    match kind() {
        #[cfg(feature = "ring")]
        Kind::Ring => Handle::Ring(ring::spawn(future)),
        Kind::Epoll => Handle::Epoll(epoll::spawn(future)),
    }
}

impl<T> Future for Handle<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match self.get_mut() {
            #[cfg(feature = "ring")]
            Self::Ring(handle) => Pin::new(handle).poll(cx),
            Self::Epoll(handle) => Pin::new(handle).poll(cx),
        }
    }
}

/// Ends a turn: the reactor looks at its descriptors before the caller goes on.
pub(crate) async fn end_turn() {
    match kind() {
        #[cfg(feature = "ring")]
        Kind::Ring => ring::end_turn().await,
        Kind::Epoll => epoll::end_turn().await,
    }
}
