//! SIGTERM and SIGINT as values. Installed once by a command, waited for by one plain thread.

use std::io;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::clock::MonotonicNs;

/// The same signal again within this time is the same request: `timeout` sends its signal to the command and then
/// to its group, the command among them. A person asks again a good deal later.
pub const SAME_REQUEST: Duration = Duration::from_millis(100);

/// The signals that ask a process to end. While this lives they no longer kill it.
///
/// The first asks for an orderly end; a second, seen by another [`wait`](Self::wait), says that
/// the asker has no patience left. The same one again within [`SAME_REQUEST`] is not a second.
#[derive(Debug)]
pub struct TerminationSignals {
    signals: Signals,
    /// The last request, and when it was seen.
    last: Option<(i32, MonotonicNs)>,
}

impl TerminationSignals {
    /// From now on SIGTERM and SIGINT are kept for [`wait`](Self::wait).
    ///
    /// # Errors
    /// When no descriptor is left for the pipe that carries them.
    pub fn install() -> io::Result<Self> {
        Ok(Self { signals: Signals::new([SIGTERM, SIGINT])?, last: None })
    }

    /// Blocks the thread until a signal comes, and says which.
    pub fn wait(&mut self) -> i32 {
        loop {
            let signal = self.signals.forever().next().expect("nobody closes it");
            if self.is_request(signal) {
                return signal;
            }
        }
    }

    /// Whether this one asks anew, which is noted.
    fn is_request(&mut self, signal: i32) -> bool {
        let now = MonotonicNs::now();
        let again =
            self.last.is_some_and(|(last, at)| last == signal && now.saturating_since(at) < SAME_REQUEST);
        if !again {
            self.last = Some((signal, now));
        }
        !again
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};

    use super::*;
    use crate::thread::{pause, spawn_plain};

    #[test]
    fn the_same_signal_at_once_is_the_same_request_and_later_another() {
        let mut signals = TerminationSignals::install().unwrap();
        raise(Signal::SIGTERM).unwrap();
        assert_eq!(signals.wait(), SIGTERM);
        raise(Signal::SIGTERM).unwrap();
        let other = spawn_plain("other", || {
            pause(SAME_REQUEST / 5);
            raise(Signal::SIGINT)
        });
        assert_eq!(signals.wait(), SIGINT, "SIGTERM came again at once");
        other.unwrap().join().unwrap().unwrap();
        pause(SAME_REQUEST);
        raise(Signal::SIGINT).unwrap();
        assert_eq!(signals.wait(), SIGINT);
    }
}
