//! Which filters this shard's sessions have, and how far the other shards know of it: a subscription is in force
//! when all of them route by it. Owned by a shard.

use std::collections::{BTreeMap, VecDeque};

use ahash::AHashMap;

use crate::ids::{RequestId, SessionId, ShardId};
use crate::topic::Filter;

pub(super) struct Interest {
    /// How many local groups have each filter.
    wanted: AHashMap<Filter, u32>,
    /// How many changes the other shards have been told.
    seq: u64,
    /// Up to which change each shard routes; this shard itself is always there.
    seen: Vec<u64>,
    /// Requests that are done when all shards have seen this change, in order.
    waiting: VecDeque<(u64, SessionId, RequestId)>,
}

impl Interest {
    pub(super) fn new(me: ShardId, shards: usize) -> Self {
        let mut seen = vec![0; shards];
        seen[usize::from(me.0)] = u64::MAX;
        Interest { wanted: AHashMap::new(), seq: 0, seen, waiting: VecDeque::new() }
    }

    /// How many groups have each filter.
    pub(super) fn wanted(&self) -> BTreeMap<&Filter, u32> {
        self.wanted.iter().map(|(filter, groups)| (filter, *groups)).collect()
    }

    /// One more group has this filter. Gives the change's number if the other shards must be told.
    pub(super) fn add(&mut self, filter: &Filter) -> Option<u64> {
        let groups = self.wanted.entry(filter.clone()).or_insert(0);
        *groups += 1;
        (*groups == 1).then(|| self.next())
    }

    /// One group fewer has it. Gives the change's number if the other shards must be told.
    pub(super) fn remove(&mut self, filter: &Filter) -> Option<u64> {
        let groups = self.wanted.get_mut(filter)?;
        *groups -= 1;
        if *groups > 0 {
            return None;
        }
        self.wanted.remove(filter);
        Some(self.next())
    }

    fn next(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// The request is done when all changes so far are seen.
    pub(super) fn wait(&mut self, session: SessionId, request: RequestId) {
        self.waiting.push_back((self.seq, session, request));
    }

    /// That shard routes by all changes up to `seq`.
    pub(super) fn seen_by(&mut self, shard: ShardId, seq: u64) {
        let seen = &mut self.seen[usize::from(shard.0)];
        debug_assert!(*seen <= seq, "a link keeps order");
        *seen = seq;
    }

    /// The next request that is done.
    pub(super) fn pop_done(&mut self) -> Option<(SessionId, RequestId)> {
        let all = self.seen.iter().copied().min().unwrap_or(u64::MAX);
        let (seq, session, request) = *self.waiting.front()?;
        if seq > all {
            return None;
        }
        self.waiting.pop_front();
        Some((session, request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_done_when_the_last_shard_has_seen_it() {
        let session = SessionId { slot: 0, generation: 1 };
        let filter = Filter::parse("a").unwrap();
        let mut interest = Interest::new(ShardId(1), 3);
        assert_eq!(interest.add(&filter), Some(1));
        assert_eq!(interest.add(&filter), None, "the others know it");
        interest.wait(session, RequestId(5));
        interest.seen_by(ShardId(0), 1);
        assert_eq!(interest.pop_done(), None);
        interest.seen_by(ShardId(2), 1);
        assert_eq!(interest.pop_done(), Some((session, RequestId(5))));
        assert_eq!(interest.remove(&filter), None);
        assert_eq!(interest.remove(&filter), Some(2));
    }
}
