//! The work that a shard leaves to others after an event. The pumps (or a simulation) empty it.

use std::collections::VecDeque;

use super::losses::Losses;
use super::password_check::PasswordCheck;
use super::slow::SlowNews;
use crate::ids::{Neighbour, PublisherId, SessionId};
use crate::limits::SEND_BYTES_WORTHWHILE;
use crate::transport::Endpoint;

/// Work for the pumps.
#[derive(Default, Debug)]
pub struct Outbox {
    /// Sessions with something to send that no flush is waiting for.
    pub dirty: VecDeque<SessionId>,
    /// Bytes of messages that were queued for sessions since a flush last began, counted for each session.
    pub queued_bytes: usize,
    /// Messages that were routed since then: no session has more of them in its queue.
    pub routed_messages: usize,
    /// Sessions whose farewell is flushed: shut their write side down.
    pub shut: Vec<SessionId>,
    /// Sessions to end now, whatever is unsent.
    pub abort: Vec<SessionId>,
    /// Sessions of which no more is taken: what is here of a frame that they have begun is of no use.
    pub forget: Vec<SessionId>,
    /// Publishers that may be read again.
    pub resumed: Vec<SessionId>,
    /// Sessions whose pump is to ask for its next step, because they move or stay.
    pub called: Vec<SessionId>,
    /// Sessions that have arrived from other shards: their connections follow.
    pub arrived: Vec<SessionId>,
    /// Neighbours with items waiting for their link.
    pub links: Vec<Neighbour>,
    /// Messages that were passed over for their length: of whom, and how many bytes at the least. To be logged.
    pub too_long: Vec<(SessionId, usize)>,
    /// Direct publishers to connect to, for ZeroMQ subscribers.
    pub dials: Vec<Dial>,
    /// A password that the session which was read last has shown. It waits for `Shard::on_verdict`.
    pub password: Option<Box<PasswordCheck>>,
    /// Drops that are in no line of the log yet.
    pub losses: Losses,
    /// Sessions that have become slow, and are in no line of the log yet.
    pub slow: SlowNews,
}

impl Outbox {
    /// A flush begins.
    pub fn begin_flush(&mut self) {
        self.queued_bytes = 0;
        self.routed_messages = 0;
    }

    /// True if a flush would send little to each session.
    pub fn has_short_sends(&self) -> bool {
        self.queued_bytes < self.dirty.len() * SEND_BYTES_WORTHWHILE
    }
}

/// A connection to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dial {
    /// To whom.
    pub publisher: PublisherId,
    /// Where it is.
    pub endpoint: Endpoint,
}
