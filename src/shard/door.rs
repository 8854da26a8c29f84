//! Ways by which sessions come to a shard.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::auth::{Identity, Proof};
use crate::ids::PublisherId;
use crate::zmtp::Sides;

/// The way by which a session comes, which says what is spoken there.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Door {
    /// A connection that speaks this project's own protocol.
    #[default]
    Native,
    /// A connection that speaks ZeroMQ's, and the sides that may come.
    Zmtp(Sides),
    /// A connection that this end has made to a direct publisher, whose client it is.
    Relay(PublisherId),
    /// No connection: the local API of a direct publisher.
    Local,
}

impl Door {
    /// The identity of a peer that comes by this door from this address, and has shown this with its connection.
    pub fn identity(self, shown: Proof, address: Option<SocketAddr>) -> Identity {
        match self {
            Door::Native | Door::Zmtp(_) if shown == Proof::None => Identity::Anonymous(address),
            Door::Native | Door::Zmtp(_) => Identity::Shown(Arc::new(shown), address),
            // The shard knows who has registered it.
            Door::Relay(_) => Identity::Anonymous(address),
            Door::Local => Identity::Own,
        }
    }
}
