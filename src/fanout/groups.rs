//! Egress groups: the sessions of a shard that have the same subscriptions, so that what to send is worked out
//! once for all of them. Owned by a shard.

use std::ops::Range;

use ahash::AHashMap;
use slab::Slab;

use super::encoding::Encoding;
use crate::ids::{GroupId, SessionId};
use crate::limits::GROUP_FILTERS_MAX;
use crate::topic::Filter;

/// One group.
#[derive(Default, Debug)]
pub(super) struct Group {
    /// How all members are written to.
    pub(super) encoding: Encoding,
    /// What all members subscribe, sorted.
    pub(super) filters: Vec<Filter>,
    /// Who they are, in no order; each knows its place here.
    pub(super) members: Vec<SessionId>,
    /// A session with so many filters that nobody else is let in.
    private: bool,
    /// Scratch of one publish: which messages of the batch to send.
    pub(super) picked: Vec<Range<usize>>,
}

/// All groups of a shard.
#[derive(Default, Debug)]
pub(super) struct Groups {
    groups: Slab<Group>,
    by_filters: AHashMap<(Encoding, Vec<Filter>), GroupId>,
}

/// What a change did to the set of groups.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Join {
    /// The group was there.
    Found(GroupId),
    /// The group is new: file its filters in the router.
    Made(GroupId),
}

impl Groups {
    pub(super) fn get(&self, id: GroupId) -> &Group {
        &self.groups[id.0 as usize]
    }

    pub(super) fn get_mut(&mut self, id: GroupId) -> &mut Group {
        &mut self.groups[id.0 as usize]
    }

    /// The group of this encoding and exactly these filters (sorted, no duplicates, at least one).
    pub(super) fn join(&mut self, encoding: Encoding, filters: Vec<Filter>) -> Join {
        debug_assert!(filters.is_sorted() && !filters.is_empty());
        let private = filters.len() > GROUP_FILTERS_MAX;
        let key = (encoding, filters);
        if !private && let Some(id) = self.by_filters.get(&key) {
            return Join::Found(*id);
        }
        let group = Group { encoding, filters: key.1.clone(), private, ..Group::default() };
        let id = GroupId(u32::try_from(self.groups.insert(group)).expect("fewer groups than sessions"));
        if !private {
            self.by_filters.insert(key, id);
        }
        Join::Made(id)
    }

    /// Whether a change of this group's only member may be made in place.
    pub(super) fn is_private(&self, id: GroupId) -> bool {
        self.get(id).private
    }

    /// Adds a member and gives its place.
    pub(super) fn add_member(&mut self, id: GroupId, session: SessionId) -> usize {
        let members = &mut self.get_mut(id).members;
        members.push(session);
        members.len() - 1
    }

    /// Removes the member at `place`. Gives who has that place now, if anybody.
    pub(super) fn remove_member(&mut self, id: GroupId, place: usize) -> Option<SessionId> {
        let members = &mut self.get_mut(id).members;
        members.swap_remove(place);
        members.get(place).copied()
    }

    /// Takes a group without members away, and gives it so that its filters leave the router.
    pub(super) fn remove_if_empty(&mut self, id: GroupId) -> Option<Group> {
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
