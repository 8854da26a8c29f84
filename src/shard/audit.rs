//! The invariants of a shard's base between any two events, for simulations and tests: everything is looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::base::Base;
use super::origin::Origin;
use super::subscriptions::Subscriptions;
use crate::ids::SessionId;

impl Base {
    /// Goes through all of its state.
    pub(super) fn audit(&self) {
        self.audit_egress();
        self.audit_holds();
        self.audit_counts();
        self.unfinished.audit(&self.sessions);
        self.strangers.audit(&self.sessions);
        assert!(self.untold.is_empty(), "a part has not been told, such as that a session has left");
    }

    /// A session with something to send is listed, once, or a flush waits for it.
    fn audit_egress(&self) {
        let dirty: BTreeSet<SessionId> = self.outbox.dirty.iter().copied().collect();
        assert_eq!(dirty.len(), self.outbox.dirty.len(), "a session is listed twice");
        for (id, session) in self.sessions.iter() {
            session.egress.audit();
            assert!(
                session.listed || session.egress.is_empty(),
                "{id} has something to send, and nobody knows"
            );
            assert!(session.listed || !dirty.contains(&id), "{id} is listed, and does not know");
        }
    }

    /// Each that is held here is held, and each that holds is full. Other shards hold by message, which this one cannot see.
    fn audit_holds(&self) {
        let mut held: BTreeMap<Origin, u32> = BTreeMap::new();
        for (id, session) in self.sessions.iter() {
            for origin in &session.holds {
                *held.entry(*origin).or_default() += 1;
            }
            let has_room = session.egress.has_room(self.config.bounds);
            assert!(session.holds.is_empty() || !has_room, "{id} holds publishers, and has room");
        }
        for origin in self.links.holds() {
            *held.entry(*origin).or_default() += 1;
        }
        for (id, session) in self.sessions.iter() {
            let by = held.get(&Origin::Here(id)).copied().unwrap_or(0);
            assert!(session.held_by >= by, "{id} is held by {by}, and thinks {}", session.held_by);
            let waits = !session.flushes.is_empty();
            assert!(!waits || session.held_by > 0, "{id} waits for a flush, and nobody holds it");
        }
    }

    fn audit_counts(&self) {
        assert_eq!(self.counters.sessions, self.sessions.len() as u64);
        let slow = self.sessions.iter().filter(|(_, session)| session.is_slow).count();
        assert_eq!(self.counters.sessions_slow, slow as u64);
        let subscriptions = || self.sessions.iter().map(|(_, session)| &session.subscriptions);
        subscriptions().for_each(Subscriptions::audit);
        let count: usize = subscriptions().map(Subscriptions::count).sum();
        let filter_bytes: usize = subscriptions().map(Subscriptions::filter_bytes).sum();
        assert_eq!(self.counters.subscriptions, count as u64);
        assert_eq!(self.counters.filter_bytes, filter_bytes as u64);
        for (id, session) in self.sessions.iter() {
            let counted = session.share.as_ref().map(|share| share.subscriptions());
            let is_right = counted.is_none_or(|counted| counted == session.subscriptions.count() as u64);
            assert!(is_right, "{id} has counted {counted:?} subscriptions for its user");
        }
    }
}
