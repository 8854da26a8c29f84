//! Owns the whole world of one run: shards, links, connections, clients. It goes step by step, and in between it comes
//! to rest, when everything that was sent must have had its effect.

use std::collections::{HashMap, VecDeque};

use corecast::OverflowPolicy;
use corecast::internals::carrier::LinkItem;
use corecast::internals::ids::{SessionId, ShardId};
use corecast::internals::limits::LINK_ITEMS_PER_TURN;
use corecast::internals::shard::Shard;
use corecast::internals::telemetry::{CloseReason, DropReason, ShardCounters};
use corecast_executors::MonotonicNs;

use crate::client::{Client, Incoming};
use crate::fault::{Armed, Fault};
use crate::oracle::Oracle;
use crate::plan::{GAPS_BYTES_MAX, Plan};
use crate::pumps::{Connection, Host};
use crate::rules::RuleBook;
use crate::violation::{Checked, Kind, Violation, ensure};

/// Clients at the same time, at the most.
pub(crate) const CLIENTS_MAX: usize = 20;

/// Rounds in which a world of this size is at rest, many times over.
const ROUNDS_MAX: usize = 20_000;

/// All of it. By client: `connections` and `clients`.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) rng: fastrand::Rng,
    /// For the rules of what clients may do.
    pub(crate) rules_rng: fastrand::Rng,
    pub(crate) now: MonotonicNs,
    pub(crate) hosts: Vec<Host>,
    /// From shard, to shard.
    pub(crate) links: Vec<Vec<VecDeque<LinkItem>>>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) clients: Vec<Client>,
    pub(crate) by_session: HashMap<(usize, SessionId), usize>,
    pub(crate) oracle: Oracle,
    pub(crate) fault: Armed,
    /// For the moves of sessions.
    pub(crate) moves_rng: fastrand::Rng,
    /// For clients that start with history.
    pub(crate) history_rng: fastrand::Rng,
    /// Sessions that have moved to another shard.
    pub(crate) moved: u64,
}

