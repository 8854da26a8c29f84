//! Publishers that are not read while somebody has no room for what they publish.

use super::base::Base;
use super::origin::Origin;
use super::session_state::Phase;
use crate::carrier::LinkItem;
use crate::error::ErrorCode;
use crate::ids::{Neighbour, RequestId, SessionId};
use crate::wire::Frame;

impl Base {
    /// `origin` waits until this session's queue has room again.
    pub(super) fn hold_for(&mut self, id: SessionId, origin: Origin) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if !session.holds.contains(&origin) {
            session.holds.push(origin);
            self.hold(origin);
        }
    }

    /// `origin` waits while too much waits for that neighbour.
    #[inline]
    pub(super) fn hold_if_backed_up(&mut self, to: Neighbour, origin: Origin) {
        if self.links.outgoing(to).hold_if_backed_up(origin) {
            self.hold(origin);
        }
    }

    /// A publisher is not read until it is released as often as it was held. Links are never held: what came over
    /// one before its publisher heard of it is taken, so queues may be over their bound by what links hold.
    pub(super) fn hold(&mut self, origin: Origin) {
        match origin {
            Origin::Here(id) => {
                if let Some(session) = self.sessions.get_mut(id) {
                    session.held_by += 1;
                    self.counters.link_held += 1;
                }
                let admitted = self.unfinished.suspend(&mut self.sessions, id);
                self.release_sessions(&admitted);
            }
            Origin::There(neighbour, publisher) => self.send_link(neighbour, LinkItem::Hold { publisher }),
        }
    }

    /// Each of these is held by one less; one that is held by nobody goes on, and its flushes are answered.
    pub(super) fn release(&mut self, held: &[Origin]) {
        for origin in held {
            match *origin {
                Origin::Here(id) => self.release_session(id),
                Origin::There(neighbour, publisher) => {
                    self.send_link(neighbour, LinkItem::Release { publisher });
                }
            }
        }
    }

    /// Each of these sessions of this shard is held by one less.
    pub(super) fn release_sessions(&mut self, held: &[SessionId]) {
        held.iter().for_each(|id| self.release_session(*id));
    }

    fn release_session(&mut self, id: SessionId) {
        let now = self.clock.now();
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.held_by -= 1;
        if session.held_by > 0 {
            return;
        }
        // While it was held it was not read: its silence and its begun frame are not its fault.
        session.heard = now;
        session.kind.heard_again(now);
        if session.phase == Phase::Open {
            session.frame_begins_again(now);
        }
        let flushes = std::mem::take(&mut session.flushes);
        self.outbox.resumed.push(id);
        for request in flushes {
            self.answer(id, &Frame::Done { request: request.0 });
        }
    }

    /// A publisher asks to be told when nothing holds it. While the shard stops, messages may have come before this that were
    /// not taken: no answer is the true one, and the client will see that the session has ended.
    pub(super) fn on_flush(&mut self, id: SessionId, request: RequestId) {
        if self.draining {
            return;
        }
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.is_called = false;
        if self.config.retention.confirms() && !self.await_stored(id) {
            return;
        }
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.held_by > 0 {
            session.flushes.push(request);
        } else {
            self.answer(id, &Frame::Done { request: request.0 });
        }
    }

    /// Holds a publisher until what it has said is stored at the engine. Returns false if some of it is not, which ends it.
    fn await_stored(&mut self, id: SessionId) -> bool {
        let Some(carrier) = self.links.carriers().next() else { return true };
        if self.sessions.get(id).is_some_and(|session| session.is_short) {
            self.end_unstored(id);
            return false;
        }
        let has_come_back = self.sessions.get(id).is_some_and(|session| session.has_come_back);
        self.hold(Origin::Here(id));
        self.send_link(carrier, LinkItem::AwaitStored { publisher: id, has_come_back });
        true
    }

    /// Some of what a publisher waits for is not stored, and will not be: its flush is not answered.
    pub(super) fn on_unstored(&mut self, id: SessionId) {
        self.end_unstored(id);
        self.release(&[Origin::Here(id)]);
    }

    fn end_unstored(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.flushes.clear();
        }
        let text = "some of what was published could not be stored at the engine, and a rule says that a flush confirms that";
        self.end(id, ErrorCode::NotStored, text);
    }

    /// Messages for a carrier were given up: no flush of those that may have said them confirms that they are stored.
    pub(super) fn note_given_up(&mut self, messages: u64) {
        self.counters.carrier_given_up += messages;
        if messages > 0 && self.config.retention.confirms() {
            for id in self.sessions.ids() {
                self.sessions.get_mut(id).into_iter().for_each(|session| session.is_short = true);
            }
        }
    }

    /// A session that ends holds nothing of a frame that it has begun, and waits for nothing: what is here of it is of no
    /// use.
    pub(super) fn forget_unfinished(&mut self, id: SessionId) {
        if let Some(admitted) = self.unfinished.forget_session(&mut self.sessions, id) {
            self.outbox.forget.push(id);
            self.release_sessions(&admitted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::ShardConfig;
    use super::super::history::Retention;
    use super::super::rig::{Rig, message};
    use crate::carrier::LinkItem;
    use crate::fanout::OverflowPolicy;
    use crate::ids::{Neighbour, SessionId};
    use crate::limits::{KEEP_AGE_DEFAULT, KEEP_BYTES_DEFAULT};
    use crate::wire::Frame;

    /// The carrier behind one shard.
    const CARRIER: Neighbour = Neighbour(1);

    /// A shard whose carrier stores what its publishers say, one of them, and what it hears when it has said something and flushed.
    fn flushed(rule: &str) -> (Rig, SessionId, String) {
        let retention =
            Retention::new(vec![rule.parse().unwrap()], KEEP_BYTES_DEFAULT, KEEP_AGE_DEFAULT).unwrap();
        let config = ShardConfig { carriers: 1, carriers_store: true, retention, ..ShardConfig::default() };
        let mut rig = Rig::new(&config);
        // The carrier has not said anything yet.
        let publisher = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, publisher, &[message("a", 1), Frame::Flush { request: 7 }]);
        let heard = rig.hears(0, publisher);
        (rig, publisher, heard)
    }

    /// The items for the carrier that are of publishers: their messages, and that they wait.
    fn said(rig: &mut Rig) -> Vec<&'static str> {
        let items = std::iter::from_fn(|| rig.shards[0].links_mut().next(CARRIER));
        let text = |item: LinkItem| match item {
            LinkItem::Batch { .. } => Some("messages"),
            LinkItem::AwaitStored { .. } => Some("waits"),
            _ => None,
        };
        items.filter_map(text).collect()
    }

    #[test]
    fn a_flush_is_answered_when_the_carrier_has_stored_what_came_before_it() {
        let (mut rig, _, heard) = flushed("a=last");
        assert_eq!(
            (heard.as_str(), said(&mut rig)),
            ("!7", vec!["messages"]),
            "nothing is confirmed by this rule"
        );
        let (mut rig, publisher, heard) = flushed("a=last,confirmed");
        assert_eq!((heard.as_str(), said(&mut rig)), ("", vec!["messages", "waits"]));
        assert!(rig.shards[0].sessions().is_held(publisher));
        rig.shards[0].on_link(CARRIER, LinkItem::Release { publisher });
        assert_eq!(rig.hears(0, publisher), "!7");
    }

    #[test]
    fn a_flush_of_what_is_not_stored_ends_its_session() {
        let (mut rig, publisher, _) = flushed("a=last,confirmed");
        rig.shards[0].on_link(CARRIER, LinkItem::Unstored { publisher });
        let heard = rig.hears(0, publisher);
        assert!(heard.ends_with("not_stored") && !heard.contains("!7"), "{heard}");
        let (mut rig, publisher, _) = flushed("a=last,confirmed");
        rig.shards[0].on_link(CARRIER, LinkItem::Release { publisher });
        assert_eq!(rig.hears(0, publisher), "!7");
        rig.shards[0].base.note_given_up(3);
        rig.say(0, publisher, &[Frame::Flush { request: 8 }]);
        assert!(rig.hears(0, publisher).ends_with("not_stored"), "it may have said some of these");
    }
}
