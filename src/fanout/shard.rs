//! The state that one executor owns, and what can happen to it. Synchronous, without I/O: each `on_…` takes what
//! happened and leaves what is to be done in the [`Outbox`]. Pumps call it for real sockets, simulations for none.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::egress::EgressQueue;
use super::encoding::Messages;
use super::groups::Groups;
use super::interest::Interest;
use super::outbox::{LinkItem, Origin, Outbox};
use super::policy::{OverflowPolicy, QueueBounds};
use super::publishers::Publishers;
use super::router::{Router, Target};
use super::session::{Phase, Session};
use super::sessions::Sessions;
use super::watches::Watches;
use super::zmtp::Upstream;
use crate::error::ErrorCode;
use crate::ids::{GroupId, PublisherId, SessionId, ShardId, SubscriberId};
use crate::limits::{
    FRAME_BYTES_MAX_DEFAULT, HANDSHAKE_DEADLINE, HEARTBEAT_DEFAULT, LEASE_DEFAULT, LINK_ITEMS_PER_TURN,
    SESSIONS_PER_SHARD_MAX,
};
use crate::registry::ModeRules;
use crate::telemetry::ShardCounters;
use crate::wire::{Frame, FrameKind, Span, WireError, encode_to_vec, greeting};

/// What all shards of a broker share: made at start-up, never changed.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// How many shards there are.
    pub shards: usize,
    /// Bounds of each egress queue.
    pub bounds: QueueBounds,
    /// Longest frame body taken, in bytes.
    pub frame_bytes_max: usize,
    /// Policy of sessions that ask for none; `Block` is granted only if it is this.
    pub overflow: OverflowPolicy,
    /// What clients are told.
    pub heartbeat: Duration,
    /// Tells one start of the broker from the next.
    pub epoch: u64,
    /// Which topics go direct.
    pub modes: Arc<ModeRules>,
    /// How long a direct publisher is known without a word.
    pub lease: Duration,
    /// These are the shards of a direct publisher, not of a broker: its id. They take messages from it alone, and
    /// keep no registry.
    pub direct: Option<PublisherId>,
}

impl Default for ShardConfig {
    fn default() -> Self {
        ShardConfig {
            shards: 1,
            bounds: QueueBounds::default(),
            frame_bytes_max: FRAME_BYTES_MAX_DEFAULT,
            overflow: OverflowPolicy::default(),
            heartbeat: HEARTBEAT_DEFAULT,
            epoch: 0,
            modes: Arc::default(),
            lease: LEASE_DEFAULT,
            direct: None,
        }
    }
}

/// What waits to go to one other shard.
#[derive(Default)]
pub(super) struct Peer {
    pub(super) pending: VecDeque<LinkItem>,
    /// Publishers held because too much waits.
    pub(super) holds: Vec<Origin>,
    /// It has sent its last batch.
    pub(super) ended: bool,
}

/// One shard. Fields are of this module; the rules over them are in `publish`, `control`, `membership`,
/// `closing` and `deadlines`.
pub struct Shard {
    pub(super) id: ShardId,
    pub(super) config: ShardConfig,
    /// The last tick.
    pub(super) now: MonotonicNs,
    pub(super) sessions: Sessions,
    pub(super) groups: Groups,
    pub(super) router: Router,
    pub(super) interest: Interest,
    pub(super) watches: Watches,
    pub(super) publishers: Publishers,
    /// What ZeroMQ publishers are asked for.
    pub(super) upstream: Upstream,
    /// Subscriptions have changed since the watches were counted.
    pub(super) recount: bool,
    pub(super) peers: Vec<Peer>,
    /// Stopping: nothing more is taken from publishers.
    pub(super) draining: bool,
    pub(super) sweep_at: usize,
    pub(super) touched: Vec<GroupId>,
    pub(super) scratch: Vec<SubscriberId>,
    /// What is to be done.
    pub outbox: Outbox,
    /// What has been counted.
    pub counters: ShardCounters,
}

impl Shard {
    /// A shard without sessions.
    pub fn new(id: ShardId, config: ShardConfig, now: MonotonicNs) -> Self {
        let shards = config.shards;
        assert!(usize::from(id.0) < shards, "shards are numbered from 0");
        Shard {
            id,
            now,
            sessions: Sessions::default(),
            groups: Groups::default(),
            router: Router::default(),
            interest: Interest::new(id, shards),
            watches: Watches::default(),
            upstream: Upstream::default(),
            publishers: Publishers::new(id, shards, config.direct.is_none().then_some(config.lease)),
            recount: false,
            peers: (0..shards).map(|_| Peer::default()).collect(),
            draining: false,
            sweep_at: 0,
            touched: Vec::new(),
            scratch: Vec::new(),
            outbox: Outbox::default(),
            counters: ShardCounters::default(),
            config,
        }
    }

