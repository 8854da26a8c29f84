//! Enforcement of the quotas of users. All shards share the figures of a user; each acts on its own sessions.

use super::base::Base;
use super::origin::Origin;
use crate::error::ErrorCode;
use crate::ids::{RequestId, SessionId};
use crate::wire::Frame;

impl Base {
    /// Counts a session that opens against the quotas of its user. `false`: it is over them, and is being closed.
    pub(super) fn take_share(&mut self, id: SessionId) -> bool {
        let Some(session) = self.sessions.get_mut(id) else { return false };
        match self.permissions.user_of(&session.identity).map(|user| user.take_share()) {
            None => true,
            Some(Ok(share)) => {
                session.share = share;
                true
            }
            Some(Err(text)) => {
                self.end(id, ErrorCode::TooManySessions, &text);
                false
            }
        }
    }

    /// Counts a subscription that a session asks for. `false`: it is over the quota. A client that goes on after refusals is
    /// answered by the number of its request; any other session is being closed.
    pub(super) fn reserve_subscription(&mut self, id: SessionId, request: Option<RequestId>) -> bool {
        let Some(session) = self.sessions.get_mut(id) else { return false };
        let Some(Err(text)) = session.share.as_mut().map(|share| share.add_subscription()) else {
            return true;
        };
        let code = ErrorCode::TooManySubscriptions;
        match request.filter(|_| session.kind.takes_refusals()) {
            Some(request) => {
                self.counters.refusals += 1;
                self.answer(id, &Frame::Error { text: &text, request: request.0, code: code.number() });
            }
            None => self.end(id, code, &text),
        }
        false
    }

    /// Gives back a subscription that was counted and was not made, or is over.
    pub(super) fn give_subscription_back(&mut self, id: SessionId) {
        if let Some(share) = self.sessions.get_mut(id).and_then(|session| session.share.as_mut()) {
            share.remove_subscriptions(1);
        }
    }

    /// Counts messages of a publisher whose user has quotas. It is not read while it is ahead of the rate.
    pub(super) fn pay_for(&mut self, id: SessionId, messages: u64) {
        let now = self.clock.now();
        let Some(share) = self.sessions.get_mut(id).and_then(|session| session.share.as_mut()) else {
            return;
        };
        if !share.publish(messages, now) && share.begins_to_wait() {
            self.counters.quota_waits += 1;
            self.slowed.add(id);
            self.hold(Origin::Here(id));
        }
    }

    /// Reads the publishers again whose users are within their rates.
    pub(super) fn let_slowed_go_on(&mut self) {
        let now = self.clock.now();
        for id in self.slowed.take() {
            let Some(session) = self.sessions.get_mut(id) else { continue };
            match &mut session.share {
                Some(share) if !share.is_within_rate(now) => {
                    self.slowed.add(id);
                    continue;
                }
                Some(share) => share.has_waited(),
                // It has left, or its user has no quotas any more.
                None => {}
            }
            self.release(&[Origin::Here(id)]);
        }
    }

    /// The reason to end a session, if too many bytes wait for its user.
    pub(super) fn too_much_waits(&mut self, id: SessionId) -> Option<String> {
        let session = self.sessions.get_mut(id)?;
        let share = session.share.as_mut()?;
        share.note_waiting(session.egress.bytes() as u64).err()
    }
}
