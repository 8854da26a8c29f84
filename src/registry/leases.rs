//! The registrations and their leases. Owned by the first shard of a broker.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use corecast_executors::MonotonicNs;
use thiserror::Error;

use super::leavers::GoneReason;
use super::registration::Registration;
use crate::error::ErrorCode;
use crate::ids::PublisherId;
use crate::limits::{
    GONE_PUBLISHERS_MAX, PUBLISHERS_MAX, REGISTRATION_BYTES_MAX, REGISTRY_BYTES_MAX, TOPICS_PER_PUBLISHER_MAX,
};
use crate::topic::Filter;
use crate::transport::Endpoint;

/// The reason for which a registration or a renewal is refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum LeaseError {
    /// The registration itself is invalid.
    #[error("{0}")]
    Faulty(String),
    /// The endpoint belongs to another registered publisher: perhaps one that died, and whose lease still runs.
    #[error("{endpoint} is the endpoint of publisher {holder}")]
    Taken {
        /// The endpoint.
        endpoint: Endpoint,
        /// The publisher that has it.
        holder: PublisherId,
    },
    /// The registry has a later epoch of this publisher.
    #[error("epoch {epoch} of publisher {publisher} is stale: the registry has epoch {known}")]
    Stale {
        /// The publisher.
        publisher: PublisherId,
        /// The epoch of the registration.
        epoch: u64,
        /// The epoch in the registry.
        known: u64,
    },
    /// The lease has run out, or never existed.
    #[error("publisher {publisher} has no lease of epoch {epoch}: register again")]
    Lost {
        /// The publisher.
        publisher: PublisherId,
        /// Its epoch.
        epoch: u64,
    },
    /// The registry is full.
    #[error(
        "the registry is full: it holds at most {PUBLISHERS_MAX} publishers and {REGISTRY_BYTES_MAX} bytes"
    )]
    Full,
}

impl LeaseError {
    /// The error code sent to the publisher.
    pub fn code(&self) -> ErrorCode {
        match self {
            LeaseError::Faulty(_) => ErrorCode::EndpointRefused,
            LeaseError::Taken { .. } => ErrorCode::EndpointTaken,
            LeaseError::Stale { .. } => ErrorCode::StaleEpoch,
            LeaseError::Lost { .. } => ErrorCode::LeaseLost,
            LeaseError::Full => ErrorCode::TooManyPublishers,
        }
    }
}

/// An endpoint without the certificate that is there: two publishers at one place are one too many.
fn place_of(endpoint: &Endpoint) -> Endpoint {
    endpoint.clone().pinned(None)
}

/// A registration merged into the present one of the same epoch. Topics are only added, so that an earlier registration
/// that arrives late removes none, and none is dropped for want of room: its subscribers would never find out. A wide
/// filter replaces the topics that it covers.
fn joined(known: &Registration, mut new: Registration) -> Result<Registration, LeaseError> {
    let needs_new_epoch = |what| Err(LeaseError::Faulty(format!("{what} needs a new epoch")));
    if known.endpoints != new.endpoints {
        return needs_new_epoch("another endpoint");
    }
    let all: BTreeSet<&Filter> = known.topics.iter().chain(&new.topics).collect();
    let covered = |topic: &Filter| all.iter().any(|wide| *wide != topic && wide.covers(topic));
    let topics: Vec<Filter> =
        all.iter().filter(|topic| !covered(topic)).map(|topic| (*topic).clone()).collect();
    new.topics = topics;
    if new.topics.len() > TOPICS_PER_PUBLISHER_MAX || new.bytes() > REGISTRATION_BYTES_MAX {
        return needs_new_epoch("a list of topics that would be too long with those before");
    }
    Ok(new)
}

/// A publisher that is no longer registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gone {
    /// The publisher.
    pub publisher: PublisherId,
    /// Its last epoch.
    pub epoch: u64,
    /// The reason for which it is gone.
    pub reason: GoneReason,
}

struct Lease {
    registration: Arc<Registration>,
    until: MonotonicNs,
}

/// The registrations: which publisher publishes which topics, and where, for as long as each renews its lease.
pub struct Registry {
    lease: Duration,
    leases: BTreeMap<PublisherId, Lease>,
    /// Bytes of all registrations.
    bytes: usize,
    holders: AHashMap<Endpoint, PublisherId>,
    /// Registrations by the end of their lease: a tick looks only at the first.
    by_end: BTreeSet<(MonotonicNs, PublisherId)>,
    /// The last epochs of departed publishers; the oldest is evicted first.
    gone: AHashMap<PublisherId, u64>,
    gone_order: VecDeque<PublisherId>,
}

impl Registry {
    /// An empty registry. Each registration lasts for `lease`.
    pub fn new(lease: Duration) -> Self {
        Registry {
            lease,
            leases: BTreeMap::new(),
            bytes: 0,
            holders: AHashMap::new(),
            by_end: BTreeSet::new(),
            gone: AHashMap::new(),
            gone_order: VecDeque::new(),
        }
    }

    /// The length of a lease.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// The number of registered publishers.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// True if that publisher is registered.
    pub fn has(&self, publisher: PublisherId) -> bool {
        self.leases.contains_key(&publisher)
    }

