//! The peer of a session, as far as it is known. Set when the session opens, and read by whoever decides or logs.

use std::net::SocketAddr;
use std::sync::Arc;

use super::users::Login;
use super::{AcceptedTicket, Proof};
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
    /// A direct publisher to which this broker has connected itself, at this address, and the peer that has registered it.
    Relayed(PublisherId, Arc<Identity>, Option<SocketAddr>),
    /// A peer that has shown a ticket to this direct publisher, from this address.
    Admitted(Arc<AcceptedTicket>, Option<SocketAddr>),
    /// A peer of another broker of the cluster, which has let it in by rules of its own, with the name of its user.
    Elsewhere(Option<Box<str>>),
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
            | Identity::Admitted(_, address)
            | Identity::Relayed(_, _, address) => *address,
            Identity::Elsewhere(_) | Identity::Own => None,
        }
    }

    /// True if the peer is on this host, as far as its address tells.
    pub fn is_local(&self) -> bool {
        self.address().is_none_or(|address| address.ip().to_canonical().is_loopback())
    }

    /// The name of the user, for logs and for what belongs to a user.
    pub fn user(&self) -> Option<&str> {
        match self {
            Identity::User(login, _) => Some(login.user().name()),
            Identity::Admitted(accepted, _) => Some(accepted.holder()),
            Identity::Relayed(_, registrant, _) => registrant.user(),
            Identity::Elsewhere(user) => user.as_deref(),
            Identity::Anonymous(_) | Identity::Shown(..) | Identity::Own => None,
        }
    }
}
