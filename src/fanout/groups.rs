//! Egress groups: the sessions of a shard that have the same subscriptions, so that what to send is worked out
//! once for all of them. Owned by a shard.

use ahash::AHashMap;
use slab::Slab;

use super::encoding::Encoding;
use crate::ids::{GroupId, SessionId};
use crate::limits::GROUP_FILTERS_MAX;
use crate::topic::Filter;

/// One group.
#[derive(Default, Debug)]
pub(crate) struct Group {
    /// The encoding of all members.
    pub(crate) encoding: Encoding,
    /// The filters that all members subscribe to, sorted. Empty for a private group, whose member has them.
    pub(crate) filters: Vec<Filter>,
    /// The sessions, in no order; each knows its place here.
    pub(crate) members: Vec<SessionId>,
    /// For a session with so many filters that nobody else is let in.
    private: bool,
}

/// All groups of a shard.
#[derive(Default, Debug)]
pub(crate) struct Groups {
    groups: Slab<Group>,
    by_filters: AHashMap<(Encoding, Vec<Filter>), GroupId>,
}

/// The result of joining a group.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Join {
    /// The group was there.
    Found(GroupId),
    /// The group is new: file its filters in the router.
    Made(GroupId),
}

impl Groups {
    pub(crate) fn get(&self, id: GroupId) -> &Group {
        &self.groups[id.0 as usize]
    }

    pub(crate) fn get_mut(&mut self, id: GroupId) -> &mut Group {
        &mut self.groups[id.0 as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().map(|(_, group)| group)
    }

    /// The group of this encoding and exactly these filters (sorted, no duplicates, at least one).
    pub(crate) fn join(&mut self, encoding: Encoding, filters: Vec<Filter>) -> Join {
        assert!(filters.is_sorted() && !filters.is_empty() && filters.len() <= GROUP_FILTERS_MAX);
        let key = (encoding, filters);
        if let Some(id) = self.by_filters.get(&key) {
            return Join::Found(*id);
        }
        let id = self.insert(Group { encoding, filters: key.1.clone(), ..Group::default() });
        self.by_filters.insert(key, id);
        Join::Made(id)
    }

    /// A group for one session alone, whose filters it does not keep.
    pub(crate) fn make_private(&mut self, encoding: Encoding) -> GroupId {
        self.insert(Group { encoding, private: true, ..Group::default() })
    }

    fn insert(&mut self, group: Group) -> GroupId {
        GroupId(u32::try_from(self.groups.insert(group)).expect("fewer groups than sessions"))
    }

    /// True if it is one session's alone.
    pub(crate) fn is_private(&self, id: GroupId) -> bool {
        self.get(id).private
    }

    /// Adds a member and gives its place.
    pub(crate) fn add_member(&mut self, id: GroupId, session: SessionId) -> usize {
        let members = &mut self.get_mut(id).members;
        members.push(session);
        members.len() - 1
    }

    /// Removes the member at `place`. Gives who has that place now, if anybody.
    pub(crate) fn remove_member(&mut self, id: GroupId, place: usize) -> Option<SessionId> {
        let members = &mut self.get_mut(id).members;
        members.swap_remove(place);
        members.get(place).copied()
    }

    /// Takes a group without members away, and gives it so that its filters leave the router; those of a private group
    /// have left before.
    pub(crate) fn remove_if_empty(&mut self, id: GroupId) -> Option<Group> {
        if !self.get(id).members.is_empty() {
            return None;
        }
        let mut group = self.groups.remove(id.0 as usize);
        if !group.private {
            let key = (group.encoding, group.filters);
            self.by_filters.remove(&key);
            group.filters = key.1;
        }
        Some(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(count: usize) -> Vec<Filter> {
        (0..count).map(|n| Filter::parse(&format!("f.{n:03}")).unwrap()).collect()
    }

    fn session(slot: u32) -> SessionId {
        SessionId { slot, generation: 1 }
    }

    #[test]
    fn sessions_with_the_same_filters_meet() {
        let mut groups = Groups::default();
        let Join::Made(first) = groups.join(Encoding::Native, filters(2)) else { panic!("nobody was there") };
        assert_eq!(groups.join(Encoding::Native, filters(2)), Join::Found(first));
        let Join::Made(other) = groups.join(Encoding::Native, filters(3)) else {
            panic!("others are not the same")
        };
        assert_ne!(first, other);
        let Join::Made(foreign) = groups.join(Encoding::Zmtp, filters(2)) else {
            panic!("nobody who is written to so")
        };
        assert_eq!(groups.join(Encoding::Zmtp, filters(2)), Join::Found(foreign));
    }

    #[test]
    fn members_know_their_places() {
        let mut groups = Groups::default();
        let Join::Made(group) = groups.join(Encoding::Native, filters(1)) else { panic!("nobody was there") };
        for slot in 0..3 {
            assert_eq!(groups.add_member(group, session(slot)), slot as usize);
        }
        assert_eq!(groups.remove_member(group, 0), Some(session(2)), "the last takes the free place");
        assert_eq!(groups.remove_member(group, 1), None, "nobody stood behind it");
        assert!(groups.remove_if_empty(group).is_none());
        assert_eq!(groups.remove_member(group, 0), None);
        let gone = groups.remove_if_empty(group).expect("nobody is left");
        assert_eq!(gone.filters, filters(1));
        assert!(
            matches!(groups.join(Encoding::Native, filters(1)), Join::Made(_)),
            "it is forgotten by its filters, too"
        );
    }

    #[test]
    fn who_has_very_many_filters_is_alone() {
        let mut groups = Groups::default();
        let (first, second) = (groups.make_private(Encoding::Native), groups.make_private(Encoding::Native));
        assert_ne!(first, second);
        assert!(groups.is_private(first) && groups.is_private(second));
        let Join::Made(shared) = groups.join(Encoding::Native, filters(GROUP_FILTERS_MAX)) else {
            panic!("nobody was there")
        };
        assert!(!groups.is_private(shared));
        assert!(groups.remove_if_empty(first).is_some());
        assert!(groups.is_private(second));
    }
}
