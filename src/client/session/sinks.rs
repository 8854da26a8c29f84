//! The receivers of each topic among the subscribers that share a session. A sink is taken out while it runs, so that it
//! may use the client, or end its own subscription.

use std::cell::RefCell;
use std::rc::Rc;

use ahash::AHashMap;
use bytes::Bytes;

use crate::client::message::EventRef;
use crate::ids::SubscriberId;
use crate::limits::ROUTE_CACHE_MAX;
use crate::topic::{Filter, Index};

pub(in crate::client) type Sink = Box<dyn FnMut(EventRef<'_>)>;

#[derive(Default)]
pub(in crate::client) struct Sinks {
    table: RefCell<Table>,
}

#[derive(Default)]
struct Table {
    index: Index<SubscriberId>,
    cache: AHashMap<Bytes, Rc<[SubscriberId]>>,
    /// `None` while it runs.
    sinks: AHashMap<SubscriberId, Option<Sink>>,
}

impl Sinks {
    pub(in crate::client) fn insert(&self, id: SubscriberId, filters: &[Filter], sink: Sink) {
        let mut table = self.table.borrow_mut();
        for filter in filters {
            table.index.insert(filter, id);
        }
        table.cache.clear();
        table.sinks.insert(id, Some(sink));
    }

    /// Gives the sink back if it is not running.
    pub(in crate::client) fn remove(&self, id: SubscriberId, filters: &[Filter]) -> Option<Sink> {
        let mut table = self.table.borrow_mut();
        for filter in filters {
            table.index.remove(filter, id);
        }
        table.cache.clear();
        table.sinks.remove(&id).flatten()
    }

    /// The receivers of a topic: one look-up if it was asked before.
    pub(in crate::client) fn receivers(&self, topic: &[u8]) -> Rc<[SubscriberId]> {
        let mut table = self.table.borrow_mut();
        if let Some(found) = table.cache.get(topic) {
            return Rc::clone(found);
        }
        let mut found = Vec::new();
        table.index.matches(topic, &mut found);
        let found: Rc<[SubscriberId]> = found.into();
        if table.cache.len() >= ROUTE_CACHE_MAX {
            table.cache.clear();
        }
        table.cache.insert(Bytes::copy_from_slice(topic), Rc::clone(&found));
        found
    }

    /// All of them.
    pub(super) fn everyone(&self) -> Rc<[SubscriberId]> {
        let mut all: Vec<SubscriberId> = self.table.borrow().sinks.keys().copied().collect();
        all.sort_unstable();
        all.into()
    }

    /// Gives the event to this subscriber, if it is still there.
    pub(super) fn deliver(&self, id: SubscriberId, event: EventRef<'_>) {
        let taken = self.table.borrow_mut().sinks.get_mut(&id).and_then(Option::take);
        let Some(mut sink) = taken else { return };
        sink(event);
        // It may have ended its own subscription: then there is no place to put it back.
        if let Some(place) = self.table.borrow_mut().sinks.get_mut(&id) {
            *place = Some(sink);
        }
    }
}
