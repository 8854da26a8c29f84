//! What must be true of a shard between any two events. For simulations and tests: it looks at everything.

use std::collections::{BTreeMap, BTreeSet};

use super::origin::Origin;
use super::session::Session;
use super::state::Shard;
use crate::ids::SessionId;
use crate::limits::GROUP_FILTERS_MAX;

impl Shard {
    /// Goes through all of its state.
    ///
    /// # Panics
    /// If the parts of it contradict each other.
    pub fn audit(&self) {
        self.audit_egress();
        self.audit_holds();
        self.audit_groups();
        self.audit_counts();
        self.base.unfinished.audit(&self.base.sessions);
        assert!(self.base.is_settled(), "a session has left, and is not forgotten");
    }

    /// Who has something to send is listed, once, or a flush waits for it.
    fn audit_egress(&self) {
        let dirty: BTreeSet<SessionId> = self.base.outbox.dirty.iter().copied().collect();
        assert_eq!(dirty.len(), self.base.outbox.dirty.len(), "a session is listed twice");
        for (id, session) in self.base.sessions.iter() {
            session.egress.audit();
            assert!(
                session.listed || session.egress.is_empty(),
                "{id} has something to send, and nobody knows"
            );
            assert!(session.listed || !dirty.contains(&id), "{id} is listed, and does not know");
        }
    }

    /// Who is held here is held, and who holds is full. Other shards hold by message, which this one cannot see.
    fn audit_holds(&self) {
        let mut held: BTreeMap<Origin, u32> = BTreeMap::new();
        for (id, session) in self.base.sessions.iter() {
            for origin in &session.holds {
                *held.entry(*origin).or_default() += 1;
            }
            let has_room = session.egress.has_room(self.base.config.bounds);
            assert!(session.holds.is_empty() || !has_room, "{id} holds publishers, and has room");
        }
        for origin in self.base.links.holds() {
            *held.entry(*origin).or_default() += 1;
        }
        for (id, session) in self.base.sessions.iter() {
            let by = held.get(&Origin::Here(id)).copied().unwrap_or(0);
            assert!(session.held_by >= by, "{id} is held by {by}, and thinks {}", session.held_by);
            let waits = !session.flushes.is_empty();
            assert!(!waits || session.held_by > 0, "{id} waits for a flush, and nobody holds it");
        }
    }

    /// Each session is in the group of its filters, and interest is the sum of the groups.
    fn audit_groups(&self) {
        for (id, session) in self.base.sessions.iter() {
            assert!(
                session.is_listening() || session.subscriptions.is_empty(),
                "{id} is closing, and subscribed"
            );
            let Some((group, place)) = session.group else {
                assert!(session.subscriptions.is_empty(), "{id} is subscribed, and in no group");
                continue;
            };
            let id_of = group;
            let group = self.fanout.groups.get(group);
            assert_eq!(group.members.get(place), Some(&id), "a member knows its place");
            if self.fanout.groups.is_private(id_of) {
                assert!(session.subscriptions.len() > GROUP_FILTERS_MAX / 2, "{id} could share a group");
                continue;
            }
            assert!(group.filters.iter().eq(session.subscriptions.filters()), "{id} is in another's group");
        }
        let of_private = self.base.sessions.iter().filter(|(_, session)| {
            session.group.is_some_and(|(group, _)| self.fanout.groups.is_private(group))
        });
        let leaving = self.leaving.iter().map(|leaving| &leaving.filters);
        let private = of_private.map(|(_, session)| &session.subscriptions).chain(leaving);
        let mut wanted = BTreeMap::new();
        for filter in private.flat_map(|subscriptions| subscriptions.filters()) {
            *wanted.entry(filter).or_insert(0_u32) += 1;
        }
        let mut empty = 0;
        let mut members = 0;
        for group in self.fanout.groups.iter() {
            empty += usize::from(group.members.is_empty());
            members += group.members.len();
            for filter in &group.filters {
                *wanted.entry(filter).or_insert(0_u32) += 1;
            }
        }
        assert_eq!(empty, self.leaving.len(), "an empty group was left");
        let grouped = self.base.sessions.iter().filter(|(_, session)| session.group.is_some());
        assert_eq!(members, grouped.count(), "members are sessions, each once");
        assert_eq!(wanted, self.interest.wanted(), "interest is what the groups want");
    }

    fn audit_counts(&self) {
        assert_eq!(self.base.counters.sessions, self.base.sessions.len() as u64);
        let counted =
            |s: &Session| s.subscriptions.iter().map(|(_, subscribers)| subscribers.len()).sum::<usize>();
        assert!(self.base.sessions.iter().all(|(_, s)| s.subscription_count == counted(s)));
        let subscriptions: usize = self.base.sessions.iter().map(|(_, s)| s.subscription_count).sum();
        assert_eq!(self.base.counters.subscriptions, subscriptions as u64);
        let bytes =
            |s: &Session| s.subscriptions.filters().map(|filter| filter.as_bytes().len()).sum::<usize>();
        assert!(self.base.sessions.iter().all(|(_, s)| s.filter_bytes == bytes(s)));
        let filter_bytes: usize = self.base.sessions.iter().map(|(_, s)| s.filter_bytes).sum();
        assert_eq!(self.base.counters.filter_bytes, filter_bytes as u64);
        let watches: usize = self.base.sessions.iter().map(|(_, s)| s.watches as usize).sum();
        assert_eq!(self.watches.own_count(), watches, "watches are their sessions'");
    }
}
