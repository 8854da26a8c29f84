//! The publisher of a batch, as this shard knows it.

use crate::ids::{Neighbour, SessionId, ShardId};

/// The publisher that frames come from, and that is held when there is no room for them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) enum Origin {
    /// A session of this shard.
    Here(SessionId),
    /// A session of a neighbour.
    There(Neighbour, SessionId),
}

impl Origin {
    /// The neighbour that it is a session of, or the shard itself, which is `me`.
    #[inline]
    pub(super) fn neighbour(self, me: ShardId) -> Neighbour {
        match self {
            Origin::Here(_) => me.into(),
            Origin::There(neighbour, _) => neighbour,
        }
    }
}
