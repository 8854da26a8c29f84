//! Owns one broker: its shards, a carrier as their neighbour, the links between all of these, its clients.

use std::collections::VecDeque;
use std::convert::Infallible;

use corecast::OverflowPolicy;
use corecast::internals::auth::Identity;
use corecast::internals::broker::ingest;
use corecast::internals::carrier::{Engine, Joint, LinkItem};
use corecast::internals::ids::{Neighbour, ShardId};
use corecast::internals::shard::{Door, Moving, Parting, Shard, ShardConfig, Visit};
use corecast::internals::wire::{Slab, Span};
use corecast_executors::MonotonicNs;

use super::guest::Guest;

/// Bytes that the kernel holds for a client.
const KERNEL_BYTES: usize = 4_000;

/// A carrier, as the links of shards see it.
pub(super) trait Carrier {
    fn on_link(&mut self, from: ShardId, item: LinkItem);
    fn link_next(&mut self, to: ShardId) -> Option<LinkItem>;
    fn on_link_room(&mut self);
}

macro_rules! carrier {
    ($($carrier:ty),*) => {$(
        impl Carrier for $carrier {
            fn on_link(&mut self, from: ShardId, item: LinkItem) {
                self.on_link(from, item);
            }

            fn link_next(&mut self, to: ShardId) -> Option<LinkItem> {
                self.link_next(to)
            }

            fn on_link_room(&mut self) {
                self.on_link_room();
            }
        }
    )*};
}

carrier!(Joint, Engine);

/// One broker.
pub(super) struct House<C> {
    pub(super) shards: Vec<Shard>,
    pub(super) carrier: C,
    pub(super) guests: Vec<Guest>,
    /// From neighbour, to neighbour: the shards, and the carrier behind them.
    links: Vec<Vec<VecDeque<LinkItem>>>,
    /// Items that a link holds.
    room: usize,
    slab: Slab,
    spans: Vec<Span>,
}

fn shard_id(shard: usize) -> ShardId {
    ShardId(u16::try_from(shard).expect("few shards"))
}

impl<C: Carrier> House<C> {
    pub(super) fn new(config: &ShardConfig, carrier: C, room: usize, now: MonotonicNs) -> Self {
        let config = ShardConfig { carriers: 1, moves: true, ..config.clone() };
        let neighbours = config.shards + 1;
        House {
            shards: (0..config.shards).map(|id| Shard::new(shard_id(id), config.clone(), now)).collect(),
            carrier,
            guests: Vec::new(),
            links: (0..neighbours).map(|_| (0..neighbours).map(|_| VecDeque::new()).collect()).collect(),
            room,
            slab: Slab::default(),
            spans: Vec::new(),
        }
    }

    /// A client comes to that shard.
    pub(super) fn welcome(&mut self, shard: usize, policy: OverflowPolicy) -> usize {
        let session = self.shards[shard].on_open(Door::Native, Identity::Anonymous(None));
        self.guests.push(Guest::new(shard, session.expect("there is room"), policy));
        self.guests.len() - 1
    }

    /// Reads up to so many bytes of a client, unless it is held. `false`: there was nothing to read.
    pub(super) fn read(&mut self, guest: usize, bytes: usize) -> bool {
        let guest = &mut self.guests[guest];
        let shard = &mut self.shards[guest.shard];
        let said = &mut guest.client.to_broker;
        let stays = Moving::of(shard).departure(guest.session) == Parting::Stays;
        if said.is_empty() || guest.moves || !stays || shard.sessions().is_held(guest.session) {
            return false;
        }
        let space = guest.reader.space(&mut self.slab);
        let bytes = bytes.min(said.len()).min(space.len());
        for (to, byte) in space.iter_mut().zip(said.drain(..bytes)) {
            *to = byte;
        }
        guest.reader.received(bytes);
        ingest(shard, guest.session, &mut guest.reader, &mut self.slab, &mut self.spans);
        while shard.sessions().is_behind(guest.session) {
            shard.go_on(guest.session);
        }
        true
    }

