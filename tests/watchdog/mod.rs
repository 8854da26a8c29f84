//! Ends a test that hangs, and names it. Tests wait for signals, never for a fixed time; the watchdog stands behind
//! them in case the signal never comes.

use std::io::Write as _;
use std::time::{Duration, Instant};

use corecast_executors::{Link, RecvTimeout, link, spawn_plain};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Time limit of a test, on a machine that is busy with something else.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A watchdog: the test may run while this lives; after its limit the test process ends with all that it started.
#[derive(Debug)]
pub(crate) struct Watchdog {
    _alive: Link<()>,
}

/// Starts to watch the test `name`.
#[must_use]
#[allow(dead_code, reason = "not every test file asks for both")]
pub(crate) fn watch(name: &'static str) -> Watchdog {
    watch_for(name, LIMIT)
}

/// As [`watch`], for a test that takes longer by design.
#[must_use]
pub(crate) fn watch_for(name: &'static str, limit: Duration) -> Watchdog {
    let (alive, mut inbox) = link::<()>(1);
    let bark = move || {
        if inbox.recv_deadline(Instant::now() + limit) == Err(RecvTimeout::TimedOut) {
            let _ = writeln!(std::io::stderr(), "watchdog: {name} still runs after {limit:?}");
            end_children();
            std::process::exit(101);
        }
    };
    spawn_plain("watchdog", bark).expect("a test can make a thread");
    Watchdog { _alive: alive }
}

/// Nothing that tests of this process started outlives it.
fn end_children() {
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for pid in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            // Gone already is as good.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
