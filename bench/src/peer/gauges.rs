//! Owns how far the subscribers' threads are, for the publisher and for whoever watches: a few counters that each
//! thread writes once a turn, and nobody else writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One thread's. It has a cache line to itself: others' reading does not slow its neighbours.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Gauge {
    /// Sessions that are ready.
    ready: AtomicU64,
    /// Messages that its subscribers have got of the run, or were told they missed, over all of them.
    accounted: AtomicU64,
    /// The same at the session that has least.
    least: AtomicU64,
}

impl Gauge {
    /// Stores the number of sessions that are ready.
    pub fn set_ready(&self, ready: u64) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// The run is so far.
    pub fn set_progress(&self, accounted: u64, least: u64) {
        self.accounted.store(accounted, Ordering::Relaxed);
        self.least.store(least, Ordering::Relaxed);
    }
}

/// Those of all threads.
#[derive(Clone, Debug)]
pub struct Gauges(Arc<[Gauge]>);

impl Gauges {
    /// For so many threads.
    pub fn new(threads: usize) -> Self {
        Gauges((0..threads).map(|_| Gauge::default()).collect())
    }

    /// The one of this thread.
    pub fn of(&self, thread: usize) -> &Gauge {
        &self.0[thread]
    }

    /// Sessions that are ready.
    pub fn ready(&self) -> u64 {
        self.0.iter().map(|gauge| gauge.ready.load(Ordering::Relaxed)).sum()
    }

    /// Messages accounted for in the run, over all subscribers.
    pub fn accounted(&self) -> u64 {
        self.0.iter().map(|gauge| gauge.accounted.load(Ordering::Relaxed)).sum()
    }

    /// Messages accounted for at the subscriber that has least.
    pub fn least(&self) -> u64 {
        self.0.iter().map(|gauge| gauge.least.load(Ordering::Relaxed)).min().unwrap_or(0)
    }
}
