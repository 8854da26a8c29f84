//! The peer of a session, as far as it is known. Set when the session opens, and read by whoever decides or logs.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Proof;
use super::users::Login;
use crate::ids::PublisherId;

/// The peer of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Identity {
    /// A peer that has proved nothing, at this address; a Unix socket has none.
    Anonymous(Option<SocketAddr>),
    /// A peer that has shown this with its connection, and is judged by it when its session opens.
    Shown(Arc<Proof>, Option<SocketAddr>),
    /// A user who has logged in from this address.
    User(Arc<Login>, Option<SocketAddr>),
    /// A registered direct publisher, to which this broker has connected itself, at this address.
    Relayed(PublisherId, Option<SocketAddr>),
    /// This process: what a direct publisher publishes itself.
    Own,
}

impl Identity {
    /// The address that the peer connects from, or listens at.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Identity::Anonymous(address)
            | Identity::Shown(_, address)
            | Identity::User(_, address)
            | Identity::Relayed(_, address) => *address,
            Identity::Own => None,
        }
    }

    /// True if the peer is on this host, as far as its address tells.
    pub fn is_local(&self) -> bool {
        self.address().is_none_or(|address| address.ip().to_canonical().is_loopback())
    }

    /// The name of the user, for logs.
    pub fn user(&self) -> Option<&str> {
        match self {
            Identity::User(login, _) => Some(login.user().name()),
            Identity::Anonymous(_) | Identity::Shown(..) | Identity::Relayed(..) | Identity::Own => None,
        }
    }
}
