//! Messages between neighbours: between shards, and between shards and carriers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::history_item::Mark;
use super::move_item::Cut;
use super::shard_item::ShardItem;
use crate::fanout::Batch;
use crate::ids::SessionId;
use crate::registry::RegistryChange;
use crate::topic::Filter;

/// A message from one neighbour to another. Order on a link is part of the meaning: a count or an acknowledgement covers
/// everything sent before it.
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
    /// The sender routes by all changes up to this one.
    InterestSeen {
        /// The receiver's own count.
        seq: u64,
    },
    /// A question answered by `InterestSeen` once everything sent before it has arrived.
    Fence {
        /// Counted with the changes of interest.
        seq: u64,
        /// When the sender has kept messages last, by the monotonic clock, in nanoseconds; 0: it keeps none. All that they lead
        /// to is later.
        kept_at: u64,
    },
    /// A request for the number of subscribers to this topic, now and whenever it changes: of those on the receiving shard, or
    /// behind the receiving carrier.
    Watch {
        /// The asking neighbour's number for it.
        watch: u64,
        /// The topic.
        topic: Bytes,
    },
    /// The end of a `Watch`.
    Unwatch {
        /// As in `Watch`.
        watch: u64,
    },
    /// The answer to `Watch`. The interest of those that it counts has come before it.
    Count {
        /// As in `Watch`.
        watch: u64,
        /// Subscribers on the sending shard, or behind the sending carrier.
        count: u32,
    },
    /// A direct publisher was registered at the sending broker, or is no longer: said by its first shard to carriers, and by these
    /// to the first shards of the other brokers.
    Registry {
        /// The change.
        change: RegistryChange,
        /// The length of its lease.
        lease: Duration,
    },
    /// Batches for a carrier were given up, and it is not known of which topics all of them were: any may miss some.
    Doubted,
    /// Sessions move: what the sender says behind this is not for the shard that they leave, but for the one they come to.
    Cut(Arc<Cut>),
    /// A session starts with history: what the sender says behind this is live to it.
    Mark(Arc<Mark>),
    /// Frames that a carrier brings, to be kept by the first shard, whoever wants them.
    Keep {
        /// The frames.
        batch: Arc<Batch>,
        /// The time at which they were said, on the monotonic clock; `None`: just now.
        said_at: Option<MonotonicNs>,
    },
    /// A publisher of the sender waits, held as by a `Hold`, until all that it has said before is stored. It is released then.
    AwaitStored {
        /// A session of the sender.
        publisher: SessionId,
        /// Its client had another session before, and may have said some of it there.
        has_come_back: bool,
    },
    /// The answer in place of a `Release`: some of it is not stored, and will not be.
    Unstored {
        /// As in `AwaitStored`.
        publisher: SessionId,
    },
    /// The sender takes no more frames from publishers: no batch follows.
    LastBatch,
    /// The messages of shards that the far end of the sending carrier has not confirmed. Said to the first shard once all shards
    /// have sent their last batch, and whenever it changes from then on.
    Owed(Owed),
    /// A message that only shards have for one another. Boxed: they are rare, and batches are not to be moved in their size.
    ToShard(Box<ShardItem>),
}

impl LinkItem {
    /// Bytes of messages that it holds.
    pub(crate) fn batch_bytes(&self) -> usize {
        match self {
            LinkItem::Batch { batch, .. } => batch.bytes.len(),
            _ => 0,
        }
    }
}

const _: () = assert!(size_of::<LinkItem>() <= 64, "it is moved for each batch");

/// Messages that wait for the far end of a carrier, or for its confirmation.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Owed {
    /// Messages.
    pub messages: u64,
    /// The memory that they hold, in bytes: 0 if and only if nothing waits, neither messages nor notices of gaps.
    pub bytes: u64,
}
