//! The audience of messages, by the way on which they came: nothing goes back to where it came from.

use crate::fanout::Encoding;

/// The sessions that messages are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Audience {
    /// All that want them, wherever they are: messages of a publisher of this shard.
    Everywhere,
    /// The sessions of this shard: the messages came from a neighbour, which sends them to all others itself.
    Here,
    /// The sessions of this shard that need relays, which are those of ZeroMQ subscribers: the others hear the publisher
    /// themselves.
    RelayedHere,
}

impl Audience {
    /// True if they go to neighbours.
    #[inline]
    pub(crate) fn has_neighbours(self) -> bool {
        self == Audience::Everywhere
    }

    /// True if they go to sessions of this encoding.
    #[inline]
    pub(crate) fn has(self, encoding: Encoding) -> bool {
        self != Audience::RelayedHere || encoding.needs_relays()
    }
}
