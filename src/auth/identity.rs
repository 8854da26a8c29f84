//! The peer of a session, as far as it is known. Set when the session opens, and read by whoever decides or logs.

use std::net::SocketAddr;

use crate::ids::PublisherId;

/// The peer of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Identity {
    /// A peer that has proved nothing, at this address; a Unix socket has none.
    Anonymous(Option<SocketAddr>),
    /// A registered direct publisher, to which this broker has connected itself, at this address.
    Relayed(PublisherId, Option<SocketAddr>),
    /// This process: what a direct publisher publishes itself.
    Own,
}

impl Identity {
    /// The address that the peer connects from, or listens at.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Identity::Anonymous(address) | Identity::Relayed(_, address) => *address,
            Identity::Own => None,
        }
    }
}
