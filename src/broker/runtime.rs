//! One executor's shard, its connections, and the doing of what the shard leaves to be done. Pumps hold it by
//! `Rc`; every borrow of it ends before the next `.await`.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use corecast_executors::{Link, MonotonicNs, Stir, TickClock, Until, Wake};
use tracing::field::display;
use tracing::{debug, info, warn};

use super::listener::{Acceptors, Placement};
use super::local::LocalPort;
use super::{CutOff, Item, ZmtpScratch};
use crate::auth::Identity;
use crate::ids::{SessionId, ShardId};
use crate::shard::{Closed, Door, Loss, Shard};
use crate::telemetry::{CloseReason, Exported, OncePerSecond};
use crate::transport::Stream;
use crate::wire::{Reader, Slab, Span};

/// One live connection of this executor.
pub(super) struct Connection {
    pub(super) id: SessionId,
    /// Which protocol it speaks.
    pub(super) door: Door,
    pub(super) stream: Stream,
    pub(super) reader: RefCell<Reader>,
    /// Raised when its pump may go on, or must end.
    pub(super) wake: Wake,
    /// Its pump must end, whatever it waits for.
    pub(super) ended: Cell<bool>,
    /// The operating system refused a send.
    send_failed: Cell<bool>,
    /// For a reason that is neither end's: its end is an I/O error.
    pub(super) io_failed: Cell<bool>,
}

pub(super) struct Runtime {
    pub(super) id: ShardId,
    pub(super) shard: RefCell<Shard>,
    pub(super) slab: RefCell<Slab>,
    pub(super) spans: RefCell<Vec<Span>>,
    pub(super) zmtp: RefCell<ZmtpScratch>,
    /// How many messages could not be told to have been dropped, when that was last logged.
    untold: Cell<u64>,
    /// By slot of the session.
    connections: RefCell<Vec<Option<Rc<Connection>>>>,
    pub(super) links: Vec<Option<Link<Item>>>,
    /// By target shard: a task waits for room on that link, so nobody else may send on it.
    pub(super) link_waits: Vec<Cell<bool>>,
    pub(super) clock: TickClock,
    /// Brings ticks back to their pace, for a shard that rests.
    stir: Stir,
    /// Nothing that has happened since the last tick needs the next one soon, and nobody waits for the time.
    rests: Cell<bool>,
    pub(super) log_limit: RefCell<OncePerSecond>,
    pub(super) exported: RefCell<Exported>,
    /// On the first shard: where the acceptor puts connections.
    pub(super) placement: RefCell<Placement>,
    /// One for each listener.
    pub(super) acceptors: Acceptors,
    /// The local API of a direct publisher, if this is one.
    pub(super) local: RefCell<Option<Rc<LocalPort>>>,
    /// Raised when this executor may end.
    pub(super) ended: Wake,
    /// It has ended; the executor may go on, if it is the client's of a direct publisher.
    pub(super) over: Cell<bool>,
    /// When draining must be over.
    pub(super) drain_until: Cell<Option<MonotonicNs>>,
    /// What was left when it was over.
    pub(super) cut_off: Cell<Option<CutOff>>,
}

impl Runtime {
    pub(super) fn new(
        shard: Shard,
        links: Vec<Option<Link<Item>>>,
        stir: Stir,
        now: MonotonicNs,
    ) -> Rc<Self> {
        let id = shard.id();
        Rc::new(Runtime {
            id,
            placement: RefCell::new(Placement::new(links.len())),
            acceptors: Acceptors::default(),
            shard: RefCell::new(shard),
            slab: RefCell::default(),
            spans: RefCell::default(),
            zmtp: RefCell::default(),
            untold: Cell::new(0),
            connections: RefCell::default(),
            link_waits: links.iter().map(|_| Cell::new(false)).collect(),
            links,
            clock: TickClock::new(now),
            stir,
            rests: Cell::new(false),
            log_limit: RefCell::default(),
            exported: RefCell::new(Exported::new(id)),
            local: RefCell::default(),
            ended: Wake::new(),
            over: Cell::new(false),
            drain_until: Cell::new(None),
            cut_off: Cell::new(None),
        })
    }

