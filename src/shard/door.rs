//! Protocols by which connections come to a shard.

use crate::zmtp::Sides;

/// Which protocol a listener's connections speak.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Door {
    /// This project's own.
    #[default]
    Native,
    /// ZeroMQ's, with who may come.
    Zmtp(Sides),
    /// This project's own, from the other end: a session to a direct publisher.
    Relay,
}
