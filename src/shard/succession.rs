//! A client that comes back on a new connection while nobody has read all that it sent on the old one: a broker that was
//! stopped for a minute, or a network that was. The new session opens when what the old one said has reached every
//! shard, so that the messages of a publisher keep their order whichever shards its connections are on.

use std::hash::{BuildHasher as _, RandomState};

use ahash::AHashMap;
use tracing::debug;

use super::base::Base;
use super::demand::Demand;
use super::renewals;
use super::session_state::{Phase, SessionState};
use super::successors::{Predecessor, Successors};
use crate::carrier::{ShardItem, Unconfirmed};
use crate::error::ErrorCode;
use crate::fanout::OverflowPolicy;
use crate::ids::{SessionId, SessionNumber, ShardId};
use crate::limits::{LINGER, TEXT_BYTES_MAX};
use crate::wire::Frame;

/// The opening of sessions, each behind its predecessor.
#[derive(Default)]
pub(super) struct Succession {
    /// Tickets tell a client's own sessions from those of others: keyed by secrets of this shard, drawn when it starts.
    tickets: RandomState,
    /// Sessions whose predecessors are over here, until all that those said has reached every shard.
    fenced: Unconfirmed<Fenced>,
    /// Sessions that came here first and have moved: where they are.
    moved: AHashMap<SessionNumber, (ShardId, SessionId)>,
}

/// A session whose predecessor is over here.
enum Fenced {
    /// It may open.
    Open(ShardId, SessionId),
    /// Its predecessor has moved on: the shard where that came first knows where.
    MovedOn(ShardId, Predecessor, (ShardId, SessionId)),
}

impl Succession {
    /// The ticket of a session; never 0, which stands for none.
    pub(super) fn ticket(&self, number: SessionNumber) -> u64 {
        self.tickets.hash_one(number.0).max(1)
    }

    /// A session says hello, in these words.
    pub(super) fn on_hello(
        &mut self,
        base: &mut Base,
        demand: &mut Demand,
        (id, name, overflow, predecessor): (SessionId, &str, u8, Predecessor),
    ) {
        if !base.admit(id) {
            return;
        }
        if name.len() > TEXT_BYTES_MAX {
            return base.end(id, ErrorCode::Unexpected, "the client's name is too long");
        }
        let policy = match overflow {
            0 => Some(base.config.overflow),
            number => OverflowPolicy::from_wire(number),
        };
        let Some(policy) = policy else {
            return base.end(id, ErrorCode::PolicyRefused, "an overflow policy that is not known");
        };
        if policy == OverflowPolicy::Block && base.config.overflow != OverflowPolicy::Block {
            return base.end(id, ErrorCode::PolicyRefused, "this broker does not run with --overflow block");
        }
        if let Some(session) = base.sessions.get_mut(id) {
            session.policy = policy;
            session.has_come_back = predecessor.ticket != 0;
            session.client = (!name.is_empty()).then(|| name.into());
        }
        let number = id.number(base.id);
        debug!(shard = %base.id, session = %number, name, policy = policy.name(), "session opened");
        self.open_after(base, demand, (id, predecessor));
    }

    /// A session has said its hello. It opens at once, or once its predecessor has ended.
    fn open_after(
        &mut self,
        base: &mut Base,
        demand: &mut Demand,
        (id, predecessor): (SessionId, Predecessor),
    ) {
        let Predecessor { number, ticket } = predecessor;
        let owner = number.shard();
        if ticket == 0 || usize::from(owner.0) >= base.config.shards {
            self.welcome(base, id);
        } else if owner == base.id {
            self.end_predecessor(base, demand, (predecessor, (base.id, id)));
        } else {
            base.send_shard(owner, ShardItem::Succeed { number, ticket, successor: id });
        }
    }

