//! How sessions end, who is held and let go, and how a shard drains.

use super::origin::Origin;
use super::outbox::LinkItem;
use super::session::Phase;
use super::state::Shard;
use crate::auth::Identity;
use crate::error::ErrorCode;
use crate::ids::{RequestId, SessionId};
use crate::limits::LINGER;
use crate::telemetry::{CloseReason, DropReason};
use crate::wire::Frame;

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
    /// Ends a session with an error frame that says why: it leaves the fan-out now, and its connection when the
    /// farewell is flushed and the peer has closed, at the latest after [`LINGER`], or at the end of a drain.
    pub(super) fn close(&mut self, id: SessionId, code: ErrorCode, text: &str) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if !session.is_listening() {
            return;
        }
        let (farewell, frames) = session.kind.farewell(code, text);
        // Whoever is owed messages has the whole drain for them; who never said hello would only hold it up.
        let has_drain = code == ErrorCode::ShuttingDown && session.phase == Phase::Open;
        session.phase = Phase::Closing;
        session.rest = None;
        session.closing = Some(code);
        session.deadline = (!has_drain).then(|| self.now + LINGER);
        if code != ErrorCode::ShuttingDown {
            let dropped = session.egress.clear();
            let slow = code == ErrorCode::SlowSubscriber;
            let reason = if slow { DropReason::Disconnect } else { DropReason::Draining };
            self.counters.drops[reason] += dropped;
            self.losses.note(reason, dropped, id);
        }
        self.leave_fan_out(id);
        self.forget_unfinished(id);
        self.queue(id, farewell, frames);
    }

    /// The connection is gone, whoever ended it. `io_failed`: with an error of the operating system. Gives how the
    /// session ended, if it was there.
    pub fn on_closed(&mut self, id: SessionId, io_failed: bool) -> Option<Closed> {
        self.leave_fan_out(id);
        self.forget_unfinished(id);
        let mut session = self.sessions.remove(id)?;
        let (sent, unsent) = session.egress.abandon();
        self.count_sent(sent);
        self.counters.drops[DropReason::Draining] += unsent;
        self.counters.sessions -= 1;
        self.relay_on_closed(&session);
        self.succeed(&mut session);
        let reason = match session.closing {
            Some(code) => CloseReason::Code(code),
            None if io_failed => CloseReason::IoError,
            None => CloseReason::PeerClosed,
        };
        self.counters.closes[reason] += 1;
        Some(Closed { reason, identity: session.identity, client: session.client, unsent })
    }

    /// The peer of a session, while the session is there.
    pub fn identity_of(&self, id: SessionId) -> Option<&Identity> {
        self.sessions.get(id).map(|session| &session.identity)
    }

    /// What the client of a session calls itself, while the session is there.
    pub fn client_of(&self, id: SessionId) -> Option<&str> {
        self.sessions.get(id)?.client.as_deref()
    }

    /// Takes a session's subscriptions and watches away, and lets go whom its full queue holds.
    pub(super) fn leave_fan_out(&mut self, id: SessionId) {
        if let Some(news) = self.sessions.get_mut(id).and_then(|session| session.news.take()) {
            self.publishers.forget_session(id, news);
            self.publishers.take_watches_out(&mut self.turn);
        }
        self.leave_relays(id);
        self.leave_for_good(id);
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.kind.is_zmtp() {
            self.upstream.forget(id);
        }
        self.counters.subscriptions -= session.subscription_count as u64;
        session.subscription_count = 0;
        self.counters.filter_bytes -= std::mem::take(&mut session.filter_bytes) as u64;
        let watches = std::mem::take(&mut session.watches);
        let holds = std::mem::take(&mut session.holds);
        self.release(&holds);
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
        if let Some(session) = self.sessions.get_mut(id) {
            session.watches -= 1;
        }
        self.forget_watch(id, request);
    }

    fn forget_watch(&mut self, id: SessionId, request: RequestId) {
        let Some(watch) = self.watches.remove((id, request)) else { return };
        for shard in self.others() {
            self.send_link(shard, LinkItem::Unwatch { watch });
        }
    }

    /// `origin` waits until this session's queue has room again.
    pub(super) fn hold_for(&mut self, id: SessionId, origin: Origin) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if !session.holds.contains(&origin) {
            session.holds.push(origin);
            self.hold(origin);
        }
    }

    /// A publisher is not read until it is released as often as it was held. Links are never held: what came over
    /// one before its publisher heard of it is taken, so queues may be over their bound by what links hold.
    pub(super) fn hold(&mut self, origin: Origin) {
        match origin {
            Origin::Here(id) => {
                if let Some(session) = self.sessions.get_mut(id) {
                    session.held_by += 1;
                    self.counters.link_held += 1;
                }
                self.suspend_unfinished(id);
            }
            Origin::There(shard, publisher) => self.send_link(shard, LinkItem::Hold { publisher }),
        }
    }

    /// Each of these is held by one less; who is held by nobody goes on, and its flushes are answered.
    pub(super) fn release(&mut self, held: &[Origin]) {
        for origin in held {
            match *origin {
                Origin::Here(id) => self.release_session(id),
                Origin::There(shard, publisher) => self.send_link(shard, LinkItem::Release { publisher }),
            }
        }
    }

    fn release_session(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.held_by -= 1;
        if session.held_by > 0 {
            return;
        }
        // While it was held it was not read: its silence and its begun frame are not its fault.
        session.heard = self.now;
        session.kind.heard_again(self.now);
        if session.phase == Phase::Open {
            session.frame_begins_again(self.now);
        }
        let flushes = std::mem::take(&mut session.flushes);
        self.outbox.resumed.push(id);
        for request in flushes {
            self.answer(id, &Frame::Done { request: request.0 });
        }
    }

    /// The broker stops: nothing more is taken from publishers; what was taken is delivered, then every session
    /// is told and closed.
    pub fn on_drain(&mut self) {
        if self.draining {
            return;
        }
        self.draining = true;
        for shard in self.others() {
            self.send_link(shard, LinkItem::LastBatch);
        }
        self.farewell_when_drained();
    }

    /// Says farewell to all sessions when no other shard sends batches any more.
    pub(super) fn farewell_when_drained(&mut self) {
        let all_ended = self.others().all(|shard| self.peers[usize::from(shard.0)].ended);
        if !self.draining || !all_ended {
            return;
        }
        for id in self.sessions.ids() {
            let text = if self.config.direct.is_some() {
                "the publisher leaves"
            } else {
                "the broker is shutting down"
            };
            self.close(id, ErrorCode::ShuttingDown, text);
        }
    }

    /// The time to drain is over: every session ends now.
    pub fn on_drain_deadline(&mut self) {
        let ids = self.sessions.ids();
        self.outbox.abort.extend(ids);
    }
}
