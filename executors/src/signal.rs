//! SIGTERM and SIGINT as values. Installed once by a command, waited for by one plain thread.

use std::io;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

/// The signals that ask a process to end. While this lives they no longer kill it.
///
/// The first asks for an orderly end; a second, seen by another [`wait`](Self::wait), says that
/// the asker has no patience left.
#[derive(Debug)]
pub struct TerminationSignals {
    signals: Signals,
}

impl TerminationSignals {
    /// From now on SIGTERM and SIGINT are kept for [`wait`](Self::wait).
    ///
    /// # Errors
    /// When no descriptor is left for the pipe that carries them.
    pub fn install() -> io::Result<Self> {
        Ok(Self { signals: Signals::new([SIGTERM, SIGINT])? })
    }

    /// Blocks the thread until a signal comes and says which. 0: another thread called
    /// [`SignalWaker::wake`].
    pub fn wait(&mut self) -> i32 {
        self.signals.forever().next().unwrap_or(0)
    }

    /// A signal that has come since the last call, without waiting.
    pub fn pending(&mut self) -> Option<i32> {
        self.signals.pending().next()
    }

    /// What ends a wait from another thread, for a command that ends by itself.
    #[must_use]
    pub fn waker(&self) -> SignalWaker {
        SignalWaker { handle: self.signals.handle() }
    }
}

/// Ends the wait of a [`TerminationSignals`], now and for good.
#[derive(Debug, Clone)]
pub struct SignalWaker {
    handle: Handle,
}

impl SignalWaker {
    /// Ends it.
    pub fn wake(&self) {
        self.handle.close();
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};

    use super::*;
    use crate::thread::spawn_plain;

    #[test]
    fn signals_arrive_one_by_one_and_a_waker_ends_the_wait() {
        let mut signals = TerminationSignals::install().unwrap();
        assert_eq!(signals.pending(), None);
        raise(Signal::SIGTERM).unwrap();
        assert_eq!(signals.wait(), SIGTERM);
        raise(Signal::SIGINT).unwrap();
        assert_eq!(signals.pending(), Some(SIGINT));
        assert_eq!(signals.pending(), None);
        let waker = signals.waker();
        let thread = spawn_plain("waker", move || waker.wake()).unwrap();
        assert_eq!(signals.wait(), 0);
        thread.join().unwrap();
    }
}
