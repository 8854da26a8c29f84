//! One executor's shard, and the parts that its pumps share: connections, links, time, log. Pumps hold it by `Rc`; every
//! borrow of the shard ends before the next `.await`. It knows no pump.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use corecast_executors::{Link, MonotonicNs, Stir, Until, Wake};

use super::connection::{Connection, Connections};
use super::drain::Drain;
use super::hand_over::{Arrivals, HandOvers};
use super::journal::Journal;
use super::local_port::LocalPort;
use super::placement::Placement;
use super::read_ahead::ReadAhead;
use super::timekeeper::Timekeeper;
use super::zmtp_ingest::ZmtpScratch;
use super::{CutOff, Item};
use crate::ids::{SessionId, ShardId};
use crate::shard::{Dial, Shard};
use crate::wire::{Slab, Span};

pub(super) struct Runtime {
    pub(super) id: ShardId,
    pub(super) shard: RefCell<Shard>,
    pub(super) buffers: RefCell<ReadBuffers>,
    pub(super) ahead: ReadAhead,
    pub(super) connections: Connections,
    pub(super) hand_overs: HandOvers,
    pub(super) arrivals: Arrivals,
    /// By neighbour; `None` for this shard.
    pub(super) links: Vec<Option<Link<Item>>>,
    /// By neighbour: a task waits for room on that link, so nobody else may send on it.
    pub(super) link_waits: Vec<Cell<bool>>,
    pub(super) time: Timekeeper,
    pub(super) journal: Journal,
    pub(super) placement: Placement,
    pub(super) drain: Drain,
    /// The local API of a direct publisher, if this is one.
    local: RefCell<Option<Rc<LocalPort>>>,
    /// Direct publishers to connect to.
    dials: RefCell<Vec<Dial>>,
    /// Raised when there are some, and at the end.
    dial: Wake,
}

/// The memory of reads, which an executor's connections share from turn to turn.
#[derive(Default)]
pub(super) struct ReadBuffers {
    pub(super) slab: Slab,
    pub(super) spans: Vec<Span>,
    pub(super) zmtp: ZmtpScratch,
}

impl Runtime {
    pub(super) fn new(
        shard: Shard,
        links: Vec<Option<Link<Item>>>,
        stir: Stir,
        now: MonotonicNs,
    ) -> Rc<Self> {
        let (id, shards) = (shard.links().me(), shard.links().shards());
        Rc::new(Runtime {
            id,
            ahead: ReadAhead::new(shard.config().bounds),
            shard: RefCell::new(shard),
            buffers: RefCell::default(),
            connections: Connections::default(),
            hand_overs: HandOvers::default(),
            arrivals: Arrivals::default(),
            link_waits: links.iter().map(|_| Cell::new(false)).collect(),
            placement: Placement::new(shards),
            links,
            time: Timekeeper::new(now, stir),
            journal: Journal::new(id),
            drain: Drain::default(),
            local: RefCell::default(),
            dials: RefCell::default(),
            dial: Wake::new(),
        })
    }

    /// Prepares for an event that the next tick may have to finish: the shard hears every tick again and, if it has
    /// rested, the time now. To be called while the shard is not borrowed.
    #[inline]
    pub(super) fn stir(&self) {
        if self.time.rests() {
            self.hear(MonotonicNs::now());
            self.time.end_rest();
        }
    }

    /// Tells a shard that rests the time: what comes from a socket needs no tick, only the time.
    #[inline]
    pub(super) fn hear(&self, now: MonotonicNs) {
        if self.time.rests() {
            self.time.advance(now);
            self.shard.borrow_mut().on_time(now);
        }
    }

