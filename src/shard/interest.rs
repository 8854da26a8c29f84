//! Which filters this shard's sessions have, and how far the other shards know of it: a subscription is in force
//! when all of them route by it. Owned by a shard.

use std::collections::BTreeMap;

use ahash::AHashMap;

use super::acks::Acks;
use super::successors::Awaiting;
use crate::ids::ShardId;
use crate::topic::Filter;

pub(super) struct Interest {
    /// How many local groups have each filter.
    wanted: AHashMap<Filter, u32>,
    /// Requests that are done when all shards route by them, and sessions that open when all know what went before.
    pub(super) acks: Acks<Awaiting>,
}

impl Interest {
    pub(super) fn new(me: ShardId, shards: usize) -> Self {
        Interest { wanted: AHashMap::new(), acks: Acks::new(me, shards) }
    }

    /// How many groups have each filter.
    pub(super) fn wanted(&self) -> BTreeMap<&Filter, u32> {
        self.wanted.iter().map(|(filter, groups)| (filter, *groups)).collect()
    }

    /// One more group has this filter. Gives the change's number if the other shards must be told.
    pub(super) fn add(&mut self, filter: &Filter) -> Option<u64> {
        let groups = self.wanted.entry(filter.clone()).or_insert(0);
        *groups += 1;
        (*groups == 1).then(|| self.acks.next())
    }

    /// One group fewer has it. Gives the change's number if the other shards must be told.
    pub(super) fn remove(&mut self, filter: &Filter) -> Option<u64> {
        let groups = self.wanted.get_mut(filter)?;
        *groups -= 1;
        if *groups > 0 {
            return None;
        }
        self.wanted.remove(filter);
        Some(self.acks.next())
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
