//! From a topic to a route: which local egress groups and which neighbours want it. Routes are cached by topic, and
//! found anew once the index has changed. Owned by a shard.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use ahash::AHashMap;
use bytes::Bytes;

use crate::ids::{GroupId, Neighbour};
use crate::limits::{
    ROUTE_CACHE_MAX, ROUTE_CACHE_TARGETS_MAX, ROUTE_CACHE_TOPIC_BYTES_MAX, ROUTE_LOOK_TICKS,
    WILDCARD_SHAPES_MAX,
};
use crate::slack::{give_back, give_back_queue};
use crate::topic::{Filter, FilterSet, Index};

/// The target of a filter. Ordered, so that an index's answer has the groups first and then the neighbours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Target {
    Group(GroupId),
    Neighbour(Neighbour),
}

/// Where the messages of one topic go.
#[derive(PartialEq, Eq, Default, Debug)]
pub(crate) struct Route {
    pub(crate) groups: Box<[GroupId]>,
    pub(crate) neighbours: Box<[Neighbour]>,
    /// Messages of publishers here that have taken it, since the topic was cached: for operators.
    messages: Cell<u64>,
}

impl Route {
    fn of(found: &[Target]) -> Self {
        let groups = found.iter().filter_map(|t| match t {
            Target::Group(group) => Some(*group),
            Target::Neighbour(_) => None,
        });
        let neighbours = found.iter().filter_map(|t| match t {
            Target::Neighbour(neighbour) => Some(*neighbour),
            Target::Group(_) => None,
        });
        Route { groups: groups.collect(), neighbours: neighbours.collect(), messages: Cell::new(0) }
    }

    /// Counts messages that take it.
    #[inline]
    pub(crate) fn count(&self, messages: u32) {
        self.messages.set(self.messages.get() + u64::from(messages));
    }

    fn targets(&self) -> usize {
        self.groups.len() + self.neighbours.len()
    }
}

#[derive(Default)]
pub(crate) struct Router {
    index: Index<Target>,
    /// Counts the changes of the index.
    version: u64,
    cache: Cache,
    found: Vec<Target>,
}

impl Router {
    pub(crate) fn insert(&mut self, filter: &Filter, target: Target) -> bool {
        self.version += 1;
        self.index.insert(filter, target)
    }

    pub(crate) fn remove(&mut self, filter: &Filter, target: Target) -> bool {
        self.version += 1;
        self.index.remove(filter, target)
    }

    /// True if a filter would make the look-ups of all topics longer than they may be.
    pub(crate) fn is_too_wide(&self, filter: &Filter) -> bool {
        filter
            .shape()
            .is_some_and(|shape| self.index.shapes() >= WILDCARD_SHAPES_MAX && !self.index.has_shape(&shape))
    }

    /// All filters that match a topic, whoever asked for them.
    pub(crate) fn filters_of(&self, topic: &[u8]) -> Vec<Filter> {
        self.index.filters_of(topic)
    }

    /// Forgets routes that no message has asked for lately, a tick's share at a time. Returns how many were looked at.
    pub(crate) fn forget_unused(&mut self, ticks: usize) -> usize {
        self.cache.forget_unused(ticks)
    }

    /// Cached topics from this place on, each with the messages of publishers here since it was cached; see [`Cache::place`].
    pub(crate) fn topic_counts(&self, from: u64) -> impl Iterator<Item = (&Bytes, u64)> {
        let skipped = usize::try_from(from.saturating_sub(self.cache.place)).unwrap_or(usize::MAX);
        let topics = self.cache.order.iter().skip(skipped);
        topics.filter_map(|topic| Some((topic, self.cache.routes.get(topic)?.route.messages.get())))
    }

    /// The route of a topic, if it is cached and the index has not changed.
    pub(crate) fn cached_route(&self, topic: &[u8]) -> Option<&Route> {
        let cached = self.cache.get(topic)?;
        (cached.version == self.version).then_some(&*cached.route)
    }