    /// Waits for that time, to a tick's precision.
    pub(super) fn after(&self, time: Duration) -> Until<'_> {
        self.stir();
        self.time.after(time)
    }

    /// Lets the shard rest until something happens, if it may. Returns true if it does.
    pub(super) fn rest(&self) -> bool {
        let wants_tick = self.shard.borrow().wants_tick();
        self.time.rest_if(!wants_tick && self.drain.until().is_none())
    }

    /// Logs a line at most once a second for its reason.
    pub(super) fn log_limited(&self, reason: &'static str, line: impl FnOnce(u64)) {
        self.journal.limited(self.time.now(), reason, line);
    }

    /// Forgets a connection whose pump has ended, and tells the shard.
    pub(super) fn unfile(&self, connection: &Connection) {
        let (id, failure) = (connection.id, connection.failure());
        self.connections.unfile(id);
        self.stir();
        let closed = self.shard.borrow_mut().on_closed(id, failure.map(|(reason, _)| reason));
        let Some(closed) = closed else { return };
        // One that was being closed has its reason, whatever its stream did then.
        let error = failure.filter(|(reason, _)| *reason == closed.reason).map(|(_, error)| error);
        self.journal.session_ended(self.time.now(), &closed, error);
    }

    /// Ends sessions and lets go of held ones, as the shard has decided.
    pub(super) fn apply(&self, shard: &mut Shard) {
        for id in std::mem::take(&mut shard.outbox().shut) {
            if let Some(connection) = self.connections.get(id) {
                // Whatever it says, the pump will see the end of the stream.
                let _ = connection.stream.shutdown_write();
            }
        }
        for id in std::mem::take(&mut shard.outbox().forget) {
            if let Some(connection) = self.connections.get(id) {
                connection.reader.take();
            }
        }
        for id in std::mem::take(&mut shard.outbox().abort) {
            if let Some(connection) = self.connections.get(id) {
                connection.end();
            }
        }
        for id in std::mem::take(&mut shard.outbox().called) {
            if let Some(connection) = self.connections.get(id) {
                connection.call();
            }
        }
        for place in std::mem::take(&mut shard.outbox().arrived) {
            self.arrivals.add_session(place);
        }
        for (id, bytes) in std::mem::take(&mut shard.outbox().too_long) {
            self.journal.message_too_long(self.time.now(), shard, id, bytes);
        }
        for id in std::mem::take(&mut shard.outbox().resumed) {
            if let Some(connection) = self.connections.get(id) {
                connection.wake.raise();
            } else if let Some(local) = &*self.local.borrow() {
                local.resumed(id);
            }
        }
    }

    /// Gives the local API, if there is one, the shard's answers to this session.
    pub(super) fn answer_local(&self, shard: &mut Shard, id: SessionId) {
        if let Some(local) = &*self.local.borrow() {
            local.take_answers_of(shard, id);
        }
    }

    pub(super) fn set_local(&self, port: Rc<LocalPort>) {
        *self.local.borrow_mut() = Some(port);
    }

    /// Passes the connections that the shard wants on to the pump that makes them.
    pub(super) fn want_dials(&self, shard: &mut Shard) {
        if !shard.outbox().dials.is_empty() {
            self.dials.borrow_mut().append(&mut shard.outbox().dials);
            self.dial.raise();
        }
    }

    /// The direct publishers to connect to, once there are some. `None`: this executor has ended.
    pub(super) async fn next_dials(&self) -> Option<Vec<Dial>> {
        self.dial.wait().await;
        (!self.drain.is_over()).then(|| self.dials.take())
    }

    /// Waits until the shard has drained, and ends the pumps that wait for nothing else. Returns what was cut off.
    pub(super) async fn ended(&self) -> CutOff {
        let cut_off = self.drain.ended().await;
        self.dial.raise();
        self.arrivals.came.raise();
        cut_off
    }
}

#[cfg(test)]
mod tests {
    use corecast_executors::link;

    use super::*;
    use crate::shard::ShardConfig;

    #[test]
    fn connections_are_placed_on_shards_and_on_no_carrier() {
        let config = ShardConfig { shards: 2, carriers: 1, ..ShardConfig::default() };
        let links = vec![None, Some(link(1).0), Some(link(1).0)];
        let shard = Shard::new(ShardId(0), config, MonotonicNs(0));
        let runtime = Runtime::new(shard, links, Stir::default(), MonotonicNs(0));
        let placed: Vec<u16> = (0..4).map(|_| runtime.placement.place(|_| false).0).collect();
        assert_eq!(placed, [0, 1, 0, 1]);
    }
}
