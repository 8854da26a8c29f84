//! Direct publishers for ZeroMQ subscribers, who cannot be introduced to them: the shard connects to each publisher
//! that one of its own ZeroMQ sessions wants to hear, subscribes there as if it were they, and hands what comes to
//! them alone. Native subscribers hear the publisher themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::base::Base;
use super::config::ShardConfig;
use super::kind::Kind;
use super::outbox::Dial;
use super::session_state::{Phase, SessionState};
use super::tickets::SIGNATURE_STEPS;
use crate::auth::Identity;
use crate::carrier::BackOff;
use crate::error::ErrorCode;
use crate::fanout::Groups;
use crate::ids::{GroupId, PublisherId, SessionId};
use crate::limits::{RELAY_PAUSE, RELAY_VISITS_MAX};
use crate::registry::{Directory, Registration, RegistryChange};
use crate::topic::{Filter, OverlapIndex};
use crate::wire::{Frame, encode, greeting};

/// The name that publishers see.
const NAME: &str = "corecast broker, for its ZeroMQ subscribers";

/// Where a relay's connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// There is none; it is tried when it is due.
    Waits,
    /// It is being made.
    Dialled,
    /// It is there.
    Connected(SessionId),
}

/// The way from one direct publisher to the ZeroMQ subscribers of this shard.
#[derive(Debug)]
struct Relay {
    registration: Arc<Registration>,
    stage: Stage,
    back_off: BackOff,
    /// When this broker was let in there last by a ticket of its own, and the number of the rules then.
    ticket: (MonotonicNs, u64),
    /// The registry knows of it no more: it ends with its connection.
    is_gone: bool,
}

/// All relays of a shard.
#[derive(Debug)]
pub(super) struct Relays {
    relays: BTreeMap<PublisherId, Relay>,
    /// The filters of the egress groups of ZeroMQ sessions; `None` where nothing is relayed.
    wanted: Option<OverlapIndex<GroupId>>,
}

impl Relays {
    pub(super) fn new(config: &ShardConfig) -> Self {
        let relays = config.zmtp_subscribers && config.direct.is_none() && !config.modes.is_all_proxy();
        Relays { relays: BTreeMap::new(), wanted: relays.then(OverlapIndex::default) }
    }

    /// A group of ZeroMQ sessions has this filter now.
    pub(super) fn file(&mut self, filter: &Filter, group: GroupId) {
        if let Some(wanted) = &mut self.wanted {
            wanted.insert(filter, group);
        }
    }

    /// The group has this filter no longer.
    pub(super) fn unfile(&mut self, filter: &Filter, group: GroupId) {
        if let Some(wanted) = &mut self.wanted {
            wanted.remove(filter, group);
        }
    }

    /// True if a ZeroMQ session asks for something that is published there, or if that takes too long to find out: then
    /// the publisher is connected to, and sends nothing. Returns the work as well.
    fn want(&self, registration: &Registration) -> (bool, usize) {
        let Some(wanted) = &self.wanted else { return (false, 0) };
        let mut work = 0;
        for topic in &registration.topics {
            let (wants, visited) = wanted.overlaps(topic, RELAY_VISITS_MAX - work);
            work += visited;
            if wants {
                return (true, work);
            }
        }
        (false, work)
    }

    /// The filters of groups that ask for something that is published there, each once, and the work of finding them.
    fn wanted_of(&self, registration: &Registration) -> (BTreeSet<(Filter, GroupId)>, usize) {
        let Some(wanted) = &self.wanted else { return (BTreeSet::new(), 0) };
        let mut work = 0;
        let each = registration.topics.iter().flat_map(|topic| {
            let (entries, visited) = wanted.entries_overlapping(topic);
            work += visited + entries.len();
            entries
        });
        let all = each.collect();
        (all, work)
    }