    /// The places of the cached topics.
    pub(crate) fn topic_places(&self) -> Range<u64> {
        self.cache.place..self.cache.place + self.cache.order.len() as u64
    }

    /// The route of a topic, and the work of finding it: none when it was asked before, since the index last changed.
    #[inline]
    pub(crate) fn route(&mut self, topic: &[u8]) -> (Rc<Route>, usize) {
        match self.cache.get(topic).and_then(|cached| cached.route(self.version)) {
            Some(route) => (route, 0),
            None => self.find(topic),
        }
    }

    /// As [`Router::route`], if `permitted` matches the topic. A cached route remembers the last set that does, so that the same
    /// publisher's next messages cost a comparison.
    #[inline]
    pub(crate) fn permitted_route(
        &mut self,
        topic: &[u8],
        permitted: &FilterSet,
    ) -> Option<(Rc<Route>, usize)> {
        if let Some(cached) = self.cache.get(topic)
            && cached.permitted.get() == permitted.number()
            && let Some(route) = cached.route(self.version)
        {
            return Some((route, 0));
        }
        self.find_permitted(topic, permitted)
    }

    /// By a call, so that the loop over the messages of a batch has little in it.
    #[inline(never)]
    fn find_permitted(&mut self, topic: &[u8], permitted: &FilterSet) -> Option<(Rc<Route>, usize)> {
        let is_known =
            self.cache.get(topic).is_some_and(|cached| cached.permitted.get() == permitted.number());
        if !is_known && !permitted.matches(topic) {
            return None;
        }
        let found = self.route(topic);
        if let Some(cached) = self.cache.get(topic) {
            cached.permitted.set(permitted.number());
        }
        Some(found)
    }

    fn find(&mut self, topic: &[u8]) -> (Rc<Route>, usize) {
        let work = self.index.matches(topic, &mut self.found) + CACHING_STEPS;
        let route = Rc::new(Route::of(&self.found));
        self.cache.insert(topic, Rc::clone(&route), self.version);
        (route, work)
    }
}

/// Steps that filing a route in the cache, and the oldest's way out, are worth.
const CACHING_STEPS: usize = 5;

/// The routes of the topics that were asked for last. Neither a change of the index nor a full cache costs more than
/// the topic at hand: routes know the version of the index that they are of, and the oldest give way one by one.
#[derive(Default)]
struct Cache {
    routes: AHashMap<Bytes, Cached>,
    /// The topics of `routes`, the one that came first in front.
    order: VecDeque<Bytes>,
    /// The place of the first of `order`: it grows with each that leaves the front. So whoever goes through all places, in
    /// turns, passes over no topic that is there all the time.
    place: u64,
    /// Targets of all routes.
    targets: usize,
    /// Bytes of all topics.
    topic_bytes: usize,
    round: Round,
}

/// A round of looks at cached routes, each of which is looked at once.
#[derive(Default)]
struct Round {
    /// The number of routes when it began, and of those that are still to be looked at.
    routes: usize,
    left: usize,
    /// Ticks since it began.
    ticks: usize,
}

struct Cached {
    route: Rc<Route>,
    version: u64,
    /// A message has asked for it since it was last looked at.
    is_used: Cell<bool>,
    /// The number of the last set of filters that was asked whether it matches the topic, and does; 0: none.
    permitted: Cell<u64>,
}

impl Cached {
    /// The route, if it is of this version of the index.
    #[inline]
    fn route(&self, version: u64) -> Option<Rc<Route>> {
        self.is_used.set(true);
        (self.version == version).then(|| Rc::clone(&self.route))
    }
}

impl Cache {
    #[inline]
    fn get(&self, topic: &[u8]) -> Option<&Cached> {
        self.routes.get(topic)
    }

