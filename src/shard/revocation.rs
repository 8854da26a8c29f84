//! Subscriptions and watches that sessions lose because the rules permit them no longer, while the sessions go on.

use super::base::Base;
use super::demand::Demand;
use super::history::Starts;
use super::judgement::Held;
use super::membership::{Membership, Subscribed};
use super::publishers::Publishers;
use super::watches::Watches;
use crate::error::ErrorCode;
use crate::ids::SessionId;
use crate::limits::CONTROL_BYTES_MAX;
use crate::topic::Filter;
use crate::wire::Frame;

/// The parts of a shard that know what sessions hold.
pub(super) struct Revocation<'a> {
    membership: &'a mut Membership,
    demand: &'a mut Demand,
    starts: &'a mut Starts,
    watches: &'a mut Watches,
    publishers: &'a mut Publishers,
}

impl<'a> Revocation<'a> {
    /// Revocation of what these parts know.
    pub(super) fn from(
        (membership, demand): (&'a mut Membership, &'a mut Demand),
        starts: &'a mut Starts,
        watches: &'a mut Watches,
        publishers: &'a mut Publishers,
    ) -> Self {
        Revocation { membership, demand, starts, watches, publishers }
    }

    /// Takes from a session the watch, or one subscriber's subscription, that it holds without a right, and tells it so. A session
    /// that does not read that is ended.
    pub(super) fn take_back(&mut self, base: &mut Base, id: SessionId, held: &Held) {
        let Some(session) = base.sessions.get(id) else { return };
        let action = held.action();
        let text =
            format!("you may no longer {action}; {}", base.permissions.allowed(&session.identity, action));
        if session.egress.answer_bytes() > CONTROL_BYTES_MAX {
            return base.end(id, ErrorCode::NotPermitted, &text);
        }
        base.counters.refusals += 1;
        match held {
            Held::Subscription(filter) => self.end_subscription(base, id, filter),
            Held::Watch(request, _) => {
                self.publishers.unwatch(base, id, *request);
                let code = ErrorCode::NotPermitted.number();
                base.answer(id, &Frame::Error { text: &text, request: request.0, code });
            }
        }
    }

    fn end_subscription(&mut self, base: &mut Base, id: SessionId, filter: &Filter) {
        let session = base.sessions.get(id);
        let subscribers = session.map(|session| session.subscriptions.filters().subscribers(filter));
        let Some(subscriber) = subscribers.and_then(<[_]>::first).copied() else { return };
        let lost = (id, filter, subscriber);
        if self.membership.unsubscribe(base, self.demand, lost) == Subscribed::Changed {
            base.give_subscription_back(id);
            self.watches.changed(filter);
        }
        self.starts.on_cancelled(base, id, filter);
        let (kind, filter) = (filter.wire_kind(), filter.as_bytes());
        base.answer_behind(id, &Frame::Unsubscribe { filter, request: 0, subscriber: subscriber.0, kind });
    }
}
