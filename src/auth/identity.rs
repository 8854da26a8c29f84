//! The peer of a session, as far as it is known. Set when the session opens, and read by whoever decides or logs.

use std::net::SocketAddr;

/// The peer of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Identity {
    /// A peer that has proved nothing, at this address; a Unix socket has none.
    Anonymous(Option<SocketAddr>),
    /// This process: what a direct publisher publishes itself.
    Own,
}

impl Identity {
    /// The address that the peer connects from, or listens at.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Identity::Anonymous(address) => *address,
            Identity::Own => None,
        }
    }
}
