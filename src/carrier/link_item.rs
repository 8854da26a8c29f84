//! Messages between neighbours: between shards, and between shards and carriers.

use std::sync::Arc;

use bytes::Bytes;

use crate::fanout::Batch;
use crate::ids::{PublisherId, SessionId, SessionNumber};
use crate::registry::{RegistryAsk, RegistryChange};
use crate::topic::Filter;

/// A message from one neighbour to another. Order on a link is part of the meaning: a count or an acknowledgement covers
/// everything sent before it. Carriers speak of batches, interest and holds; the rest is between shards.
#[derive(Clone, Debug)]
pub enum LinkItem {
    /// Frames of a publisher of the sender, wanted by the receiver.
    Batch {
        /// The frames.
        batch: Arc<Batch>,
        /// The publisher: a session of the sender.
        publisher: SessionId,
    },
    /// A queue of the sender with the policy `block` is over its bound: do not read this publisher of yours.
    Hold {
        /// A session of the receiver.
        publisher: SessionId,
    },
    /// The queue that the `Hold` was for has room again.
    Release {
        /// As in `Hold`.
        publisher: SessionId,
    },
    /// The sender now has, or no longer has, subscribers to this filter.
    Interest {
        /// Counts the sender's changes, from 1.
        seq: u64,
        /// The filter.
        filter: Filter,
        /// True from the first subscriber on, false after the last.
        wanted: bool,
    },
    /// A session of the sending shard has subscribed to a filter that the shard had before: for ZeroMQ publishers that
    /// want to hear of each subscription.
    Repeated {
        /// The filter.
        filter: Filter,
    },
    /// The sender routes by all changes up to this one.
    InterestSeen {
        /// The receiver's own count.
        seq: u64,
    },
    /// A request for the number of subscribers to this topic, now and whenever it changes.
    Watch {
        /// The asking shard's number for it.
        watch: u64,
        /// The topic.
        topic: Bytes,
    },
    /// The end of a `Watch`.
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
    /// A request of a session of the sending shard to the registry.
    Registry {
        /// The session.
        session: SessionId,
        /// The request.
        ask: RegistryAsk,
    },
    /// The registry has changed.
    Publisher {
        /// Counts the changes, from 1.
        seq: u64,
        /// The change.
        change: RegistryChange,
    },
    /// The sending shard knows of all changes of the registry up to this one.
    PublisherSeen {
        /// As in `Publisher`.
        seq: u64,
    },
    /// Frames for a session of the receiving shard.
    Answer {
        /// The session.
        session: SessionId,
        /// Whole frames.
        bytes: Bytes,
    },
    /// A part of the list of publishers that a session of the receiving shard asks for.
    ListPart {
        /// The session.
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
        /// The ticket that came with its welcome.
        ticket: u64,
        /// The new one, which opens behind all that the old one said.
        successor: SessionId,
    },
    /// A question answered by `InterestSeen` once everything sent before it has arrived.
    Fence {
        /// Counted with the changes of interest.
        seq: u64,
    },
    /// A session of the receiving shard may open: its predecessor is over.
    Open {
        /// The session.
        session: SessionId,
    },
    /// The sender takes no more frames from publishers: no batch follows.
    LastBatch,
}
