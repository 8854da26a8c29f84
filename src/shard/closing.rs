//! How sessions end, who is held and let go, and how a shard drains.

use super::state::Shard;
use crate::auth::Identity;
use crate::carrier::LinkItem;
use crate::error::ErrorCode;
use crate::ids::{RequestId, SessionId};
use crate::telemetry::{CloseReason, DropReason};

/// How a session ended.
#[derive(Debug)]
pub struct Closed {
    /// Why.
    pub reason: CloseReason,
    /// The peer, as far as it was known.
    pub identity: Identity,
    /// What its client called itself, if it came to that.
    pub client: Option<Box<str>>,
    /// Messages that waited for it.
    pub unsent: u64,
}

impl Shard {
    /// The connection is gone, whoever ended it. `io_failed`: with an error of the operating system. Gives how the
    /// session ended, if it was there.
    pub fn on_closed(&mut self, id: SessionId, io_failed: bool) -> Option<Closed> {
        self.base.depart(id);
        self.base.forget_unfinished(id);
        self.settle();
        let mut session = self.base.sessions.remove(id)?;
        let (sent, unsent) = session.egress.abandon();
        self.base.count_sent(sent);
        self.base.counters.drops[DropReason::Draining] += unsent;
        self.base.counters.sessions -= 1;
        self.relay_on_closed(&session);
        self.succeed(&mut session);
        let reason = match session.closing {
            Some(code) => CloseReason::Code(code),
            None if io_failed => CloseReason::IoError,
            None => CloseReason::PeerClosed,
        };
        self.base.counters.closes[reason] += 1;
        Some(Closed { reason, identity: session.identity, client: session.client, unsent })
    }

    /// The peer of a session, while the session is there.
    pub fn identity_of(&self, id: SessionId) -> Option<&Identity> {
        self.base.sessions.get(id).map(|session| &session.identity)
    }

    /// What the client of a session calls itself, while the session is there.
    pub fn client_of(&self, id: SessionId) -> Option<&str> {
        self.base.sessions.get(id)?.client.as_deref()
    }

    /// Lets every part forget the sessions that have left the fan-out, before anything else happens.
    #[inline]
    pub(super) fn settle(&mut self) {
        while let Some(id) = self.base.next_departed() {
            self.forget(id);
        }
    }

    /// Takes a session's subscriptions and watches away.
    fn forget(&mut self, id: SessionId) {
        if let Some(news) = self.base.sessions.get_mut(id).and_then(|session| session.news.take()) {
            self.publishers.forget_session(id, news);
            self.publishers.take_watches_out(&mut self.base.turn);
        }
        self.leave_relays(id);
        self.leave_for_good(id);
        let Some(session) = self.base.sessions.get_mut(id) else { return };
        if session.kind.is_zmtp() {
            self.upstream.forget(id);
        }
        self.base.counters.subscriptions -= session.subscription_count as u64;
        session.subscription_count = 0;
        self.base.counters.filter_bytes -= std::mem::take(&mut session.filter_bytes) as u64;
        let watches = std::mem::take(&mut session.watches);
        if watches > 0 {
            for request in self.watches.of_session(id) {
                self.forget_watch(id, request);
            }
        }
    }

    /// Ends a watch, if the session has it.
    pub(super) fn end_watch(&mut self, id: SessionId, request: RequestId) {
        if !self.watches.has((id, request)) {
            return;
        }
        if let Some(session) = self.base.sessions.get_mut(id) {
            session.watches -= 1;
        }
        self.forget_watch(id, request);
    }

    fn forget_watch(&mut self, id: SessionId, request: RequestId) {
        let Some(watch) = self.watches.remove((id, request)) else { return };
        for shard in self.base.links.others() {
            self.base.send_link(shard, LinkItem::Unwatch { watch });
        }
    }

    /// The broker stops: nothing more is taken from publishers; what was taken is delivered, then every session
    /// is told and closed.
    pub fn on_drain(&mut self) {
        if self.base.draining {
            return;
        }
        self.base.draining = true;
        for neighbour in self.base.links.neighbours() {
            self.base.send_link(neighbour, LinkItem::LastBatch);
        }
        self.farewell_when_drained();
    }

    /// Says farewell to all sessions when no neighbour sends batches any more.
    pub(super) fn farewell_when_drained(&mut self) {
        let all_ended = self.base.links.have_ended();
        if !self.base.draining || !all_ended {
            return;
        }
        for id in self.base.sessions.ids() {
            let text = if self.base.config.direct.is_some() {
                "the publisher leaves"
            } else {
                "the broker is shutting down"
            };
            self.base.end(id, ErrorCode::ShuttingDown, text);
            self.settle();
        }
    }

    /// The time to drain is over: every session ends now.
    pub fn on_drain_deadline(&mut self) {
        let ids = self.base.sessions.ids();
        self.base.outbox.abort.extend(ids);
    }
}