    /// A ZeroMQ session of this shard asks for a filter (`wanted`), or takes that back.
    pub(super) fn on_subscription(
        &mut self,
        base: &mut Base,
        directory: &Directory,
        (id, filter, wanted): (SessionId, &Filter, bool),
    ) {
        let mut told = Vec::new();
        encode_subscription(id, filter, wanted, &mut told);
        let told = Bytes::from(told);
        let (publishers, work) = directory.overlapping(filter);
        base.turn.spend(work + publishers.len());
        for publisher in publishers {
            let Some(registration) = directory.get(publisher).cloned() else { continue };
            match self.relays.get(&registration.publisher).map(|relay| relay.stage) {
                Some(Stage::Connected(relay)) => tell(base, relay, told.clone(), 1),
                None if wanted => self.begin(base, registration),
                _ => {}
            }
        }
    }

    /// A ZeroMQ session leaves, and with it all that it asked direct publishers for.
    pub(super) fn leave(&mut self, base: &mut Base, directory: &Directory, id: SessionId) {
        let Some(session) = base.sessions.get(id) else { return };
        if !session.kind.encoding().needs_relays() || self.relays.is_empty() {
            return;
        }
        let filters: Vec<Filter> = session.subscriptions.filters().keys().cloned().collect();
        for filter in filters {
            self.on_subscription(base, directory, (id, &filter, false));
        }
    }

    /// The registry has changed.
    pub(super) fn on_change(&mut self, base: &mut Base, groups: &Groups, change: &RegistryChange) {
        match change {
            RegistryChange::Up(registration, registrant) => {
                self.on_up(base, groups, (registration, registrant));
            }
            RegistryChange::Down(gone) => self.on_down(gone.publisher),
        }
    }

    /// A direct publisher is there, or has changed.
    fn on_up(
        &mut self,
        base: &mut Base,
        groups: &Groups,
        (registration, registrant): (&Arc<Registration>, &Arc<Identity>),
    ) {
        if !base.config.zmtp_subscribers {
            return;
        }
        let Some(relay) = self.relays.get_mut(&registration.publisher) else {
            if self.wants(base, registration) {
                self.begin(base, Arc::clone(registration));
            }
            return;
        };
        relay.is_gone = false;
        let old = std::mem::replace(&mut relay.registration, Arc::clone(registration));
        let Stage::Connected(session) = relay.stage else { return };
        if old.endpoints != registration.endpoints {
            return base.end(session, ErrorCode::ShuttingDown, "the publisher has moved");
        }
        if let Some(state) = base.sessions.get_mut(session) {
            state.identity = relayed(registration.publisher, registrant, state.identity.address());
        }
        // What it publishes more: a second subscription of the same changes nothing.
        let (subscriptions, frames) = self.relayed(base, groups, registration);
        tell(base, session, subscriptions, frames);
    }

    /// A direct publisher is not there any more, as far as the registry knows. A stream that flows goes on.
    fn on_down(&mut self, publisher: PublisherId) {
        let Some(relay) = self.relays.get_mut(&publisher) else { return };
        relay.is_gone = true;
        if relay.stage == Stage::Waits {
            self.relays.remove(&publisher);
        }
    }

    fn wants(&self, base: &mut Base, registration: &Registration) -> bool {
        let (wants, work) = self.want(registration);
        base.turn.spend(work);
        wants
    }

    fn begin(&mut self, base: &mut Base, registration: Arc<Registration>) {
        if base.draining || base.config.direct.is_some() {
            return;
        }
        let publisher = registration.publisher;
        let back_off = BackOff::new(RELAY_PAUSE, RELAY_PAUSE, base.clock.now());
        let ticket = (MonotonicNs(0), 0);
        let relay = Relay { registration, stage: Stage::Waits, back_off, ticket, is_gone: false };
        self.relays.insert(publisher, relay);
        self.dial(base, publisher);
    }

    fn dial(&mut self, base: &mut Base, publisher: PublisherId) {
        let Some(relay) = self.relays.get_mut(&publisher) else { return };
        relay.stage = Stage::Dialled;
        let endpoint = relay.registration.endpoints.first().cloned();
        base.outbox.dials.extend(endpoint.map(|endpoint| Dial { publisher, endpoint }));
    }

