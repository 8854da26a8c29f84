//! Egress groups: the sessions of a shard that have the same subscriptions, so that what to send is worked out
//! once for all of them. Owned by a shard.

use ahash::RandomState;
use hashbrown::HashTable;
use slab::Slab;

use super::encoding::Encoding;
use crate::ids::{GroupId, Neighbour, SessionId};
use crate::limits::GROUP_FILTERS_MAX;
use crate::slack::give_back_slab;
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
    /// For a session that moves to another shard or comes from one: by neighbour, whether the group gets what comes from
    /// there. `None`: it gets everything.
    hears: Option<Box<[bool]>>,
    /// The sum of the filters' hashes and the encoding's, so that one filter more or less is one addition. 0 for a private
    /// group.
    hash: u64,
}

impl Group {
    /// True if the group gets what comes from that neighbour, or from a publisher of its own shard.
    #[inline]
    pub(crate) fn hears(&self, from: Neighbour) -> bool {
        self.hears.as_ref().is_none_or(|hears| hears[usize::from(from.0)])
    }
}

/// All groups of a shard.
#[derive(Default, Debug)]
pub(crate) struct Groups {
    groups: Slab<Group>,
    /// Groups that others may join, by the hash of their filters.
    by_filters: HashTable<GroupId>,
    keys: RandomState,
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
        let each = filters.iter().map(|filter| self.keys.hash_one(filter));
        let hash = each.fold(self.keys.hash_one(encoding), u64::wrapping_add);
        if let Some(id) = self.find(hash, |group| group.encoding == encoding && group.filters == filters) {
            return Join::Found(id);
        }
        let id = self.insert(Group { encoding, filters, hash, ..Group::default() });
        self.list(id);
        Join::Made(id)
    }

    /// Adds a filter to a group that has one member (`wanted`), or takes one of several away. `false`: nothing is changed,
    /// because others are in the group, or another group has exactly these filters then.
    ///
    /// A session that subscribes to one filter after the other keeps its group so, and each filter is filed once.
    pub(crate) fn change(&mut self, id: GroupId, filter: &Filter, wanted: bool) -> bool {
        let group = self.get(id);
        let (filters, of_filter) = (group.filters.len(), self.keys.hash_one(filter));
        if group.private || group.members.len() != 1 || (!wanted && filters == 1) {
            return false;
        }
        let Some(at) = place(&group.filters, filter, wanted) else { return false };
        if wanted && filters == GROUP_FILTERS_MAX {
            self.set_apart(id);
            return true;
        }
        let hash = match wanted {
            true => group.hash.wrapping_add(of_filter),
            false => group.hash.wrapping_sub(of_filter),
        };
        let is_it = |other: &Group| {
            let (before, behind) = group.filters.split_at(at);
            let behind = if wanted { behind } else { &behind[1..] };
            let own = before.iter().chain(wanted.then_some(filter)).chain(behind);
            other.encoding == group.encoding && other.filters.iter().eq(own)
        };
        if self.find(hash, is_it).is_some() {
            return false;
        }
        self.unlist(id);
        let group = self.get_mut(id);
        group.hash = hash;
        if wanted {
            group.filters.insert(at, filter.clone());
        } else {
            group.filters.remove(at);
        }
        self.list(id);
        true
    }

    /// Makes a group with one member that member's alone, and forgets the filters.
    fn set_apart(&mut self, id: GroupId) {
        self.unlist(id);
        let group = self.get_mut(id);
        (group.private, group.hash, group.filters) = (true, 0, Vec::new());
    }

    fn find(&self, hash: u64, is_it: impl Fn(&Group) -> bool) -> Option<GroupId> {
        self.by_filters.find(hash, |id| is_it(self.get(*id))).copied()
    }

    fn list(&mut self, id: GroupId) {
        let (groups, hash) = (&self.groups, self.get(id).hash);
        self.by_filters.insert_unique(hash, id, |other| groups[other.0 as usize].hash);
    }

    fn unlist(&mut self, id: GroupId) {
        let hash = self.get(id).hash;
        let listed = self.by_filters.find_entry(hash, |other| *other == id);
        listed.expect("a group that others may join is listed").remove();
    }

    /// A group for one session alone, whose filters it does not keep.
    pub(crate) fn make_private(&mut self, encoding: Encoding) -> GroupId {
        self.insert(Group { encoding, private: true, ..Group::default() })
    }

    /// The same for a session that moves: `hears` says by neighbour whether the group gets what comes from there.
    pub(crate) fn make_moving(&mut self, encoding: Encoding, hears: Box<[bool]>) -> GroupId {
        self.insert(Group { encoding, private: true, hears: Some(hears), ..Group::default() })
    }

    /// From now on the group of a session that moves gets what comes from that neighbour, or no longer.
    pub(crate) fn set_hears(&mut self, id: GroupId, from: Neighbour, hears: bool) {
        if let Some(all) = &mut self.get_mut(id).hears {
            all[usize::from(from.0)] = hears;
        }
    }

    /// True if it is the group of a session that moves.
    pub(crate) fn is_moving(&self, id: GroupId) -> bool {
        self.get(id).hears.is_some()
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
        if !self.is_private(id) {
            self.unlist(id);
        }
        let gone = self.groups.remove(id.0 as usize);
        give_back_slab(&mut self.groups);
        Some(gone)
    }
}

/// The place of a filter that is to come (`wanted`), or of one that is there. `None`: it is the other way round.
fn place(filters: &[Filter], filter: &Filter, wanted: bool) -> Option<usize> {
    match filters.binary_search(filter) {
        Ok(at) => (!wanted).then_some(at),
        Err(at) => wanted.then_some(at),
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
    fn a_group_of_one_grows_and_shrinks_in_place_until_it_meets_another() {
        let mut groups = Groups::default();
        let all = filters(GROUP_FILTERS_MAX + 1);
        let Join::Made(other) = groups.join(Encoding::Native, all[..3].to_vec()) else {
            panic!("nobody was there")
        };
        groups.add_member(other, session(0));
        let Join::Made(group) = groups.join(Encoding::Native, vec![all[2].clone()]) else {
            panic!("others are not the same")
        };
        assert!(!groups.change(group, &all[1], true), "it has no member yet");
        groups.add_member(group, session(1));
        assert!(groups.change(group, &all[1], true) && !groups.change(group, &all[1], true));
        assert!(!groups.change(group, &all[0], true), "that is the other's");
        assert_eq!(groups.join(Encoding::Native, all[1..3].to_vec()), Join::Found(group));
        assert!(groups.change(group, &all[3], true) && groups.change(group, &all[0], true));
        assert!(!groups.change(group, &all[3], false), "that is the other's as well");
        assert!(groups.change(group, &all[1], false) && !groups.change(group, &all[1], false));
        assert_eq!(groups.get(group).filters, [&all[0], &all[2], &all[3]].map(Clone::clone));
        groups.add_member(group, session(2));
        assert!(!groups.change(group, &all[5], true), "it is not one's alone");
        assert_eq!(groups.remove_member(group, 1), None);
        for filter in [&all[0], &all[2]] {
            assert!(groups.change(group, filter, false));
        }
        assert!(!groups.change(group, &all[3], false), "nothing would be left");
        for filter in all.iter().filter(|filter| **filter != all[3]) {
            assert!(!groups.is_private(group) && groups.change(group, filter, true));
        }
        assert!(groups.is_private(group) && groups.get(group).filters.is_empty());
        assert_eq!(groups.by_filters.len(), 1, "it is found by nobody any more");
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