/// The events of a run, or of many.
#[derive(Default, Debug)]
pub(crate) struct Summary {
    runs: u64,
    messages: u64,
    deliveries: u64,
    /// Messages that came in frames of several.
    shared: u64,
    drops: Vec<(&'static str, u64)>,
    gaps_told: u64,
    joined: u64,
    counted: u64,
    /// Messages of history.
    history: u64,
    /// Subscriptions, and stretches of messages, of which clients were told that they are refused.
    refused: u64,
    /// Subscriptions of which clients were told that they have ended.
    ended: u64,
    held: u64,
    /// Sessions that have moved to another shard.
    moved: u64,
    closes: Vec<(&'static str, u64)>,
    rests: u64,
}

impl World {
    /// The world of a plan, before anybody has come.
    pub(crate) fn new(mut plan: Plan, fault: Option<Fault>) -> World {
        let mut rng = fastrand::Rng::with_seed(plan.seed);
        let now = MonotonicNs(1);
        let shards = plan.config.shards;
        let rules = RuleBook::of(shards, plan.has_users);
        plan.config.permissions = rules.first();
        let host = |shard: usize| {
            let id = ShardId(u16::try_from(shard).expect("few shards"));
            Host::new(Shard::new(id, plan.config.clone(), now), shards)
        };
        World {
            hosts: (0..shards).map(host).collect(),
            links: (0..shards).map(|_| (0..shards).map(|_| VecDeque::new()).collect()).collect(),
            fault: Armed::new(fault, rng.u32(0..30)),
            rng,
            moves_rng: fastrand::Rng::with_seed(plan.seed ^ 0x6d6f_7665),
            history_rng: fastrand::Rng::with_seed(plan.seed ^ 0x6869_7374),
            moved: 0,
            rules_rng: fastrand::Rng::with_seed(plan.seed ^ 0x6368_616e),
            now,
            connections: Vec::new(),
            clients: Vec::new(),
            by_session: HashMap::new(),
            oracle: Oracle { rules, ..Oracle::default() },
            plan,
        }
    }

    /// True if the fault has done its damage.
    pub(crate) fn fault_struck(&self) -> bool {
        self.fault.struck
    }

    /// From the first connection to the last counter.
    pub(crate) fn run(&mut self) -> Checked<Summary> {
        self.begin()?;
        for _ in 0..self.plan.steps {
            self.step()?;
        }
        if self.plan.drains {
            self.drain()?;
        } else {
            self.rest()?;
            self.everybody_leaves();
        }
        self.rest()?;
        for host in &self.hosts {
            let empty = host.shard.sessions().is_empty() && (!host.draining || host.shard.is_drained());
            ensure(empty, Kind::Stuck, || format!("shard {} is not empty", host.shard.links().me()))?;
        }
        self.counters()
    }

    /// The invariants of one shard, and its bounds.
    pub(crate) fn audit(&mut self, shard: usize) -> Checked {
        self.hosts[shard].shard.audit();
        let bounds = self.plan.config.bounds;
        for (client, connection) in self.connections.iter().enumerate() {
            let shard = &mut self.hosts[connection.shard].shard;
            let Some(egress) = shard.sessions().egress(connection.session) else { continue };
            // Gaps, one batch that has begun to leave, one that has just come; with `block`, one of each that is held
            // and what was on the links before their publishers heard of it.
            let on_links = self.plan.config.shards * (self.plan.link_items + 2 * LINK_ITEMS_PER_TURN);
            let blocks = self.plan.config.overflow == OverflowPolicy::Block;
            let batches = if blocks { CLIENTS_MAX + on_links } else { 2 };
            let bytes_max = bounds.bytes_max + GAPS_BYTES_MAX + batches * self.plan.batch_held_bytes_max();
            let frames_max = bounds.frames_max + batches * self.plan.batch_bytes_max() / 45;
            if self.oracle.ledger.sessions[client].is_starting() {
                // A part of its history waits there as well, whose own bound is far above those of this world.
                continue;
            }
            let text = || format!("client {client}: {} bytes, {} frames", egress.bytes(), egress.frames());
            let fits = egress.bytes() <= bytes_max && egress.frames() <= frames_max;
            ensure(fits, Kind::OverBound, text)?;
        }
        Ok(())
    }

    /// A client reads up to so many bytes. `false`: nothing was there.
    pub(crate) fn client_reads(&mut self, client: usize, bytes: usize) -> Checked<bool> {
        let there = !self.clients[client].from_broker.is_empty();
        let mut frames = self.clients[client].read(bytes)?;
        self.fault.change(&mut frames);
        for frame in &frames {
            let book = &self.oracle.ledger.sessions[client];
            let is_of_all = |topic: &[u8]| book.is_starting() && book.has_all_of(topic);
            if matches!(frame, Incoming::Message(arrived) if is_of_all(&arrived.topic))
                && self.fault.strikes(Fault::LoseHistory)
            {
                continue;
            }
            if self.has_joined_before(client, frame) && self.fault.strikes(Fault::LoseJoined) {
                continue;
            }
            self.oracle.incoming(client, frame)?;
            if matches!(frame, Incoming::Message(_)) && self.fault.strikes(Fault::Misdeliver) {
                // To each: at least one of them has not asked for it.
                for other in (0..self.clients.len()).filter(|other| *other != client) {
                    self.oracle.incoming(other, frame)?;
                }
            }
        }
        let at_end = self.connections[client].is_shut || self.connections[client].has_ended;
        if at_end && self.clients[client].from_broker.is_empty() && !self.clients[client].has_left {
            self.clients[client].has_left = true;
            return Ok(true);
        }
        Ok(there)
    }

    /// True if a frame is a message that its client must get only because it has joined the stream before it.
    fn has_joined_before(&self, client: usize, frame: &Incoming) -> bool {
        let Incoming::Message(arrived) = frame else { return false };
        let ledger = &self.oracle.ledger;
        let said = ledger.message(arrived.publisher, arrived.sequence).map(|index| &ledger.messages[index]);
        said.is_some_and(|message| ledger.sessions[client].has_joined_before(message))
    }

    /// Everybody reads, everything moves, until nothing does; then the oracle adds up.
    pub(crate) fn rest(&mut self) -> Checked {
        // A step of its own: what is answered here comes after all that was said before.
        self.oracle.ledger.step += 1;
        self.rounds()?;
        // Ticks bring the counts that publishers watch, in turns, and those travel.
        for ticks in 0.. {
            self.tick();
            self.rounds()?;
            if !self.hosts.iter().any(|host| host.shard.wants_tick()) {
                break;
            }
            ensure(ticks < ROUNDS_MAX, Kind::Stuck, || "a shard wants one tick after the other".to_owned())?;
        }
        self.is_at_rest()?;
        self.oracle.at_rest(&self.plan)
    }

    fn rounds(&mut self) -> Checked {
        for _ in 0..ROUNDS_MAX {
            if !self.round()? {
                return Ok(());
            }
        }
        Err(Violation::new(Kind::Stuck, "it never comes to rest"))
    }

    /// Everything that can move does, once. `false`: nothing could.
    fn round(&mut self) -> Checked<bool> {
        let mut moved = false;
        for shard in 0..self.hosts.len() {
            let on_links = self.items_on_links();
            moved |= self.settle_turn(shard);
            moved |= self.items_on_links() != on_links;
            for other in 0..self.hosts.len() {
                moved |= self.link_room(shard, other);
                moved |= self.drain_link(other, shard, usize::MAX);
            }
            moved |= self.follow_rules(shard);
            self.audit(shard)?;
        }
        for client in 0..self.clients.len() {
            moved |= self.go_on_moving(client);
            moved |= self.writable(client);
            moved |= self.client_reads(client, usize::MAX)?;
            moved |= self.read_turn(client, self.plan.read_bytes);
        }
        Ok(moved)
    }

    fn items_on_links(&self) -> usize {
        self.links.iter().flatten().map(VecDeque::len).sum()
    }

    fn is_at_rest(&mut self) -> Checked {
        for (from, links) in self.links.iter().enumerate() {
            let left: usize = links.iter().map(VecDeque::len).sum();
            ensure(left == 0 && !self.hosts[from].waits_for_room(), Kind::Stuck, || {
                format!("{left} items of shard {from} stay on their links: {links:?}")
            })?;
        }
        for client in 0..self.clients.len() {
            let connection = &self.connections[client];
            let shard = &mut self.hosts[connection.shard].shard;
            ensure(!shard.sessions().is_held(connection.session), Kind::Stuck, || {
                format!("client {client} is held by nobody")
            })?;
            let left = shard
                .sessions()
                .egress(connection.session)
                .map_or(0, |egress| usize::from(!egress.is_empty()));
            let unread = self.clients[client].to_broker.len();
            ensure(left == 0 && unread == 0, Kind::Stuck, || {
                format!("client {client}: {unread} bytes unread, or its egress is not empty")
            })?;
        }
        Ok(())
    }

    /// Time goes on for every shard.
    pub(crate) fn tick(&mut self) {
        self.now = self.now + corecast_executors::TICK;
        for host in &mut self.hosts {
            host.shard.on_tick(self.now);
        }
    }

    /// Checks the final counters of all shards.
    fn counters(&self) -> Checked<Summary> {
        let all = || self.hosts.iter().map(|host| host.shard.counters());
        let sum = |of: fn(&ShardCounters) -> u64| all().map(of).sum::<u64>();
        let is = |name: &str, counted: u64, happened: u64, exactly: bool| {
            let agrees = if exactly { counted == happened } else { counted >= happened };
            ensure(agrees, Kind::WrongCounters, || format!("{name}: {counted} counted, {happened} happened"))
        };
        let taken = self.oracle.ledger.messages.iter().filter(|m| m.taken && m.gap == 0).count() as u64;
        is("sessions", sum(|c| c.sessions), 0, true)?;
        is("subscriptions", sum(|c| c.subscriptions), 0, true)?;
        is("accepts", sum(|c| c.accepts), self.clients.len() as u64, true)?;
        is("closes", sum(|c| c.closes.total()), self.clients.len() as u64, true)?;
        is("messages in", sum(|c| c.messages_in), taken, true)?;
        let exactly = self.plan.calm;
        is("deliveries", sum(|c| c.deliveries), self.oracle.received, exactly)?;
        if !self.plan.tells_gaps {
            is("drops", sum(|c| c.drops.total()), self.oracle.told, exactly)?;
        }
        is("gaps told", sum(|c| c.gaps_told), self.oracle.notices, exactly)?;
        is("refusals", sum(|c| c.refusals), self.oracle.refused + self.oracle.ended, exactly)?;
        let drops = DropReason::ALL.iter().map(|r| (r.label(), all().map(|c| c.drops[*r]).sum()));
        let reasons = [CloseReason::PeerClosed, CloseReason::IoError].into_iter();
        let reasons = reasons.chain(corecast::ErrorCode::ALL.iter().map(|code| CloseReason::Code(*code)));
        let closes = reasons.map(|r| (r.label(), all().map(|c| c.closes[r]).sum()));
        Ok(Summary {
            runs: 1,
            messages: taken,
            deliveries: self.oracle.received,
            shared: self.clients.iter().map(|client| client.shared).sum(),
            drops: drops.collect(),
            gaps_told: self.oracle.notices,
            joined: self.oracle.joined,
            counted: self.oracle.counted,
            history: sum(|c| c.history_sent),
            refused: self.oracle.refused,
            ended: self.oracle.ended,
            held: sum(|c| c.link_held),
            moved: self.moved,
            closes: closes.collect(),
            rests: self.oracle.ledger.epoch,
        })
    }
}

impl Summary {
    /// One more run, or many.
    pub(crate) fn add(&mut self, other: &Summary) {
        let add_each = |to: &mut Vec<(&'static str, u64)>, from: &[(&'static str, u64)]| {
            for (label, count) in from {
                match to.iter_mut().find(|(there, _)| there == label) {
                    Some((_, sum)) => *sum += count,
                    None => to.push((label, *count)),
                }
            }
        };
        self.runs += other.runs;
        self.messages += other.messages;
        self.deliveries += other.deliveries;
        self.shared += other.shared;
        add_each(&mut self.drops, &other.drops);
        self.gaps_told += other.gaps_told;
        self.joined += other.joined;
        self.counted += other.counted;
        self.history += other.history;
        self.refused += other.refused;
        self.ended += other.ended;
        self.held += other.held;
        self.moved += other.moved;
        add_each(&mut self.closes, &other.closes);
        self.rests += other.rests;
    }

    /// A simulation in which nothing happens finds nothing.
    pub(crate) fn assert_everything_happened(&self) {
        assert!(self.messages > 100_000 && self.deliveries > 100_000, "{self:?}");
        assert!(self.shared > 100_000 && self.deliveries - self.shared > 100_000, "{self:?}");
        assert!(self.gaps_told > 1_000 && self.held > 1_000 && self.rests > 1_000, "{self:?}");
        assert!(
            self.joined > 1_000 && self.counted > 100 && self.moved > 1_000 && self.history > 100_000,
            "{self:?}"
        );
        assert!(self.refused > 100 && self.ended > 100, "{self:?}");
        assert!(self.drops.iter().all(|(_, count)| *count > 100), "{self:?}");
        for code in ["not_permitted", "unauthenticated"] {
            let ended = self.closes.iter().find(|(label, _)| *label == code);
            assert!(ended.is_some_and(|(_, count)| *count > 500), "{self:?}");
        }
    }
}
