//! A shard's view of the registry, in the order of the owner's changes. Answers watches without asking the owner.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::registration::Registration;
use crate::ids::PublisherId;
use crate::topic::{Filter, OverlapIndex};

/// The registrations that are in force.
#[derive(Default, Debug)]
pub struct Directory {
    publishers: BTreeMap<PublisherId, Arc<Registration>>,
    by_topic: OverlapIndex<PublisherId>,
}

impl Directory {
    /// True if that publisher is registered.
    pub fn knows(&self, publisher: PublisherId) -> bool {
        self.publishers.contains_key(&publisher)
    }

    /// The registration of a publisher, if there is one.
    pub fn get(&self, publisher: PublisherId) -> Option<&Arc<Registration>> {
        self.publishers.get(&publisher)
    }

    /// Records a new or changed registration.
    pub fn up(&mut self, registration: Arc<Registration>) {
        let publisher = registration.publisher;
        for topic in &registration.topics {
            self.by_topic.insert(topic, publisher);
        }
        let old = self.publishers.insert(publisher, registration);
        self.forget_topics(old.as_deref());
    }

    /// Removes a publisher. Returns its registration.
    pub fn down(&mut self, publisher: PublisherId, epoch: u64) -> Option<Arc<Registration>> {
        if self.publishers.get(&publisher)?.epoch != epoch {
            return None;
        }
        let gone = self.publishers.remove(&publisher);
        self.forget_topics(gone.as_deref());
        gone
    }

    /// Removes from the index those topics that the publisher no longer publishes.
    fn forget_topics(&mut self, old: Option<&Registration>) {
        let Some(old) = old else { return };
        let now = self.publishers.get(&old.publisher);
        for topic in &old.topics {
            if now.is_none_or(|now| now.topics.binary_search(topic).is_err()) {
                self.by_topic.remove(topic, old.publisher);
            }
        }
    }

    /// The publishers of something that the filter asks for, in order, and the number of visited nodes of the index.
    pub fn overlapping(&self, filter: &Filter) -> (Vec<PublisherId>, usize) {
        self.by_topic.overlapping(filter)
    }

    /// The registrations of those publishers.
    pub fn matching(&self, filter: &Filter) -> impl Iterator<Item = &Arc<Registration>> {
        let (publishers, _) = self.overlapping(filter);
        publishers.into_iter().filter_map(|publisher| self.publishers.get(&publisher))
    }
}
