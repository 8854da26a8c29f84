//! A gate that every kind of churn passes before each of its rounds. When it is closed, it returns once all wait in
//! front of it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::look_again;

#[derive(Debug)]
pub(crate) struct Gate {
    threads: usize,
    closed: AtomicBool,
    waiting: AtomicUsize,
}

impl Gate {
    /// An open gate for so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        Gate { threads, closed: AtomicBool::new(false), waiting: AtomicUsize::new(0) }
    }

    /// Waits while the gate is closed.
    pub(crate) fn pass(&self) {
        if !self.closed.load(Ordering::Acquire) {
            return;
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        while self.closed.load(Ordering::Acquire) {
            look_again();
        }
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// Closes it, and returns when every thread has ended its round. Calls `check` all the while: a thread that has
    /// panicked never comes.
    pub(crate) fn close(&self, check: impl Fn()) {
        self.closed.store(true, Ordering::Release);
        while self.waiting.load(Ordering::Acquire) < self.threads {
            check();
            look_again();
        }
    }

    pub(crate) fn open(&self) {
        self.closed.store(false, Ordering::Release);
        while self.waiting.load(Ordering::Acquire) > 0 {
            look_again();
        }
    }
}
