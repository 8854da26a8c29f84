//! The filters of a shard's sessions, and how far its neighbours know of them: a subscription is in force when all of them
//! route by it. Owned by a shard.

use std::collections::BTreeMap;

use super::successors::Awaiting;
use crate::carrier::{Acks, Counted};
use crate::ids::ShardId;
use crate::topic::Filter;

pub(super) struct Interest {
    /// The number of local groups that have each filter.
    wanted: Counted<Filter>,
    /// Requests that are done when all neighbours route by them, and sessions that open when all know what went before.
    pub(super) acks: Acks<Awaiting>,
}

impl Interest {
    /// The interest of a shard among so many neighbours, itself one of them.
    pub(super) fn new(me: ShardId, neighbours: usize) -> Self {
        Interest { wanted: Counted::default(), acks: Acks::among(neighbours, me) }
    }

    /// The number of groups that have each filter.
    pub(super) fn wanted(&self) -> BTreeMap<&Filter, u32> {
        self.wanted.iter().collect()
    }

    /// One more group has this filter. Returns the change's number if the neighbours must be told.
    pub(super) fn add(&mut self, filter: &Filter) -> Option<u64> {
        self.wanted.add(filter, Filter::clone).then(|| self.acks.next())
    }

    /// One group fewer has it. Returns the change's number if the neighbours must be told.
    pub(super) fn remove(&mut self, filter: &Filter) -> Option<u64> {
        self.wanted.remove(filter).then(|| self.acks.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{RequestId, SessionId};

    #[test]
    fn a_request_is_done_when_the_last_shard_has_seen_it() {
        let request = Awaiting::Subscription(SessionId { slot: 0, generation: 1 }, RequestId(5));
        let filter = Filter::parse("a").unwrap();
        let mut interest = Interest::new(ShardId(1), 3);
        assert_eq!(interest.add(&filter), Some(1));
        assert_eq!(interest.add(&filter), None, "the others know it");
        interest.acks.wait(request);
        interest.acks.seen_by(ShardId(0), 1);
        assert_eq!(interest.acks.pop_done(), None);
        interest.acks.seen_by(ShardId(2), 1);
        assert_eq!(interest.acks.pop_done(), Some(request));
        assert_eq!(interest.remove(&filter), None);
        assert_eq!(interest.remove(&filter), Some(2));
    }
}
