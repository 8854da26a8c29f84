//! One shard: a router of events to the parts that own its state. Synchronous, without I/O: each `on_…` takes what happened
//! and leaves what is to be done in the [`Outbox`]. Pumps call it for real sockets, simulations for none.

use std::sync::Arc;

use corecast_executors::MonotonicNs;

use super::aftermath::Aftermath;
use super::balance::Balance;
use super::base::Base;
use super::closed::Closed;
use super::config::ShardConfig;
use super::deadlines::Deadlines;
use super::demand::Demand;
use super::door::Door;
use super::history::{Log, Starts};
use super::joins::Joins;
use super::judgement::{Consequence, Judgement};
use super::kind::Kind;
use super::links::Links;
use super::membership::Membership;
use super::moves::Moves;
use super::origin::Origin;
use super::outbox::Outbox;
use super::publishers::Publishers;
use super::relay_peer::RelayPeer;
use super::revocation::Revocation;
use super::session_state::{Phase, SessionState};
use super::session_table::SessionTable;
use super::succession::Succession;
use super::watches::Watches;
use super::zmtp_peer::ZmtpPeer;
use super::{renewals, upstream};
use crate::auth::{Identity, Permissions, Proof};
use crate::carrier::{LinkItem, MoveItem, ShardItem};
use crate::error::ErrorCode;
use crate::ids::{PublisherId, SessionId, SessionNumber, ShardId};
use crate::limits::{HANDSHAKE_DEADLINE, REFUSALS_PER_SHARD_MAX};
use crate::telemetry::{CloseReason, DropReason, ShardCounters};
use crate::wire::{Features, Partial, greeting};
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

/// One shard: the parts of it, and the base that they share. A part is lent the base for each call, and knows no other but
/// those that it is lent as well.
pub struct Shard {
    pub(super) base: Base,
    pub(super) membership: Membership,
    pub(super) demand: Demand,
    pub(super) joins: Joins,
    pub(super) watches: Watches,
    pub(super) publishers: Publishers,
    pub(super) succession: Succession,
    pub(super) moves: Moves,
    pub(super) balance: Balance,
    pub(super) starts: Starts,
    deadlines: Deadlines,
    judgement: Judgement,
}

impl Shard {
    /// A shard without sessions.
    pub fn new(id: ShardId, config: ShardConfig, now: MonotonicNs) -> Self {
        let shards = config.shards;
        assert!(usize::from(id.0) < shards, "shards are numbered from 0");
        let mut shard = Shard {
            membership: Membership::default(),
            demand: Demand::new(id, &config),
            joins: Joins::default(),
            watches: Watches::default(),
            publishers: Publishers::new(id, shards, config.direct.is_none().then_some(config.lease)),
            succession: Succession::default(),
            moves: Moves::default(),
            balance: Balance::among(shards),
            starts: Starts::default(),
            deadlines: Deadlines::default(),
            judgement: Judgement::default(),
            base: Base::new(id, config, now),
        };
        shard.membership.file_carriers(&mut shard.base, &mut shard.demand);
        shard
    }

    /// The configuration of this shard.
    pub fn config(&self) -> &ShardConfig {
        &self.base.config
    }

    /// The sessions of this shard.
    #[inline]
    pub fn sessions(&self) -> &SessionTable {
        &self.base.sessions
    }

    /// The links of this shard to its neighbours.
    #[inline]
    pub fn links(&self) -> &Links {
        &self.base.links
    }

