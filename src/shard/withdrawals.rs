//! Filters of sessions with very many of them that have left: withdrawn one by one, in turns. Until then, messages for them
//! come to a group without members. Owned by the membership.

use std::collections::VecDeque;

use super::filters::Filters;
use crate::ids::GroupId;
use crate::topic::Filter;

/// The private group of a session that has left, and the filters that it still has.
struct Leaving {
    group: GroupId,
    filters: Filters,
}

/// The next step of withdrawing.
pub(super) enum Withdrawal {
    /// This filter of this group is to be withdrawn.
    Filter(GroupId, Filter),
    /// This group has no filter left.
    Group(GroupId),
}

/// All that is to be withdrawn, in the order in which sessions left.
#[derive(Default)]
pub(super) struct Withdrawals(VecDeque<Leaving>);

impl Withdrawals {
    /// The member of a private group has left, and had these filters.
    pub(super) fn add(&mut self, group: GroupId, filters: Filters) {
        self.0.push_back(Leaving { group, filters });
    }

    /// Takes the next step.
    pub(super) fn next(&mut self) -> Option<Withdrawal> {
        let Leaving { group, filters } = self.0.front_mut()?;
        let group = *group;
        Some(match filters.pop() {
            Some(filter) => Withdrawal::Filter(group, filter),
            None => {
                self.0.pop_front();
                Withdrawal::Group(group)
            }
        })
    }

    /// True if nothing is left to withdraw.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of groups that still stand.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The filters that still stand.
    pub(super) fn filters(&self) -> impl Iterator<Item = &Filter> {
        self.0.iter().flat_map(|leaving| leaving.filters.keys())
    }
}
