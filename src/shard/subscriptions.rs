//! The subscriptions of one session: its filters, with the subscribers that asked for each. Sorted by filter. Small for
//! the few filters that most sessions have, and still quick for those with a hundred thousand.

use std::collections::BTreeMap;

use ahash::AHashMap;

use crate::ids::SubscriberId;
use crate::limits::WILDCARD_SHAPES_PER_SESSION_MAX;
use crate::topic::{Filter, Shape};

/// Filters up to which they stand in a plain array: one filter then takes 64 bytes, where the least that a tree
/// allocates is 720. Beyond it a tree, since each change of an array moves all that stands behind.
const FEW: usize = 8;

/// Filters, in order, each with the subscribers that asked for it, in order.
#[derive(Debug)]
pub(super) enum Subscriptions {
    Few(Vec<(Filter, Vec<SubscriberId>)>),
    Many(BTreeMap<Filter, Vec<SubscriberId>>),
}

impl Default for Subscriptions {
    fn default() -> Self {
        Subscriptions::Few(Vec::new())
    }
}

impl Subscriptions {
    /// No filter.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Subscriptions::Few(few) => few.is_empty(),
            Subscriptions::Many(many) => many.is_empty(),
        }
    }

    /// The number of filters.
    pub(super) fn len(&self) -> usize {
        match self {
            Subscriptions::Few(few) => few.len(),
            Subscriptions::Many(many) => many.len(),
        }
    }

    /// Takes one filter out, whoever asked for it.
    pub(super) fn pop(&mut self) -> Option<Filter> {
        let popped = match self {
            Subscriptions::Few(few) => few.pop(),
            Subscriptions::Many(many) => many.pop_first(),
        };
        popped.map(|(filter, _)| filter)
    }

    /// True if some subscriber asked for this very filter.
    pub(super) fn contains(&self, filter: &Filter) -> bool {
        match self {
            Subscriptions::Few(few) => place(few, filter).is_ok(),
            Subscriptions::Many(many) => many.contains_key(filter),
        }
    }

    /// Those that asked for this very filter, in order.
    pub(super) fn subscribers(&self, filter: &Filter) -> &[SubscriberId] {
        match self {
            Subscriptions::Few(few) => place(few, filter).map_or(&[], |at| &few[at].1),
            Subscriptions::Many(many) => many.get(filter).map_or(&[], |subscribers| subscribers),
        }
    }

    /// Adds a subscriber to a filter; `false` if it was there.
    pub(super) fn add(&mut self, filter: &Filter, subscriber: SubscriberId) -> bool {
        let subscribers = self.of_filter(filter);
        let Err(at) = subscribers.binary_search(&subscriber) else { return false };
        subscribers.insert(at, subscriber);
        true
    }

    /// Takes a subscriber from a filter; `false` if it was not there. A filter without subscribers is gone.
    pub(super) fn remove(&mut self, filter: &Filter, subscriber: SubscriberId) -> bool {
        let subscribers = match self {
            Subscriptions::Few(few) => place(few, filter).ok().map(|at| &mut few[at].1),
            Subscriptions::Many(many) => many.get_mut(filter),
        };
        let Some(subscribers) = subscribers else { return false };
        let Ok(at) = subscribers.binary_search(&subscriber) else { return false };
        subscribers.remove(at);
        if subscribers.is_empty() {
            self.forget(filter);
        }
        true
    }

    /// The filters, in order.
    pub(super) fn filters(&self) -> impl Iterator<Item = &Filter> {
        self.iter().map(|(filter, _)| filter)
    }

    /// The filters, in order, with who asked for each.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Filter, &[SubscriberId])> {
        let (few, many) = match self {
            Subscriptions::Few(few) => (Some(few), None),
            Subscriptions::Many(many) => (None, Some(many)),
        };
        let few = few.into_iter().flatten().map(|(filter, subscribers)| (filter, &subscribers[..]));
        few.chain(many.into_iter().flatten().map(|(filter, subscribers)| (filter, &subscribers[..])))
    }

    /// Keeps the bytes of these filters in place of its own: they are the same ones, and others hold them anyway.
    pub(super) fn share(&mut self, filters: &[Filter]) {
        if let Subscriptions::Few(few) = self {
            for ((own, _), shared) in few.iter_mut().zip(filters) {
                assert_eq!(own, shared, "the filters of a group are those of its members");
                *own = shared.clone();
            }
        }
    }

    fn of_filter(&mut self, filter: &Filter) -> &mut Vec<SubscriberId> {
        if let Subscriptions::Few(few) = self
            && few.len() >= FEW
            && place(few, filter).is_err()
        {
            *self = Subscriptions::Many(std::mem::take(few).into_iter().collect());
        }
        match self {
            Subscriptions::Few(few) => {
                let at = place(few, filter).unwrap_or_else(|at| {
                    // Room for what comes and no more: most sessions have one.
                    few.reserve_exact(1);
                    few.insert(at, (filter.clone(), Vec::with_capacity(1)));
                    at
                });
                &mut few[at].1
            }
            Subscriptions::Many(many) => many.entry(filter.clone()).or_default(),
        }
    }

    fn forget(&mut self, filter: &Filter) {
        match self {
            Subscriptions::Few(few) => {
                if let Ok(at) = place(few, filter) {
                    few.remove(at);
                }
            }
            Subscriptions::Many(many) => {
                many.remove(filter);
            }
        }
        if self.is_empty() {
            *self = Subscriptions::default();
        }
    }
}