    /// Something is about to happen that the next tick may have to finish: the shard hears every tick again and, if it
    /// has rested, the time now. To be called while the shard is not borrowed.
    #[inline]
    pub(super) fn stir(&self) {
        if self.rests.get() {
            self.hear(MonotonicNs::now());
            self.end_rest();
        }
    }

    /// What the time is now, for a shard that rests: what comes from a socket needs no tick, only the time.
    #[inline]
    pub(super) fn hear(&self, now: MonotonicNs) {
        if self.rests.get() {
            self.clock.advance(now);
            self.shard.borrow_mut().on_time(now);
        }
    }

    /// Ticks come at their pace from now on.
    pub(super) fn end_rest(&self) {
        self.rests.set(false);
        self.stir.stir();
    }

    /// Waits so long, to a tick's precision.
    pub(super) fn after(&self, time: Duration) -> Until<'_> {
        self.stir();
        self.clock.until(self.clock.now() + time)
    }

    /// Whether the shard may rest until something happens. It does then.
    pub(super) fn rest(&self) -> bool {
        let wants_tick = self.shard.borrow().wants_tick();
        let rests = !wants_tick && !self.clock.is_awaited() && self.drain_until.get().is_none();
        self.rests.set(rests);
        rests
    }

    pub(super) fn file(&self, connection: &Rc<Connection>) {
        let mut connections = self.connections.borrow_mut();
        let slot = connection.id.slot as usize;
        if connections.len() <= slot {
            connections.resize(slot + 1, None);
        }
        connections[slot] = Some(Rc::clone(connection));
    }

    pub(super) fn connection(&self, id: SessionId) -> Option<Rc<Connection>> {
        let connections = self.connections.borrow();
        connections.get(id.slot as usize)?.as_ref().filter(|c| c.id == id).cloned()
    }

    /// Forgets a connection whose pump has ended, and tells the shard and the acceptor.
    pub(super) fn unfile(&self, id: SessionId, io_failed: bool) {
        self.connections.borrow_mut().get_mut(id.slot as usize).map(Option::take);
        self.stir();
        let Some(closed) = self.shard.borrow_mut().on_closed(id, io_failed) else { return };
        self.log_end(id, &closed);
    }

    /// Anything but its peer's orderly close is a line: which client, from where, and why.
    fn log_end(&self, id: SessionId, closed: &Closed) {
        let Closed { reason, identity, client, unsent } = closed;
        let (client, peer) = (client.as_deref(), identity.address().map(display));
        if *reason != CloseReason::PeerClosed {
            let (session, reason) = (id.number(self.id), reason.label());
            self.log_limited(reason, |more| {
                info!(shard = %self.id, %session, client, peer, reason, unsent, more, "session ended");
            });
        } else if *unsent > 0 {
            // Who has what it wanted leaves, whatever is still on its way.
            let session = id.number(self.id);
            self.log_limited("unsent", |more| {
                debug!(shard = %self.id, %session, client, peer, unsent, more, "a client left before it had all");
            });
        }
    }

    /// Ends sessions and lets go of held ones, as the shard has decided.
    pub(super) fn apply(&self, shard: &mut Shard) {
        for id in std::mem::take(&mut shard.outbox().shut) {
            if let Some(connection) = self.connection(id) {
                // Whatever it says, the pump will see the end of the stream.
                let _ = connection.stream.shutdown_write();
            }
        }
        for id in std::mem::take(&mut shard.outbox().forget) {
            if let Some(connection) = self.connection(id) {
                connection.reader.take();
            }
        }
        for id in std::mem::take(&mut shard.outbox().abort) {
            if let Some(connection) = self.connection(id) {
                connection.end();
            }
        }
        for (id, bytes) in std::mem::take(&mut shard.outbox().too_long) {
            self.log_limited("message_too_long", |more| {
                let session = id.number(self.id);
                let peer = shard.identity_of(id).and_then(Identity::address).map(display);
                warn!(shard = %self.id, %session, peer, bytes, more, "passed over a message longer than --frame-bytes-max");
            });
        }
        for id in std::mem::take(&mut shard.outbox().resumed) {
            if let Some(connection) = self.connection(id) {
                connection.wake.raise();
            } else if let Some(local) = &*self.local.borrow() {
                local.resumed(id);
            }
        }
    }

    /// Logs a line at most once a second for its reason.
    pub(super) fn log_limited(&self, reason: &'static str, line: impl FnOnce(u64)) {
        if let Some(suppressed) = self.log_limit.borrow_mut().allow(reason, self.clock.now()) {
            line(suppressed);
        }
    }

    /// On ticks: messages were dropped, of which session last, and why.
    pub(super) fn log_losses(&self) {
        let mut shard = self.shard.borrow_mut();
        let mut limit = self.log_limit.borrow_mut();
        let now = self.clock.now();
        let losses = shard.losses().take(|loss| {
            let key = loss.reason.log_key();
            // What waits is in the next line: it is not left out.
            limit.is_due(key, now) && limit.allow(key, now).is_some()
        });
        for Loss { reason, messages, session: id } in losses {
            let peer = shard.identity_of(id).and_then(Identity::address).map(display);
            let (client, session, reason) = (shard.client_of(id), id.number(self.id), reason.label());
            info!(
                shard = %self.id, reason, messages, %session, client, peer,
                "messages dropped; the session named is the last that lost some"
            );
        }
    }

    /// On ticks: ZeroMQ subscribers cannot be told what they missed, so the log is.
    pub(super) fn log_untold(&self) {
        let dropped = self.shard.borrow().counters().gaps_untold;
        let new = dropped - self.untold.get();
        if new > 0 && self.log_limit.borrow().is_due("gaps_untold", self.clock.now()) {
            self.log_limited("gaps_untold", |_| {
                self.untold.set(dropped);
                info!(shard = %self.id, messages = new, "missed by ZeroMQ subscribers, which cannot be told");
            });
        }
    }

    /// On ticks: tells how many lines were left out since the last of their reason.
    pub(super) fn log_overdue(&self) {
        self.log_limit.borrow_mut().overdue(self.clock.now(), |reason, more| {
            info!(shard = %self.id, reason, more, "left out of the log");
        });
    }
}

impl Connection {
    pub(super) fn new(id: SessionId, door: Door, stream: Stream) -> Self {
        Connection {
            id,
            door,
            stream,
            reader: RefCell::default(),
            wake: Wake::new(),
            ended: Cell::default(),
            send_failed: Cell::default(),
            io_failed: Cell::default(),
        }
    }

    /// Whether it is cut off: what it still sends is not read, or it could send for ever. After a failed send, what
    /// had come before is read to its end.
    pub(super) fn is_cut_off(&self) -> bool {
        self.ended.get() && !self.send_failed.get()
    }

    /// Makes the pump see the end of the stream now, whatever it waits for.
    pub(super) fn end(&self) {
        self.ended.set(true);
        // A socket that is not connected any more is as good.
        let _ = self.stream.shutdown_both();
        self.wake.raise();
    }

    /// As [`Connection::end`], after the operating system refused to send.
    pub(super) fn fail(&self, error: &io::Error) {
        self.send_failed.set(true);
        self.io_failed.set(!is_peers_end(error));
        self.end();
    }
}

/// True if the peer has left: one that closes with something of ours unread resets the connection, which TCP cannot tell
/// from an end in order.
pub(super) fn is_peers_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), ConnectionReset | BrokenPipe | ConnectionAborted)
}