    /// Looks at the oldest routes, each once in [`ROUTE_LOOK_TICKS`], and forgets those that were not used since the look
    /// before.
    fn forget_unused(&mut self, ticks: usize) -> usize {
        self.round.ticks += ticks;
        if self.round.ticks >= ROUTE_LOOK_TICKS && self.round.left == 0 {
            self.round = Round { routes: self.routes.len(), left: self.routes.len(), ticks: 0 };
        }
        let looks = (self.round.routes * ticks).div_ceil(ROUTE_LOOK_TICKS).min(self.round.left);
        self.round.left -= looks;
        for _ in 0..looks {
            let Some(oldest) = self.order.pop_front() else { break };
            self.place += 1;
            if self.routes.get(&oldest).is_some_and(|cached| cached.is_used.replace(false)) {
                self.order.push_back(oldest);
            } else {
                self.forget(&oldest);
            }
        }
        give_back(&mut self.routes);
        give_back_queue(&mut self.order);
        looks
    }

    /// Forgets a topic that stands in `order` no more.
    fn forget(&mut self, topic: &Bytes) {
        self.topic_bytes -= topic.len();
        if let Some(gone) = self.routes.remove(topic) {
            self.targets -= gone.route.targets();
        }
    }

    fn insert(&mut self, topic: &[u8], route: Rc<Route>, version: u64) {
        self.targets += route.targets();
        let cached = Cached { route, version, is_used: Cell::new(true), permitted: Cell::new(0) };
        if let Some(there) = self.routes.get_mut(topic) {
            self.targets -= there.route.targets();
            cached.route.messages.set(there.route.messages.get());
            *there = cached;
        } else {
            self.topic_bytes += topic.len();
            let topic = Bytes::copy_from_slice(topic);
            self.order.push_back(topic.clone());
            self.routes.insert(topic, cached);
        }
        while self.routes.len() > ROUTE_CACHE_MAX
            || self.topic_bytes > ROUTE_CACHE_TOPIC_BYTES_MAX
            || (self.targets > ROUTE_CACHE_TARGETS_MAX && self.routes.len() > 1)
        {
            let Some(oldest) = self.order.pop_front() else { return };
            self.place += 1;
            self.forget(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::TOPIC_BYTES_MAX;

    fn route(router: &mut Router, topic: &[u8]) -> Rc<Route> {
        router.route(topic).0
    }

    #[test]
    fn a_cached_route_is_forgotten_when_the_index_changes() {
        let mut router = Router::default();
        let all = Filter::parse(">").unwrap();
        assert_eq!(*route(&mut router, b"a"), Route::default());
        router.insert(&all, Target::Neighbour(Neighbour(1)));
        assert_eq!(route(&mut router, b"a").neighbours[..], [Neighbour(1)]);
        router.insert(&Filter::parse("a").unwrap(), Target::Group(GroupId(7)));
        assert_eq!(route(&mut router, b"a").groups[..], [GroupId(7)]);
        router.remove(&all, Target::Neighbour(Neighbour(1)));
        assert_eq!(route(&mut router, b"a").neighbours.len(), 0);
        assert!(Rc::ptr_eq(&route(&mut router, b"a"), &route(&mut router, b"a")));
        assert_eq!(router.route(b"a").1, 0, "a cached route is no work");
    }

    #[test]
    fn a_set_that_permits_a_topic_is_known_with_its_route_and_no_other_set_is() {
        let mut router = Router::default();
        let set = |text: &str| -> FilterSet { [Filter::parse(text).unwrap()].into_iter().collect() };
        let (own, same, other) = (set("a.*"), set("a.*"), set("b"));
        assert!(router.permitted_route(b"a.b", &other).is_none() && router.cache.routes.is_empty());
        let known = |router: &Router| router.cache.routes[&b"a.b"[..]].permitted.get();
        for _ in 0..2 {
            assert!(router.permitted_route(b"a.b", &own).is_some());
            assert!(router.permitted_route(b"a.b", &own).is_some());
            assert_eq!(known(&router), own.number());
            assert!(router.permitted_route(b"a.b", &other).is_none(), "whoever was permitted before");
            assert_eq!(known(&router), own.number());
            assert!(router.permitted_route(b"a.b", &same).is_some());
            assert_eq!(known(&router), same.number());
            router.insert(&Filter::parse("a.>").unwrap(), Target::Neighbour(Neighbour(1)));
        }
        let (route, work) = router.permitted_route(b"a.b", &same).expect("it is permitted");
        assert_eq!(
            (&route.neighbours[..], work > 0),
            (&[Neighbour(1)][..], true),
            "and a new route is found"
        );
    }

    #[test]
    fn a_full_cache_loses_its_oldest_topic_and_no_other() {
        let mut router = Router::default();
        let topic = |n: usize| format!("t.{n}").into_bytes();
        let first = route(&mut router, &topic(0));
        for n in 1..ROUTE_CACHE_MAX {
            router.route(&topic(n));
        }
        assert!(Rc::ptr_eq(&first, &route(&mut router, &topic(0))), "it just fits");
        router.route(&topic(ROUTE_CACHE_MAX));
        assert_eq!(router.route(&topic(1)).1, 0, "the second oldest stays");
        assert!(router.route(&topic(0)).1 > 0);
    }

    #[test]
    fn routes_that_no_message_asks_for_are_forgotten_and_their_room_is_given_back() {
        let mut router = Router::default();
        let topic = |n: usize| format!("t.{n}").into_bytes();
        let topics = 10_000;
        (0..topics).for_each(|n| _ = router.route(&topic(n)));
        let round = |router: &mut Router| {
            for _ in 0..ROUTE_LOOK_TICKS / 10 {
                assert!(router.forget_unused(10) <= topics.div_ceil(ROUTE_LOOK_TICKS / 10), "a tick's share");
                router.route(&topic(7));
            }
        };
        round(&mut router);
        assert_eq!(router.cache.routes.len(), topics, "they have just come");
        (0..2).for_each(|_| round(&mut router));
        assert_eq!(router.cache.routes.len(), 1);
        assert_eq!(router.route(&topic(7)).1, 0, "it is in use, and not looked at more often than others");
        (0..4 * ROUTE_LOOK_TICKS).for_each(|_| _ = router.forget_unused(1));
        let Cache { routes, order, targets, topic_bytes, .. } = &router.cache;
        assert_eq!((routes.len(), order.len(), *targets, *topic_bytes), (0, 0, 0, 0));
        assert!(routes.capacity() + order.capacity() < 200);
    }

    #[test]
    fn long_topics_have_no_more_room_than_short_ones() {
        let mut router = Router::default();
        for n in 0..4 * ROUTE_CACHE_TOPIC_BYTES_MAX / TOPIC_BYTES_MAX {
            router.route(format!("{n:0TOPIC_BYTES_MAX$}").as_bytes());
            assert!(router.cache.topic_bytes <= ROUTE_CACHE_TOPIC_BYTES_MAX);
        }
        let cached: usize = router.cache.routes.keys().map(Bytes::len).sum();
        assert_eq!(cached, router.cache.topic_bytes);
        assert_eq!(cached, ROUTE_CACHE_TOPIC_BYTES_MAX, "as many as there is room for");
        assert_eq!(router.cache.routes.len(), router.cache.order.len());
    }

    #[test]
    fn topics_that_very_many_want_do_not_fill_the_memory() {
        let mut router = Router::default();
        let all = Filter::parse(">").unwrap();
        let groups = 20_000;
        for group in 0..groups {
            router.insert(&all, Target::Group(GroupId(group)));
        }
        for n in 0..1_000 {
            let (route, work) = router.route(format!("t.{n}").as_bytes());
            assert_eq!(route.groups.len(), groups as usize);
            assert!(work > groups as usize, "what is found is work");
            assert!(router.cache.targets <= ROUTE_CACHE_TARGETS_MAX);
            assert_eq!(router.cache.routes.len(), router.cache.order.len());
        }
        let cached: usize = router.cache.routes.values().map(|cached| cached.route.targets()).sum();
        assert_eq!(cached, router.cache.targets);
        router.remove(&all, Target::Group(GroupId(0)));
        assert_eq!(route(&mut router, b"t.999").groups.len(), groups as usize - 1);
        assert_eq!(
            router.cache.routes.len(),
            router.cache.order.len(),
            "a stale route is replaced in its place"
        );
    }
}
