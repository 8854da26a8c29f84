//! Filters with the subscribers that asked for each, sorted by filter. Small for the few filters that most sessions have,
//! and still quick for those with a hundred thousand.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::ids::SubscriberId;
use crate::topic::Filter;

/// Filters up to which they stand in a plain array: one filter then takes 64 bytes, where the least that a tree
/// allocates is 720. Beyond it a tree, since each change of an array moves all that stands behind.
const FEW: usize = 8;

/// Filters, in order, each with the subscribers that asked for it, in order.
#[derive(Debug)]
pub(super) enum Filters {
    Few(Vec<(Filter, Vec<SubscriberId>)>),
    Many(BTreeMap<Filter, Vec<SubscriberId>>),
}

impl Default for Filters {
    fn default() -> Self {
        Filters::Few(Vec::new())
    }
}

impl Filters {
    /// No filter.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Filters::Few(few) => few.is_empty(),
            Filters::Many(many) => many.is_empty(),
        }
    }

    /// The number of filters.
    pub(super) fn len(&self) -> usize {
        match self {
            Filters::Few(few) => few.len(),
            Filters::Many(many) => many.len(),
        }
    }

    /// Takes one filter out, with all of its subscribers.
    pub(super) fn pop(&mut self) -> Option<Filter> {
        let popped = match self {
            Filters::Few(few) => few.pop(),
            Filters::Many(many) => many.pop_first(),
        };
        popped.map(|(filter, _)| filter)
    }

    /// True if some subscriber asked for this very filter.
    pub(super) fn contains(&self, filter: &Filter) -> bool {
        match self {
            Filters::Few(few) => place(few, filter).is_ok(),
            Filters::Many(many) => many.contains_key(filter),
        }
    }

    /// The subscribers that asked for this very filter, in order.
    pub(super) fn subscribers(&self, filter: &Filter) -> &[SubscriberId] {
        match self {
            Filters::Few(few) => place(few, filter).map_or(&[], |at| &few[at].1),
            Filters::Many(many) => many.get(filter).map_or(&[], |subscribers| subscribers),
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
            Filters::Few(few) => place(few, filter).ok().map(|at| &mut few[at].1),
            Filters::Many(many) => many.get_mut(filter),
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
    pub(super) fn keys(&self) -> impl Iterator<Item = &Filter> {
        self.iter().map(|(filter, _)| filter)
    }

    /// The filters behind this one, or all of them, in order.
    pub(super) fn keys_behind<'a>(
        &'a self,
        behind: Option<&Filter>,
    ) -> impl Iterator<Item = &'a Filter> + use<'a> {
        let (few, many) = match self {
            Filters::Few(few) => {
                let at = behind.map_or(0, |last| few.partition_point(|(filter, _)| filter <= last));
                (Some(few[at..].iter().map(|(filter, _)| filter)), None)
            }
            Filters::Many(many) => {
                let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
                (None, Some(many.range((from, Bound::Unbounded)).map(|(filter, _)| filter)))
            }
        };
        few.into_iter().flatten().chain(many.into_iter().flatten())
    }

    /// The filters, in order, each with the subscribers that asked for it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Filter, &[SubscriberId])> {
        let (few, many) = match self {
            Filters::Few(few) => (Some(few), None),
            Filters::Many(many) => (None, Some(many)),
        };
        let few = few.into_iter().flatten().map(|(filter, subscribers)| (filter, &subscribers[..]));
        few.chain(many.into_iter().flatten().map(|(filter, subscribers)| (filter, &subscribers[..])))
    }

    /// Keeps the bytes of these filters in place of its own: they are the same ones, and others hold them anyway.
    pub(super) fn share(&mut self, filters: &[Filter]) {
        if let Filters::Few(few) = self {
            for ((own, _), shared) in few.iter_mut().zip(filters) {
                assert_eq!(own, shared, "the filters of a group are those of its members");
                *own = shared.clone();
            }
        }
    }

    fn of_filter(&mut self, filter: &Filter) -> &mut Vec<SubscriberId> {
        if let Filters::Few(few) = self
            && few.len() >= FEW
            && place(few, filter).is_err()
        {
            *self = Filters::Many(std::mem::take(few).into_iter().collect());
        }
        match self {
            Filters::Few(few) => {
                let at = place(few, filter).unwrap_or_else(|at| {
                    // Room for what comes and no more: most sessions have one.
                    few.reserve_exact(1);
                    few.insert(at, (filter.clone(), Vec::with_capacity(1)));
                    at
                });
                &mut few[at].1
            }
            Filters::Many(many) => many.entry(filter.clone()).or_default(),
        }
    }

    fn forget(&mut self, filter: &Filter) {
        match self {
            Filters::Few(few) => {
                if let Ok(at) = place(few, filter) {
                    few.remove(at);
                }
            }
            Filters::Many(many) => {
                many.remove(filter);
            }
        }
        if self.is_empty() {
            *self = Filters::default();
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
            let mut filters = Filters::default();
            let mut wanted: BTreeSet<(Filter, SubscriberId)> = BTreeSet::new();
            for (adds, filter, subscriber) in changes {
                let filter = Filter::parse(&format!("t.{filter}")).unwrap();
                let subscriber = SubscriberId(subscriber);
                let changed = if adds {
                    prop_assert_eq!(filters.contains(&filter), wanted.iter().any(|(own, _)| *own == filter));
                    (filters.add(&filter, subscriber), wanted.insert((filter, subscriber)))
                } else {
                    (filters.remove(&filter, subscriber), wanted.remove(&(filter, subscriber)))
                };
                prop_assert_eq!(changed.0, changed.1);
                let pairs = filters.iter().flat_map(|(filter, who)| who.iter().map(move |who| (filter, who)));
                prop_assert!(pairs.eq(wanted.iter().map(|(filter, who)| (filter, who))));
                let each: BTreeSet<&Filter> = wanted.iter().map(|(filter, _)| filter).collect();
                prop_assert_eq!(filters.len(), each.len());
                for behind in &each {
                    let later = each.iter().copied().filter(|filter| filter > behind);
                    prop_assert!(filters.keys_behind(Some(*behind)).eq(later));
                }
                prop_assert!(filters.keys_behind(None).eq(each.iter().copied()));
                prop_assert!(filters.keys().eq(each));
                prop_assert_eq!(filters.is_empty(), wanted.is_empty());
            }
        }
    }
}
