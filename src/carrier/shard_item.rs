//! Messages that only shards have for one another.

use bytes::Bytes;

use super::history_item::HistoryItem;
use super::move_item::MoveItem;
use crate::ids::{PublisherId, SessionId, SessionNumber, ShardId};
use crate::registry::{RegistryAsk, RegistryChange};
use crate::topic::Filter;

/// A message from one shard to another, in order with all else on their link.
#[derive(Clone, Debug)]
pub enum ShardItem {
    /// A session of the sending shard has subscribed to a filter that the shard had before: for ZeroMQ publishers that
    /// want to hear of each subscription.
    Repeated {
        /// The filter.
        filter: Filter,
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
    /// The same of a session that has moved to the receiving shard.
    SucceedMoved {
        /// Its number, from the shard where it came first, which is the sending one.
        number: SessionNumber,
        /// As in `Succeed`; the sending shard has checked it.
        ticket: u64,
        /// The old session, here.
        session: SessionId,
        /// The shard of the new one, and the new one.
        successor: (ShardId, SessionId),
    },
    /// An answer to `SucceedMoved`: the old session has moved on, and all that it said here has reached every shard.
    MovedOn {
        /// As in `SucceedMoved`.
        number: SessionNumber,
        /// As in `SucceedMoved`.
        ticket: u64,
        /// As in `SucceedMoved`.
        successor: (ShardId, SessionId),
    },
    /// A session of the receiving shard may open: its predecessor is over.
    Open {
        /// The session.
        session: SessionId,
    },
    /// A step of a move of sessions.
    Move(MoveItem),
    /// A step of a start with history.
    History(HistoryItem),
}
