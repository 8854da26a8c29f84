//! A client that comes back on a new connection while nobody has read all that it sent on the old one: a broker that was
//! stopped for a minute, or a network that was. The new session opens when what the old one said has reached every
//! shard, so that the messages of a publisher keep their order whichever shards its connections are on.

use super::session::{Phase, Session};
use super::state::Shard;
use super::successors::{Awaiting, Predecessor, Successors};
use crate::carrier::LinkItem;
use crate::ids::{SessionId, ShardId};
use crate::limits::LINGER;
use crate::wire::Frame;

impl Shard {
    /// A session has said its hello. It opens at once, or once its predecessor has ended.
    pub(super) fn open_after(&mut self, id: SessionId, predecessor: Predecessor) {
        let Predecessor { number, ticket } = predecessor;
        let owner = number.shard();
        if ticket == 0 || usize::from(owner.0) >= self.base.config.shards {
            self.welcome(id);
        } else if owner == self.base.id {
            self.end_predecessor(predecessor, (self.base.id, id));
        } else {
            self.base.send_link(owner, LinkItem::Succeed { number, ticket, successor: id });
        }
    }

    /// Lets `successor` open when a session of this shard has ended and all that it said has reached every shard. The
    /// client has left it: what it said is still read, for as long as [`LINGER`], and nothing more is sent to it.
    pub(super) fn end_predecessor(&mut self, predecessor: Predecessor, successor: (ShardId, SessionId)) {
        let Predecessor { number, ticket } = predecessor;
        if ticket != self.tickets.of(number) {
            return self.let_open(successor);
        }
        let until = self.base.clock.now() + LINGER;
        let slot = usize::try_from(number.slot()).unwrap_or(usize::MAX);
        let there = self.base.sessions.in_slot(slot).filter(|id| id.number(self.base.id) == number);
        let open =
            there.filter(|id| (self.base.id, *id) != successor && self.phase(*id) == Some(Phase::Open));
        let Some(id) = open else { return self.let_open_in_order(successor) };
        if let Some(session) = self.base.sessions.get_mut(id) {
            let successors =
                session.successors.get_or_insert_with(|| Box::new(Successors { waiting: Vec::new(), until }));
            successors.waiting.push(successor);
        }
        self.base.depart(id);
    }

    /// A session has ended: those that wait for it go on.
    pub(super) fn succeed(&mut self, ended: &mut Session) {
        let Some(successors) = ended.successors.take() else { return };
        for successor in successors.waiting {
            self.let_open_in_order(successor);
        }
    }

    /// What its predecessor said here may still be on its way to neighbours. On this shard the same links keep order.
    fn let_open_in_order(&mut self, successor: (ShardId, SessionId)) {
        let (shard, session) = successor;
        if shard == self.base.id {
            return self.welcome(session);
        }
        let seq = self.interest.acks.next();
        for neighbour in self.base.links.neighbours() {
            self.base.send_link(neighbour, LinkItem::Fence { seq });
        }
        self.interest.acks.wait(Awaiting::Successor(shard, session));
        self.answer_done();
    }

    pub(super) fn let_open(&mut self, (shard, session): (ShardId, SessionId)) {
        if shard == self.base.id {
            self.welcome(session);
        } else {
            self.base.send_link(shard, LinkItem::Open { session });
        }
    }

    /// A session is open.
    pub(super) fn welcome(&mut self, id: SessionId) {
        let Some(session) = self.base.sessions.get_mut(id).filter(|session| session.phase == Phase::Hello)
        else {
            return;
        };
        session.phase = Phase::Open;
        session.deadline = None;
        let policy = session.policy;
        match self.base.config.direct {
            Some(publisher) => self.base.answer(id, &Frame::Identity { publisher: publisher.0 }),
            None if self.base.config.modes.is_all_proxy() => {}
            None => self.base.answer(id, &Frame::Modes { rules: &self.base.config.modes.to_text() }),
        }
        let number = id.number(self.base.id);
        let welcome = Frame::Welcome {
            session: number.0,
            epoch: self.base.config.epoch,
            frame_bytes_max: u32::try_from(self.base.config.frame_bytes_max).unwrap_or(u32::MAX),
            heartbeat_ms: u32::try_from(self.base.config.heartbeat.as_millis()).unwrap_or(u32::MAX),
            overflow: policy.to_wire(),
            ticket: self.tickets.of(number),
        };
        self.base.answer(id, &welcome);
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

    const SHARDS: usize = 3;

    /// A client that says hello as the successor of that session.
    fn come_back(rig: &mut Rig, shard: usize, number: SessionNumber, ticket: u64) -> SessionId {
        let id = rig.shards[shard].on_open(Door::Native, Identity::Anonymous(None)).unwrap();
        rig.shards[shard].on_greeting(id, Ok(()));
        rig.say(shard, id, &[Frame::Hello { name: "", overflow: 0, previous: number.0, ticket }]);
        id
    }

    fn is_open(rig: &Rig, shard: usize, id: SessionId) -> bool {
        rig.shards[shard].phase(id) == Some(Phase::Open)
    }

    /// Shards, a subscriber on the first, and a publisher's old session on this one, with its number and ticket.
    fn begun(shard: usize) -> (Rig, SessionId, SessionId, SessionNumber, u64) {
        let mut rig = Rig::with_shards(SHARDS);
        let subscriber = rig.open(0, OverflowPolicy::DropOldest);
        let old = rig.open(shard, OverflowPolicy::DropOldest);
        rig.say(0, subscriber, &[subscribe(">", 1)]);
        rig.travel();
        assert_eq!(rig.hears(0, subscriber), "!1");
        let number = old.number(rig.shards[shard].id());
        let ticket = rig.shards[shard].tickets.of(number);
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
            let _ = rig.shards[before].on_closed(old, false);
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
        let _ = rig.shards[1].on_closed(old, false);
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
        assert_ne!(rig.shards[1].tickets.of(number), rig.shards[2].tickets.of(number));
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
        let _ = rig.shards[1].on_closed(old, false);
        let second = come_back(&mut rig, 0, number, ticket);
        rig.travel();
        assert!(is_open(&rig, 0, second));
        assert_eq!(rig.hears(0, subscriber), "a=1");
    }
}
