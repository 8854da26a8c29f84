//! Direct publishers that other brokers of the cluster have registered, as this broker's first shard knows them. Owned by the
//! first shard's part that deals with direct publishers.
//!
//! Their leases are kept where they were registered; a carrier says when they are over. A publisher that is registered here as
//! well, since it has moved, is known by its registration here for as long as that lasts.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use corecast_executors::MonotonicNs;

use crate::auth::Identity;
use crate::ids::PublisherId;
use crate::registry::{Gone, Registration, Registry, RegistryChange};

/// One of them.
struct FarPublisher {
    registration: Arc<Registration>,
    registrant: Arc<Identity>,
    /// The length of its lease.
    lease: Duration,
}

/// All of them.
#[derive(Default)]
pub(super) struct FarPublishers {
    publishers: BTreeMap<PublisherId, FarPublisher>,
}

impl FarPublishers {
    /// Another broker's registry has changed, which gives leases of this length. Returns the change that follows here, where
    /// `registry` knows those of this broker.
    pub(super) fn on_change(
        &mut self,
        (change, lease): (RegistryChange, Duration),
        registry: &Registry,
    ) -> Option<RegistryChange> {
        let publisher = match &change {
            RegistryChange::Up(registration, registrant) => {
                let (registration, registrant) = (Arc::clone(registration), Arc::clone(registrant));
                let publisher = registration.publisher;
                self.publishers.insert(publisher, FarPublisher { registration, registrant, lease });
                publisher
            }
            RegistryChange::Down(gone) => {
                let known = self.publishers.get(&gone.publisher)?;
                if known.registration.epoch != gone.epoch {
                    return None;
                }
                self.publishers.remove(&gone.publisher);
                gone.publisher
            }
        };
        (!registry.has(publisher)).then_some(change)
    }

    /// The change for a registration here that has ended: another broker may have one of the same publisher.
    pub(super) fn in_place_of(&self, gone: Gone) -> RegistryChange {
        match self.publishers.get(&gone.publisher) {
            Some(far) => RegistryChange::Up(Arc::clone(&far.registration), Arc::clone(&far.registrant)),
            None => RegistryChange::Down(gone),
        }
    }

    /// Those behind this publisher, or all, among those of the registry here, in order, with the rest of each lease; of one that
    /// is kept elsewhere, with its length.
    pub(super) fn list_with<'a>(
        &'a self,
        registry: &'a Registry,
        now: MonotonicNs,
        behind: Option<PublisherId>,
    ) -> impl Iterator<Item = (&'a Arc<Registration>, Duration)> {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let far = self.publishers.range((from, Bound::Unbounded));
        let far = far.filter(|(publisher, _)| !registry.has(**publisher));
        let mut far = far.map(|(_, far)| (&far.registration, far.lease)).peekable();
        let mut own = registry.list(now, behind).peekable();
        std::iter::from_fn(move || match (own.peek(), far.peek()) {
            (Some((here, _)), Some((there, _))) if there.publisher < here.publisher => far.next(),
            (Some(_), _) => own.next(),
            (None, _) => far.next(),
        })
    }
}
