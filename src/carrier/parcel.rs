//! Messages between the two ends of a joint. Order is part of the meaning, except that interest and confirmations may
//! overtake frames.

use bytes::Bytes;

use crate::topic::Filter;
use crate::wire::Features;

/// A message from one end to the other.
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
        /// The features that the sending end offers.
        features: Features,
    },
    /// The sending end now wants, or no longer wants, messages for this filter.
    Interest {
        /// The filter.
        filter: Filter,
        /// True from the first subscription on, false after the last.
        wanted: bool,
    },
    /// The end of the filters that a connection begins with: any other is no longer wanted.
    Restated,
    /// A question answered by `Seen` once everything before it is in force on every shard.
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
