//! The counts of one session since it opened. Its shard counts, and another shard goes on counting if the session moves.

use corecast_executors::MonotonicNs;

/// The counts of one session, over all shards that it has been on.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SessionTally {
    /// The time at which it was accepted.
    pub opened: MonotonicNs,
    /// Messages that it has published.
    pub messages_in: u64,
    /// Bytes received from it.
    pub bytes_in: u64,
    /// Messages that the kernel has taken for it.
    pub messages_out: u64,
    /// Bytes that the kernel has taken for it.
    pub bytes_out: u64,
    /// Messages that it has not got because its queue was full.
    pub drops: u64,
    /// Gap notices that the kernel has taken for it.
    pub gaps_told: u64,
    /// Moves from one shard to another.
    pub moves: u32,
    /// Times that its connection took nothing for so long that it was slow.
    pub slow_spells: u32,
}

impl SessionTally {
    /// No counts, of a session that opens now.
    pub fn starting(now: MonotonicNs) -> Self {
        SessionTally { opened: now, ..SessionTally::default() }
    }
}