    /// A dialled connection to a direct publisher, at this address, stands. Returns who is at its other end. `None`: nobody wants
    /// it any more, or nobody has registered it any more.
    pub(super) fn identify(
        &mut self,
        base: &mut Base,
        publisher: PublisherId,
        (registrant, address): (Option<&Arc<Identity>>, Option<SocketAddr>),
    ) -> Option<Identity> {
        let registration = Arc::clone(&self.relays.get(&publisher)?.registration);
        let wanted = !base.draining && self.wants(base, &registration);
        let identity = registrant.filter(|_| wanted).map(|by| relayed(publisher, by, address));
        if identity.is_none() {
            self.relays.remove(&publisher);
        }
        identity
    }

    /// The session to a direct publisher is there: it begins as any client's.
    pub(super) fn greet(
        &mut self,
        base: &mut Base,
        groups: &Groups,
        (id, publisher): (SessionId, PublisherId),
    ) {
        let Some(relay) = self.relays.get_mut(&publisher) else { return };
        relay.stage = Stage::Connected(id);
        let registration = Arc::clone(&relay.registration);
        let mut hello = greeting::ours().to_vec();
        let ticket = show_ticket(base, publisher, &mut relay.ticket);
        let frames = 1 + u32::from(ticket.is_some());
        hello.extend(ticket.unwrap_or_default());
        encode(&Frame::Hello { name: NAME, overflow: 0, previous: 0, ticket: 0 }, &mut hello);
        base.queue(id, hello, frames);
        let (subscriptions, frames) = self.relayed(base, groups, &registration);
        base.queue(id, subscriptions, frames);
    }

    /// A direct publisher could not be connected to, or the connection has ended: it is tried again while it is
    /// known.
    pub(super) fn on_dial_failed(&mut self, base: &Base, publisher: PublisherId) {
        let Some(relay) = self.relays.get_mut(&publisher) else { return };
        relay.stage = Stage::Waits;
        relay.back_off.failed(base.clock.now());
        if relay.is_gone || base.draining {
            self.relays.remove(&publisher);
        }
    }

    /// All subscriptions of this shard's ZeroMQ sessions that a publisher may have something for, as frames, and their
    /// number.
    fn relayed(&self, base: &mut Base, groups: &Groups, registration: &Registration) -> (Bytes, u32) {
        let (wanted, work) = self.wanted_of(registration);
        base.turn.spend(work);
        let (mut out, mut frames) = (Vec::new(), 0);
        for (filter, group) in &wanted {
            for id in &groups.get(*group).members {
                encode_subscription(*id, filter, true, &mut out);
                frames += 1;
            }
        }
        (Bytes::from(out), frames)
    }

    /// On ticks: connections and tickets that are due.
    pub(super) fn redial(&mut self, base: &mut Base) {
        if self.relays.is_empty() {
            return;
        }
        self.renew_tickets(base);
        let now = base.clock.now();
        let due = self.relays.iter().filter(|(_, r)| r.stage == Stage::Waits && r.back_off.is_due(now));
        let due: Vec<(PublisherId, Arc<Registration>)> =
            due.map(|(publisher, relay)| (*publisher, Arc::clone(&relay.registration))).collect();
        for (publisher, registration) in due {
            if self.wants(base, &registration) {
                self.dial(base, publisher);
            } else {
                self.relays.remove(&publisher);
            }
        }
    }

    /// Shows other tickets where those that were shown are old, as many as the turn has room for: the next tick goes on.
    fn renew_tickets(&mut self, base: &mut Base) {
        for (publisher, relay) in &mut self.relays {
            if base.turn.is_over() {
                return;
            }
            if let Stage::Connected(session) = relay.stage
                && base.tickets.is_stale(relay.ticket, base.clock.told())
                && let Some(ticket) = show_ticket(base, *publisher, &mut relay.ticket)
            {
                tell(base, session, ticket.into(), 1);
            }
        }
    }

