//! Owns what executors tell whoever drives the swarm. One channel carries the reports of all of them.

use crate::measure::oracle::Settling;
use crate::measure::payload::PublisherIndex;
use crate::measure::tally::Tally;
use corecast_executors::{Inbox, Link, MonotonicNs, link};
use serde::{Deserialize, Serialize};

/// Reports that may wait: two for each of 65,536 executors would not fit, but nobody runs so many, and an executor
/// that has to wait a moment loses nothing.
const REPORTS_MAX: usize = 1024;

/// A report of an executor or a publisher.
#[derive(Debug)]
pub enum Report {
    /// All subscriptions of this subscribers' executor are in force.
    SubscribersReady,
    /// Some more of its subscriptions are in force: setting up goes on.
    SettingUp,
    /// The progress of a subscribers' executor.
    Received(Received),
    /// All that a subscribers' executor has measured. It is the last of its reports.
    Measured {
        /// The executor.
        executor: usize,
        /// Its measurements.
        tally: Box<Tally>,
    },
    /// All publishers of this publishers' executor are there, and see every subscriber.
    PublishersReady,
    /// Number of messages that a publishers' executor has sent since its last such report.
    Sent(u64),
    /// A publisher has sent all, and the broker has taken it; or it could not.
    PublisherDone(PublisherDone),
    /// An executor could not do its part.
    Failed(Failure),
    /// A host has gone, with so many executors of subscribers that will say nothing more.
    Gone {
        /// Their number.
        executors: usize,
        /// The reason, as far as it is known.
        failure: Failure,
    },
}

/// The progress of one executor's subscribers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Received {
    /// The executor, from 0.
    pub executor: usize,
    /// Messages that arrived intact.
    pub delivered: u64,
    /// Messages that arrived or were reported as missed.
    pub accounted: u64,
    /// Subscribers that have everything; only if the request said what was sent.
    pub settling: Option<Settling>,
}

/// The account of one publisher.
#[derive(Clone, PartialEq, Debug)]
pub struct PublisherDone {
    /// The publisher.
    pub publisher: PublisherIndex,
    /// Its messages.
    pub sent: Sent,
    /// The reason for which it ended before it should have.
    pub failure: Option<Failure>,
}

/// The messages of a publisher, or of several.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sent {
    /// Messages that were taken.
    pub sent: u64,
    /// Messages that should have been sent; as many as were sent in a flood.
    pub intended: u64,
    /// Those that were taken later than they should have been.
    pub late: u64,
    /// Time at which the first one should have been sent: `CLOCK_MONOTONIC`, ns.
    pub started_ns: u64,
}

impl Sent {
    /// The account before the first message.
    pub fn nothing(started: MonotonicNs) -> Self {
        Sent { sent: 0, intended: 0, late: 0, started_ns: started.0 }
    }

    /// Messages that were sent in time.
    pub fn in_time(&self) -> u64 {
        self.sent.saturating_sub(self.late)
    }
}

/// A failure in an executor.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
#[error("{what}: {why}")]
pub struct Failure {
    /// The action that failed.
    pub what: String,
    /// The client's error.
    pub why: String,
    /// Set if the only problem is time.
    pub timed_out: bool,
}

impl Failure {
    /// A failure that is not about time.
    pub fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Failure { what: what.into(), why: why.into(), timed_out: false }
    }

    /// The client's `error`, and what was being done.
    pub fn of(what: impl Into<String>, error: &corecast::Error) -> Self {
        let timed_out = error.kind() == corecast::ErrorKind::TimedOut;
        Failure { what: what.into(), why: error.to_string(), timed_out }
    }
}

/// An error in a sentence, with everything that led to it.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |said, cause| format!("{said}: {cause}"))
}

/// A channel for the reports of a run.
pub fn reports() -> (Link<Report>, Inbox<Report>) {
    link(REPORTS_MAX)
}
