//! The news of an event for parts that had no hand in it, until the router has told them: before the next event. Owned by the
//! base of a shard.

use std::collections::VecDeque;

use crate::ids::{RequestId, SessionId};

/// A piece of news.
#[derive(Clone, Copy)]
pub(super) enum Aftermath {
    /// This session has left the fan-out: every part is to forget it.
    Departed(SessionId),
    /// The queue of this session has room: parts that have waited for it go on.
    HasRoom(SessionId),
    /// This session, which starts with history, hears all shards from now on: it counts as a subscriber.
    Hears(SessionId),
    /// This subscription has waited until its session had all of its history: it is to come into force.
    Asks(SessionId, RequestId),
}

/// All that the router has not told.
#[derive(Default)]
pub(super) struct Untold {
    departed: VecDeque<SessionId>,
    with_room: VecDeque<SessionId>,
    hearing: VecDeque<SessionId>,
    asking: VecDeque<(SessionId, RequestId)>,
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

    /// A session that starts with history hears all shards from now on.
    pub(super) fn hears(&mut self, id: SessionId) {
        self.hearing.push_back(id);
    }

    /// A subscription has waited for the history of its session, which is over.
    pub(super) fn asks(&mut self, id: SessionId, request: RequestId) {
        self.asking.push_back((id, request));
    }

    /// Takes the next piece. Sessions that have left come first: nothing is done for them any more.
    pub(super) fn next(&mut self) -> Option<Aftermath> {
        let departed = self.departed.pop_front().map(Aftermath::Departed);
        departed
            .or_else(|| self.with_room.pop_front().map(Aftermath::HasRoom))
            .or_else(|| self.hearing.pop_front().map(Aftermath::Hears))
            .or_else(|| self.asking.pop_front().map(|(id, request)| Aftermath::Asks(id, request)))
    }

    /// True if all is told.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.departed.is_empty()
            && self.with_room.is_empty()
            && self.hearing.is_empty()
            && self.asking.is_empty()
    }
}