    /// True if no publisher is registered.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// Registers, or renews and adds topics. `Some`: the registration to pass on to all shards; `None`: nothing is new,
    /// because the same registration came twice.
    ///
    /// # Errors
    /// [`LeaseError`]; nothing has changed.
    pub fn register(
        &mut self,
        now: MonotonicNs,
        mut new: Registration,
    ) -> Result<Option<Arc<Registration>>, LeaseError> {
        if let Some(fault) = new.fault() {
            return Err(LeaseError::Faulty(fault));
        }
        let known = self.leases.get(&new.publisher).map(|lease| Arc::clone(&lease.registration));
        let known_epoch = known.as_ref().map(|r| r.epoch).or_else(|| self.gone.get(&new.publisher).copied());
        if let Some(epoch) = known_epoch
            && (new.epoch < epoch || (known.is_none() && new.epoch == epoch))
        {
            return Err(LeaseError::Stale { publisher: new.publisher, epoch: new.epoch, known: epoch });
        }
        if known.is_none() && self.leases.len() >= PUBLISHERS_MAX {
            return Err(LeaseError::Full);
        }
        self.check_holders(&new)?;
        if let Some(known) = &known
            && known.epoch == new.epoch
        {
            new = joined(known, new)?;
        }
        let others = self.bytes - known.as_ref().map_or(0, |known| known.bytes());
        if others + new.bytes() > REGISTRY_BYTES_MAX {
            return Err(LeaseError::Full);
        }
        if let Some(known) = &known {
            if **known == new {
                self.set_end(new.publisher, now + self.lease);
                return Ok(None);
            }
            self.remove(new.publisher);
        }
        Ok(Some(self.insert(now, new)))
    }

    fn check_holders(&self, new: &Registration) -> Result<(), LeaseError> {
        let taken = new.endpoints.iter().find_map(|endpoint| {
            let holder = *self.holders.get(&place_of(endpoint))?;
            (holder != new.publisher).then(|| LeaseError::Taken { endpoint: endpoint.clone(), holder })
        });
        taken.map_or(Ok(()), Err)
    }

    fn insert(&mut self, now: MonotonicNs, new: Registration) -> Arc<Registration> {
        let registration = Arc::new(new);
        let publisher = registration.publisher;
        let until = now + self.lease;
        for endpoint in &registration.endpoints {
            self.holders.insert(place_of(endpoint), publisher);
        }
        self.by_end.insert((until, publisher));
        self.bytes += registration.bytes();
        self.leases.insert(publisher, Lease { registration: Arc::clone(&registration), until });
        registration
    }

    fn remove(&mut self, publisher: PublisherId) -> Option<Lease> {
        let lease = self.leases.remove(&publisher)?;
        self.by_end.remove(&(lease.until, publisher));
        self.bytes -= lease.registration.bytes();
        for endpoint in &lease.registration.endpoints {
            self.holders.remove(&place_of(endpoint));
        }
        Some(lease)
    }

    fn set_end(&mut self, publisher: PublisherId, until: MonotonicNs) {
        if let Some(lease) = self.leases.get_mut(&publisher) {
            self.by_end.remove(&(lease.until, publisher));
            lease.until = until;
            self.by_end.insert((until, publisher));
        }
    }

    /// Renews a lease.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] if it has run out, or belongs to another epoch.
    pub fn renew(&mut self, now: MonotonicNs, publisher: PublisherId, epoch: u64) -> Result<(), LeaseError> {
        match self.leases.get(&publisher) {
            Some(lease) if lease.registration.epoch == epoch => {
                self.set_end(publisher, now + self.lease);
                Ok(())
            }
            _ => Err(LeaseError::Lost { publisher, epoch }),
        }
    }

    /// Removes a publisher that leaves, or may not stay. `None`: that epoch of it was not registered.
    pub fn unregister(&mut self, publisher: PublisherId, epoch: u64, reason: GoneReason) -> Option<Gone> {
        if self.leases.get(&publisher)?.registration.epoch != epoch {
            return None;
        }
        self.remove(publisher);
        self.remember_gone(publisher, epoch);
        Some(Gone { publisher, epoch, reason })
    }

    /// Removes the first publisher whose lease has run out.
    pub fn expire(&mut self, now: MonotonicNs) -> Option<Gone> {
        let (_, publisher) = self.by_end.first().copied().filter(|(until, _)| *until <= now)?;
        let epoch = self.remove(publisher)?.registration.epoch;
        self.remember_gone(publisher, epoch);
        Some(Gone { publisher, epoch, reason: GoneReason::Expired })
    }

    fn remember_gone(&mut self, publisher: PublisherId, epoch: u64) {
        if self.gone.insert(publisher, epoch).is_none() {
            self.gone_order.push_back(publisher);
        }
        if self.gone_order.len() > GONE_PUBLISHERS_MAX
            && let Some(oldest) = self.gone_order.pop_front()
        {
            self.gone.remove(&oldest);
        }
    }

    /// The publishers after this one, or all, in order, with the rest of each lease.
    pub fn list(
        &self,
        now: MonotonicNs,
        behind: Option<PublisherId>,
    ) -> impl Iterator<Item = (&Arc<Registration>, Duration)> {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let leases = self.leases.range((from, Bound::Unbounded)).map(|(_, lease)| lease);
        leases.map(move |lease| (&lease.registration, lease.until.saturating_since(now)))
    }
}

#[cfg(test)]
mod tests;
