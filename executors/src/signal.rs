//! Signals: those that ask a process to end, as values, and those that must not end it. A command sets them up once;
//! one plain thread waits for requests.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ,
};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::clock::MonotonicNs;

/// Requests to end: from an operator, a closing terminal, the limit of CPU time, and a failing power supply. SIGQUIT is
/// not among them: it asks for an end at once, with a core dump.
const REQUESTS: [i32; 5] = [SIGTERM, SIGINT, SIGHUP, SIGXCPU, libc::SIGPWR];

/// Signals that mean something to other programs but nothing to these, and would end them. So do the real-time signals.
const STRAY: [i32; 7] = [SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, libc::SIGSTKFLT];

/// Time within which a repeated signal is the same request: `timeout` sends its signal to the command and then to its
/// group, which includes the command. A person takes a good deal longer to repeat a request.
pub const SAME_REQUEST: Duration = Duration::from_millis(100);

/// The signals that ask a process to end. While this lives they do not kill it.
///
/// The first asks for an orderly end; a second, seen by another [`wait`](Self::wait), asks for an immediate one. The
/// same signal again within [`SAME_REQUEST`] does not count as a second.
#[derive(Debug)]
pub struct TerminationSignals {
    signals: Signals,
    /// The last request, and its time.
    last: Option<(i32, MonotonicNs)>,
    /// True if SIGHUP asks for something else than an end.
    hang_up_reloads: bool,
}

/// A request by a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignalRequest {
    /// End.
    End,
    /// Read files again.
    Reload,
    /// Send the clients elsewhere, and then end.
    SendOff,
}

impl TerminationSignals {
    /// Starts to keep SIGTERM, SIGINT, SIGHUP, SIGXCPU and SIGPWR for [`wait`](Self::wait). A SIGHUP that was ignored
    /// stays ignored: the process was started by `nohup`, to outlive its terminal.
    ///
    /// # Errors
    /// If no descriptor is left for the pipe that carries them.
    pub fn install() -> io::Result<Self> {
        let kept = REQUESTS.into_iter().filter(|signal| *signal != SIGHUP || !is_ignored(SIGHUP));
        Ok(Self { signals: Signals::new(kept)?, last: None, hang_up_reloads: false })
    }

    /// The same, but SIGHUP asks to read files again, also of a process that was started by `nohup`.
    ///
    /// # Errors
    /// As for [`install`](Self::install).
    pub fn install_with_reload() -> io::Result<Self> {
        Ok(Self { signals: Signals::new(REQUESTS)?, last: None, hang_up_reloads: true })
    }

    /// The same, and SIGUSR2 asks to send the clients elsewhere.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn with_send_off(self) -> io::Result<Self> {
        self.signals.add_signal(SIGUSR2)?;
        Ok(self)
    }

    /// Blocks the thread until a signal arrives, and returns what it asks for.
    pub fn wait_for_request(&mut self) -> SignalRequest {
        loop {
            let signal = self.signals.forever().next().expect("nobody closes it");
            if signal == SIGUSR2 {
                return SignalRequest::SendOff;
            }
            if signal == SIGHUP && self.hang_up_reloads {
                return SignalRequest::Reload;
            }
            if self.is_request(signal) {
                return SignalRequest::End;
            }
        }
    }

    /// Blocks the thread until a signal arrives, and returns it.
    pub fn wait(&mut self) -> i32 {
        loop {
            let signal = self.signals.forever().next().expect("nobody closes it");
            if self.is_request(signal) {
                return signal;
            }
        }
    }

    /// True if this is a new request, which is recorded.
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

/// True if this process was started with that signal ignored, and has not changed it.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let set = ignored.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    set.is_some_and(|set| set & (1 << (signal - 1)) != 0)
}

/// Makes SIGXFSZ do nothing: the write that exceeds the limit of file sizes fails, and reports the error itself.
///
/// # Errors
/// If the kernel refuses.
pub fn ignore_file_size_signal() -> io::Result<()> {
    ignore(SIGXFSZ)
}

/// Makes signals that are not requests here do nothing, instead of ending the process: SIGUSR1 and SIGUSR2, those of
/// timers, and the real-time signals.
///
/// # Errors
/// If the kernel refuses.
pub fn ignore_stray_signals() -> io::Result<()> {
    STRAY.into_iter().chain(libc::SIGRTMIN()..=libc::SIGRTMAX()).try_for_each(ignore)
}

/// Catches a signal with an empty action. Programs started by this one do not inherit that, as they would an ignored
/// signal.
fn ignore(signal: i32) -> io::Result<()> {
    flag::register(signal, Arc::new(AtomicBool::new(false))).map(drop)
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
