//! Messages between shards about the history that each of them keeps, for a session of one of them that starts with it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::ids::{Neighbour, SessionId, ShardId};
use crate::topic::Filter;
use crate::wire::Start;

/// A step of such a start, in order with all else on its link.
#[derive(Clone, Debug)]
pub enum HistoryItem {
    /// The answer to a mark, to the shard of the session. If it is of the sender itself, what follows on this link is live to the
    /// session.
    Marked {
        /// The session.
        session: SessionId,
        /// The log: that of a shard's own publishers, or of what a carrier brings.
        of: Neighbour,
        /// The last stretch of messages that is history.
        up_to: u64,
    },
    /// A question for a part of what the receiver keeps.
    Ask(HistoryAsk),
    /// The answer.
    Page(HistoryPage),
}

/// The place at which history ends for one session: what the receiver publishes behind it is live to it, and what came before is
/// history. Each neighbour passes it on to all others once, when it first hears of it, so that whatever a live message leads to is
/// live as well: a publisher that moves meanwhile, or comes back on another shard, keeps its order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The shard of the session.
    pub shard: ShardId,
    /// Counts the marks of that shard, from 1.
    pub number: u64,
    /// The session.
    pub session: SessionId,
}

/// The place behind a stretch of messages: its topic, and its number on the shard that keeps it.
pub type KeptPlace = (Bytes, u64);

/// A question for history.
#[derive(Clone, Debug)]
pub struct HistoryAsk {
    /// The session that asks.
    pub session: SessionId,
    /// The log that is asked, as in [`HistoryItem::Marked`].
    pub of: Neighbour,
    /// Its filters.
    pub filters: Arc<[Filter]>,
    /// The messages of each topic that it starts with.
    pub start: Start,
    /// The time on the monotonic clock from which messages are wanted, in nanoseconds.
    pub since: u64,
    /// The last stretch of messages that is wanted.
    pub up_to: u64,
    /// Nothing is wanted up to this place.
    pub behind: Option<KeptPlace>,
    /// The session goes on where a connection was lost: it is also to know of what has been given up, of topics without messages
    /// as well.
    pub resumes: bool,
}

/// A part of what is kept: topics in the order of their names, the messages of each in the order in which they came.
#[derive(Clone, Debug)]
pub struct HistoryPage {
    /// The session that has asked.
    pub session: SessionId,
    /// The log that was asked.
    pub of: Neighbour,
    /// The messages that are kept of each topic, or a part of them.
    pub parts: Vec<KeptPart>,
    /// The place up to which it goes; `None`: to the end.
    pub next: Option<KeptPlace>,
    /// The time of the newest messages of topics of which nothing is kept any more, on the monotonic clock, in nanoseconds.
    pub forgotten_at: u64,
}

/// Messages of one topic.
#[derive(Clone, Debug)]
pub struct KeptPart {
    /// The topic, as routes know it.
    pub topic: Bytes,
    /// The messages, in order.
    pub stretches: VecDeque<Stretch>,
    /// The number of messages in them, and in those of the same topic that follow in later parts.
    pub left: u64,
    /// The number of its newest messages that the rule of the topic keeps, on all shards together.
    pub most: u64,
    /// The time of the last message of it that the shard has given up, in the first of its parts: older ones of other shards would
    /// stand before a hole.
    pub floor: u64,
    /// The messages of it that have been given up, for a session that resumes, in the first of its parts.
    pub given_up: Option<Box<GivenUp>>,
}

/// The messages of a topic that a shard has kept, and given up.
#[derive(Clone, Default, Debug)]
pub struct GivenUp {
    /// By publisher, of a few.
    pub of: Vec<GivenUpOf>,
    /// The time of the last of those of which nothing else is known, as in [`Stretch`]; 0: there are none.
    pub others_at: u64,
}

/// The messages of one publisher that were given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GivenUpOf {
    /// The publisher.
    pub publisher: u64,
    /// The first of them, by its number.
    pub first: u64,
    /// The last of them, by its number.
    pub last: u64,
    /// Their number.
    pub count: u64,
    /// The time of the last, as in [`Stretch`].
    pub at: u64,
    /// The stretch that it was in.
    pub order: u64,
}

impl GivenUp {
    /// Adds messages of a publisher. Of more than `most` of these nothing is known.
    pub(crate) fn add(&mut self, more: GivenUpOf, most: usize) {
        if let Some(of) = self.of.iter_mut().find(|of| of.publisher == more.publisher) {
            of.count += more.count;
            (of.last, of.at, of.order) = (more.last.max(of.last), more.at, more.order);
            of.first = of.first.min(more.first);
        } else if self.of.len() < most {
            self.of.push(more);
        } else {
            self.add_other(more.at);
        }
    }

    /// Adds something of that time of which nothing else is known.
    pub(crate) fn add_other(&mut self, at: u64) {
        self.others_at = self.others_at.max(at);
    }
}

/// Consecutive messages of one topic, as they came together. Native frames.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// Whole, checked frames. Not public: they are read unchecked.
    pub(crate) bytes: Bytes,
    /// The number of frames.
    pub frames: u32,
    /// The number of messages in them.
    pub messages: u32,
    /// Counts the stretches that a shard keeps, of all topics, from 1.
    pub order: u64,
    /// When the broker took them, by the monotonic clock, in nanoseconds: later than all that its publisher said before, on
    /// whatever shard.
    pub at: u64,
}
