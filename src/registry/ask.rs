//! Requests of sessions to the registry, and its changes. They travel over links where the two are on different shards.

use std::sync::Arc;

use super::{Gone, Registration};
use crate::auth::Identity;
use crate::ids::{PublisherId, RequestId};

/// A request of a session to the registry.
#[derive(Clone, Debug)]
pub enum RegistryAsk {
    /// Register, or add topics.
    Register {
        /// The answer carries it.
        request: RequestId,
        /// The publisher, its endpoints and topics.
        registration: Registration,
        /// The peer that asks, which may not be allowed to.
        identity: Identity,
    },
    /// Renew the lease.
    Renew {
        /// The answer carries it.
        request: RequestId,
        /// The publisher.
        publisher: PublisherId,
        /// Its epoch.
        epoch: u64,
    },
    /// Leave.
    Unregister {
        /// The publisher.
        publisher: PublisherId,
        /// Its epoch.
        epoch: u64,
    },
    /// List all publishers, in parts.
    List {
        /// The last part carries it.
        request: RequestId,
        /// The last publisher of the part before.
        behind: Option<PublisherId>,
    },
}

/// A change of the registry, which all shards are told.
#[derive(Clone, Debug)]
pub enum RegistryChange {
    /// A publisher is there, or has changed.
    Up(Arc<Registration>),
    /// A publisher is not there any more.
    Down(Gone),
}
