//! Subscriptions of sessions: which egress group a session is in, and what the router knows. Owned by a shard.

use std::collections::{BTreeMap, VecDeque};

use super::base::Base;
use super::demand::Demand;
use super::subscriptions::Subscriptions;
use crate::error::ErrorCode;
use crate::fanout::{Encoding, FILING_STEPS, Fanout, Join, Target};
use crate::ids::{GroupId, Neighbour, SessionId, SubscriberId};
use crate::limits::{GROUP_FILTERS_MAX, SUBSCRIPTIONS_PER_SESSION_MAX};
use crate::topic::Filter;

/// The outcome of a subscription, or of its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Subscribed {
    /// The subscriber has the filter now, or has it no longer.
    Changed,
    /// It was so before.
    Unchanged,
    /// The session has too many and is being closed.
    Refused,
}

/// The private group of a session that has left: its filters are withdrawn in turns.
struct Leaving {
    group: GroupId,
    filters: Subscriptions,
}

/// The groups of sessions that have the same filters.
#[derive(Default)]
pub(super) struct Membership {
    fanout: Fanout,
    /// Sessions with very many filters that have left.
    leaving: VecDeque<Leaving>,
}

impl Membership {
    /// The way of messages to the groups.
    #[inline]
    pub(super) fn fanout(&self) -> &Fanout {
        &self.fanout
    }

    /// The way of messages to the groups, to send some.
    #[inline]
    pub(super) fn fanout_mut(&mut self) -> &mut Fanout {
        &mut self.fanout
    }

    /// A neighbour has sessions with this filter (`wanted`), or has none any more.
    pub(super) fn on_interest(
        &mut self,
        base: &mut Base,
        from: Neighbour,
        (filter, wanted): (&Filter, bool),
    ) {
        base.turn.spend(FILING_STEPS);
        if wanted {
            self.fanout.file(filter, Target::Neighbour(from));
        } else {
            self.fanout.unfile(filter, Target::Neighbour(from));
        }
    }

    /// True if filters of sessions that have left are still to be withdrawn.
    pub(super) fn has_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Adds one subscription; a second one of the same subscriber and filter changes nothing. If the broker is verbose,
    /// ZeroMQ publishers are told of a new one even if others have the same.
    pub(super) fn subscribe(
        &mut self,
        base: &mut Base,
        demand: &mut Demand,
        (id, filter, subscriber): (SessionId, &Filter, SubscriberId),
    ) -> Subscribed {
        let before = demand.interest.acks.changes();
        let subscribed = self.add(base, demand, (id, filter, subscriber));
        let is_known = demand.interest.acks.changes() == before;
        if subscribed != Subscribed::Refused && base.config.zmtp_verbose && is_known {
            demand.upstream.repeat(base, filter);
        }
        subscribed
    }

    fn add(
        &mut self,
        base: &mut Base,
        demand: &mut Demand,
        (id, filter, subscriber): (SessionId, &Filter, SubscriberId),
    ) -> Subscribed {
        if let Some(text) = self.too_many(base, id, filter) {
            base.end(id, ErrorCode::TooManySubscriptions, text);
            return Subscribed::Refused;
        }
        let Some(session) = base.sessions.get_mut(id) else { return Subscribed::Refused };
        base.turn.spend(1);
        let new_filter = !session.subscriptions.contains(filter);
        if !session.subscriptions.add(filter, subscriber) {
            return Subscribed::Unchanged;
        }
        session.subscription_count += 1;
        base.counters.subscriptions += 1;
        if new_filter {
            session.filter_bytes += filter.as_bytes().len();
            base.counters.filter_bytes += filter.as_bytes().len() as u64;
            session.shapes.add(filter);
            self.regroup(base, demand, (id, filter));
        }
        Subscribed::Changed
    }

