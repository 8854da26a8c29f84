//! The requests of a session that are not answered yet, by their numbers.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::mem;
use std::rc::Rc;

use super::registry_feed::ListSlot;
use crate::ids::{RequestId, SubscriberId};

/// The purpose of a request.
pub(super) enum Asked {
    /// The filter of a subscriber, by its place among those, or a watch of direct publishers.
    Subscribe(SubscriberId, Option<usize>),
    /// The history of a subscriber.
    Start(SubscriberId),
    /// Somebody waits for it: set when it is done, or when the connection is lost.
    Flush(Rc<Cell<Option<Flushed>>>),
    /// The session's own, for its set of unacknowledged topics.
    Ack,
    /// The announcement's: a registration or a renewal.
    Announce,
    /// The registry's: everybody, and from then on each change.
    Registry,
    /// Somebody waits for a list.
    List(ListSlot),
}

/// The end of a flush.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::client) enum Flushed {
    Done,
    Lost,
}

/// All of a session.
pub(super) struct Requests {
    unanswered: BTreeMap<RequestId, Asked>,
    next: u32,
}

impl Default for Requests {
    fn default() -> Self {
        Requests { unanswered: BTreeMap::new(), next: 1 }
    }
}

impl Requests {
    /// A number for a request that will be answered.
    pub(super) fn next(&mut self, asked: Asked) -> RequestId {
        let id = self.next_id();
        self.unanswered.insert(id, asked);
        id
    }

    /// A number for a request that nobody waits for an answer to.
    pub(super) fn next_id(&mut self) -> RequestId {
        let id = RequestId(self.next);
        // 0 means the session itself in an error frame; a number comes again after four billion.
        self.next = self.next.wrapping_add(1).max(1);
        id
    }

    /// A request is answered. Gives its purpose.
    pub(super) fn take(&mut self, request: RequestId) -> Option<Asked> {
        self.unanswered.remove(&request)
    }

    /// The connection is lost, and with it the answers: those that wait for one are told.
    pub(super) fn on_disconnected(&mut self) {
        for asked in mem::take(&mut self.unanswered).into_values() {
            match asked {
                Asked::Flush(flushed) => flushed.set(Some(Flushed::Lost)),
                Asked::List(slot) => *slot.borrow_mut() = Some(None),
                _ => {}
            }
        }
    }
}
