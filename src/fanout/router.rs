//! From a topic to a route: which local egress groups and which other shards want it. Routes are cached by topic
//! and all forgotten when the index changes. Owned by a shard.

use std::rc::Rc;

use ahash::AHashMap;
use bytes::Bytes;

use crate::ids::{GroupId, ShardId};
use crate::limits::ROUTE_CACHE_MAX;
use crate::topic::{Filter, Index};

/// What a filter leads to. Ordered, so that an index's answer has the groups first and then the shards.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Target {
    Group(GroupId),
    Shard(ShardId),
}

/// Where the messages of one topic go.
#[derive(PartialEq, Eq, Default, Debug)]
pub(super) struct Route {
    pub(super) groups: Box<[GroupId]>,
    pub(super) shards: Box<[ShardId]>,
}

#[derive(Default)]
pub(super) struct Router {
    index: Index<Target>,
    cache: AHashMap<Bytes, Rc<Route>>,
    found: Vec<Target>,
}

impl Router {
    pub(super) fn insert(&mut self, filter: &Filter, target: Target) -> bool {
        self.cache.clear();
        self.index.insert(filter, target)
    }

    pub(super) fn remove(&mut self, filter: &Filter, target: Target) -> bool {
        self.cache.clear();
        self.index.remove(filter, target)
    }

    /// The route of a topic: one hash look-up when it was asked before, since the index last changed.
    pub(super) fn route(&mut self, topic: &[u8]) -> Rc<Route> {
        if let Some(route) = self.cache.get(topic) {
            return Rc::clone(route);
        }
        self.found.clear();
        self.index.matches(topic, &mut self.found);
        let groups = self.found.iter().filter_map(|t| match t {
            Target::Group(group) => Some(*group),
            Target::Shard(_) => None,
        });
        let shards = self.found.iter().filter_map(|t| match t {
            Target::Shard(shard) => Some(*shard),
            Target::Group(_) => None,
        });
        let route = Rc::new(Route { groups: groups.collect(), shards: shards.collect() });
        if self.cache.len() >= ROUTE_CACHE_MAX {
            self.cache.clear();
        }
        self.cache.insert(Bytes::copy_from_slice(topic), Rc::clone(&route));
        route
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_route_is_forgotten_when_the_index_changes() {
        let mut router = Router::default();
        let all = Filter::parse(">").unwrap();
        assert_eq!(*router.route(b"a"), Route::default());
        router.insert(&all, Target::Shard(ShardId(1)));
        assert_eq!(router.route(b"a").shards[..], [ShardId(1)]);
        router.insert(&Filter::parse("a").unwrap(), Target::Group(GroupId(7)));
        assert_eq!(router.route(b"a").groups[..], [GroupId(7)]);
        router.remove(&all, Target::Shard(ShardId(1)));
        assert_eq!(router.route(b"a").shards.len(), 0);
        assert!(Rc::ptr_eq(&router.route(b"a"), &router.route(b"a")));
    }
}
