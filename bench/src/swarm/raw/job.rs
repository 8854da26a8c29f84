//! Owns a job: messages to be made, at which pace, and what came of it.

use crate::measure::payload::RunId;
use crate::measure::workload::Workload;
use crate::swarm::schedule::{Amount, Schedule};
use corecast_executors::MonotonicNs;
use std::time::Duration;

/// One run, as whoever sends it has to know it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Job {
    /// The contents of its payloads.
    pub run: RunId,
    /// The publishers, and the topics of their messages.
    pub workload: Workload,
    /// Bytes of a payload.
    pub size_bytes: usize,
    /// The pace.
    pub pace: Pace,
}

/// The pace of each publisher's messages.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Pace {
    /// A time for each message.
    At {
        /// Time of the first publisher's first message.
        start: MonotonicNs,
        /// Rate of each publisher.
        rate_hz: f64,
        /// Amount that each publisher sends.
        amount: Amount,
    },
    /// A flood: messages are sent as fast as they are taken.
    Flood {
        /// Number of messages of each publisher, at most.
        messages: u64,
        /// Time that it may take.
        time_max: Duration,
        /// Messages that may be ahead of the slowest subscriber, so that nobody has to drop anything, whatever it
        /// does under overload. The floor needs none: it waits for the kernel.
        window: u64,
    },
}

/// Waits for message `sequence`'s time, and says which that is.
pub(super) fn wait_for(schedule: &Schedule, sequence: u64) -> MonotonicNs {
    let due = schedule.due(sequence);
    loop {
        let left = due.saturating_since(MonotonicNs::now());
        if left.is_zero() {
            return due;
        }
        corecast_executors::pause(left);
    }
}
