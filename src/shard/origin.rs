//! The publisher of a batch, as this shard knows it.

use crate::ids::{Neighbour, SessionId};

/// The publisher that frames come from, and that is held when there is no room for them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) enum Origin {
    /// A session of this shard.
    Here(SessionId),
    /// A session of a neighbour.
    There(Neighbour, SessionId),
}
