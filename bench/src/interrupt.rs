//! Owns the request to stop, read by whatever is to stop. Of a command it is set by a signal: the first asks a run to end with
//! what it has, the second ends the process at once.

use corecast_executors::{TerminationSignals, exit_now, pause, spawn_plain};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Interval between two checks of a request during a pause.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A request to stop. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// A request that SIGINT and SIGTERM make.
    pub fn by_signal() -> io::Result<Self> {
        let interrupt = Interrupt::default();
        let asked = interrupt.clone();
        let mut signals = TerminationSignals::install()?;
        spawn_plain("bench-signals", move || {
            signals.wait();
            asked.set();
            signals.wait();
            // The broker goes too: it is guarded.
            exit_now(1);
        })?;
        Ok(interrupt)
    }

    /// Asks to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Waits for so long, or until somebody asks to stop: then `false`.
    pub fn pause(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while !self.is_set() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            pause(left.min(LOOK_EVERY));
        }
        false
    }

    /// True once somebody asked to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
