//! The subscriptions of one session: its filters, with the subscribers that asked for each, and what of them is counted.

use ahash::AHashMap;

use super::filters::Filters;
use crate::ids::SubscriberId;
use crate::limits::WILDCARD_SHAPES_PER_SESSION_MAX;
use crate::topic::{Filter, Shape};

/// The outcome of a change of one subscription.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Changed {
    /// It was so before.
    Nothing,
    /// The session has the filter as before, for other subscribers.
    Subscribers,
    /// The session has a filter more, or one fewer.
    Filters,
}

/// All of one session.
#[derive(Default, Debug)]
pub(super) struct Subscriptions {
    filters: Filters,
    /// The arrangements of wildcards that the filters have.
    shapes: Shapes,
    /// Pairs of a filter and a subscriber.
    count: usize,
    /// Bytes of the filters.
    filter_bytes: usize,
}

impl Subscriptions {
    /// The filters, each with its subscribers.
    pub(super) fn filters(&self) -> &Filters {
        &self.filters
    }

    /// The number of subscriptions: of pairs of a filter and a subscriber.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Bytes of the filters, each counted once.
    pub(super) fn filter_bytes(&self) -> usize {
        self.filter_bytes
    }

    /// False if a filter would bring one arrangement of wildcards too many.
    pub(super) fn allow(&self, filter: &Filter) -> bool {
        self.shapes.allow(filter)
    }

    /// Adds a subscription.
    pub(super) fn add(&mut self, filter: &Filter, subscriber: SubscriberId) -> Changed {
        let filters = self.filters.len();
        if !self.filters.add(filter, subscriber) {
            return Changed::Nothing;
        }
        self.count += 1;
        if self.filters.len() == filters {
            return Changed::Subscribers;
        }
        self.filter_bytes += filter.as_bytes().len();
        self.shapes.add(filter);
        Changed::Filters
    }

    /// Takes a subscription back.
    pub(super) fn remove(&mut self, filter: &Filter, subscriber: SubscriberId) -> Changed {
        let filters = self.filters.len();
        if !self.filters.remove(filter, subscriber) {
            return Changed::Nothing;
        }
        self.count -= 1;
        if self.filters.len() == filters {
            return Changed::Subscribers;
        }
        self.filter_bytes -= filter.as_bytes().len();
        self.shapes.remove(filter);
        Changed::Filters
    }

    /// As [`Filters::share`].
    pub(super) fn share(&mut self, filters: &[Filter]) {
        self.filters.share(filters);
    }

    /// The number of subscribers that have asked for any of these filters: each counts once.
    pub(super) fn subscribers_of(&self, filters: &[&Filter], scratch: &mut Vec<SubscriberId>) -> usize {
        scratch.clear();
        for filter in filters {
            scratch.extend_from_slice(self.filters.subscribers(filter));
        }
        scratch.sort_unstable();
        scratch.dedup();
        scratch.len()
    }

    /// The filters, of a session that has left.
    pub(super) fn into_filters(self) -> Filters {
        self.filters
    }

    /// The counts are those of the filters.
    pub(super) fn audit(&self) {
        let count: usize = self.filters.iter().map(|(_, subscribers)| subscribers.len()).sum();
        let bytes: usize = self.filters.keys().map(|filter| filter.as_bytes().len()).sum();
        assert_eq!((self.count, self.filter_bytes), (count, bytes), "subscriptions are counted wrongly");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_counted_once_and_each_of_its_subscribers() {
        let mut subscriptions = Subscriptions::default();
        let (long, short) = (Filter::parse("a.long.one").unwrap(), Filter::parse("b").unwrap());
        let [first, second] = [1, 2].map(SubscriberId);
        let added = [(&long, first), (&long, first), (&long, second), (&short, first)]
            .map(|(filter, subscriber)| subscriptions.add(filter, subscriber));
        assert_eq!(added, [Changed::Filters, Changed::Nothing, Changed::Subscribers, Changed::Filters]);
        assert_eq!((subscriptions.count(), subscriptions.filter_bytes()), (3, 11));
        assert_eq!(subscriptions.subscribers_of(&[&long, &short], &mut Vec::new()), 2);
        subscriptions.audit();
        let removed = [(&long, first), (&long, first), (&long, second)]
            .map(|(filter, subscriber)| subscriptions.remove(filter, subscriber));
        assert_eq!(removed, [Changed::Subscribers, Changed::Nothing, Changed::Filters]);
        assert_eq!((subscriptions.count(), subscriptions.filter_bytes()), (1, 1));
        subscriptions.audit();
    }
}