    /// Sends a client what the kernel has room for. `false`: nothing, or there is no room.
    pub(super) fn flush(&mut self, guest: usize) -> bool {
        let guest = &mut self.guests[guest];
        if guest.moves {
            return false;
        }
        let kernel = &mut guest.client.from_broker;
        let mut sent = 0;
        let flushed = self.shards[guest.shard].flush(guest.session, |parts| {
            let room = KERNEL_BYTES.saturating_sub(kernel.len());
            let before = kernel.len();
            kernel.extend(parts.iter().flat_map(|part| part.iter()).take(room));
            sent += kernel.len() - before;
            Ok::<_, Infallible>((room > 0).then_some(kernel.len() - before))
        });
        let Ok(visit) = flushed;
        let session = guest.session;
        let dirty = &mut self.shards[guest.shard].outbox().dirty;
        if visit == Visit::Done {
            dirty.retain(|id| *id != session);
        }
        sent > 0
    }

    /// Sessions of a shard begin to move to another.
    pub(super) fn begin_to_move(&mut self, from: usize, to: usize) {
        Moving::of(&mut self.shards[from]).begin(shard_id(to));
    }

    /// A session that can leave its shard does, or one that has arrived is connected. `false`: there is nothing to do.
    pub(super) fn go_on_moving(&mut self, guest: usize) -> bool {
        let guest = &mut self.guests[guest];
        let mut moving = Moving::of(&mut self.shards[guest.shard]);
        if guest.moves {
            guest.moves = !moving.has_arrived(guest.session);
            if !guest.moves {
                moving.connect(guest.session);
            }
            return !guest.moves;
        }
        let Some((to, place)) = moving.leave(guest.session) else { return false };
        (guest.shard, guest.session, guest.moves) = (usize::from(to.0), place, true);
        true
    }

    /// The connection of a client ends.
    pub(super) fn part(&mut self, guest: usize) {
        let Guest { shard, session, .. } = self.guests[guest];
        self.shards[shard].on_closed(session, None).expect("it was there");
    }

    /// True if nothing is left to wait for, so that the broker may end.
    pub(super) fn is_drained(&self) -> bool {
        self.shards.iter().all(Shard::is_drained)
    }

    /// Moves up to so many items from one neighbour to another. `false`: there was none.
    pub(super) fn travel(&mut self, from: usize, to: usize, items: usize) -> bool {
        let sent = self.send(from, to);
        let mut came = false;
        if let Some(shard) = self.shards.get_mut(to) {
            let from = Neighbour(u16::try_from(from).expect("few neighbours"));
            if shard.links().is_behind(from) {
                shard.go_on_with_link(from);
                return true;
            }
            shard.go_on_with_link(from);
        }
        for _ in 0..items {
            let Some(item) = self.links[from][to].pop_front() else { break };
            came = true;
            match self.shards.get_mut(to) {
                Some(shard) => shard.on_link(Neighbour(u16::try_from(from).expect("few neighbours")), item),
                None => self.carrier.on_link(shard_id(from), item),
            }
        }
        sent || came
    }

    fn send(&mut self, from: usize, to: usize) -> bool {
        let link = &mut self.links[from][to];
        let mut sent = false;
        while link.len() < self.room {
            let item = match self.shards.get_mut(from) {
                Some(shard) => shard.links_mut().next(Neighbour(u16::try_from(to).expect("few neighbours"))),
                None => self.carrier.link_next(shard_id(to)),
            };
            let Some(item) = item else { break };
            link.push_back(item);
            sent = true;
        }
        if sent {
            match self.shards.get_mut(from) {
                Some(shard) => shard.on_link_room(Neighbour(u16::try_from(to).expect("few neighbours"))),
                None => self.carrier.on_link_room(),
            }
        }
        sent
    }

    /// Everything inside that can move does, once. `false`: nothing could.
    pub(super) fn go_on(&mut self) -> bool {
        let mut moved = false;
        for from in 0..self.neighbours() {
            for to in (0..self.neighbours()).filter(|to| *to != from) {
                moved |= self.travel(from, to, usize::MAX);
            }
        }
        for guest in 0..self.guests.len() {
            moved |= self.go_on_moving(guest);
            moved |= self.read(guest, usize::MAX);
            moved |= self.flush(guest);
            moved |= !self.guests[guest].client.from_broker.is_empty();
            self.guests[guest].read(usize::MAX);
        }
        moved
    }

    /// The shards, and the carrier.
    pub(super) fn neighbours(&self) -> usize {
        self.links.len()
    }

    /// Time goes on.
    pub(super) fn tick(&mut self, now: MonotonicNs) {
        for shard in &mut self.shards {
            shard.on_tick(now);
            shard.audit();
        }
    }
}
