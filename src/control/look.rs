//! The questions and orders of operators to shards. Each carries the link for its answers, which has room for all of them: no
//! shard waits for whoever asks.

use std::sync::Arc;

use bytes::Bytes;
use corecast_executors::{Link, ShardId};

use super::figures::{HistoryFigures, RegistryPage, SessionDetails, ShardCensus};
use crate::ids::{PublisherId, SessionId, SessionNumber};
use crate::topic::Filter;

/// A question, or an order, to every shard. A shard that has nothing to say drops its link.
#[derive(Clone, Debug)]
pub(crate) enum Look {
    /// The figures of all that is there.
    Census(Link<ShardCensus>),
    /// The details of these sessions, of those that are still there.
    Details(Arc<[(ShardId, SessionId)]>, Link<Vec<SessionDetails>>),
    /// Sessions that get messages of these topics: the number for each.
    Audience(Arc<[Bytes]>, Link<Vec<u64>>),
    /// Direct publishers behind this one, or from the first on, at most so many.
    Registry(Option<PublisherId>, usize, Link<RegistryPage>),
    /// These sessions are to end. The answer has those that have been told so.
    Kick(Arc<Whom>, Link<Vec<SessionNumber>>),
    /// The history of some topics.
    History(Arc<HistoryQuestion>, Link<HistoryFigures>),
    /// The history of these topics is to be given up. The answer is the number of messages that were.
    ClearHistory(Arc<Filter>, Link<u64>),
    /// Clients are to go on at another broker, this share of them by now. The answer has the number of those that can, and are
    /// still here.
    SendOff(SendOffShare, Link<usize>),
}

/// A question for history: topics that a filter matches, behind one of them, at most so many.
#[derive(Clone, Debug)]
pub(crate) struct HistoryQuestion {
    pub(crate) filter: Filter,
    pub(crate) behind: Option<Bytes>,
    pub(crate) most: usize,
}

/// The part of the clients that are sent to another broker, up to now.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct SendOffShare {
    /// The frame that tells them.
    pub(crate) frame: Bytes,
    /// 0 for nobody, to 1 for all.
    pub(crate) share: f64,
}

/// The sessions that an operator ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Whom {
    /// The one with this number.
    Session(SessionNumber),
    /// All of a user.
    User(Box<str>),
}
