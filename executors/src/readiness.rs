//! Sockets that wait to be read, all of an executor behind one descriptor: an epoll instance, of which the ring polls
//! nothing but that descriptor. Used by `net`.
//!
//! With a poll in the ring for each socket, every cancellation in that ring walks along a thirty-second of them, and the
//! runtime cancels a timer of its own in each of its rounds: with 4,500 idle sockets a shard that was a third of all that
//! their broker did. Here a wait is one call, and what has become ready is fetched for many sockets at a time.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use slab::Slab;

use crate::reactor::Polled;
use crate::task::spawn_local;

/// Sockets that one turn of the pump wakes: the others follow in the next round of the reactor.
const EVENTS_PER_TURN: usize = 256;

thread_local! {
    /// The sockets of this executor, once it has one.
    static READINESS: RefCell<Option<Rc<Readiness>>> = const { RefCell::new(None) };
}

/// The sockets of one executor that are or will be waited for.
#[derive(Debug)]
struct Readiness {
    epoll: Rc<Events>,
    /// By the number of each socket.
    waits: RefCell<Slab<Wait>>,
    /// The number of waits that are over and whose tasks have not run since.
    ready: Cell<usize>,
    /// Its pump runs.
    is_pumped: Cell<bool>,
}

/// The epoll instance in the form that the runtime takes.
#[derive(Debug)]
struct Events(Epoll);

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

/// A socket's wait.
#[derive(Debug)]
enum Wait {
    /// Nobody waits.
    Idle,
    /// A task waits.
    Waiting(Waker),
    /// The wait is over.
    Ready,
}

impl Readiness {
    /// Those of the executor that calls, whose pump runs.
    fn here() -> io::Result<Rc<Self>> {
        READINESS.with_borrow_mut(|here| {
            if let Some(readiness) = here.as_ref().filter(|readiness| readiness.is_pumped.get()) {
                return Ok(Rc::clone(readiness));
            }
            let readiness = Rc::new(Readiness {
                epoll: Rc::new(Events(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?)),
                waits: RefCell::default(),
                ready: Cell::new(0),
                is_pumped: Cell::new(true),
            });
            let polled = Polled::new(Rc::clone(&readiness.epoll))?;
            spawn_local(pump(Pumped(Rc::clone(&readiness)), polled)).detach();
            Ok(Rc::clone(here.insert(readiness)))
        })
    }

    /// Wakes the tasks whose sockets have become readable, up to a turn's share.
    fn wake_ready(&self, events: &mut [EpollEvent]) {
        // An interrupted call is made again by the next turn, since the descriptor stays ready.
        let ready = self.epoll.0.wait(events, EpollTimeout::ZERO).unwrap_or(0);
        for event in &events[..ready] {
            if let Some(waker) = self.make_ready(event.data()) {
                waker.wake();
            }
        }
    }

    /// Nobody waits any more.
    fn end_wait(&self, wait: &mut Wait) {
        if matches!(std::mem::replace(wait, Wait::Idle), Wait::Ready) {
            self.ready.set(self.ready.get() - 1);
        }
    }

    /// Ends the wait for the socket of this number. Returns the waker of the task that waits, if one does: it may have left
    /// meanwhile, and the number may be another socket's, which then looks in vain.
    fn make_ready(&self, number: u64) -> Option<Waker> {
        let mut waits = self.waits.borrow_mut();
        let wait = waits.get_mut(usize::try_from(number).ok()?)?;
        match std::mem::replace(wait, Wait::Ready) {
            Wait::Waiting(waker) => {
                self.ready.set(self.ready.get() + 1);
                Some(waker)
            }
            before @ (Wait::Idle | Wait::Ready) => {
                *wait = before;
                None
            }
        }
    }
}

/// Returns the number of sockets of this executor that have become readable and whose tasks have not run since. An executor that
/// does not sleep looks at its sockets itself, and counts none of those.
#[must_use]
pub fn readable_sockets() -> usize {
    READINESS.with_borrow(|here| here.as_ref().map_or(0, |readiness| readiness.ready.get()))
}

/// The pump's hold on its executor's sockets: those that come when it has ended need another.
struct Pumped(Rc<Readiness>);

impl Drop for Pumped {
    fn drop(&mut self) {
        self.0.is_pumped.set(false);
    }
}

async fn pump(pumped: Pumped, polled: Polled<Rc<Events>>) {
    let mut events = [EpollEvent::empty(); EVENTS_PER_TURN];
    // The wait is the end of each turn.
    while polled.readable().await.is_ok() {
        pumped.0.wake_ready(&mut events);
    }
}

/// A socket's place among those of its executor, for as long as the socket belongs to it.
#[derive(Debug)]
pub(crate) struct ReadWatch {
    readiness: Rc<Readiness>,
    number: usize,
}

impl ReadWatch {
    /// Takes a socket in.
    ///
    /// # Errors
    /// If no descriptor is left for the first one of an executor, or the kernel has no memory for one more.
    pub(crate) fn new(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let readiness = Readiness::here()?;
        let number = readiness.waits.borrow_mut().insert(Wait::Idle);
        // Dropped if the kernel refuses.
        let watch = ReadWatch { readiness, number };
        watch.readiness.epoll.0.add(socket, watch.event(EpollFlags::empty()))?;
        Ok(watch)
    }

    fn event(&self, flags: EpollFlags) -> EpollEvent {
        EpollEvent::new(flags | EpollFlags::EPOLLONESHOT, self.number as u64)
    }

    /// Waits until that socket can be read, has come to its end, or has failed. One task at a time waits.
    ///
    /// # Errors
    /// If the kernel refuses to watch it.
    ///
    /// # Panics
    /// If another task waits for it.
    pub(crate) async fn readable(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        Readable { watch: self, socket, is_armed: false }.await
    }

    /// Ends the wait of the task that waits for the socket, if one does, as if it could be read.
    pub(crate) fn interrupt(&self) {
        if let Some(waker) = self.readiness.make_ready(self.number as u64) {
            waker.wake();
        }
    }

    /// Lets a socket go that is to belong to another executor. One that is closed goes by itself.
    pub(crate) fn let_go(self, socket: impl AsFd) {
        // It was taken in, and is still open.
        let _ = self.readiness.epoll.0.delete(socket);
    }
}

impl Drop for ReadWatch {
    fn drop(&mut self) {
        self.readiness.waits.borrow_mut().remove(self.number);
    }
}

/// One wait for a socket.
struct Readable<'a> {
    watch: &'a ReadWatch,
    socket: BorrowedFd<'a>,
    is_armed: bool,
}

impl Future for Readable<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let watch = self.watch;
        let mut waits = watch.readiness.waits.borrow_mut();
        let wait = &mut waits[watch.number];
        if !self.is_armed {
            assert!(!matches!(wait, Wait::Waiting(_)), "one task at a time waits for a socket");
            watch.readiness.epoll.0.modify(self.socket, &mut watch.event(EpollFlags::EPOLLIN))?;
            self.is_armed = true;
        } else if matches!(wait, Wait::Ready) {
            watch.readiness.end_wait(wait);
            return Poll::Ready(Ok(()));
        }
        *wait = Wait::Waiting(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Readable<'_> {
    fn drop(&mut self) {
        if self.is_armed {
            // What comes for it now comes for nobody.
            let readiness = &self.watch.readiness;
            readiness.end_wait(&mut readiness.waits.borrow_mut()[self.watch.number]);
        }
    }
}