    /// A connection has come. `None`: this shard is full or stopping, drop it.
    pub fn on_open(&mut self) -> Option<SessionId> {
        if self.draining || self.sessions.len() >= SESSIONS_PER_SHARD_MAX {
            return None;
        }
        let (policy, now) = (self.config.overflow, self.now);
        let id = self
            .sessions
            .insert(|generation| Session::new(generation, policy, now, now + HANDSHAKE_DEADLINE));
        self.counters.accepts += 1;
        self.counters.sessions += 1;
        self.answer_raw(id, greeting::ours().to_vec());
        Some(id)
    }

    /// The local API of a direct publisher: a session that is open, has no connection and never times out.
    pub fn on_open_local(&mut self) -> SessionId {
        let (policy, now) = (self.config.overflow, self.now);
        let id = self.sessions.insert(|generation| Session::new(generation, policy, now, now));
        if let Some(session) = self.sessions.get_mut(id) {
            session.phase = Phase::Open;
            session.deadline = None;
            session.is_local = true;
        }
        self.counters.sessions += 1;
        id
    }

    /// How far a session has come; `None` if it has ended.
    pub fn phase(&self, id: SessionId) -> Option<Phase> {
        self.sessions.get(id).map(|s| s.phase)
    }

    /// The peer's greeting is whole, or cannot become one.
    pub fn on_greeting(&mut self, id: SessionId, greeting: Result<(), ErrorCode>) {
        match greeting {
            Ok(()) => {
                if let Some(session) = self.sessions.get_mut(id) {
                    debug_assert_eq!(session.phase, Phase::Greeting);
                    session.phase = Phase::Hello;
                }
            }
            Err(code) => {
                let text = match code {
                    ErrorCode::Version => "this end speaks protocol version 1",
                    _ => "this is a corecast port; the first bytes are not its greeting",
                };
                self.close(id, code, text);
            }
        }
    }

