//! Silences of open sessions: the facts about one, and the verdict on it. Each kind of session judges by rules of its own.

use std::time::Duration;

use corecast_executors::MonotonicNs;

/// The facts about an open session whose peer may have gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    pub(super) now: MonotonicNs,
    /// Time without a word.
    pub(super) silent: Duration,
    /// The peer is not read now: its silence is not its fault.
    pub(super) is_held: bool,
    /// Something is under way to the peer.
    pub(super) is_fed: bool,
    /// The heartbeat that clients are told.
    pub(super) heartbeat: Duration,
}

/// The verdict on a silence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sign {
    /// The peer lives, as far as can be known.
    Alive,
    /// A word from here is due: a question, or only a sign that this end lives.
    Due,
    /// The peer has gone.
    Gone,
}
