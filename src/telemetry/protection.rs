//! Figures of the process about its protection: what the page for Prometheus says of it.

use std::sync::atomic::{AtomicU64, Ordering};

use tracing::warn;

static INSECURE_LISTENERS: AtomicU64 = AtomicU64::new(0);
static RELOADS: AtomicU64 = AtomicU64::new(0);
static RELOADS_FAILED: AtomicU64 = AtomicU64::new(0);

/// Logs and counts the listeners of a broker that lack protection.
pub(crate) fn note_insecure(listeners: &[String]) {
    INSECURE_LISTENERS.store(listeners.len() as u64, Ordering::Relaxed);
    for listener in listeners {
        warn!("insecure {listener}");
    }
}

/// Counts a reload of the file of users.
pub(crate) fn count_reload(is_done: bool) {
    let counter = if is_done { &RELOADS } else { &RELOADS_FAILED };
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The number of listeners that lack protection.
pub(super) fn insecure_listeners() -> u64 {
    INSECURE_LISTENERS.load(Ordering::Relaxed)
}

/// The numbers of reloads that were done, and that failed.
pub(super) fn reloads() -> (u64, u64) {
    (RELOADS.load(Ordering::Relaxed), RELOADS_FAILED.load(Ordering::Relaxed))
}