    /// Bytes came that made these whole, checked frames (perhaps none). `spans` are of `bytes`: they are read
    /// unchecked, so that from outside the crate the way in is [`crate::broker::ingest`].
    pub(crate) fn on_frames(&mut self, id: SessionId, bytes: &Bytes, spans: &[Span]) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.heard = self.now;
        self.counters.bytes_in += bytes.len() as u64;
        self.counters.frames_in += spans.len() as u64;
        let mut from = 0;
        while from < spans.len() {
            let run =
                spans[from..].iter().take_while(|s| s.frame(bytes).kind() == FrameKind::Routable).count();
            if run > 0 {
                if !self.may_publish(id) {
                    return;
                }
                self.publish(bytes, Messages::Native(&spans[from..from + run]), Origin::Here(id));
                from += run;
            }
            if let Some(span) = spans.get(from) {
                self.on_control(id, span.frame(bytes));
                from += 1;
            }
        }
    }

    /// What came is no frame: the session ends with this error. Frames before it were handed over first.
    pub fn on_wire_error(&mut self, id: SessionId, error: &WireError) {
        self.close(id, error.code, &error.text);
    }

    /// Another shard tells something.
    pub fn on_link(&mut self, from: ShardId, item: LinkItem) {
        match item {
            LinkItem::Batch { batch, publisher } => {
                self.publish(&batch.bytes, batch.spans.messages(), Origin::There(from, publisher));
            }
            LinkItem::Hold { publisher } => self.hold(Origin::Here(publisher)),
            LinkItem::Release { publisher } => self.release(&[Origin::Here(publisher)]),
            LinkItem::Interest { seq, filter, wanted } => {
                if wanted {
                    self.router.insert(&filter, Target::Shard(from));
                } else {
                    self.router.remove(&filter, Target::Shard(from));
                }
                self.tell_upstream(&filter, wanted);
                self.send_link(from, LinkItem::InterestSeen { seq });
            }
            LinkItem::InterestSeen { seq } => {
                self.interest.acks.seen_by(from, seq);
                self.answer_done_subscriptions();
            }
            LinkItem::Watch { watch, topic } => {
                self.watches.add_asked(from, watch, topic);
                self.recount_watches();
            }
            LinkItem::Unwatch { watch } => self.watches.remove_asked(from, watch),
            LinkItem::Count { watch, count } => {
                self.watches.counted(from, watch, count);
                self.tell_watches();
            }
            LinkItem::Registry { session, ask } => self.on_registry_ask(from, session, ask),
            LinkItem::Publisher { seq, change } => {
                self.on_registry_change(change);
                self.send_link(from, LinkItem::PublisherSeen { seq });
            }
            LinkItem::PublisherSeen { seq } => self.on_publisher_seen(from, seq),
            LinkItem::Answer { session, bytes } => self.answer_raw(session, bytes),
            LinkItem::LastBatch => {
                self.peers[usize::from(from.0)].ended = true;
                self.farewell_when_drained();
            }
        }
    }

    /// What waits for a session, to be sent; `None` if it has ended.
    pub fn egress(&mut self, id: SessionId) -> Option<&mut EgressQueue> {
        self.sessions.get_mut(id).map(|s| &mut s.egress)
    }

    /// The kernel took so many bytes of a session's egress.
    pub fn on_sent(&mut self, id: SessionId, bytes: usize) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let sent = session.egress.sent(bytes);
        self.counters.bytes_out += bytes as u64;
        self.counters.frames_out += sent.frames + sent.kept;
        self.counters.deliveries += sent.frames;
        if !session.holds.is_empty() && below_low_water(&session.egress, self.config.bounds) {
            let holds = std::mem::take(&mut session.holds);
            self.release(&holds);
        }
    }

    /// A flush of this session has run: with nothing left it may be listed as dirty again, and if its farewell
    /// was all it waited for, it is shut. With something left a flush waits for the kernel.
    pub fn on_flushed(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if !session.egress.is_empty() {
            return;
        }
        session.listed = false;
        if session.phase == Phase::Closing {
            session.phase = Phase::Shut;
            self.outbox.shut.push(id);
        }
    }

    /// The next item for another shard's link.
    pub fn link_next(&mut self, to: ShardId) -> Option<LinkItem> {
        self.peers[usize::from(to.0)].pending.pop_front()
    }

    /// The link had no room for the item that [`Shard::link_next`] gave: it stays first.
    pub fn link_put_back(&mut self, to: ShardId, item: LinkItem) {
        self.peers[usize::from(to.0)].pending.push_front(item);
    }

    /// Items have gone to another shard: publishers that waited for that may go on.
    pub fn on_link_room(&mut self, to: ShardId) {
        let peer = &mut self.peers[usize::from(to.0)];
        if peer.holds.is_empty() || peer.pending.len() > LINK_ITEMS_PER_TURN / 2 {
            return;
        }
        let holds = std::mem::take(&mut peer.holds);
        self.release(&holds);
    }

    /// Whether this publisher is not to be read now.
    pub fn is_held(&self, publisher: SessionId) -> bool {
        self.sessions.get(publisher).is_some_and(|s| s.held_by > 0)
    }

    /// Which shard this is.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Longest frame body taken, in bytes.
    pub fn frame_bytes_max(&self) -> usize {
        self.config.frame_bytes_max
    }

    /// Whether it stops, has nobody left and owes the other shards nothing.
    pub fn is_drained(&self) -> bool {
        self.draining && self.sessions.len() == 0 && self.peers.iter().all(|peer| peer.pending.is_empty())
    }

    /// Sessions here.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Bytes and frames that wait for all sessions: adds them up, so not for each message.
    pub fn egress_depth(&self) -> (u64, u64) {
        let ids = self.sessions.ids();
        let queues = ids.iter().filter_map(|id| self.sessions.get(*id)).map(|s| &s.egress);
        queues.fold((0, 0), |(b, f), q| (b + q.bytes() as u64, f + q.frames() as u64))
    }

    pub(super) fn send_link(&mut self, to: ShardId, item: LinkItem) {
        debug_assert_ne!(to, self.id);
        let peer = &mut self.peers[usize::from(to.0)];
        if peer.pending.is_empty() {
            self.outbox.links.push(to);
        }
        peer.pending.push_back(item);
    }

    pub(super) fn others(&self) -> impl Iterator<Item = ShardId> + use<> {
        let me = self.id;
        let shards = u16::try_from(self.config.shards).expect("shards are counted in 16 bits");
        (0..shards).map(ShardId).filter(move |shard| *shard != me)
    }

    pub(super) fn answer(&mut self, id: SessionId, frame: &Frame<'_>) {
        debug_assert!(
            self.sessions.get(id).is_none_or(|s| s.zmtp.is_none()),
            "a ZeroMQ peer would not understand"
        );
        self.answer_raw(id, encode_to_vec(frame));
    }

    pub(super) fn answer_raw(&mut self, id: SessionId, bytes: impl Into<Bytes>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.egress.push_answer(bytes);
        if !session.listed {
            session.listed = true;
            self.outbox.dirty.push_back(id);
        }
    }
}

fn below_low_water(egress: &EgressQueue, bounds: QueueBounds) -> bool {
    use crate::limits::LOW_WATER_DIVISOR as PART;
    egress.bytes() <= bounds.bytes_max / PART && egress.frames() <= bounds.frames_max / PART
}
