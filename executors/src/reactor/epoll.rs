//! epoll, with tokio's current-thread runtime: nothing but its tasks and its descriptors is used, since time comes with ticks.

use std::cell::OnceCell;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::{JoinHandle, LocalSet};

use crate::executor::ExecutorError;

pub(crate) struct EpollRuntime {
    runtime: tokio::runtime::Runtime,
    tasks: LocalSet,
}

impl EpollRuntime {
    pub(super) fn make() -> Result<Self, ExecutorError> {
        let made = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = made.map_err(|error| match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE) => ExecutorError::Descriptors(error),
            _ => ExecutorError::Epoll(error),
        })?;
        Ok(Self { runtime, tasks: LocalSet::new() })
    }

    pub(super) fn run<T>(&self, body: impl Future<Output = T>) -> T {
        self.tasks.block_on(&self.runtime, body)
    }
}

/// A descriptor by its number, which its owner keeps open for longer.
#[derive(Debug)]
struct Number(RawFd);

impl AsRawFd for Number {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

/// A descriptor, registered once it is first waited for.
#[derive(Debug)]
pub(crate) struct EpollPolled<T> {
    /// Dropped before the descriptor, which it knows by its number.
    reads: OnceCell<AsyncFd<Number>>,
    fd: T,
}

impl<T: AsFd + AsRawFd> EpollPolled<T> {
    pub(super) fn new(fd: T) -> Self {
        Self { reads: OnceCell::new(), fd }
    }

    /// Waits until the kernel says that the descriptor can be read. The runtime remembers an event until it is told that it is
    /// over, so the kernel is asked, too.
    pub(super) async fn readable(&self) -> io::Result<()> {
        let reads = match self.reads.get() {
            Some(reads) => reads,
            None => {
                let reads = register(&self.fd, Interest::READABLE)?;
                self.reads.get_or_init(|| reads)
            }
        };
        let mut has_waited = false;
        loop {
            let wait = poll_fn(|cx| {
                let ready = reads.poll_read_ready(cx);
                has_waited |= ready.is_pending();
                ready
            });
            let mut ready = wait.await?;
            if is_readable(&self.fd) {
                if !has_waited {
                    end_turn().await;
                }
                return Ok(());
            }
            ready.clear_ready();
        }
    }

    /// Waits until there is room. Made anew each time: it is rare, and a registration that is kept would have an event for all
    /// that the peer reads.
    pub(super) async fn writable(&self) -> io::Result<()> {
        let writes = register(&self.fd, Interest::WRITABLE)?;
        writes.writable().await.map(drop)
    }

    pub(super) fn get_ref(&self) -> &T {
        &self.fd
    }

    pub(super) fn into_inner(self) -> T {
        drop(self.reads);
        self.fd
    }
}

/// Has the runtime watch a descriptor, whose owner drops this first.
#[expect(
    deprecated,
    reason = "the form in its place asks for an unsafe block, for what `EpollPolled` sees to: the descriptor stays open meanwhile"
)]
fn register(fd: &impl AsRawFd, interest: Interest) -> io::Result<AsyncFd<Number>> {
    AsyncFd::with_interest(Number(fd.as_raw_fd()), interest)
}

/// True if a read would not block. An interrupted question is answered by the next one.
fn is_readable(fd: &impl AsFd) -> bool {
    let mut asked = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut asked, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// A task of the runtime.
#[derive(Debug)]
pub(crate) struct EpollHandle<T>(JoinHandle<T>);

pub(super) fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> EpollHandle<T> {
    EpollHandle(tokio::task::spawn_local(future))
}

impl<T> Future for EpollHandle<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match Pin::new(&mut self.0).poll(cx) {
            Poll::Ready(Ok(value)) => Poll::Ready(value),
            // A panic ends the process (`thread`), and only the end of the runtime cancels a task, with the one that awaits it.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

pub(super) async fn end_turn() {
    // A task that yields goes on once the runtime has looked at its descriptors.
    tokio::task::yield_now().await;
}
