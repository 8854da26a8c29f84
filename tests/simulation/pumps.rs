//! The work of the broker's pumps for a shard, without I/O: reading turns (`broker/ingress.rs`), flushes and link sends
//! (`broker/flush.rs`), link receives (`broker/links.rs`). Where those wait, this returns and is called again.

use std::collections::VecDeque;
use std::convert::Infallible;

use corecast::internals::broker::ingest;
use corecast::internals::carrier::LinkItem;
use corecast::internals::ids::{Neighbour, SessionId, ShardId};
use corecast::internals::limits::{
    FLUSH_SESSIONS_PER_TURN, LINK_ITEMS_PER_TURN, STRIKES_MAX, STRIKES_PERIOD,
};
use corecast::internals::shard::{Moving, Parting, Phase, Shard, Visit};
use corecast::internals::telemetry::CloseReason;
use corecast::internals::wire::{Reader, Slab, Span};
use corecast_executors::MonotonicNs;

use crate::fault::Fault;
use crate::plan::TOPICS;
use crate::world::World;

/// One shard and what its executor holds for it.
pub(crate) struct Host {
    pub(crate) shard: Shard,
    slab: Slab,
    spans: Vec<Span>,
    /// By target: a send waits for room on that link, with an item in hand or about to take one.
    sends: Vec<Option<Waiting>>,
    pub(crate) draining: bool,
}

#[derive(Default)]
struct Waiting {
    in_hand: Option<LinkItem>,
}

impl Host {
    pub(crate) fn new(shard: Shard, shards: usize) -> Self {
        let sends = (0..shards).map(|_| None).collect();
        Host { shard, slab: Slab::default(), spans: Vec::new(), sends, draining: false }
    }

    /// True if an item waits for room on a link.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.sends.iter().any(Option::is_some)
    }
}

/// The shard's end of one client's connection.
pub(crate) struct Connection {
    pub(crate) shard: usize,
    pub(crate) session: SessionId,
    reader: Reader,
    /// Bytes of the client that were read.
    pub(crate) heard: u64,
    strikes: Strikes,
    /// A flush waits for the kernel to take more.
    pub(crate) flush_waits: bool,
    /// Its session has left its shard and is on its way to this one: nothing is read or sent.
    pub(crate) moves: bool,
    /// Our side is shut: the client will see the end.
    pub(crate) is_shut: bool,
    /// To be ended, whatever is under way.
    pub(crate) is_aborted: bool,
    /// The pump has ended.
    pub(crate) has_ended: bool,
}

/// The stretches of messages that a client has published without a right, within a second.
#[derive(Default)]
struct Strikes {
    count: u32,
    since: MonotonicNs,
}

impl Strikes {
    /// One more. `false`: it is one too many.
    fn add(&mut self, now: MonotonicNs) -> bool {
        if self.count == 0 || now.saturating_since(self.since) >= STRIKES_PERIOD {
            *self = Strikes { count: 0, since: now };
        }
        self.count += 1;
        self.count < STRIKES_MAX
    }
}

impl Connection {
    pub(crate) fn new(shard: usize, session: SessionId) -> Self {
        Connection {
            shard,
            session,
            reader: Reader::default(),
            heard: 0,
            strikes: Strikes::default(),
            flush_waits: false,
            moves: false,
            is_shut: false,
            is_aborted: false,
            has_ended: false,
        }
    }
}

impl World {
    /// One turn of reading from a client, of at most `bytes`. `false`: there was nothing to do.
    pub(crate) fn read_turn(&mut self, client: usize, bytes: usize) -> bool {
        let connection = &mut self.connections[client];
        let id = connection.session;
        let host = &mut self.hosts[connection.shard];
        if connection.has_ended || connection.moves {
            return false;
        }
        if connection.is_aborted {
            self.end(client, false);
            return true;
        }
        if host.shard.sessions().is_held(id) || Moving::of(&mut host.shard).departure(id) != Parting::Stays {
            return false;
        }
        let said = &mut self.clients[client].to_broker;
        if said.is_empty() {
            if self.clients[client].has_left {
                self.end(client, false);
                return true;
            }
            return false;
        }
        let space = connection.reader.space(&mut host.slab);
        let bytes = bytes.min(said.len()).min(space.len());
        for (to, byte) in space.iter_mut().zip(said.drain(..bytes)) {
            *to = byte;
        }
        connection.reader.received(bytes);
        connection.heard += bytes as u64;
        let phase = host.shard.sessions().phase(id);
        let listens = matches!(phase, Some(Phase::Greeting | Phase::Hello | Phase::Open));
        ingest(&mut host.shard, id, &mut connection.reader, &mut host.slab, &mut host.spans);
        while host.shard.sessions().is_behind(id) {
            host.shard.go_on(id);
        }
        let (shard, heard) = (connection.shard, connection.heard);
        let is_taken = listens && !host.draining;
        let done = if is_taken { self.done_of_read(client) } else { 0 };
        let who = self.oracle.ledger.sessions[client].who;
        let takes = |topic| self.oracle.rules.takes(shard, who, topic);
        self.oracle.ledger.read(client, (heard, done), takes);
        true
    }