    /// The limit that one subscription more would break.
    fn too_many(&self, base: &Base, id: SessionId, filter: &Filter) -> Option<&'static str> {
        let session = base.sessions.get(id)?;
        if session.subscription_count.max(session.subscribing as usize) >= SUBSCRIPTIONS_PER_SESSION_MAX {
            return Some("one session may hold 131,072 subscriptions");
        }
        if !session.shapes.allow(filter) {
            return Some(
                "the patterns of one session may have their wildcards in 64 different arrangements, \
                 those of up to 8 levels not counted",
            );
        }
        self.fanout.is_too_wide(filter).then_some(
            "the patterns of all sessions may have their wildcards in 512 different arrangements, \
             those of up to 8 levels not counted",
        )
    }

    /// Takes one subscription back, if it is there.
    pub(super) fn unsubscribe(
        &mut self,
        base: &mut Base,
        demand: &mut Demand,
        (id, filter, subscriber): (SessionId, &Filter, SubscriberId),
    ) -> Subscribed {
        let Some(session) = base.sessions.get_mut(id) else { return Subscribed::Unchanged };
        base.turn.spend(1);
        if !session.subscriptions.remove(filter, subscriber) {
            return Subscribed::Unchanged;
        }
        let was_last = !session.subscriptions.contains(filter);
        session.subscription_count -= 1;
        base.counters.subscriptions -= 1;
        if was_last {
            session.filter_bytes -= filter.as_bytes().len();
            base.counters.filter_bytes -= filter.as_bytes().len() as u64;
            session.shapes.remove(filter);
            self.regroup(base, demand, (id, filter));
        }
        Subscribed::Changed
    }

    /// Moves a session whose set of filters has changed by `changed` to the group of its filters. One with very many has
    /// a group of its own, until it has less than half as many.
    fn regroup(&mut self, base: &mut Base, demand: &mut Demand, (id, changed): (SessionId, &Filter)) {
        let Some(session) = base.sessions.get(id) else { return };
        let (filters, encoding) = (session.subscriptions.len(), session.kind.encoding());
        if let Some((group, _)) = session.group
            && self.fanout.groups().is_private(group)
        {
            if session.subscriptions.contains(changed) {
                self.file(base, demand, (changed, group));
            } else {
                self.unfile(base, demand, (changed, group));
            }
            if filters > GROUP_FILTERS_MAX / 2 {
                return;
            }
        }
        let Some(session) = base.sessions.get(id) else { return };
        let filters: Vec<Filter> = session.subscriptions.filters().cloned().collect();
        base.turn.spend(filters.len());
        // The new group first, so that a filter that both have is not withdrawn in between.
        let new = (!filters.is_empty()).then(|| self.join(base, demand, (encoding, filters)));
        self.leave_group(base, demand, id);
        if let Some(group) = new {
            let place = self.fanout.add_member(group, id);
            if let Some(session) = base.sessions.get_mut(id) {
                session.group = Some((group, place));
                session.subscriptions.share(&self.fanout.groups().get(group).filters);
            }
        }
    }

    /// The group of these filters, which the router knows then.
    fn join(
        &mut self,
        base: &mut Base,
        demand: &mut Demand,
        (encoding, filters): (Encoding, Vec<Filter>),
    ) -> GroupId {
        let is_private = filters.len() > GROUP_FILTERS_MAX;
        let new = if is_private {
            self.fanout.make_private(encoding)
        } else {
            match self.fanout.join(encoding, filters.clone()) {
                Join::Found(group) => return group,
                Join::Made(group) => group,
            }
        };
        for filter in &filters {
            self.file(base, demand, (filter, new));
        }
        new
    }

    /// Takes a session out of its group, and the group away if nobody is left.
    fn leave_group(&mut self, base: &mut Base, demand: &mut Demand, id: SessionId) {
        let Some((group, place)) = base.sessions.get_mut(id).and_then(|s| s.group.take()) else {
            return;
        };
        if let Some(moved) = self.fanout.remove_member(group, place)
            && let Some(session) = base.sessions.get_mut(moved)
        {
            session.group = Some((group, place));
        }
        if self.fanout.groups().is_private(group) {
            // What it shrank to, or nothing: the session has left the fan-out, and its filters with it.
            let Some(session) = base.sessions.get(id) else { return };
            let filters: Vec<Filter> = session.subscriptions.filters().cloned().collect();
            for filter in filters {
                self.unfile(base, demand, (&filter, group));
            }
        }
        if let Some(gone) = self.fanout.remove_if_empty(group) {
            for filter in &gone.filters {
                self.unfile(base, demand, (filter, group));
            }
        }
    }

    /// Takes a session out of its group for good. Returns what it had subscribed to; `None`: very many filters, which are
    /// withdrawn in turns. So long, messages for them come to a group without members.
    pub(super) fn leave(
        &mut self,
        base: &mut Base,
        demand: &mut Demand,
        id: SessionId,
    ) -> Option<Subscriptions> {
        let session = base.sessions.get_mut(id)?;
        base.counters.subscriptions -= std::mem::take(&mut session.subscription_count) as u64;
        base.counters.filter_bytes -= std::mem::take(&mut session.filter_bytes) as u64;
        let group = session.group.map(|(group, _)| group);
        let Some(group) = group.filter(|group| self.fanout.groups().is_private(*group)) else {
            self.leave_group(base, demand, id);
            let session = base.sessions.get_mut(id)?;
            return Some(std::mem::take(&mut session.subscriptions));
        };
        session.group = None;
        let filters = std::mem::take(&mut session.subscriptions);
        self.fanout.remove_member(group, 0);
        self.leaving.push_back(Leaving { group, filters });
        self.withdraw(base, demand);
        None
    }

    /// Withdraws filters of those that have left, for as long as this turn has work left and the other shards take it.
    pub(super) fn withdraw(&mut self, base: &mut Base, demand: &mut Demand) {
        while !base.turn.is_over()
            && !base.links.is_backed_up()
            && let Some(leaving) = self.leaving.front_mut()
        {
            let group = leaving.group;
            match leaving.filters.pop() {
                Some(filter) => self.unfile(base, demand, (&filter, group)),
                None => {
                    self.leaving.pop_front();
                    self.fanout.remove_if_empty(group);
                }
            }
        }
    }

    fn file(&mut self, base: &mut Base, demand: &mut Demand, (filter, group): (&Filter, GroupId)) {
        base.turn.spend(FILING_STEPS);
        self.fanout.file(filter, Target::Group(group));
        demand.file(base, filter, (group, self.fanout.groups().get(group).encoding));
    }

    fn unfile(&mut self, base: &mut Base, demand: &mut Demand, (filter, group): (&Filter, GroupId)) {
        base.turn.spend(FILING_STEPS);
        self.fanout.unfile(filter, Target::Group(group));
        demand.unfile(base, filter, group);
    }

    /// Counts the subscribers of a topic, not its sessions: each once, however many of its filters match.
    pub(super) fn count_subscribers(&mut self, base: &mut Base, topic: &[u8]) -> u32 {
        let (route, mut work) = self.fanout.route_of(topic);
        let (mut of_router, mut scratch): (Option<Vec<Filter>>, _) = (None, Vec::new());
        let mut count = 0;
        for id in &route.groups {
            let group = self.fanout.groups().get(*id);
            let matching: Vec<&Filter> = if self.fanout.groups().is_private(*id) {
                of_router.get_or_insert_with(|| self.fanout.filters_of(topic)).iter().collect()
            } else {
                group.filters.iter().filter(|filter| filter.matches(topic)).collect()
            };
            work += group.filters.len();
            for member in &group.members {
                let Some(session) = base.sessions.get(*member) else { continue };
                count += session.subscribers_of(&matching, &mut scratch);
                work += matching.len();
            }
        }
        base.turn.spend(work);
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Each session is in the group of its filters, and interest is the sum of the groups.
    pub(super) fn audit(&self, base: &Base, demand: &Demand) {
        for (id, session) in base.sessions.iter() {
            assert!(
                session.is_listening() || session.subscriptions.is_empty(),
                "{id} is closing, and subscribed"
            );
            let Some((group, place)) = session.group else {
                assert!(session.subscriptions.is_empty(), "{id} is subscribed, and in no group");
                continue;
            };
            let id_of = group;
            let group = self.fanout.groups().get(group);
            assert_eq!(group.members.get(place), Some(&id), "a member knows its place");
            if self.fanout.groups().is_private(id_of) {
                assert!(session.subscriptions.len() > GROUP_FILTERS_MAX / 2, "{id} could share a group");
                continue;
            }
            assert!(group.filters.iter().eq(session.subscriptions.filters()), "{id} is in another's group");
        }
        let of_private = base.sessions.iter().filter(|(_, session)| {
            session.group.is_some_and(|(group, _)| self.fanout.groups().is_private(group))
        });
        let leaving = self.leaving.iter().map(|leaving| &leaving.filters);
        let private = of_private.map(|(_, session)| &session.subscriptions).chain(leaving);
        let mut wanted = BTreeMap::new();
        for filter in private.flat_map(|subscriptions| subscriptions.filters()) {
            *wanted.entry(filter).or_insert(0_u32) += 1;
        }
        let mut empty = 0;
        let mut members = 0;
        for group in self.fanout.groups().iter() {
            empty += usize::from(group.members.is_empty());
            members += group.members.len();
            for filter in &group.filters {
                *wanted.entry(filter).or_insert(0_u32) += 1;
            }
        }
        assert_eq!(empty, self.leaving.len(), "an empty group was left");
        let grouped = base.sessions.iter().filter(|(_, session)| session.group.is_some());
        assert_eq!(members, grouped.count(), "members are sessions, each once");
        assert_eq!(wanted, demand.interest.wanted(), "interest is what the groups want");
    }
}

