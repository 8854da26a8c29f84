//! What a shard knows of the registry, in the order in which the owner told it. Answers watches without asking.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::registration::Registration;
use crate::ids::PublisherId;
use crate::topic::Filter;

/// The registrations that are in force.
#[derive(Default, Debug)]
pub struct Directory {
    publishers: BTreeMap<PublisherId, Arc<Registration>>,
}

impl Directory {
    /// Whether that publisher is there.
    pub fn knows(&self, publisher: PublisherId) -> bool {
        self.publishers.contains_key(&publisher)
    }

    /// A publisher is there, or has changed.
    pub fn up(&mut self, registration: Arc<Registration>) {
        self.publishers.insert(registration.publisher, registration);
    }

    /// A publisher is not there any more. Gives what was known of it.
    pub fn down(&mut self, publisher: PublisherId, epoch: u64) -> Option<Arc<Registration>> {
        if self.publishers.get(&publisher)?.epoch != epoch {
            return None;
        }
        self.publishers.remove(&publisher)
    }

    /// Who publishes something that the filter asks for, by publisher.
    pub fn matching<'a>(&'a self, filter: &'a Filter) -> impl Iterator<Item = &'a Arc<Registration>> {
        self.publishers.values().filter(move |registration| registration.overlaps(filter))
    }
}
