//! The filters that are wanted, each with the change with which it came to be. A topic is looked up among them without a look at
//! all: a broker may have tens of thousands of names. Owned by the interest of this broker.

use ahash::AHashMap;

use crate::topic::{Filter, Topic};

/// A filter that is wanted.
#[derive(Clone, Copy)]
pub(super) struct WantedFilter {
    /// The change with which it came to be wanted.
    pub(super) since: u64,
    /// The others are told of it; not if they are told that everything is wanted.
    pub(super) is_told: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct WantedFilters {
    names: AHashMap<Topic, WantedFilter>,
    wild: AHashMap<Filter, WantedFilter>,
}

impl WantedFilters {
    /// Adds a filter, or takes the place of what was noted of it.
    pub(super) fn insert(&mut self, filter: Filter, wanted: WantedFilter) {
        match filter {
            Filter::Exact(topic) => self.names.insert(topic, wanted),
            wild => self.wild.insert(wild, wanted),
        };
    }

    /// Takes a filter out.
    pub(super) fn remove(&mut self, filter: &Filter) -> Option<WantedFilter> {
        match filter {
            Filter::Exact(topic) => self.names.remove(topic),
            wild => self.wild.remove(wild),
        }
    }

    /// True if it is one of them.
    pub(super) fn contains(&self, filter: &Filter) -> bool {
        match filter {
            Filter::Exact(topic) => self.names.contains_key(topic),
            wild => self.wild.contains_key(wild),
        }
    }

    /// The filters that match a topic.
    pub(super) fn matching(&self, topic: &[u8]) -> impl Iterator<Item = &WantedFilter> {
        let wild = self.wild.iter().filter(move |(filter, _)| filter.matches(topic));
        self.names.get(topic).into_iter().chain(wild.map(|(_, wanted)| wanted))
    }

    /// All filters.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Filter, &WantedFilter)> {
        let names = self.names.iter().map(|(topic, wanted)| (Filter::Exact(topic.clone()), wanted));
        names.chain(self.wild.iter().map(|(filter, wanted)| (filter.clone(), wanted)))
    }

    /// The number of filters.
    pub(super) fn len(&self) -> usize {
        self.names.len() + self.wild.len()
    }

    /// The number of filters that are no topics.
    pub(super) fn wild(&self) -> usize {
        self.wild.len()
    }
}
