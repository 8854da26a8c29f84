//! The invariants of the membership between any two events, for simulations and tests.

use std::collections::BTreeMap;

use super::Membership;
use crate::limits::GROUP_FILTERS_MAX;
use crate::shard::base::Base;
use crate::shard::demand::Demand;

impl Membership {
    /// Each session is in the group of its filters, and interest is the sum of the groups.
    pub(in crate::shard) fn audit(&self, base: &Base, demand: &Demand) {
        for (id, session) in base.sessions.iter() {
            assert!(
                session.is_listening() || session.subscriptions.filters().is_empty(),
                "{id} is closing, and subscribed"
            );
            let Some((group, place)) = session.group else {
                assert!(session.subscriptions.filters().is_empty(), "{id} is subscribed, and in no group");
                continue;
            };
            let id_of = group;
            let group = self.fanout.groups().get(group);
            assert_eq!(group.members.get(place), Some(&id), "a member knows its place");
            if self.fanout.groups().is_private(id_of) {
                assert!(
                    self.fanout.groups().is_moving(id_of)
                        || session.subscriptions.filters().len() > GROUP_FILTERS_MAX / 2,
                    "{id} could share a group"
                );
                continue;
            }
            assert!(
                group.filters.iter().eq(session.subscriptions.filters().keys()),
                "{id} is in another's group"
            );
        }
        let of_private = base.sessions.iter().filter(|(_, session)| {
            session.group.is_some_and(|(group, _)| self.fanout.groups().is_private(group))
        });
        let private = of_private.flat_map(|(_, session)| session.subscriptions.filters().keys());
        let mut wanted = BTreeMap::new();
        for filter in private.chain(self.withdrawals.filters()) {
            *wanted.entry(filter).or_insert(0_u32) += 1;
        }
        let mut empty = 0;
        let mut members = 0;
        for group in self.fanout.groups().iter() {
            empty += usize::from(group.members.is_empty());
            members += group.members.len();
            for filter in &group.filters {
                *wanted.entry(filter).or_insert(0_u32) += 1;
            }
        }
        assert_eq!(empty, self.withdrawals.len(), "an empty group was left");
        let grouped = base.sessions.iter().filter(|(_, session)| session.group.is_some());
        assert_eq!(members, grouped.count(), "members are sessions, each once");
        assert_eq!(wanted, demand.wanted(), "interest is what the groups want");
    }
}
