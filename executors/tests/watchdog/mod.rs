//! Ends a test that hangs, and names it. Tests wait for signals, never for a fixed time; the watchdog stands behind
//! them in case the signal never comes.

use std::io::Write as _;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use corecast_executors::{Link, RecvTimeout, link, spawn_plain};

/// A watchdog: the test may run while this lives; after `limit` the whole test process ends.
#[derive(Debug)]
pub(crate) struct Watchdog {
    _alive: Link<()>,
    _thread: JoinHandle<()>,
}

/// Starts to watch the test `name`.
#[must_use]
pub(crate) fn watch(name: &'static str, limit: Duration) -> Watchdog {
    let (alive, mut inbox) = link::<()>(1);
    let thread = spawn_plain("watchdog", move || {
        if inbox.recv_deadline(Instant::now() + limit) == Err(RecvTimeout::TimedOut) {
            let _ = writeln!(std::io::stderr(), "watchdog: {name} still runs after {limit:?}");
            std::process::exit(101);
        }
    });
    Watchdog { _alive: alive, _thread: thread.expect("a test can make a thread") }
}
