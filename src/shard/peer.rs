//! Another shard, as this one deals with it: what waits to go there, and what came from there. Owned by a shard.

use std::collections::VecDeque;

use super::origin::Origin;
use super::outbox::LinkItem;
use crate::limits::LINK_ITEMS_PER_TURN;

/// The items that wait to go to one other shard, and those that came from it.
#[derive(Default)]
pub(super) struct Peer {
    pub(super) pending: VecDeque<LinkItem>,
    /// Items from it that wait for the next turn.
    pub(super) arrived: VecDeque<LinkItem>,
    /// Publishers held because too much waits.
    pub(super) holds: Vec<Origin>,
    /// It has sent its last batch.
    pub(super) ended: bool,
}

impl Peer {
    /// True if too much waits for it: nothing more should be made that can be made later.
    pub(super) fn is_backed_up(&self) -> bool {
        self.pending.len() > LINK_ITEMS_PER_TURN
    }
}