    /// The end of what a shard goes on with of a client's last read: all of it, unless the client has published too often what it
    /// may not.
    fn done_of_read(&mut self, client: usize) -> u64 {
        let Connection { shard, heard, strikes, .. } = &mut self.connections[client];
        let said = &mut self.clients[client];
        let who = self.oracle.ledger.sessions[client].who;
        let (mut done, mut last) = (0, None);
        while said.unread.front().is_some_and(|(end, _)| *end <= *heard)
            && let Some((end, topic)) = said.unread.pop_front()
        {
            let known =
                topic.as_ref().and_then(|topic| TOPICS.iter().position(|there| there.as_bytes() == topic));
            let is_refused = known.is_some_and(|topic| !self.oracle.rules.takes(*shard, who, topic));
            // A stretch of one topic is refused at once.
            if is_refused && topic != last && !(said.takes_refusals() && strikes.add(self.now)) {
                return done;
            }
            (done, last) = (end, topic);
        }
        *heard
    }

    /// The connection is gone: its pump tells the shard.
    pub(crate) fn end(&mut self, client: usize, io_failed: bool) {
        let connection = &mut self.connections[client];
        connection.has_ended = true;
        self.by_session.remove(&(connection.shard, connection.session));
        let reason = self.hosts[connection.shard]
            .shard
            .on_closed(connection.session, io_failed.then_some(CloseReason::IoError));
        assert!(reason.is_some(), "a session ends once");
        // What it had said and nobody read is gone with it, and whoever has no connection says nothing.
        self.clients[client].to_broker.clear();
        self.clients[client].has_left = true;
        self.oracle.ledger.sessions[client].left = true;
    }

    /// A session that can leave does, or one that has left and arrived is read and sent to again. `false`: there is nothing
    /// to do.
    pub(crate) fn go_on_moving(&mut self, client: usize) -> bool {
        let connection = &mut self.connections[client];
        if connection.has_ended {
            return false;
        }
        let (shard, id) = (connection.shard, connection.session);
        let mut moving = Moving::of(&mut self.hosts[shard].shard);
        if connection.moves {
            if !moving.has_arrived(id) {
                return false;
            }
            moving.connect(id);
            connection.moves = false;
            self.by_session.insert((shard, id), client);
            self.moved += 1;
            return true;
        }
        let Some((to, place)) = moving.leave(id) else { return false };
        self.by_session.remove(&(shard, id));
        (connection.shard, connection.session) = (usize::from(to.0), place);
        (connection.moves, connection.flush_waits) = (true, false);
        // They do not go along.
        connection.strikes = Strikes::default();
        true
    }

    /// One turn of doing what a shard left to be done; `true` if there is more.
    pub(crate) fn settle_turn(&mut self, shard: usize) -> bool {
        self.send_links(shard);
        for _ in 0..FLUSH_SESSIONS_PER_TURN {
            let Some(id) = self.hosts[shard].shard.outbox().dirty.pop_front() else { break };
            let Some(client) = self.by_session.get(&(shard, id)).copied() else { continue };
            if self.fault.strikes(Fault::ForgetFlush) {
                continue;
            }
            match self.visit(client) {
                Visit::Done => {}
                Visit::Again => self.hosts[shard].shard.outbox().dirty.push_back(id),
                Visit::Full => self.connections[client].flush_waits = true,
            }
        }
        self.apply(shard);
        self.send_links(shard);
        !self.hosts[shard].shard.outbox().dirty.is_empty()
    }

