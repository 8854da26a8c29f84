//! The filters that are wanted here, and how far the neighbours know of them: a subscription is in force when all of them
//! route by it. Owned by the demand of a shard.

use std::collections::BTreeMap;

use crate::carrier::{Acks, Counted};
use crate::ids::{Neighbour, ShardId};
use crate::topic::Filter;

pub(super) struct Interest {
    /// The number of reasons to want each filter.
    wanted: Counted<Filter>,
    /// Changes of these filters, and questions that are numbered with them.
    changes: Acks,
}

impl Interest {
    /// The interest of a shard among so many neighbours, itself one of them.
    pub(super) fn new(me: ShardId, neighbours: usize) -> Self {
        Interest { wanted: Counted::default(), changes: Acks::among(neighbours, me) }
    }

    /// The number of reasons to want each filter.
    pub(super) fn wanted(&self) -> BTreeMap<&Filter, u32> {
        self.wanted.iter().collect()
    }

    /// One reason more to want a filter. Returns the change's number if the neighbours must be told.
    pub(super) fn add(&mut self, filter: &Filter) -> Option<u64> {
        self.wanted.add(filter, Filter::clone).then(|| self.changes.next())
    }

    /// One reason fewer. Returns the change's number if the neighbours must be told.
    pub(super) fn remove(&mut self, filter: &Filter) -> Option<u64> {
        self.wanted.remove(filter).then(|| self.changes.next())
    }

    /// A number for a question to all neighbours, which they answer as they do a change.
    pub(super) fn next_question(&mut self) -> u64 {
        self.changes.next()
    }

    /// A neighbour knows all changes up to this one.
    pub(super) fn seen_by(&mut self, neighbour: Neighbour, seq: u64) {
        self.changes.seen_by(neighbour, seq);
    }

    /// The changes, and how far each neighbour knows of them.
    pub(super) fn changes(&self) -> &Acks {
        &self.changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_told_of_the_first_reason_and_of_the_last() {
        let filter = Filter::parse("a").unwrap();
        let mut interest = Interest::new(ShardId(1), 3);
        assert_eq!(interest.add(&filter), Some(1));
        assert_eq!(interest.add(&filter), None, "the others know it");
        assert_eq!(interest.next_question(), 2);
        assert_eq!(interest.remove(&filter), None);
        assert_eq!(interest.remove(&filter), Some(3));
        assert!(interest.wanted().is_empty());
    }
}
