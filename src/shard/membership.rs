//! Subscriptions of sessions: which egress group a session is in, what the router knows, what the other shards
//! are told.

use super::leaving::Leaving;
use super::state::Shard;
use crate::carrier::LinkItem;
use crate::error::ErrorCode;
use crate::fanout::Encoding;
use crate::fanout::FILING_STEPS;
use crate::fanout::Join;
use crate::fanout::Target;
use crate::ids::{GroupId, SessionId, SubscriberId};
use crate::limits::{GROUP_FILTERS_MAX, SUBSCRIPTIONS_PER_SESSION_MAX};
use crate::topic::Filter;

impl Shard {
    /// Adds one subscription; a second one of the same subscriber and filter changes nothing. `false`: the
    /// session has too many and is being closed.
    pub(super) fn subscribe(&mut self, id: SessionId, filter: Filter, subscriber: SubscriberId) -> bool {
        if let Some(text) = self.too_many(id, &filter) {
            self.base.end(id, ErrorCode::TooManySubscriptions, text);
            return false;
        }
        let Some(session) = self.base.sessions.get_mut(id) else { return false };
        self.base.turn.spend(1);
        let new_filter = !session.subscriptions.contains(&filter);
        if !session.subscriptions.add(&filter, subscriber) {
            return true;
        }
        session.subscription_count += 1;
        self.base.counters.subscriptions += 1;
        self.watches.changed(&filter);
        if new_filter {
            session.filter_bytes += filter.as_bytes().len();
            self.base.counters.filter_bytes += filter.as_bytes().len() as u64;
            session.shapes.add(&filter);
            self.regroup(id, &filter);
        }
        true
    }

