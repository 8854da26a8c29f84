//! Owns the progress of the slowest raw subscriber, for a publisher that must not run ahead of it: a counter for each
//! thread, which writes it once a turn; nobody else writes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One thread's counter. It has a cache line to itself: others' reading does not slow its neighbours.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Gauge(AtomicU64);

/// The counters of all threads.
#[derive(Clone, Debug)]
pub struct Gauges(Arc<[Gauge]>);

impl Gauges {
    /// Counters for this many threads.
    pub fn new(threads: usize) -> Self {
        Gauges((0..threads).map(|_| Gauge::default()).collect())
    }

    /// Stores the messages of the run accounted for at the slowest session of a thread.
    pub fn set(&self, thread: usize, least: u64) {
        self.0[thread].0.store(least, Ordering::Relaxed);
    }

    /// Messages of the run accounted for at the slowest subscriber.
    pub fn least(&self) -> u64 {
        self.0.iter().map(|gauge| gauge.0.load(Ordering::Relaxed)).min().unwrap_or(0)
    }
}
