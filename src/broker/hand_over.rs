//! Connections on their way from an executor to another: those that leave, and those that have come.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use corecast_executors::Wake;

use super::connection::ReadSoFar;
use crate::ids::{SessionId, ShardId};
use crate::shard::Door;
use crate::transport::Accepted;

/// The number of connections that have left their session's old place, and are not on the link to the new one yet.
#[derive(Default)]
pub(super) struct HandOvers(Cell<usize>);

/// One of them, while it lasts.
pub(super) struct HandOver<'a>(&'a HandOvers);

impl HandOvers {
    /// Counts one more.
    pub(super) fn begin(&self) -> HandOver<'_> {
        self.0.set(self.0.get() + 1);
        HandOver(self)
    }

    /// True if there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.get() == 0
    }
}

impl Drop for HandOver<'_> {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get() - 1);
    }
}

/// A connection that has come from another executor.
pub(crate) struct Arrival {
    /// The place of its session.
    pub(super) place: SessionId,
    pub(super) accepted: Accepted,
    /// The part of a frame that its old executor has read.
    pub(super) read: ReadSoFar,
    pub(super) door: Door,
    /// The shard that it comes from.
    pub(super) from: ShardId,
}

/// Sessions that arrive here: their state comes with the items of their old shard, their connection by itself.
#[derive(Default)]
pub(super) struct Arrivals {
    connections: RefCell<BTreeMap<SessionId, Arrival>>,
    settled: RefCell<BTreeSet<SessionId>>,
    /// Raised when one of the two has come, and at the end.
    pub(super) came: Wake,
}

impl Arrivals {
    /// A connection has come.
    pub(super) fn add_connection(&self, arrival: Arrival) {
        self.connections.borrow_mut().insert(arrival.place, arrival);
        self.came.raise();
    }

    /// The state of a session has come.
    pub(super) fn add_session(&self, place: SessionId) {
        self.settled.borrow_mut().insert(place);
        self.came.raise();
    }

    /// Takes a session of which both are here.
    pub(super) fn next(&self) -> Option<Arrival> {
        let mut settled = self.settled.borrow_mut();
        let mut connections = self.connections.borrow_mut();
        let place = *settled.iter().find(|place| connections.contains_key(place))?;
        settled.remove(&place);
        connections.remove(&place)
    }
}
