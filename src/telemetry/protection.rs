//! Figures of the process about its protection: what the page for Prometheus says of it.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use corecast_executors::MonotonicNs;
use tracing::warn;

static INSECURE_LISTENERS: AtomicU64 = AtomicU64::new(0);
static RELOADS: AtomicU64 = AtomicU64::new(0);
static RELOADS_FAILED: AtomicU64 = AtomicU64::new(0);
static HTTP_REFUSALS: Incidents = Incidents::new();
static HTTP_PUSHED_OUT: Incidents = Incidents::new();
static HTTP_HANDSHAKES_FAILED: Incidents = Incidents::new();

/// Incidents of one kind: counted, and logged at most once a second.
struct Incidents {
    count: AtomicU64,
    /// The second of the last line, counted from 1.
    logged_at_s: AtomicU64,
}

impl Incidents {
    const fn new() -> Self {
        Incidents { count: AtomicU64::new(0), logged_at_s: AtomicU64::new(0) }
    }

    /// Counts one, and has it logged with the number of all so far, if none was in this second.
    fn note(&self, log: impl FnOnce(u64)) {
        let count = 1 + self.count.fetch_add(1, Ordering::Relaxed);
        let now_s = 1 + MonotonicNs::now().0 / 1_000_000_000;
        if self.logged_at_s.swap(now_s, Ordering::Relaxed) != now_s {
            log(count);
        }
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

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
pub(crate) fn note_http_refusal(peer: &impl Display) {
    HTTP_REFUSALS.note(
        |refused| warn!(%peer, refused, "a request to the HTTP server showed no token, or a wrong one"),
    );
}

/// Counts a connection to the HTTP server that gives way to a newer one, and logs where it came from, at most once a second.
pub(crate) fn note_http_pushed_out(peer: &impl Display) {
    HTTP_PUSHED_OUT.note(|pushed_out| {
        warn!(%peer, pushed_out, "too many connections to the HTTP server: one of the host with the most gave way to a newer one");
    });
}

/// Counts a handshake at the HTTP server that failed, and logs where and why, at most once a second.
pub(crate) fn note_http_handshake_failed(peer: &impl Display, reason: &impl Display) {
    HTTP_HANDSHAKES_FAILED
        .note(|failed| warn!(%peer, %reason, failed, "a TLS handshake with the HTTP server failed"));
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
    HTTP_REFUSALS.count()
}

/// The number of connections to the HTTP server that gave way to newer ones.
pub(super) fn http_pushed_out() -> u64 {
    HTTP_PUSHED_OUT.count()
}

/// The number of handshakes at the HTTP server that failed.
pub(super) fn http_handshakes_failed() -> u64 {
    HTTP_HANDSHAKES_FAILED.count()
}
