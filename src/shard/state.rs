//! The state that one executor owns, and what can happen to it. Synchronous, without I/O: each `on_…` takes what
//! happened and leaves what is to be done in the [`Outbox`]. Pumps call it for real sockets, simulations for none.

use std::collections::VecDeque;

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::base::Base;
use super::config::ShardConfig;
use super::door::Door;
use super::interest::Interest;
use super::kind::Kind;
use super::leaving::Leaving;
use super::losses::Losses;
use super::origin::Origin;
use super::outbox::Outbox;
use super::publishers::Publishers;
use super::relay_peer::RelayPeer;
use super::relays::Relays;
use super::session::{Phase, Session};
use super::successors::Tickets;
use super::upstream::Upstream;
use super::watches::Watches;
use super::zmtp_peer::ZmtpPeer;
use crate::auth::Identity;
use crate::error::ErrorCode;
use crate::fanout::Batch;
use crate::fanout::EgressQueue;
use crate::fanout::Fanout;
use crate::fanout::Messages;
use crate::ids::{SessionId, ShardId, SubscriberId};
use crate::limits::{HANDSHAKE_DEADLINE, REFUSALS_PER_SHARD_MAX};
use crate::telemetry::ShardCounters;
use crate::wire::{FrameKind, Partial, Span, WireError, greeting};
use crate::zmtp::Machine;

/// The room that a shard has for one session more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quota {
    Free,
    /// There is none, but for a few that are told so.
    Over,
    Full,
}

impl Quota {
    /// The room for a session that comes by `door`, when so many are `there`.
    fn of(config: &ShardConfig, there: usize, draining: bool, door: Door) -> Quota {
        let most = config.sessions_max;
        match door {
            // The registry bounds how many of these there are.
            Door::Relay(_) | Door::Local => Quota::Free,
            _ if draining => Quota::Full,
            _ if there < most => Quota::Free,
            // A ZeroMQ socket that is told why never comes again; one that is dropped does.
            Door::Native if there < most + REFUSALS_PER_SHARD_MAX => Quota::Over,
            Door::Native | Door::Zmtp(_) => Quota::Full,
        }
    }
}

/// One shard: the parts of it, and the ground that they stand on.
pub struct Shard {
    pub(super) base: Base,
    pub(super) fanout: Fanout,
    pub(super) interest: Interest,
    pub(super) watches: Watches,
    pub(super) publishers: Publishers,
    /// The prefixes that ZeroMQ publishers are asked for.
    pub(super) upstream: Upstream,
    /// Direct publishers that ZeroMQ subscribers hear through this shard.
    pub(super) relays: Relays,
    /// Sessions with very many filters that have left.
    pub(super) leaving: VecDeque<Leaving>,
    pub(super) sweep_at: usize,
    pub(super) tickets: Tickets,
    pub(super) scratch: Vec<SubscriberId>,
}

impl Shard {
    /// A shard without sessions.
    pub fn new(id: ShardId, config: ShardConfig, now: MonotonicNs) -> Self {
        let shards = config.shards;
        assert!(usize::from(id.0) < shards, "shards are numbered from 0");
        Shard {
            fanout: Fanout::default(),
            interest: Interest::new(id, shards + config.carriers),
            watches: Watches::default(),
            upstream: Upstream::default(),
            relays: Relays::new(&config),
            publishers: Publishers::new(id, shards, config.direct.is_none().then_some(config.lease)),
            leaving: VecDeque::new(),
            sweep_at: 0,
            tickets: Tickets::default(),
            scratch: Vec::new(),
            base: Base::new(id, config, now),
        }
    }

    /// Notes after each turn that read from a session which frame has begun and is not whole, and whether any was
    /// completed.
    pub fn on_partial(&mut self, id: SessionId, partial: Partial, completed: bool) {
        let base = &mut self.base;
        let admitted = base.unfinished.note(&mut base.sessions, base.clock.now(), (id, partial, completed));
        base.release_sessions(&admitted);
    }

    /// Before a session that has something to read goes on with a long frame: it is held until there is room for it.
    pub fn on_readable(&mut self, id: SessionId) {
        if !self.base.unfinished.may_go_on(&mut self.base.sessions, id) {
            self.base.hold(Origin::Here(id));
        }
    }

    /// Bytes of long frames that are not whole.
    pub fn unfinished_bytes(&self) -> usize {
        self.base.unfinished.bytes()
    }

