//! A client's sessions that come after one another: the proof that the earlier one was its own, and those that wait for
//! its end.

use corecast_executors::MonotonicNs;

use crate::ids::{SessionId, SessionNumber, ShardId};

/// The session that a hello says it comes after, and the proof that it was the client's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Predecessor {
    pub(super) number: SessionNumber,
    pub(super) ticket: u64,
}

/// Sessions that wait for the end of this one.
#[derive(Debug)]
pub(super) struct Successors {
    pub(super) waiting: Vec<(ShardId, SessionId)>,
    /// When it is cut off, whatever it has not said.
    pub(super) until: MonotonicNs,
}
