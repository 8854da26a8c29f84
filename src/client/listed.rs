//! Publishers as a view of the registry shows them: one that is registered, and what changes.

use std::fmt;
use std::time::Duration;

use crate::ids::PublisherId;
use crate::registry::{DOWN_LEFT, DOWN_REVOKED, Registration};
use crate::topic::Filter;
use crate::transport::Endpoint;

/// A publisher that is registered: one with topics that go direct.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The publisher.
    pub publisher: PublisherId,
    /// Grows with each new registration of the same publisher.
    pub epoch: u64,
    /// Where its subscribers connect to.
    pub endpoints: Vec<Endpoint>,
    /// The topics that it publishes: names, and filters where there are very many.
    pub topics: Vec<Filter>,
    /// The time that is left of its lease; only in a list.
    pub lease_left: Option<Duration>,
}

impl Listed {
    pub(super) fn of(registration: &Registration, lease_left: Option<Duration>) -> Self {
        let Registration { publisher, epoch, endpoints, topics } = registration.clone();
        Listed { publisher, epoch, endpoints, topics, lease_left }
    }

    pub(super) fn registration(&self) -> Registration {
        let Listed { publisher, epoch, endpoints, topics, .. } = self.clone();
        Registration { publisher, epoch, endpoints, topics }
    }
}

/// Why a publisher is not registered any more.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum DownReason {
    /// It said so.
    Left,
    /// Its lease ran out: it has died, hangs, or is cut off.
    Expired,
    /// The broker has taken its registration back: its user is gone, or may not register those topics any more.
    Revoked,
    /// The broker was away, and does not know of it since it is back.
    Forgotten,
}

impl DownReason {
    pub(super) fn from_wire(number: u8) -> Self {
        match number {
            DOWN_LEFT => DownReason::Left,
            DOWN_REVOKED => DownReason::Revoked,
            // A later version may add reasons: they all mean that it is not believed any more.
            _ => DownReason::Expired,
        }
    }
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DownReason::Left => "left",
            DownReason::Expired => "expired",
            DownReason::Revoked => "revoked",
            DownReason::Forgotten => "forgotten",
        })
    }
}

/// A change of the registry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PublisherChange {
    /// It is there, or has changed.
    Up(Listed),
    /// It is not there any more.
    Down {
        /// The publisher.
        publisher: PublisherId,
        /// Its last epoch.
        epoch: u64,
        /// Why.
        reason: DownReason,
    },
}
