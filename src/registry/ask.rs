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
        identity: Arc<Identity>,
    },
    /// Renew the lease.
    Renew {
        /// The answer carries it.
        request: RequestId,
        /// The publisher.
        publisher: PublisherId,
        /// Its epoch.
        epoch: u64,
        /// The peer that asks: a registration belongs to whoever has made it.
        identity: Arc<Identity>,
    },
    /// Leave.
    Unregister {
        /// The publisher.
        publisher: PublisherId,
        /// Its epoch.
        epoch: u64,
        /// As in `Renew`.
        identity: Arc<Identity>,
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
    /// A publisher is there, or has changed, by the word of this peer.
    Up(Arc<Registration>, Arc<Identity>),
    /// A publisher is not there any more.
    Down(Gone),
}
