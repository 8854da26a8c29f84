//! The news of an event for parts that had no hand in it, until the router has told them: before the next event. Owned by the
//! base of a shard.

use std::collections::VecDeque;

use crate::ids::SessionId;

/// A piece of news.
#[derive(Clone, Copy)]
pub(super) enum Aftermath {
    /// This session has left the fan-out: every part is to forget it.
    Departed(SessionId),
    /// The queue of this session has room: parts that have waited for it go on.
    HasRoom(SessionId),
}

/// All that the router has not told.
#[derive(Default)]
pub(super) struct Untold {
    departed: VecDeque<SessionId>,
    with_room: VecDeque<SessionId>,
}

impl Untold {
    /// A session has left the fan-out.
    pub(super) fn departed(&mut self, id: SessionId) {
        self.departed.push_back(id);
    }

    /// The queue of a session has room.
    pub(super) fn has_room(&mut self, id: SessionId) {
        self.with_room.push_back(id);
    }

    /// Takes the next piece. Sessions that have left come first: nothing is done for them any more.
    pub(super) fn next(&mut self) -> Option<Aftermath> {
        let departed = self.departed.pop_front().map(Aftermath::Departed);
        departed.or_else(|| self.with_room.pop_front().map(Aftermath::HasRoom))
    }

    /// True if all is told.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.departed.is_empty() && self.with_room.is_empty()
    }
}
