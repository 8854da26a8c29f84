//! Publishers that are not read while somebody has no room for what they publish.

use super::base::Base;
use super::origin::Origin;
use super::session_state::Phase;
use crate::carrier::LinkItem;
use crate::ids::{Neighbour, RequestId, SessionId};
use crate::wire::Frame;

impl Base {
    /// `origin` waits until this session's queue has room again.
    pub(super) fn hold_for(&mut self, id: SessionId, origin: Origin) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if !session.holds.contains(&origin) {
            session.holds.push(origin);
            self.hold(origin);
        }
    }

    /// `origin` waits while too much waits for that neighbour.
    #[inline]
    pub(super) fn hold_if_backed_up(&mut self, to: Neighbour, origin: Origin) {
        if self.links.outgoing(to).hold_if_backed_up(origin) {
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
                let admitted = self.unfinished.suspend(&mut self.sessions, id);
                self.release_sessions(&admitted);
            }
            Origin::There(neighbour, publisher) => self.send_link(neighbour, LinkItem::Hold { publisher }),
        }
    }

    /// Each of these is held by one less; one that is held by nobody goes on, and its flushes are answered.
    pub(super) fn release(&mut self, held: &[Origin]) {
        for origin in held {
            match *origin {
                Origin::Here(id) => self.release_session(id),
                Origin::There(neighbour, publisher) => {
                    self.send_link(neighbour, LinkItem::Release { publisher });
                }
            }
        }
    }

    /// Each of these sessions of this shard is held by one less.
    pub(super) fn release_sessions(&mut self, held: &[SessionId]) {
        held.iter().for_each(|id| self.release_session(*id));
    }

    fn release_session(&mut self, id: SessionId) {
        let now = self.clock.now();
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.held_by -= 1;
        if session.held_by > 0 {
            return;
        }
        // While it was held it was not read: its silence and its begun frame are not its fault.
        session.heard = now;
        session.kind.heard_again(now);
        if session.phase == Phase::Open {
            session.frame_begins_again(now);
        }
        let flushes = std::mem::take(&mut session.flushes);
        self.outbox.resumed.push(id);
        for request in flushes {
            self.answer(id, &Frame::Done { request: request.0 });
        }
    }

    /// A publisher asks to be told when nothing holds it. While the shard stops, messages may have come before this that were
    /// not taken: no answer is the true one, and the client will see that the session has ended.
    pub(super) fn on_flush(&mut self, id: SessionId, request: RequestId) {
        if self.draining {
            return;
        }
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.is_called = false;
        if session.held_by > 0 {
            session.flushes.push(request);
        } else {
            self.answer(id, &Frame::Done { request: request.0 });
        }
    }

    /// A session that ends holds nothing of a frame that it has begun, and waits for nothing: what is here of it is of no
    /// use.
    pub(super) fn forget_unfinished(&mut self, id: SessionId) {
        if let Some(admitted) = self.unfinished.forget_session(&mut self.sessions, id) {
            self.outbox.forget.push(id);
            self.release_sessions(&admitted);
        }
    }
}
