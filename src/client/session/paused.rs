//! The memory of a stream between two connections: a few bytes, of very many that are not there.

use super::promise::Promise;
use crate::client::message::GapReason;
use crate::ids::SubscriberId;

/// The memory of a stream between two connections.
pub(super) struct PausedStream {
    pub(super) subscribers: Vec<(SubscriberId, Promise)>,
    /// The number and the ticket of the session that was open last.
    pub(super) previous: (u64, u64),
    /// The reason why it was lost.
    pub(super) lost_by: GapReason,
}