    /// The kernel takes more for a client, if a flush waits for that. `false`: none did, or there is no room.
    pub(crate) fn writable(&mut self, client: usize) -> bool {
        let room = self.clients[client].from_broker.len() < self.plan.kernel_bytes;
        let connection = &self.connections[client];
        let waits = connection.flush_waits && !connection.has_ended && !connection.moves;
        if !waits || !room {
            return false;
        }
        if self.visit(client) == Visit::Done {
            self.connections[client].flush_waits = false;
        }
        true
    }

    fn visit(&mut self, client: usize) -> Visit {
        let (shard, id) = (self.connections[client].shard, self.connections[client].session);
        let shard = &mut self.hosts[shard].shard;
        let kernel = &mut self.clients[client].from_broker;
        let slices_max = self.plan.send_slices;
        let flushed = shard.flush(id, |parts| {
            let room = self.plan.kernel_bytes.saturating_sub(kernel.len());
            let before = kernel.len();
            let parts = &parts[..parts.len().min(slices_max)];
            kernel.extend(parts.iter().flat_map(|part| part.iter()).take(room));
            let taken = kernel.len() - before;
            Ok::<_, Infallible>((room > 0).then_some(taken))
        });
        let Ok(visit) = flushed;
        visit
    }

    /// Ends sessions as the shard has decided. Held sessions are checked when they are read.
    fn apply(&mut self, shard: usize) {
        let outbox = &mut self.hosts[shard].shard.outbox();
        let (shut, abort) = (std::mem::take(&mut outbox.shut), std::mem::take(&mut outbox.abort));
        outbox.resumed.clear();
        // Pumps ask for themselves, sooner or later.
        outbox.called.clear();
        outbox.arrived.clear();
        for id in shut {
            if let Some(client) = self.by_session.get(&(shard, id)) {
                self.connections[*client].is_shut = true;
            }
        }
        for id in abort {
            if let Some(client) = self.by_session.get(&(shard, id)) {
                self.connections[*client].is_aborted = true;
            }
        }
    }

    fn send_links(&mut self, shard: usize) {
        while let Some(to) = self.hosts[shard].shard.outbox().links.pop() {
            let waits = self.hosts[shard].sends[usize::from(to.0)].is_some();
            if !waits && !self.send_link(shard, to) {
                self.hosts[shard].sends[usize::from(to.0)] = Some(Waiting::default());
            }
        }
    }

    fn send_link(&mut self, from: usize, to: Neighbour) -> bool {
        let host = &mut self.hosts[from];
        let link = &mut self.links[from][usize::from(to.0)];
        while let Some(item) = host.shard.links_mut().next(to) {
            if link.len() >= self.plan.link_items {
                host.shard.links_mut().put_back(to, item);
                return false;
            }
            let copies = self.fault.copies(&item);
            link.extend(std::iter::repeat_n(item, copies));
        }
        host.shard.on_link_room(to);
        true
    }

    /// A send that waits for room on a link goes on. `false`: none did, or there is no room.
    pub(crate) fn link_room(&mut self, from: usize, to: usize) -> bool {
        let to_shard = ShardId(u16::try_from(to).expect("few shards"));
        let link: &mut VecDeque<LinkItem> = &mut self.links[from][to];
        let host = &mut self.hosts[from];
        let Some(waiting) = &mut host.sends[to] else { return false };
        loop {
            if waiting.in_hand.is_none() {
                waiting.in_hand = host.shard.links_mut().next(to_shard);
            }
            let Some(item) = waiting.in_hand.take() else { break };
            if link.len() >= self.plan.link_items {
                waiting.in_hand = Some(item);
                return false;
            }
            let copies = self.fault.copies(&item);
            link.extend(std::iter::repeat_n(item, copies));
            host.shard.on_link_room(to_shard);
        }
        host.sends[to] = None;
        true
    }

    /// A turn of the pump that drains the link between two shards, of at most `items`. `false`: nothing to do.
    pub(crate) fn drain_link(&mut self, from: usize, to: usize, items: usize) -> bool {
        let from_shard = ShardId(u16::try_from(from).expect("few shards"));
        if self.hosts[to].shard.links().is_behind(from_shard) {
            self.hosts[to].shard.go_on_with_link(from_shard);
            return true;
        }
        let mut drained = false;
        self.hosts[to].shard.go_on_with_link(from_shard);
        for _ in 0..items.min(LINK_ITEMS_PER_TURN) {
            let Some(item) = self.links[from][to].pop_front() else { break };
            self.hosts[to].shard.on_link(from_shard, item);
            drained = true;
        }
        drained
    }
}