    /// The limit that one subscription more would break.
    fn too_many(&self, id: SessionId, filter: &Filter) -> Option<&'static str> {
        let session = self.base.sessions.get(id)?;
        if session.subscription_count.max(session.subscribing as usize) >= SUBSCRIPTIONS_PER_SESSION_MAX {
            return Some("one session may hold 131,072 subscriptions");
        }
        if !session.shapes.allow(filter) {
            return Some(
                "the patterns of one session may have their wildcards in 64 different arrangements, \
                 those of up to 8 levels not counted",
            );
        }
        self.fanout.router.is_too_wide(filter).then_some(
            "the patterns of all sessions may have their wildcards in 512 different arrangements, \
             those of up to 8 levels not counted",
        )
    }

    /// Takes one subscription back, if it is there.
    pub(super) fn unsubscribe(&mut self, id: SessionId, filter: &Filter, subscriber: SubscriberId) {
        let Some(session) = self.base.sessions.get_mut(id) else { return };
        self.base.turn.spend(1);
        if !session.subscriptions.remove(filter, subscriber) {
            return;
        }
        let was_last = !session.subscriptions.contains(filter);
        session.subscription_count -= 1;
        self.base.counters.subscriptions -= 1;
        self.watches.changed(filter);
        if was_last {
            session.filter_bytes -= filter.as_bytes().len();
            self.base.counters.filter_bytes -= filter.as_bytes().len() as u64;
            session.shapes.remove(filter);
            self.regroup(id, filter);
        }
    }

    /// Moves a session whose set of filters has changed by `changed` to the group of its filters. One with very many has
    /// a group of its own, until it has less than half as many.
    fn regroup(&mut self, id: SessionId, changed: &Filter) {
        let Some(session) = self.base.sessions.get(id) else { return };
        let (filters, encoding) = (session.subscriptions.len(), session.kind.encoding());
        if let Some((group, _)) = session.group
            && self.fanout.groups.is_private(group)
        {
            if session.subscriptions.contains(changed) {
                self.file(changed, group);
            } else {
                self.unfile(changed, group);
            }
            if filters > GROUP_FILTERS_MAX / 2 {
                return;
            }
        }
        let Some(session) = self.base.sessions.get(id) else { return };
        let filters: Vec<Filter> = session.subscriptions.filters().cloned().collect();
        self.base.turn.spend(filters.len());
        // The new group first, so that a filter that both have is not withdrawn in between.
        let new = (!filters.is_empty()).then(|| self.join(encoding, filters));
        self.leave_group(id);
        if let Some(group) = new {
            let place = self.fanout.groups.add_member(group, id);
            if let Some(session) = self.base.sessions.get_mut(id) {
                session.group = Some((group, place));
                session.subscriptions.share(&self.fanout.groups.get(group).filters);
            }
        }
    }

    /// The group of these filters, which the router knows then.
    fn join(&mut self, encoding: Encoding, filters: Vec<Filter>) -> GroupId {
        let is_private = filters.len() > GROUP_FILTERS_MAX;
        let new = if is_private {
            self.fanout.groups.make_private(encoding)
        } else {
            match self.fanout.groups.join(encoding, filters.clone()) {
                Join::Found(group) => return group,
                Join::Made(group) => group,
            }
        };
        for filter in &filters {
            self.file(filter, new);
        }
        new
    }

    /// Takes a session out of its group, and the group away if nobody is left.
    fn leave_group(&mut self, id: SessionId) {
        let Some((group, place)) = self.base.sessions.get_mut(id).and_then(|s| s.group.take()) else {
            return;
        };
        if let Some(moved) = self.fanout.groups.remove_member(group, place)
            && let Some(session) = self.base.sessions.get_mut(moved)
        {
            session.group = Some((group, place));
        }
        if self.fanout.groups.is_private(group) {
            // What it shrank to, or nothing: the session has left the fan-out, and its filters with it.
            let Some(session) = self.base.sessions.get(id) else { return };
            let filters: Vec<Filter> = session.subscriptions.filters().cloned().collect();
            for filter in filters {
                self.unfile(&filter, group);
            }
        }
        if let Some(gone) = self.fanout.groups.remove_if_empty(group) {
            for filter in &gone.filters {
                self.unfile(filter, group);
            }
        }
    }

    /// Takes a session out of its group for good, and gives what it had subscribed to. Very many filters are withdrawn
    /// in turns: so long, messages for them come to a group without members.
    pub(super) fn leave_for_good(&mut self, id: SessionId) {
        let group = self.base.sessions.get(id).and_then(|session| session.group).map(|(group, _)| group);
        let Some(group) = group.filter(|group| self.fanout.groups.is_private(*group)) else {
            self.leave_group(id);
            let Some(session) = self.base.sessions.get_mut(id) else { return };
            for filter in std::mem::take(&mut session.subscriptions).filters() {
                self.watches.changed(filter);
            }
            return;
        };
        let Some(session) = self.base.sessions.get_mut(id) else { return };
        session.group = None;
        let filters = std::mem::take(&mut session.subscriptions);
        self.watches.all_changed();
        self.fanout.groups.remove_member(group, 0);
        self.leaving.push_back(Leaving { group, filters });
        self.withdraw();
    }

    /// Withdraws filters of those that have left, for as long as this turn has work left and the other shards take it.
    pub(super) fn withdraw(&mut self) {
        while !self.base.turn.is_over()
            && !self.base.links.is_backed_up()
            && let Some(leaving) = self.leaving.front_mut()
        {
            let group = leaving.group;
            match leaving.filters.pop() {
                Some(filter) => self.unfile(&filter, group),
                None => {
                    self.leaving.pop_front();
                    self.fanout.groups.remove_if_empty(group);
                }
            }
        }
    }

    fn file(&mut self, filter: &Filter, group: GroupId) {
        self.base.turn.spend(FILING_STEPS);
        self.fanout.router.insert(filter, Target::Group(group));
        if self.fanout.groups.get(group).encoding == Encoding::Zmtp {
            self.relays.file(filter, group);
        }
        if let Some(seq) = self.interest.add(filter) {
            self.tell_interest(seq, filter, true);
            self.tell_upstream(filter, true);
        }
    }

    fn unfile(&mut self, filter: &Filter, group: GroupId) {
        self.base.turn.spend(FILING_STEPS);
        self.fanout.router.remove(filter, Target::Group(group));
        self.relays.unfile(filter, group);
        if let Some(seq) = self.interest.remove(filter) {
            self.tell_interest(seq, filter, false);
            self.tell_upstream(filter, false);
        }
    }

    fn tell_interest(&mut self, seq: u64, filter: &Filter, wanted: bool) {
        for neighbour in self.base.links.neighbours() {
            self.base.send_link(neighbour, LinkItem::Interest { seq, filter: filter.clone(), wanted });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::door::Door;
    use super::super::rig::{Rig, message, subscribe, unsubscribe};
    use super::*;
    use crate::auth::Identity;
    use crate::fanout::OverflowPolicy;
    use crate::ids::ShardId;
    use crate::limits::GROUP_FILTERS_MAX;
    use crate::wire::Frame;

    fn two_on_one_shard() -> (Rig, SessionId, SessionId) {
        let mut rig = Rig::with_shards(1);
        let subscriber = rig.open(0, OverflowPolicy::DropOldest);
        let publisher = rig.open(0, OverflowPolicy::DropOldest);
        (rig, subscriber, publisher)
    }

    #[test]
    fn a_filter_ends_when_the_last_of_its_subscribers_leaves() {
        let (mut rig, session, publisher) = two_on_one_shard();
        let by = |subscriber| Frame::Subscribe { filter: b"a", request: 1, subscriber, kind: 1 };
        let not_by = |subscriber| Frame::Unsubscribe { filter: b"a", request: 2, subscriber, kind: 1 };
        rig.say(0, session, &[by(7), by(3), by(7)]);
        assert_eq!(rig.hears(0, session), "!1 !1 !1");
        let counters = &rig.shards[0].counters();
        assert_eq!(
            (counters.subscriptions, counters.filter_bytes),
            (2, 1),
            "the second time changes nothing"
        );
        rig.say(0, session, &[not_by(7), not_by(7), not_by(1)]);
        rig.say(0, publisher, &[message("a", 1)]);
        assert_eq!(rig.hears(0, session), "!2 !2 !2 a=1");
        rig.say(0, session, &[not_by(3)]);
        rig.say(0, publisher, &[message("a", 2)]);
        assert_eq!(rig.hears(0, session), "!2");
        let counters = &rig.shards[0].counters();
        assert_eq!((counters.subscriptions, counters.filter_bytes), (0, 0));
    }

    #[test]
    fn a_message_comes_once_whatever_filters_match_it() {
        let (mut rig, session, publisher) = two_on_one_shard();
        rig.say(0, session, &[subscribe("a.b", 1), subscribe("a.*", 2), subscribe(">", 3)]);
        rig.say(0, publisher, &[message("a.b", 1), message("c", 2), message("a.b", 3)]);
        assert_eq!(rig.hears(0, session), "!1 !2 !3 a.b=1 c=2 a.b=3");
        rig.say(0, session, &[unsubscribe(">", 4), unsubscribe("a.*", 5)]);
        rig.say(0, publisher, &[message("a.b", 4), message("c", 5), message("a.b", 6)]);
        assert_eq!(rig.hears(0, session), "!4 !5 a.b=4 a.b=6");
    }

    #[test]
    fn filters_beyond_a_shared_groups_come_and_go_one_by_one() {
        let mut rig = Rig::with_shards(2);
        let subscribers = [0, 0, 1].map(|shard| (shard, rig.open(shard, OverflowPolicy::DropOldest)));
        let publisher = rig.open(1, OverflowPolicy::DropOldest);
        let topics: Vec<String> = (0..GROUP_FILTERS_MAX + 20).map(|n| format!("t.{n}")).collect();
        for (shard, id) in subscribers {
            let frames: Vec<Frame<'_>> = topics.iter().map(|topic| subscribe(topic, 1)).collect();
            rig.say(shard, id, &frames);
        }
        rig.travel();
        let all: Vec<Frame<'_>> = topics.iter().map(|topic| message(topic, 1)).collect();
        rig.say(1, publisher, &all);
        rig.travel();
        for (shard, id) in subscribers {
            let heard = rig.hears(shard, id);
            assert_eq!(heard.matches('=').count(), topics.len(), "{heard}");
        }
        // One of them goes down to a single filter, and to none.
        let (shard, leaves) = subscribers[0];
        let others: Vec<Frame<'_>> = topics[1..].iter().map(|topic| unsubscribe(topic, 2)).collect();
        rig.say(shard, leaves, &others);
        rig.say(1, publisher, &all);
        rig.travel();
        let heard = rig.hears(shard, leaves);
        assert!(heard.ends_with("!2 t.0=1"), "{heard}");
        rig.say(shard, leaves, &[unsubscribe("t.0", 3)]);
        rig.say(1, publisher, &all);
        rig.travel();
        assert_eq!(rig.hears(shard, leaves), "!3");
        // The other with the same filters still has all, and it alone.
        let (shard, stays) = subscribers[1];
        assert_eq!(rig.hears(shard, stays).matches('=').count(), 3 * topics.len() - topics.len());
        rig.say(shard, leaves, &[subscribe("t.5", 4)]);
        let _ = rig.shards[shard].on_closed(stays, false);
        rig.travel();
        rig.say(1, publisher, &all);
        rig.travel();
        assert_eq!(rig.hears(shard, leaves), "!4 t.5=1");
    }

    #[test]
    fn a_session_that_shrinks_shares_a_group_again() {
        let (mut rig, large, publisher) = two_on_one_shard();
        let small = rig.open(0, OverflowPolicy::DropOldest);
        let topics: Vec<String> = (0..2 * GROUP_FILTERS_MAX).map(|n| format!("t.{n}")).collect();
        let frames: Vec<Frame<'_>> = topics.iter().map(|topic| subscribe(topic, 1)).collect();
        rig.say(0, large, &frames);
        let few: Vec<Frame<'_>> = topics[..3].iter().map(|topic| subscribe(topic, 1)).collect();
        rig.say(0, small, &few);
        assert_eq!(rig.shards[0].fanout.groups.iter().count(), 2);
        let frames: Vec<Frame<'_>> = topics[3..].iter().map(|topic| unsubscribe(topic, 2)).collect();
        rig.say(0, large, &frames);
        assert_eq!(rig.shards[0].fanout.groups.iter().count(), 1, "they have the same filters");
        rig.hears(0, large);
        rig.say(0, publisher, &[message("t.0", 1), message("t.3", 1), message("t.2", 1)]);
        assert_eq!(rig.hears(0, large), "t.0=1 t.2=1");
        rig.say(0, large, &topics[3..].iter().map(|topic| subscribe(topic, 3)).collect::<Vec<_>>());
        rig.hears(0, large);
        rig.say(0, publisher, &[message("t.0", 2), message("t.3", 2)]);
        assert_eq!(rig.hears(0, large), "t.0=2 t.3=2");
        assert_eq!(rig.hears(0, small), "!1 !1 !1 t.0=1 t.2=1 t.0=2");
    }

    #[test]
    fn a_subscription_is_answered_when_every_shard_routes_by_it() {
        let mut rig = Rig::with_shards(3);
        let subscriber = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, subscriber, &[subscribe("a", 1)]);
        rig.travel_once(0, 1);
        rig.travel_once(1, 0);
        assert_eq!(rig.hears(0, subscriber), "");
        rig.travel_once(0, 2);
        rig.travel_once(2, 0);
        assert_eq!(rig.hears(0, subscriber), "!1");
        // A second session with the filter makes no news, and is answered at once.
        let second = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, second, &[subscribe("a", 2)]);
        assert_eq!(rig.hears(0, second), "!2");
    }

    #[test]
    fn nothing_is_answered_after_a_farewell() {
        let mut rig = Rig::with_shards(2);
        let session = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(
            0,
            session,
            &[
                subscribe("a", 1),
                Frame::Welcome {
                    session: 0,
                    epoch: 0,
                    frame_bytes_max: 0,
                    heartbeat_ms: 0,
                    overflow: 0,
                    ticket: 0,
                },
            ],
        );
        rig.travel();
        assert_eq!(rig.hears(0, session), "unexpected");
    }

    #[test]
    fn a_farewell_comes_after_the_answers_that_wait() {
        let mut rig = Rig::with_shards(1);
        let session = rig.shards[0].on_open(Door::Native, Identity::Anonymous(None)).unwrap();
        rig.shards[0].on_greeting(session, Err(ErrorCode::NotCorecast));
        let mut first = Vec::new();
        let look = |parts: &[std::io::IoSlice<'_>]| {
            first.extend_from_slice(&parts[0]);
            Ok::<_, ()>(None)
        };
        assert!(rig.shards[0].flush(session, look).is_ok());
        assert!(first.starts_with(b"CORECAST"), "the greeting is the first that any peer hears");
        let session = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, session, &[subscribe("a", 1), message("a", 1), Frame::Done { request: 1 }]);
        assert_eq!(rig.hears(0, session), "!1 unexpected");
    }

    #[test]
    fn one_session_may_not_hold_any_number_of_subscribers() {
        let mut rig = Rig::with_shards(1);
        let session = rig.open(0, OverflowPolicy::DropOldest);
        let filter = Filter::parse("a").unwrap();
        for subscriber in 0..SUBSCRIPTIONS_PER_SESSION_MAX {
            let subscriber = SubscriberId(u32::try_from(subscriber).unwrap());
            assert!(rig.shards[0].subscribe(session, filter.clone(), subscriber));
        }
        assert!(!rig.shards[0].subscribe(session, filter, SubscriberId(u32::MAX)));
        rig.shards[0].settle();
        assert_eq!(rig.hears(0, session), "too_many_subscriptions");
        assert_eq!(rig.shards[0].counters().subscriptions, 0);
    }

    #[test]
    fn changes_of_interest_that_wait_hold_who_makes_more() {
        let mut rig = Rig::with_shards(2);
        let session = rig.open(0, OverflowPolicy::DropOldest);
        let mut changes = 0;
        while !rig.shards[0].is_held(session) {
            rig.say(0, session, &[subscribe("a", 1), unsubscribe("a", 2)]);
            changes += 2;
            assert!(changes < 100, "a client could fill the broker's memory");
        }
        // The answers of the other shard are one, not one for each.
        while rig.travel_once(0, 1) {}
        let answers = std::iter::from_fn(|| rig.shards[1].link_next(ShardId(0))).count();
        assert_eq!(answers, 1);
        assert!(!rig.shards[0].is_held(session));
    }
}