    /// Lets `successor` open when a session of this shard has ended and all that it said has reached every shard. The
    /// client has left it: what it said is still read, for as long as [`LINGER`], and nothing more is sent to it.
    pub(super) fn end_predecessor(
        &mut self,
        base: &mut Base,
        demand: &mut Demand,
        (predecessor, successor): (Predecessor, (ShardId, SessionId)),
    ) {
        let Predecessor { number, ticket } = predecessor;
        if ticket != self.ticket(number) {
            return self.let_open(base, successor);
        }
        let there = match self.moved.get(&number) {
            Some((shard, session)) if *shard != base.id => {
                let item = ShardItem::SucceedMoved { number, ticket, session: *session, successor };
                return base.send_shard(*shard, item);
            }
            Some((_, session)) => Some(*session),
            None => {
                let slot = usize::try_from(number.slot()).unwrap_or(usize::MAX);
                base.sessions.in_slot(slot).filter(|id| id.number(base.id) == number)
            }
        };
        self.end_session(base, demand, (there, successor));
    }

    /// The same for a session that has moved here, or did and has moved on.
    pub(super) fn end_moved(
        &mut self,
        base: &mut Base,
        demand: &mut Demand,
        (first, predecessor): (ShardId, Predecessor),
        (session, successor): (SessionId, (ShardId, SessionId)),
    ) {
        if base.sessions.phase(session).is_some() {
            return self.end_session(base, demand, (Some(session), successor));
        }
        demand.ask_for_arrival(base);
        self.fenced.add(demand.changes(), Fenced::MovedOn(first, predecessor, successor));
        self.on_confirmed(base, demand);
    }

    /// A session that came here first has moved, or has ended.
    pub(super) fn on_moved(&mut self, number: SessionNumber, to: Option<(ShardId, SessionId)>) {
        match to {
            Some(place) => _ = self.moved.insert(number, place),
            None => _ = self.moved.remove(&number),
        }
    }

    /// The number of sessions that came here first and are elsewhere, for tests.
    #[cfg(test)]
    pub(super) fn moved(&self) -> usize {
        self.moved.len()
    }

    fn end_session(
        &mut self,
        base: &mut Base,
        demand: &mut Demand,
        (there, successor): (Option<SessionId>, (ShardId, SessionId)),
    ) {
        let until = base.clock.now() + LINGER;
        let open =
            there.filter(|id| (base.id, *id) != successor && base.sessions.phase(*id) == Some(Phase::Open));
        let Some(id) = open else { return self.let_open_in_order(base, demand, successor) };
        if let Some(session) = base.sessions.get_mut(id) {
            let successors =
                session.successors.get_or_insert_with(|| Box::new(Successors { waiting: Vec::new(), until }));
            successors.waiting.push(successor);
        }
        base.depart(id);
    }

    /// A session has ended: those that wait for it go on.
    pub(super) fn succeed(&mut self, base: &mut Base, demand: &mut Demand, ended: &mut SessionState) {
        let Some(successors) = ended.successors.take() else { return };
        for successor in successors.waiting {
            self.let_open_in_order(base, demand, successor);
        }
    }

    /// Lets a session open behind what its predecessor said here, which may still be on its way to neighbours. On this shard the
    /// same links keep order.
    fn let_open_in_order(&mut self, base: &mut Base, demand: &mut Demand, successor: (ShardId, SessionId)) {
        let (shard, session) = successor;
        if shard == base.id {
            return self.welcome(base, session);
        }
        demand.ask_for_arrival(base);
        self.fenced.add(demand.changes(), Fenced::Open(shard, session));
        self.on_confirmed(base, demand);
    }

    /// Neighbours have confirmed something: sessions that wait for nothing more may open.
    pub(super) fn on_confirmed(&mut self, base: &mut Base, demand: &Demand) {
        while let Some(fenced) = self.fenced.pop(demand.changes()) {
            match fenced {
                Fenced::Open(shard, session) => self.let_open(base, (shard, session)),
                Fenced::MovedOn(first, Predecessor { number, ticket }, successor) => {
                    base.send_shard(first, ShardItem::MovedOn { number, ticket, successor });
                }
            }
        }
    }