    /// Says to a direct publisher that this end lives, or that nobody here wants to hear it any more.
    pub(super) fn ping(&self, base: &mut Base, id: SessionId) {
        let now = base.clock.now();
        let Some(session) = base.sessions.get_mut(id) else { return };
        let Kind::Relay(peer) = &mut session.kind else { return };
        peer.pinged = now;
        let relay = self.relays.get(&peer.publisher).map(|relay| Arc::clone(&relay.registration));
        if relay.is_some_and(|registration| self.wants(base, &registration)) {
            base.answer(id, &Frame::Ping { token: now.0 });
        } else {
            base.end(id, ErrorCode::ShuttingDown, "no ZeroMQ subscriber wants it any more");
        }
    }

    /// A session of this shard has ended: if it was one to a direct publisher, that is to be tried again.
    pub(super) fn on_closed(&mut self, base: &Base, session: &SessionState) {
        if let Kind::Relay(peer) = &session.kind {
            self.on_dial_failed(base, peer.publisher);
        }
    }
}

/// The frame that shows a publisher a ticket of this broker's own; notes in `given` when, and by the rules of which number, it
/// was given. `None`: none is asked for.
fn show_ticket(base: &mut Base, publisher: PublisherId, given: &mut (MonotonicNs, u64)) -> Option<Vec<u8>> {
    let now = base.clock.told();
    *given = (now, base.tickets.epoch());
    let ticket = base.tickets.give_broker(publisher, now)?;
    base.turn.spend(SIGNATURE_STEPS);
    Some(ticket)
}

/// A publisher that is relayed goes with the rights of the peer that has registered it.
fn relayed(publisher: PublisherId, registrant: &Arc<Identity>, address: Option<SocketAddr>) -> Identity {
    Identity::Relayed(publisher, Arc::clone(registrant), address)
}

fn tell(base: &mut Base, id: SessionId, frames: Bytes, count: u32) {
    if base.sessions.get(id).is_some_and(SessionState::is_listening) {
        base.queue(id, frames, count);
    }
}

/// One frame of a direct publisher that is meant for this end.
pub(super) fn on_control(base: &mut Base, id: SessionId, frame: Frame<'_>) {
    let Some(session) = base.sessions.get_mut(id).filter(|session| session.is_listening()) else {
        return;
    };
    let Kind::Relay(peer) = &mut session.kind else { return };
    match frame {
        Frame::Identity { publisher } if publisher != peer.publisher.0 => {
            base.end(id, ErrorCode::Unexpected, "another publisher has taken its port");
        }
        Frame::Welcome { heartbeat_ms, .. } => {
            peer.heartbeat = Duration::from_millis(u64::from(heartbeat_ms.max(1)));
            session.phase = Phase::Open;
            session.deadline = None;
        }
        Frame::Ping { token } => base.answer(id, &Frame::Pong { token }),
        Frame::Error { code, text, request: 0 } => base.end(id, ErrorCode::from_number(code), text),
        _ => {}
    }
}