/// The number of filters of a session that have each shape, of those that are counted. Most sessions have none.
#[derive(Default, Debug)]
pub(super) struct Shapes(Option<Box<AHashMap<Shape, usize>>>);

impl Shapes {
    /// True if a filter may come to those that are counted here.
    pub(super) fn allow(&self, filter: &Filter) -> bool {
        match (filter.shape(), &self.0) {
            (Some(shape), Some(counts)) => {
                counts.len() < WILDCARD_SHAPES_PER_SESSION_MAX || counts.contains_key(&shape)
            }
            _ => true,
        }
    }

    pub(super) fn add(&mut self, filter: &Filter) {
        if let Some(shape) = filter.shape() {
            *self.0.get_or_insert_default().entry(shape).or_insert(0) += 1;
        }
    }

    pub(super) fn remove(&mut self, filter: &Filter) {
        let (Some(shape), Some(counts)) = (filter.shape(), &mut self.0) else { return };
        if let Some(filters) = counts.get_mut(&shape) {
            *filters -= 1;
            if *filters == 0 {
                counts.remove(&shape);
            }
        }
        if counts.is_empty() {
            self.0 = None;
        }
    }
}

fn place(few: &[(Filter, Vec<SubscriberId>)], filter: &Filter) -> Result<usize, usize> {
    few.binary_search_by(|(own, _)| own.cmp(filter))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Any changes, against a plain set of pairs, below and above what an array holds.
        #[test]
        fn it_is_a_set_of_pairs(changes in prop::collection::vec((any::<bool>(), 0..3 * FEW, 0_u32..3), 0..200)) {
            let mut subscriptions = Subscriptions::default();
            let mut wanted: BTreeSet<(Filter, SubscriberId)> = BTreeSet::new();
            for (adds, filter, subscriber) in changes {
                let filter = Filter::parse(&format!("t.{filter}")).unwrap();
                let subscriber = SubscriberId(subscriber);
                let changed = if adds {
                    prop_assert_eq!(subscriptions.contains(&filter), wanted.iter().any(|(own, _)| *own == filter));
                    (subscriptions.add(&filter, subscriber), wanted.insert((filter, subscriber)))
                } else {
                    (subscriptions.remove(&filter, subscriber), wanted.remove(&(filter, subscriber)))
                };
                prop_assert_eq!(changed.0, changed.1);
                let pairs = subscriptions.iter().flat_map(|(filter, who)| who.iter().map(move |who| (filter, who)));
                prop_assert!(pairs.eq(wanted.iter().map(|(filter, who)| (filter, who))));
                let filters: BTreeSet<&Filter> = wanted.iter().map(|(filter, _)| filter).collect();
                prop_assert!(subscriptions.filters().eq(filters));
                prop_assert_eq!(subscriptions.is_empty(), wanted.is_empty());
            }
        }
    }
}
