//! Figures of the process about its protection: what the page for Prometheus says of it.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

use corecast_executors::MonotonicNs;
use tracing::warn;

static INSECURE_LISTENERS: AtomicU64 = AtomicU64::new(0);
static RELOADS: AtomicU64 = AtomicU64::new(0);
static RELOADS_FAILED: AtomicU64 = AtomicU64::new(0);
static HTTP_REFUSALS: AtomicU64 = AtomicU64::new(0);

/// The listeners of a broker or of its HTTP server that lack protection: logged when they open, and counted until this is
/// dropped.
#[derive(Default, Debug)]
pub(crate) struct InsecureListeners(Vec<String>);

impl InsecureListeners {
    /// Notes these, each a line for people.
    pub(crate) fn note(lines: Vec<String>) -> Self {
        INSECURE_LISTENERS.fetch_add(lines.len() as u64, Ordering::Relaxed);
        for listener in &lines {
            warn!("insecure {listener}");
        }
        InsecureListeners(lines)
    }

    /// The lines.
    pub(crate) fn lines(&self) -> &[String] {
        &self.0
    }
}

impl Drop for InsecureListeners {
    fn drop(&mut self) {
        INSECURE_LISTENERS.fetch_sub(self.0.len() as u64, Ordering::Relaxed);
    }
}

/// Counts a reload of files.
pub(crate) fn count_reload(is_done: bool) {
    let counter = if is_done { &RELOADS } else { &RELOADS_FAILED };
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Counts a request without the token that the HTTP server asks for, and logs where it came from, at most once a second.
pub(crate) fn note_http_refusal(peer: &impl Debug) {
    /// The second of the last line, counted from 1.
    static LOGGED_AT_S: AtomicU64 = AtomicU64::new(0);
    let refused = 1 + HTTP_REFUSALS.fetch_add(1, Ordering::Relaxed);
    let now_s = 1 + MonotonicNs::now().0 / 1_000_000_000;
    if LOGGED_AT_S.swap(now_s, Ordering::Relaxed) != now_s {
        warn!(?peer, refused, "a request to the HTTP server showed no token, or a wrong one");
    }
}

/// The number of listeners that lack protection.
pub(super) fn insecure_listeners() -> u64 {
    INSECURE_LISTENERS.load(Ordering::Relaxed)
}

/// The numbers of reloads that were done, and that failed.
pub(super) fn reloads() -> (u64, u64) {
    (RELOADS.load(Ordering::Relaxed), RELOADS_FAILED.load(Ordering::Relaxed))
}

/// The number of requests that showed no token, or a wrong one.
pub(super) fn http_refusals() -> u64 {
    HTTP_REFUSALS.load(Ordering::Relaxed)
}