    /// Things to be done.
    #[inline]
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.base.outbox
    }

    /// The figures that this shard has counted.
    pub fn counters(&self) -> &ShardCounters {
        &self.base.counters
    }

    /// The figures that this shard has counted, for those that only its pumps can count.
    pub fn counters_mut(&mut self) -> &mut ShardCounters {
        &mut self.base.counters
    }

    /// Drops that are in no line of the log yet.
    pub fn losses(&mut self) -> &mut Losses {
        &mut self.base.losses
    }

    /// A session comes by this door. `None`: this shard is full or stopping, or nobody wants the session; drop it.
    pub fn on_open(&mut self, door: Door, identity: Identity) -> Option<SessionId> {
        let quota = Quota::of(&self.base.config, self.base.sessions.len(), self.base.draining, door);
        if quota == Quota::Full || matches!(door, Door::Relay(publisher) if !self.relay_is_wanted(publisher))
        {
            return None;
        }
        let (policy, now) = (self.base.config.overflow, self.base.clock.now());
        let (config, shard) = (&self.base.config, self.base.id);
        let id = self.base.sessions.insert(|generation| {
            let kind = match door {
                Door::Native => Kind::Native,
                Door::Zmtp(sides) => {
                    Kind::Zmtp(Box::new(ZmtpPeer::new(sides, config, (shard, generation), now)))
                }
                Door::Relay(publisher) => {
                    Kind::Relay(Box::new(RelayPeer::new(publisher, config.heartbeat, now)))
                }
                Door::Local => Kind::Local,
            };
            Session::new((generation, kind, identity), policy, now, now + HANDSHAKE_DEADLINE)
        });
        self.base.counters.sessions += 1;
        self.base.counters.accepts += u64::from(matches!(door, Door::Native | Door::Zmtp(_)));
        match door {
            Door::Native => self.base.queue(id, greeting::ours().to_vec(), 0),
            Door::Zmtp(_) => self.base.queue(id, Machine::begin(), 0),
            Door::Relay(publisher) => self.greet_relayed(id, publisher),
            Door::Local => {
                if let Some(session) = self.base.sessions.get_mut(id) {
                    (session.phase, session.deadline) = (Phase::Open, None);
                }
            }
        }
        if quota == Quota::Over {
            self.base.end(id, ErrorCode::TooManySessions, "as many sessions are open here as there may be");
            self.settle();
        }
        Some(id)
    }

    /// How far a session has come; `None` if it has ended.
    pub fn phase(&self, id: SessionId) -> Option<Phase> {
        self.base.sessions.get(id).map(|s| s.phase)
    }

    /// The peer's greeting is whole, or cannot become one.
    pub fn on_greeting(&mut self, id: SessionId, greeting: Result<(), ErrorCode>) {
        match greeting {
            Ok(()) => {
                if let Some(session) = self.base.sessions.get_mut(id) {
                    debug_assert_eq!(session.phase, Phase::Greeting);
                    session.phase = Phase::Hello;
                }
            }
            Err(code) => {
                let text = match code {
                    ErrorCode::Version => "this end speaks protocol version 1",
                    _ => "this is a corecast port; the first bytes are not its greeting",
                };
                self.base.end(id, code, text);
                self.settle();
            }
        }
    }

    /// Bytes came that made these whole, checked frames (perhaps none). `spans` are of `bytes`: they are read
    /// unchecked, so that from outside the crate the way in is [`crate::broker::ingest`].
    pub(crate) fn on_frames(&mut self, id: SessionId, bytes: &Bytes, spans: &[Span]) {
        let Some(session) = self.base.sessions.get_mut(id) else { return };
        session.heard = self.base.clock.now();
        self.base.counters.bytes_in += bytes.len() as u64;
        self.base.counters.frames_in += spans.len() as u64;
        self.base.turn.begin();
        self.take_in_turn(id, bytes, Messages::Native(spans));
    }

    /// Takes frames or messages of a session until the turn's work is used up; what is left waits, as all does if
    /// something waits already.
    pub(super) fn take_in_turn(&mut self, id: SessionId, bytes: &Bytes, messages: Messages<'_>) {
        let done = if self.is_behind(id) { 0 } else { self.take(id, bytes, messages) };
        let rest = messages.after(done);
        self.keep_rest(id, rest.map(|rest| Batch { bytes: bytes.clone(), spans: rest.to_spans() }));
    }

    /// Does what frames or messages say until the turn's work is used up, and gives how many that were.
    pub(super) fn take(&mut self, id: SessionId, bytes: &Bytes, messages: Messages<'_>) -> usize {
        let done = match messages {
            Messages::Native(spans) => self.take_frames(id, bytes, spans),
            Messages::Zmtp(..) if self.may_publish(id) => self.publish(bytes, messages, Origin::Here(id)),
            Messages::Zmtp(spans, _) => spans.len(),
        };
        self.settle();
        done
    }

    fn take_frames(&mut self, id: SessionId, bytes: &Bytes, spans: &[Span]) -> usize {
        let mut from = 0;
        while from < spans.len() && !self.base.turn.is_over() {
            let run =
                spans[from..].iter().take_while(|s| s.frame(bytes).kind() == FrameKind::Routable).count();
            if run > 0 {
                let end = from + run;
                if !self.may_publish(id) {
                    from = end;
                }
                // One that its own messages close, as a slow subscriber, has said all the same what was read with them.
                while from < end && !(self.base.turn.is_over() && self.is_listening(id)) {
                    let messages = Messages::Native(&spans[from..end]);
                    from += self.publish(bytes, messages, Origin::Here(id));
                }
            } else {
                self.on_control(id, spans[from].frame(bytes));
                self.settle();
                from += 1;
            }
        }
        from
    }

    fn is_listening(&self, id: SessionId) -> bool {
        self.base.sessions.get(id).is_some_and(Session::is_listening)
    }

    /// What came is no frame: the session ends with this error. Frames before it were handed over first.
    pub fn on_wire_error(&mut self, id: SessionId, error: &WireError) {
        self.end_with(id, error);
    }

    /// What waits for a session, to be sent; `None` if it has ended.
    pub fn egress(&mut self, id: SessionId) -> Option<&mut EgressQueue> {
        self.base.sessions.get_mut(id).map(|s| &mut s.egress)
    }

    /// The kernel took so many bytes of a session's egress.
    pub fn on_sent(&mut self, id: SessionId, bytes: usize) {
        let Some(session) = self.base.sessions.get_mut(id) else { return };
        let sent = session.egress.sent(bytes);
        let hears_news = session.news.is_some();
        if sent.messages > 0
            && let Some(peer) = session.kind.zmtp_mut()
        {
            peer.liveness.fed();
        }
        let mut holds = Vec::new();
        if !session.holds.is_empty() && session.egress.has_room(self.base.config.bounds) {
            holds = std::mem::take(&mut session.holds);
        }
        self.base.counters.bytes_out += bytes as u64;
        self.base.count_sent(sent);
        self.base.release(&holds);
        if hears_news {
            self.tell_news(id);
            self.settle();
        }
    }

    /// A flush of this session has run: with nothing left it may be listed as dirty again, and if its farewell
    /// was all it waited for, it is shut. With something left a flush waits for the kernel.
    pub fn on_flushed(&mut self, id: SessionId) {
        let Some(session) = self.base.sessions.get_mut(id) else { return };
        if !session.egress.is_empty() {
            return;
        }
        session.listed = false;
        if session.phase == Phase::Closing {
            session.phase = Phase::Shut;
            self.base.outbox.shut.push(id);
        } else if session.kind.is_zmtp() {
            self.tell_late(id);
        }
    }

    /// Whether this publisher is not to be read now.
    pub fn is_held(&self, publisher: SessionId) -> bool {
        self.base.sessions.get(publisher).is_some_and(|s| s.held_by > 0)
    }

    /// Which shard this is.
    pub fn id(&self) -> ShardId {
        self.base.id
    }

    /// Longest frame body taken, in bytes.
    pub fn frame_bytes_max(&self) -> usize {
        self.base.config.frame_bytes_max
    }

    /// Whether it stops, has nobody left and owes the other shards nothing.
    pub fn is_drained(&self) -> bool {
        self.base.draining && self.base.sessions.len() == 0 && self.base.links.is_idle()
    }

    /// Sessions here.
    pub fn session_count(&self) -> usize {
        self.base.sessions.len()
    }

    /// Bytes and frames that wait for all sessions: adds them up, so not for each message.
    pub fn egress_depth(&self) -> (u64, u64) {
        let queues = self.base.sessions.iter().map(|(_, session)| &session.egress);
        queues.fold((0, 0), |(b, f), q| (b + q.bytes() as u64, f + q.frames() as u64))
    }
}
