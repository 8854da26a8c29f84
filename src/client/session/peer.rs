//! The other end of a session: the broker, or a direct publisher that it has introduced.

use std::fmt;

use crate::ids::PublisherId;

/// The other end of a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::client) enum Peer {
    Broker,
    Publisher(PublisherId),
}

impl Peer {
    pub(super) fn role(self) -> &'static str {
        match self {
            Peer::Broker => "broker",
            Peer::Publisher(_) => "publisher",
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Broker => f.write_str("the broker"),
            Peer::Publisher(publisher) => write!(f, "publisher {publisher}"),
        }
    }
}
