//! The engine as people see it: the state of its connection, and the other brokers.

use corecast_executors::MonotonicNs;

use super::peers::OtherBroker;

/// The state of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EngineState {
    /// There is none.
    Away,
    /// It stands, and messages wait for brokers that were there before it.
    Returning,
    /// It stands.
    Connected,
}

/// Another broker, as people see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerView {
    /// The name that it gives itself.
    pub name: Box<str>,
    /// Tells one start from another.
    pub start: u64,
    /// False once it was silent for too long.
    pub is_here: bool,
    /// Milliseconds since its last sign of life.
    pub silent_ms: u64,
    /// Filters that it wants.
    pub filters: usize,
    /// Topics that are heard from it.
    pub topics: usize,
    /// Direct publishers that are registered there.
    pub publishers: usize,
}

impl PeerView {
    /// Another broker of which so many topics are heard, and so many publishers known. `None`: it has not said its name yet.
    pub(super) fn of(
        (start, peer): (u64, &OtherBroker),
        (topics, publishers): (usize, usize),
        now: MonotonicNs,
    ) -> Option<Self> {
        Some(PeerView {
            name: peer.name.clone()?,
            start,
            is_here: peer.is_here,
            silent_ms: now.0.saturating_sub(peer.last_heard().0) / 1_000_000,
            filters: peer.filters(),
            topics,
            publishers,
        })
    }
}