    fn let_open(&self, base: &mut Base, (shard, session): (ShardId, SessionId)) {
        if shard == base.id {
            self.welcome(base, session);
        } else {
            base.send_shard(shard, ShardItem::Open { session });
        }
    }

    /// A session is open.
    pub(super) fn welcome(&self, base: &mut Base, id: SessionId) {
        if base.sessions.phase(id) != Some(Phase::Hello) || !base.take_share(id) {
            return;
        }
        let Some(session) = base.sessions.get_mut(id) else { return };
        session.phase = Phase::Open;
        session.deadline = None;
        let policy = session.policy;
        base.forget_stranger(id);
        match base.config.direct {
            Some(publisher) => base.answer(id, &Frame::Identity { publisher: publisher.0 }),
            None if base.config.modes.is_all_proxy() => {}
            None => {
                renewals::tell_rules(base, id);
                base.answer(id, &Frame::Modes { rules: &base.config.modes.to_text() });
            }
        }
        let number = id.number(base.id);
        let welcome = Frame::Welcome {
            session: number.0,
            epoch: base.config.epoch,
            frame_bytes_max: u32::try_from(base.config.frame_bytes_max).unwrap_or(u32::MAX),
            heartbeat_ms: u32::try_from(base.config.heartbeat.as_millis()).unwrap_or(u32::MAX),
            overflow: policy.to_wire(),
            ticket: self.ticket(number),
        };
        base.answer(id, &welcome);
    }
}

#[cfg(test)]
mod tests {
    use super::super::door::Door;
    use super::super::rig::{Rig, message, subscribe};
    use super::*;
    use crate::auth::Identity;
    use crate::error::ErrorCode;
    use crate::fanout::OverflowPolicy;
    use crate::ids::SessionNumber;
    use crate::wire::Features;

    const SHARDS: usize = 3;

    /// A client that says hello as the successor of that session.
    fn come_back(rig: &mut Rig, shard: usize, number: SessionNumber, ticket: u64) -> SessionId {
        let id = rig.shards[shard].on_open(Door::Native, Identity::Anonymous(None)).unwrap();
        rig.shards[shard].on_greeting(id, Ok(Features::NONE));
        rig.say(shard, id, &[Frame::Hello { name: "", overflow: 0, previous: number.0, ticket }]);
        id
    }

    fn is_open(rig: &Rig, shard: usize, id: SessionId) -> bool {
        rig.shards[shard].sessions().phase(id) == Some(Phase::Open)
    }

    /// Shards, a subscriber on the first, and a publisher's old session on this one, with its number and ticket.
    fn begun(shard: usize) -> (Rig, SessionId, SessionId, SessionNumber, u64) {
        let mut rig = Rig::with_shards(SHARDS);
        let subscriber = rig.open(0, OverflowPolicy::DropOldest);
        let old = rig.open(shard, OverflowPolicy::DropOldest);
        rig.say(0, subscriber, &[subscribe(">", 1)]);
        rig.travel();
        assert_eq!(rig.hears(0, subscriber), "!1");
        let number = old.number(rig.shards[shard].links().me());
        let ticket = rig.shards[shard].succession.ticket(number);
        (rig, subscriber, old, number, ticket)
    }

