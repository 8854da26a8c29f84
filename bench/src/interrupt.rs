//! Owns the wish to stop: set by a signal, read by whoever works. The first asks a run to end with what it has, the
//! second ends the process at once.

use corecast_executors::{TerminationSignals, exit_now, spawn_plain};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The wish to stop. Clones are the same wish.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// One that SIGINT and SIGTERM set.
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

    /// True once somebody asked to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
