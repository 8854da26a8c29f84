//! The words of neighbours to each other: of shards, and of shards and carriers.

use std::sync::Arc;

use bytes::Bytes;

use crate::fanout::Batch;
use crate::ids::{PublisherId, SessionId, SessionNumber};
use crate::registry::{RegistryAsk, RegistryChange};
use crate::topic::Filter;

/// What one shard tells another. Order on a link is part of the meaning: a count or an acknowledgement speaks of
/// all that was sent before it.
#[derive(Clone, Debug)]
pub enum LinkItem {
    /// Frames that a publisher of the sending shard published, and that somebody here wants.
    Batch {
        /// The frames.
        batch: Arc<Batch>,
        /// Who published them: a session of the sending shard.
        publisher: SessionId,
    },
    /// A `block` queue of the sending shard is over its bound: do not read this publisher of yours.
    Hold {
        /// A session of the receiving shard.
        publisher: SessionId,
    },
    /// The queue that the `Hold` was for has room again.
    Release {
        /// As in `Hold`.
        publisher: SessionId,
    },
    /// The sending shard now has, or no longer has, sessions with this filter.
    Interest {
        /// Counts the sender's changes, from 1.
        seq: u64,
        /// Which filter.
        filter: Filter,
        /// Has, or no longer has.
        wanted: bool,
    },
    /// A session of the sending shard has subscribed to a filter that the shard had: for ZeroMQ publishers that want to
    /// hear of each.
    Repeated {
        /// Which filter.
        filter: Filter,
    },
    /// The sending shard routes by all changes up to this one.
    InterestSeen {
        /// The receiver's own count.
        seq: u64,
    },
    /// Tell me how many subscribers you have for this topic, now and whenever it changes.
    Watch {
        /// The asking shard's number for it.
        watch: u64,
        /// The topic.
        topic: Bytes,
    },
    /// No more of that.
    Unwatch {
        /// As in `Watch`.
        watch: u64,
    },
    /// The answer to `Watch`.
    Count {
        /// As in `Watch`.
        watch: u64,
        /// Subscribers of the sending shard.
        count: u32,
    },
    /// A session of the sending shard asks the registry.
    Registry {
        /// Which.
        session: SessionId,
        /// What.
        ask: RegistryAsk,
    },
    /// The registry has changed.
    Publisher {
        /// Counts the changes, from 1.
        seq: u64,
        /// What.
        change: RegistryChange,
    },
    /// The sending shard knows of all changes of the registry up to this one.
    PublisherSeen {
        /// As in `Publisher`.
        seq: u64,
    },
    /// Frames for a session of the receiving shard.
    Answer {
        /// Which.
        session: SessionId,
        /// Whole frames.
        bytes: Bytes,
    },
    /// A part of the list of publishers that a session of the receiving shard asks for.
    ListPart {
        /// Which.
        session: SessionId,
        /// Whole frames.
        bytes: Bytes,
        /// The last publisher of this part; `None`: the list is whole.
        last: Option<PublisherId>,
    },
    /// A client of the sending shard says that it had this session of the receiving shard before.
    Succeed {
        /// The old session.
        number: SessionNumber,
        /// What it was welcomed with.
        ticket: u64,
        /// The new one, which opens behind all that the old one said.
        successor: SessionId,
    },
    /// Answered by `InterestSeen`: all that was sent before this has arrived.
    Fence {
        /// Counted with the changes of interest.
        seq: u64,
    },
    /// A session of the receiving shard may open: its predecessor is over.
    Open {
        /// Which.
        session: SessionId,
    },
    /// The sending shard takes no more frames from publishers: no batch follows.
    LastBatch,
}