    /// The links of this shard, to take from them what goes to its neighbours.
    #[inline]
    pub fn links_mut(&mut self) -> &mut Links {
        &mut self.base.links
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

    /// A session comes by this door. `None`: this shard is full or stopping, or nobody wants the session; drop it.
    pub fn on_open(&mut self, door: Door, identity: Identity) -> Option<SessionId> {
        let quota = Quota::of(&self.base.config, self.base.sessions.len(), self.base.draining, door);
        if quota == Quota::Full {
            return None;
        }
        let identity = match door {
            Door::Relay(publisher) => {
                let by = (self.publishers.registrant_of(publisher), identity.address());
                self.demand.relays.identify(&mut self.base, publisher, by)?
            }
            _ => identity,
        };
        let (policy, now) = (self.base.config.overflow, self.base.clock.now());
        let (config, shard) = (&self.base.config, self.base.id);
        let id = self.base.sessions.insert(|generation| {
            let kind = match door {
                Door::Native => Kind::Native(Features::NONE),
                Door::Zmtp(sides) => {
                    let peer = (sides, identity.is_local());
                    Kind::Zmtp(Box::new(ZmtpPeer::new(peer, config, (shard, generation), now)))
                }
                Door::Relay(publisher) => {
                    Kind::Relay(Box::new(RelayPeer::new(publisher, config.heartbeat, now)))
                }
                Door::Local => Kind::Local,
            };
            SessionState::new((generation, kind, identity), policy, now, now + HANDSHAKE_DEADLINE)
        });
        self.base.counters.sessions += 1;
        if matches!(door, Door::Native | Door::Zmtp(_)) {
            self.base.counters.accepts += 1;
            self.base.add_stranger(id);
        }
        match door {
            Door::Native => self.base.queue(id, greeting::ours().to_vec(), 0),
            Door::Zmtp(_) => self.base.queue(id, Machine::begin(), 0),
            Door::Relay(publisher) => {
                let groups = self.membership.fanout().groups();
                self.demand.relays.greet(&mut self.base, groups, (id, publisher));
            }
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

    /// The handshake of a session's connection has shown this of its peer, which has said nothing yet: it is judged by it when
    /// its session opens.
    pub fn on_shown(&mut self, id: SessionId, shown: Proof) {
        let Some(session) = self.base.sessions.get_mut(id) else { return };
        if let (Phase::Greeting, Identity::Anonymous(address)) = (session.phase, &session.identity) {
            session.identity = Identity::Shown(Arc::new(shown), *address);
        }
    }

    /// The peer's greeting is whole and offers these features, or cannot become one.
    pub fn on_greeting(&mut self, id: SessionId, greeting: Result<Features, ErrorCode>) {
        match greeting {
            Ok(features) => {
                if let Some(session) = self.base.sessions.get_mut(id) {
                    session.on_greeted(features);
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

    /// The connection is gone, whoever ended it: in order, or because it `failed` for this reason. Returns how the session
    /// ended, if it was there.
    pub fn on_closed(&mut self, id: SessionId, failed: Option<CloseReason>) -> Option<Closed> {
        self.base.depart(id);
        self.base.forget_unfinished(id);
        self.settle();
        self.base.forget_stranger(id);
        let (session, unsent) = take_out(self, id)?;
        if let Some(number) = session.first_number {
            self.balance.count_guest(number, false);
            tell_place(&mut self.base, &mut self.succession, number, None);
        }
        let reason = match session.closing {
            Some(code) => CloseReason::Code(code),
            None => failed.unwrap_or(CloseReason::PeerClosed),
        };
        self.base.counters.closes[reason] += 1;
        let number = session.number(id, self.base.id);
        Some(Closed { number, reason, identity: session.identity, client: session.client, unsent })
    }

    /// Tells the parts what an event has left for them, before anything else happens.
    pub(super) fn settle(&mut self) {
        while let Some(news) = self.base.untold.next() {
            let (base, demand) = (&mut self.base, &mut self.demand);
            let id = match news {
                Aftermath::Departed(id) => id,
                Aftermath::HasRoom(id) => {
                    self.publishers.tell_news(base, id);
                    upstream::tell_late(base, id);
                    self.starts.on_room(base, (&mut self.membership, demand), id);
                    continue;
                }
                Aftermath::Hears(id) => {
                    let filters = base.sessions.get(id).map(|session| session.subscriptions.filters().keys());
                    filters.into_iter().flatten().for_each(|filter| self.watches.changed(filter));
                    continue;
                }
                Aftermath::Asks(id, request) => {
                    self.joins.ask(base, demand, (id, request));
                    continue;
                }
            };
            if let Some(news) = base.sessions.get_mut(id).and_then(|session| session.news.take()) {
                self.publishers.forget_session(id, news);
                self.publishers.take_watches_out(&mut base.turn);
            }
            demand.relays.leave(base, self.publishers.directory(), id);
            match self.membership.leave(base, demand, id) {
                Some(left) => left.filters().keys().for_each(|filter| self.watches.changed(filter)),
                None => self.watches.all_changed(),
            }
            demand.upstream.forget(id);
            self.starts.forget(id);
            self.watches.leave(base, id);
            if self.moves.forget(base, id) {
                take_out(self, id);
            }
        }
    }

    /// The time is this, between two ticks.
    pub fn on_time(&mut self, now: MonotonicNs) {
        self.base.clock.hear(now);
    }

    /// True if something waits for the next tick, and not just for the time to pass.
    pub fn wants_tick(&self) -> bool {
        self.watches.has_work()
            || self.membership.has_leaving()
            || self.publishers.has_leaving()
            || self.starts.has_late()
            || self.base.slowed.is_waiting()
    }

    /// A tick. Each session is looked at once in [`crate::limits::SWEEP_TICKS`] ticks of the usual pace, however many of
    /// them came.
    pub fn on_tick(&mut self, now: MonotonicNs) {
        let ticks = self.base.clock.tick(now);
        self.base.counters.ticks += 1;
        self.base.turn.begin();
        self.base.let_slowed_go_on();
        self.watches.count(&mut self.base, &mut self.membership);
        self.settle();
        let (base, demand) = (&mut self.base, &mut self.demand);
        self.membership.withdraw(base, demand);
        self.publishers.take_watches_out(&mut base.turn);
        while let Some(change) = self.publishers.expire(base) {
            demand.relays.on_change(base, self.membership.fanout().groups(), &change);
        }
        demand.relays.redial(base);
        renewals::tell_void(base);
        self.settle();
        self.starts.on_tick(&mut self.base, (&mut self.membership, &mut self.demand));
        self.base.keep_in_bounds(now);
        let looks = self.membership.fanout_mut().forget_unused(ticks);
        self.base.turn.spend(looks);
        self.deadlines.sweep(&mut self.base, &self.demand.relays, ticks);
        self.balance.on_tick(&mut self.base, &mut self.moves);
        self.settle();
    }

    /// These are the rules of what sessions may do: each question is answered by them from now on, and all that sessions and
    /// direct publishers go on with is judged by them, in turns. Call it again until it returns true: then nobody has, or
    /// gets, anything that the rules forbid.
    pub fn on_permissions(&mut self, permissions: &Permissions) -> bool {
        self.base.turn.begin();
        if self.base.permissions != *permissions {
            let before = std::mem::replace(&mut self.base.permissions, permissions.clone());
            let tickets = self.base.tickets.on_permissions((&before, permissions), self.base.clock.told());
            self.judgement.begin(tickets);
        }
        while self.judgement.has_work() && !self.base.turn.is_over() {
            let base = &mut self.base;
            match self.judgement.go_on(base, &self.watches, &mut self.publishers) {
                Consequence::Nothing => {}
                Consequence::Registry(change) => {
                    self.demand.relays.on_change(base, self.membership.fanout().groups(), &change);
                }
                Consequence::Loss(id, held) => {
                    Revocation::from(
                        (&mut self.membership, &mut self.demand),
                        &mut self.starts,
                        &mut self.watches,
                        &mut self.publishers,
                    )
                    .take_back(base, id, &held);
                }
            }
            self.settle();
        }
        !self.judgement.has_work()
    }

    /// A direct publisher could not be connected to: it is tried again while it is known.
    pub fn on_dial_failed(&mut self, publisher: PublisherId) {
        self.demand.relays.on_dial_failed(&self.base, publisher);
    }

    /// The broker stops: nothing more is taken from publishers; what was taken is delivered, then every session
    /// is told and closed.
    pub fn on_drain(&mut self) {
        if self.base.draining {
            return;
        }
        self.base.draining = true;
        self.moves.on_drain(&mut self.base);
        for neighbour in self.base.links.neighbours() {
            self.base.send_link(neighbour, LinkItem::LastBatch);
        }
        self.base.farewell_when_drained();
        self.settle();
    }

    /// True if it stops, has nobody left and owes its neighbours nothing, nor these the far ends of carriers.
    pub fn is_drained(&self) -> bool {
        let links = &self.base.links;
        self.base.draining && self.base.sessions.is_empty() && links.is_idle() && links.carriers_are_done()
    }

    /// Goes through all of its state, for simulations and tests.
    ///
    /// # Panics
    /// If the parts of it contradict each other.
    pub fn audit(&self) {
        self.base.audit();
        self.membership.audit(&self.base, &self.demand);
        self.moves.audit(&self.base);
        self.starts.audit(&self.base);
        self.base.logs().for_each(Log::audit);
        assert_eq!(self.watches.own_count(), self.base.sessions.watches(), "watches are their sessions'");
    }
}

/// Takes a session out that every part has forgotten. Returns it, with the number of messages that waited for it.
pub(super) fn take_out(shard: &mut Shard, id: SessionId) -> Option<(SessionState, u64)> {
    let Shard { base, demand, succession, .. } = shard;
    let mut session = base.sessions.remove(id)?;
    let (sent, unsent) = session.egress.abandon();
    base.count_sent(sent);
    base.counters.drops[DropReason::Draining] += unsent;
    base.counters.sessions -= 1;
    base.counters.sessions_slow -= u64::from(session.is_slow);
    demand.relays.on_closed(base, &session);
    succession.succeed(base, demand, &mut session);
    Some((session, unsent))
}

/// Tells the shard where a session came first where it is now, or that it has ended.
pub(super) fn tell_place(
    base: &mut Base,
    succession: &mut Succession,
    number: SessionNumber,
    place: Option<SessionId>,
) {
    let to = place.map(|place| (base.id, place));
    if number.shard() == base.id {
        succession.on_moved(number, to);
    } else {
        base.send_shard(number.shard(), ShardItem::Move(MoveItem::Moved { number, to }));
    }
}