#[cfg(test)]
mod tests {
    use super::super::door::Door;
    use super::super::rig::{Rig, message, subscribe, unsubscribe};
    use super::super::state::Shard;
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
        let _ = rig.shards[shard].on_closed(stays, None);
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
        assert_eq!(rig.shards[0].membership.fanout().groups().iter().count(), 2);
        let frames: Vec<Frame<'_>> = topics[3..].iter().map(|topic| unsubscribe(topic, 2)).collect();
        rig.say(0, large, &frames);
        assert_eq!(
            rig.shards[0].membership.fanout().groups().iter().count(),
            1,
            "they have the same filters"
        );
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
        let add = |rig: &mut Rig, subscriber| {
            let Shard { base, membership, demand, .. } = &mut rig.shards[0];
            membership.subscribe(base, demand, (session, &filter, subscriber))
        };
        for subscriber in 0..SUBSCRIPTIONS_PER_SESSION_MAX {
            let subscriber = SubscriberId(u32::try_from(subscriber).unwrap());
            assert!(add(&mut rig, subscriber) == Subscribed::Changed);
        }
        assert!(add(&mut rig, SubscriberId(u32::MAX)) == Subscribed::Refused);
        rig.shards[0].settle();
        assert_eq!(rig.hears(0, session), "too_many_subscriptions");
        assert_eq!(rig.shards[0].counters().subscriptions, 0);
    }

    #[test]
    fn changes_of_interest_that_wait_hold_who_makes_more() {
        let mut rig = Rig::with_shards(2);
        let session = rig.open(0, OverflowPolicy::DropOldest);
        let mut changes = 0;
        while !rig.shards[0].sessions().is_held(session) {
            rig.say(0, session, &[subscribe("a", 1), unsubscribe("a", 2)]);
            changes += 2;
            assert!(changes < 100, "a client could fill the broker's memory");
        }
        // The answers of the other shard are one, not one for each.
        while rig.travel_once(0, 1) {}
        let answers = std::iter::from_fn(|| rig.shards[1].links_mut().next(ShardId(0))).count();
        assert_eq!(answers, 1);
        assert!(!rig.shards[0].sessions().is_held(session));
    }
}