/// The request of a ZeroMQ session to a direct publisher. Each counts there as the one subscriber that it is.
fn encode_subscription(id: SessionId, filter: &Filter, wanted: bool, out: &mut Vec<u8>) {
    let kind = filter.wire_kind();
    let (filter, subscriber, request) = (filter.as_bytes(), id.slot, 1);
    encode(
        &if wanted {
            Frame::Subscribe { filter, request, subscriber, kind }
        } else {
            Frame::Unsubscribe { filter, request, subscriber, kind }
        },
        out,
    );
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::door::Door;
    use super::super::rig::{Rig, message};
    use super::*;
    use crate::auth::{Permissions, Proof, Rights, TicketSigner, Users};
    use crate::fanout::OverflowPolicy;
    use crate::registry::{Mode, ModeRules};
    use crate::wire::greeting::GREETING_BYTES;
    use crate::wire::{Features, splitter};

    /// A direct publisher's answer to the hello.
    const WELCOME: Frame<'_> = Frame::Welcome {
        session: 1,
        epoch: 0,
        frame_bytes_max: 1000,
        heartbeat_ms: 1000,
        overflow: 1,
        ticket: 0,
    };

    /// One shard with ZeroMQ subscribers, and with direct publishers of any topic.
    fn config() -> ShardConfig {
        let modes = Arc::new(ModeRules::new(Vec::new(), Mode::Direct).expect("no rules"));
        ShardConfig { modes, zmtp_subscribers: true, ..ShardConfig::default() }
    }

    fn rig() -> Rig {
        Rig::new(&config())
    }

    fn zmtp_subscribe(rig: &mut Rig, id: SessionId, prefixes: impl Iterator<Item = String>) {
        for prefix in prefixes {
            let length = u8::try_from(prefix.len() + 1).expect("a short prefix");
            rig.say_zmtp(id, &[&[0, length, 1], prefix.as_bytes()].concat());
            while rig.shards[0].sessions().is_behind(id) {
                rig.shards[0].go_on(id);
            }
        }
    }

    /// Registers a publisher. Returns whether a connection to it is to be made, and the work of the turn.
    fn register(rig: &mut Rig, publisher: u64, topics: &str) -> (bool, usize) {
        register_as(rig, Proof::None, (publisher, topics))
    }

    /// The same, by a peer that has shown this.
    fn register_as(rig: &mut Rig, shown: Proof, (publisher, topics): (u64, &str)) -> (bool, usize) {
        let peer = (Door::Native.identity(shown, None), Features::OURS);
        let id = rig.open_with(0, OverflowPolicy::DropOldest, peer);
        let endpoints = &format!("tcp://127.0.0.1:{publisher}");
        rig.say(0, id, &[Frame::Register { endpoints, topics, publisher, epoch: 1, request: 1 }]);
        let work = rig.shards[0].base.turn.spent();
        let dials = std::mem::take(&mut rig.shards[0].outbox().dials);
        (dials.iter().any(|dial| dial.publisher == PublisherId(publisher)), work)
    }

    /// The subscriptions that a publisher is told when it is connected, as `subscriber:filter`.
    fn told(rig: &mut Rig, publisher: u64) -> Vec<String> {
        let door = Door::Relay(PublisherId(publisher));
        let id = rig.shards[0].on_open(door, door.identity(Proof::None, None)).expect("it is wanted");
        let bytes = Bytes::from(rig.take(0, id)).slice(GREETING_BYTES..);
        let told = splitter::frames(&bytes).filter_map(|(_, frame)| match frame {
            Frame::Subscribe { filter, subscriber, .. } => {
                Some(format!("{subscriber}:{}", String::from_utf8_lossy(filter)))
            }
            _ => None,
        });
        let mut told: Vec<String> = told.collect();
        told.sort_unstable();
        told
    }

    #[test]
    fn a_publisher_is_told_the_subscriptions_of_each_session_that_it_has_something_for() {
        let mut rig = rig();
        let (first, second) = (rig.open_zmtp(b"SUB"), rig.open_zmtp(b"SUB"));
        for id in [first, second] {
            zmtp_subscribe(&mut rig, id, ["a.b".into(), "c".into()].into_iter());
        }
        let third = rig.open_zmtp(b"SUB");
        zmtp_subscribe(&mut rig, third, ["a".into(), "d".into()].into_iter());
        assert!(!register(&mut rig, 1, "e.>").0, "nobody asks for that");
        assert!(register(&mut rig, 2, "a.*\na.b").0);
        let [one, two, three] = [first, second, third].map(|id| id.slot);
        assert_eq!(told(&mut rig, 2), [format!("{one}:a.b"), format!("{two}:a.b"), format!("{three}:a")]);
        let _ = rig.shards[0].on_closed(first, None);
        let _ = rig.shards[0].on_closed(third, None);
        assert!(register(&mut rig, 3, "a.*").0);
        assert_eq!(told(&mut rig, 3), [format!("{two}:a.b")]);
        let _ = rig.shards[0].on_closed(second, None);
        assert!(!register(&mut rig, 4, "a.*").0, "nobody is left");
    }

    #[test]
    fn a_rule_against_anonymous_publishers_is_not_one_against_relays() {
        let permissions = Permissions::all().local(Rights::all().publish([]));
        let mut rig = Rig::new(&ShardConfig { permissions, ..config() });
        let subscriber = rig.open_zmtp(b"SUB");
        zmtp_subscribe(&mut rig, subscriber, std::iter::once("a".into()));
        assert!(register(&mut rig, 1, "a").0);
        let door = Door::Relay(PublisherId(1));
        let relay = rig.shards[0].on_open(door, door.identity(Proof::None, None)).expect("it is wanted");
        rig.shards[0].on_greeting(relay, Ok(Features::NONE));
        let _ = rig.take(0, subscriber);
        rig.say(0, relay, &[WELCOME, message("a", 1)]);
        assert!(!rig.take(0, subscriber).is_empty());
        let anonymous = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, anonymous, &[message("a", 1)]);
        assert_eq!(rig.hears(0, anonymous), "not_permitted");
    }

    /// A publisher that is connected to says that it welcomes this broker.
    fn relay(rig: &mut Rig, publisher: u64) -> SessionId {
        let door = Door::Relay(PublisherId(publisher));
        let relay = rig.shards[0].on_open(door, door.identity(Proof::None, None)).expect("it is wanted");
        rig.shards[0].on_greeting(relay, Ok(Features::NONE));
        rig.say(0, relay, &[WELCOME]);
        relay
    }

    #[test]
    fn with_users_a_publisher_is_relayed_by_the_right_of_the_user_who_has_registered_it() {
        let users = |text: &str| Permissions::of_users(Users::parse(text).expect("users"));
        let text = "[[user]]\nname = 'feeds'\nuids = [7]\nregister = ['a', 'b']\n\
                    [[user]]\nname = 'anonymous'\nsubscribe = [{ prefix = 'a' }, { prefix = 'b' }]\n";
        let tickets = TicketSigner::fresh().expect("random bytes").map(Arc::new);
        let mut rig = Rig::new(&ShardConfig { permissions: users(text), tickets, ..config() });
        let subscriber = rig.open_zmtp(b"SUB");
        zmtp_subscribe(&mut rig, subscriber, ["a".into(), "b".into()].into_iter());
        assert!(!register_as(&mut rig, Proof::None, (1, "a")).0, "anonymous may not register");
        assert!(register_as(&mut rig, Proof::Uid(7), (2, "a\nb")).0);
        let first = relay(&mut rig, 2);
        rig.say(0, first, &[message("a", 1)]);
        assert!(!rig.take(0, subscriber).is_empty());

        while !rig.shards[0].on_permissions(&users(&text.replace("'a', 'b'", "'a'"))) {}
        rig.say(0, first, &[message("b", 2)]);
        assert_eq!(rig.shards[0].sessions().phase(first), Some(Phase::Closing), "it may not");
        assert!(rig.take(0, subscriber).is_empty());
        let _ = rig.shards[0].on_closed(first, None);

        assert!(register_as(&mut rig, Proof::Uid(7), (3, "a")).0);
        let second = relay(&mut rig, 3);
        while !rig.shards[0].on_permissions(&users(&text.replace("[7]", "[8]"))) {}
        assert_eq!(rig.shards[0].sessions().phase(second), Some(Phase::Closing), "its user is gone");
        rig.say(0, second, &[message("a", 3)]);
        assert!(rig.take(0, subscriber).is_empty());
    }

    #[test]
    fn a_registration_costs_little_however_many_subscriptions_there_are() {
        let mut rig = rig();
        let id = rig.open_zmtp(b"SUB");
        zmtp_subscribe(&mut rig, id, (0..20_000).map(|n| format!("{n}.a")));
        for (publisher, topics, is_dialled) in
            [(1, "none.here", false), (2, "77.b", false), (3, "77.a", true), (4, "*.a", true), (5, ">", true)]
        {
            let (dialled, work) = register(&mut rig, publisher, topics);
            assert_eq!(dialled, is_dialled, "{topics}");
            assert!(work < 100, "{topics}: {work}");
        }
        let (dialled, work) = register(&mut rig, 6, "*.b");
        assert!(dialled, "it takes too long to find out");
        assert!((RELAY_VISITS_MAX..RELAY_VISITS_MAX + 100).contains(&work), "{work}");
    }
}
