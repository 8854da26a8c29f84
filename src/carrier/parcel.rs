//! The words of one end of a joint to the other. Order is part of the meaning, but for acknowledgements, which may overtake
//! frames.

use bytes::Bytes;

use crate::topic::Filter;

/// What one end tells the other.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// The first on each connection.
    Hello {
        /// Tells one start of the sending end from the next.
        origin: u64,
        /// The start of the receiving end that the sender has met before; 0 for none.
        met: u64,
        /// The last parcel of frames that the sender has of that start.
        had: u64,
    },
    /// The sending end now wants, or no longer wants, messages for this filter.
    Interest {
        /// The filter.
        filter: Filter,
        /// True from the first subscription on, false after the last.
        wanted: bool,
    },
    /// All that is wanted has been said on this connection: anything else is wanted no longer.
    Restated,
    /// A question answered by `Seen` when all before it is in force on every shard.
    Fence {
        /// The sender's own count.
        seq: u64,
    },
    /// The answer to `Fence`, and to all before it.
    Seen {
        /// As in `Fence`.
        seq: u64,
    },
    /// Messages, and notices of gaps, that came from publishers of the sending end.
    Frames {
        /// Counts from 1 since the start of the sending end, without a hole.
        number: u64,
        /// Whole native frames.
        bytes: Bytes,
    },
    /// All frames up to these have been handed on.
    Had {
        /// As in `Frames`.
        number: u64,
    },
}