    #[test]
    fn a_new_session_opens_behind_all_that_the_old_one_said_wherever_both_are() {
        for (before, after) in [(0, 0), (1, 1), (0, 1), (1, 0), (1, 2), (2, 1)] {
            let (mut rig, subscriber, old, number, ticket) = begun(before);
            rig.say(before, old, &[message("a", 1)]);
            let new = come_back(&mut rig, after, number, ticket);
            for _ in 0..10 {
                rig.travel_once(after, before);
                rig.travel_once(before, after);
            }
            assert!(!is_open(&rig, after, new), "{before} {after}: the old one is still read");
            // What waited in the old socket, and its end.
            rig.say(before, old, &[message("a", 2), message("a", 3)]);
            let _ = rig.shards[before].on_closed(old, None);
            // Of two ways to the subscriber's shard the longer one keeps its items for now.
            for from in (0..SHARDS).rev() {
                for to in (0..SHARDS).rev().filter(|to| (from, *to) != (before, 0)) {
                    while rig.travel_once(from, to) {}
                }
            }
            let early = is_open(&rig, after, new);
            assert_eq!(early, before == 0 && after == 0 || before == after, "{before} {after}");
            if early {
                rig.say(after, new, &[message("a", 4)]);
            }
            rig.travel();
            assert!(is_open(&rig, after, new), "{before} {after}");
            if !early {
                rig.say(after, new, &[message("a", 4)]);
            }
            rig.travel();
            assert_eq!(rig.hears(0, subscriber), "a=1 a=2 a=3 a=4", "{before} {after}");
        }
    }

    #[test]
    fn an_old_session_that_does_not_end_is_cut_off() {
        let (mut rig, _, old, number, ticket) = begun(1);
        let (new, again) = (come_back(&mut rig, 2, number, ticket), come_back(&mut rig, 0, number, ticket));
        rig.travel();
        rig.wait(LINGER / 2);
        assert!(rig.shards[1].outbox().abort.is_empty());
        rig.wait(LINGER);
        assert!(rig.shards[1].outbox().abort.contains(&old));
        assert!(!is_open(&rig, 2, new));
        let _ = rig.shards[1].on_closed(old, None);
        rig.travel();
        assert!(is_open(&rig, 2, new) && is_open(&rig, 0, again), "both that came after it");
    }

    #[test]
    fn an_old_session_is_sent_nothing_more_and_holds_nobody() {
        let (mut rig, _, old, number, ticket) = begun(1);
        rig.say(1, old, &[subscribe("b", 2), Frame::WatchSubscribers { topic: b"b", request: 3 }]);
        rig.travel();
        rig.hears(1, old);
        come_back(&mut rig, 1, number, ticket);
        let publisher = rig.open(1, OverflowPolicy::DropOldest);
        rig.say(1, publisher, &[message("b", 1)]);
        assert_eq!(rig.hears(1, old), "");
    }

    #[test]
    fn nobody_ends_the_session_of_another() {
        let (mut rig, subscriber, old, number, ticket) = begun(1);
        let strangers = [
            come_back(&mut rig, 1, number, ticket ^ 1),
            come_back(&mut rig, 2, number, ticket ^ 1),
            come_back(&mut rig, 2, number, 0),
            come_back(&mut rig, 2, SessionNumber(u64::MAX), 7),
        ];
        rig.travel();
        for (id, shard) in strangers.into_iter().zip([1, 2, 2, 2]) {
            assert!(is_open(&rig, shard, id), "it is let in all the same");
        }
        rig.wait(2 * LINGER);
        assert!(rig.shards[1].outbox().abort.is_empty());
        rig.say(1, old, &[message("a", 1)]);
        rig.travel();
        assert_eq!(rig.hears(0, subscriber), "a=1");
        assert_ne!(rig.shards[1].succession.ticket(number), rig.shards[2].succession.ticket(number));
    }

    #[test]
    fn one_that_is_over_or_closing_is_waited_for_only_by_what_it_said() {
        let (mut rig, subscriber, old, number, ticket) = begun(1);
        rig.say(1, old, &[message("a", 1)]);
        rig.shards[1].base.end(old, ErrorCode::IdleTimeout, "silent");
        rig.shards[1].settle();
        let first = come_back(&mut rig, 2, number, ticket);
        rig.travel_once(2, 1);
        assert!(!is_open(&rig, 2, first), "its message is on its way");
        rig.travel();
        assert!(is_open(&rig, 2, first));
        let _ = rig.shards[1].on_closed(old, None);
        let second = come_back(&mut rig, 0, number, ticket);
        rig.travel();
        assert!(is_open(&rig, 0, second));
        assert_eq!(rig.hears(0, subscriber), "a=1");
    }
}
