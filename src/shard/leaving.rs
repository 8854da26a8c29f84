//! A session with very many filters that has left.

use super::subscriptions::Subscriptions;
use crate::ids::GroupId;

/// A private group whose member has left: its filters are withdrawn in turns.
pub(super) struct Leaving {
    pub(super) group: GroupId,
    pub(super) filters: Subscriptions,
}
