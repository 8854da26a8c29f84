//! Waiting for a point in time on an executor, with a kernel timer and one poll. For load generators and tools: the
//! product's own deadlines come with ticks.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::clock::MonotonicNs;
use crate::reactor::Polled;
use crate::thread::on_executor;

const NS_PER_S: u64 = 1_000_000_000;

/// A timer of this executor, for any number of waits, one after the other.
#[derive(Debug)]
pub struct Pacer {
    timer: Polled<Timer>,
}

/// The descriptor in the form that the runtime takes.
#[derive(Debug)]
struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Pacer {
    /// Makes a timer.
    ///
    /// # Errors
    /// If this thread is not an executor, or no descriptor is left.
    pub fn new() -> io::Result<Self> {
        if !on_executor() {
            return Err(io::Error::other("a pacer can be made only on an executor thread"));
        }
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = Timer(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?);
        Ok(Self { timer: Polled::new(timer)? })
    }

    /// Waits until `deadline`; returns at once if it has passed.
    ///
    /// A generator that is behind its schedule therefore never waits here: it ends its turns
    /// itself.
    ///
    /// # Errors
    /// If the kernel refuses the timer or the poll.
    pub async fn until(&mut self, deadline: MonotonicNs) -> io::Result<()> {
        if MonotonicNs::now() >= deadline {
            return Ok(());
        }
        // Setting the timer again also clears the expiry of the last wait: nothing needs to be read.
        let at = TimeSpec::new((deadline.0 / NS_PER_S) as i64, (deadline.0 % NS_PER_S) as i64);
        self.timer.get_ref().0.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        self.timer.readable().await
    }
}
