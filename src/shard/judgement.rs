//! The rules of what sessions may do, as they change: all that sessions and direct publishers go on with is judged anew, in
//! turns. Owned by a shard.

use super::base::Base;
use super::publishers::Publishers;
use super::renewals;
use super::session_state::{Phase, SessionState};
use super::tickets::TicketNews;
use super::watches::Watches;
use crate::auth::{Action, LoginRefusal, VERDICT_STEPS, Verdict};
use crate::error::ErrorCode;
use crate::ids::{PublisherId, RequestId, SessionId};
use crate::registry::RegistryChange;
use crate::topic::Filter;

/// The progress of a judgement by the rules in force. New sessions, and new requests, are judged by them anyway.
#[derive(Default)]
pub(super) struct Judgement {
    next: Next,
    /// The meaning of the rules for the tickets of those that go on.
    tickets: TicketNews,
}

/// The part that is judged next.
#[derive(Default)]
enum Next {
    /// The session in this slot, and those in the slots behind it.
    Session(usize, Option<Judged>),
    /// The registration behind this one.
    Registration(Option<PublisherId>),
    #[default]
    Nothing,
}

/// The part of a session that was judged in the turns before.
struct Judged {
    session: SessionId,
    up_to: Held,
}

/// A filter that a session has, and the purpose for which it has it.
#[derive(Clone)]
pub(super) enum Held {
    Subscription(Filter),
    /// A watch of direct publishers.
    Watch(RequestId, Filter),
}

impl Held {
    /// The action that goes on for as long as it is held.
    pub(super) fn action(&self) -> Action<'_> {
        match self {
            Held::Subscription(filter) => Action::Subscribe(filter),
            Held::Watch(_, filter) => Action::WatchPublishers(filter),
        }
    }
}

/// The outcome of one session's turn.
enum Outcome {
    /// It may go on with all that it has.
    Permitted,
    /// The turn is over before the session is judged.
    Unfinished(Judged),
    /// It goes on with something that it may not, in words.
    Refused(String),
    /// The same, but it goes on without that. Up to here it is judged, if it is.
    Revoked(Held, Option<Judged>),
    /// Its user is no user any more.
    Unknown(LoginRefusal),
}

/// The consequence of a verdict.
pub(super) enum Consequence {
    Nothing,
    /// A registration was taken back: the registry has changed.
    Registry(RegistryChange),
    /// A session loses this, and goes on.
    Loss(SessionId, Held),
}

impl Judgement {
    /// Begins, or begins again, by rules that mean this for tickets.
    pub(super) fn begin(&mut self, tickets: TicketNews) {
        let before = if self.has_work() { self.tickets } else { TicketNews::default() };
        self.tickets = before.and(tickets);
        self.next = Next::Session(0, None);
    }

    /// True if something is left to be judged.
    pub(super) fn has_work(&self) -> bool {
        !matches!(self.next, Next::Nothing)
    }

    /// Judges one session, as far as the turn has work left for it, or one registration. A session that goes on with something
    /// that it may not loses that, or is ended; a registration is taken back.
    pub(super) fn go_on(
        &mut self,
        base: &mut Base,
        watches: &Watches,
        publishers: &mut Publishers,
    ) -> Consequence {
        base.turn.spend(1);
        match std::mem::take(&mut self.next) {
            Next::Session(slot, _) if slot >= base.sessions.slots() => self.next = Next::Registration(None),
            Next::Session(slot, judged) => {
                self.next = Next::Session(slot + 1, None);
                let Some(id) = base.sessions.in_slot(slot) else { return Consequence::Nothing };
                match judge(base, watches, id, judged.filter(|judged| judged.session == id)) {
                    Outcome::Permitted => renewals::on_judged(base, id, self.tickets),
                    Outcome::Unfinished(judged) => self.next = Next::Session(slot, Some(judged)),
                    Outcome::Refused(text) => base.end(id, ErrorCode::NotPermitted, &text),
                    Outcome::Revoked(held, judged) => {
                        self.next = Next::Session(slot, judged);
                        return Consequence::Loss(id, held);
                    }
                    Outcome::Unknown(refusal) => {
                        base.end(id, ErrorCode::Unauthenticated, &refusal.to_string());
                    }
                }
            }
            Next::Registration(behind) => {
                let Some((publisher, change)) = publishers.judge_next(base, behind) else {
                    return Consequence::Nothing;
                };
                self.next = Next::Registration(Some(publisher));
                return change.map_or(Consequence::Nothing, Consequence::Registry);
            }
            Next::Nothing => {}
        }
        Consequence::Nothing
    }
}

fn judge(base: &mut Base, watches: &Watches, id: SessionId, judged: Option<Judged>) -> Outcome {
    let Base { sessions, permissions, turn, clock, .. } = base;
    let Some(session) = sessions.get_mut(id).filter(|session| session.is_listening()) else {
        return Outcome::Permitted;
    };
    // One that has not said hello yet may still show who it is.
    if judged.is_none() && session.phase == Phase::Open {
        match permissions.identify_again(&session.identity, clock.told()) {
            Ok(identity) => {
                session.identity = identity;
                session.share_again(permissions);
            }
            Err(refusal) => return Outcome::Unknown(refusal),
        }
    }
    let session = &*session;
    let is_refused = |action: Action<'_>| permissions.permit(&session.identity, action) == Verdict::Refused;
    let refused = |action: Action<'_>| {
        let allowed = permissions.allowed(&session.identity, action);
        Outcome::Refused(format!("you may no longer {action}; {allowed}"))
    };
    if judged.is_none() && session.watches > 0 {
        // They are few.
        for topic in watches.topics_of(id) {
            turn.spend(VERDICT_STEPS);
            let action = Action::WatchSubscribers(topic);
            if is_refused(action) {
                return refused(action);
            }
        }
    }
    let mut up_to = judged.map(|judged| judged.up_to);
    for held in held_behind(session, up_to.as_ref()) {
        turn.spend(VERDICT_STEPS);
        if is_refused(held.action()) {
            let judged = up_to.map(|up_to| Judged { session: id, up_to });
            // One that is moving has its filters at two places, and ends.
            let goes_on = session.kind.takes_refusals() && !session.transit.is_moving();
            return if goes_on { Outcome::Revoked(held, judged) } else { refused(held.action()) };
        }
        if turn.is_over() {
            return Outcome::Unfinished(Judged { session: id, up_to: held });
        }
        up_to = Some(held);
    }
    Outcome::Permitted
}

/// All that a session holds, in the order in which it is judged, behind that.
fn held_behind<'a>(session: &'a SessionState, behind: Option<&Held>) -> impl Iterator<Item = Held> + use<'a> {
    let filters = session.subscriptions.filters();
    let (filters, watches) = match behind {
        None => (Some(filters.keys_behind(None)), None),
        Some(Held::Subscription(filter)) => (Some(filters.keys_behind(Some(filter))), None),
        Some(Held::Watch(request, _)) => (None, Some(*request)),
    };
    let subscribed = filters.into_iter().flatten().cloned().map(Held::Subscription);
    let watched = session.news.as_ref().map(|news| news.watches_behind(watches));
    let watched = watched.into_iter().flatten();
    subscribed.chain(watched.map(|(request, filter)| Held::Watch(request, filter.clone())))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::config::ShardConfig;
    use super::super::rig::{Rig, message, subscribe};
    use super::super::session_state::Phase;
    use crate::auth::{Identity, Permissions, Rights};
    use crate::fanout::OverflowPolicy;
    use crate::ids::SessionId;
    use crate::registry::{Mode, ModeRules};
    use crate::topic::Filter;
    use crate::wire::{Features, Frame};

    fn filters(texts: &[&str]) -> Vec<Filter> {
        texts.iter().map(|text| Filter::parse(text).expect("a filter")).collect()
    }

    /// Rules by which other hosts may do with these topics whatever they like.
    fn only(texts: &[&str]) -> Permissions {
        let rights = Rights::none();
        let rights = rights.publish(filters(texts)).subscribe(filters(texts)).register(filters(texts));
        Permissions::all().remote(rights)
    }

    /// A client on another host.
    fn remote(rig: &mut Rig, shard: usize) -> SessionId {
        let address = "192.0.2.1:1".parse().expect("an address");
        rig.open_as(shard, OverflowPolicy::DropOldest, Identity::Anonymous(Some(address)))
    }

    /// Every shard follows new rules.
    fn follow(rig: &mut Rig, permissions: &Permissions) {
        for shard in &mut rig.shards {
            while !shard.on_permissions(permissions) {}
        }
        rig.audit();
        rig.travel();
    }

    fn direct(shards: usize) -> Rig {
        let modes = Arc::new(ModeRules::new(Vec::new(), Mode::Direct).expect("rules"));
        Rig::new(&ShardConfig { shards, modes, ..ShardConfig::default() })
    }

    #[test]
    fn a_subscription_that_is_no_longer_permitted_ends_its_session_and_no_other() {
        let mut rig = Rig::with_shards(2);
        let publisher = rig.open(1, OverflowPolicy::DropOldest);
        let [both, allowed] = [remote(&mut rig, 0), remote(&mut rig, 0)];
        let local = rig.open(0, OverflowPolicy::DropOldest);
        for (id, all) in [(both, &["a", "b"][..]), (allowed, &["a"]), (local, &["a", "b"])] {
            all.iter().for_each(|topic| rig.say(0, id, &[subscribe(topic, 1)]));
            rig.travel();
            rig.hears(0, id);
        }
        rig.say(1, publisher, &[message("a", 1), message("b", 2)]);
        rig.travel();
        follow(&mut rig, &only(&["a"]));
        rig.say(1, publisher, &[message("a", 3), message("b", 4)]);
        rig.travel();
        assert_eq!(rig.hears(0, both), "not_permitted", "it has not read what waited");
        assert_eq!(rig.hears(0, allowed), "a=1 a=3");
        assert_eq!(rig.hears(0, local), "a=1 b=2 a=3 b=4");
    }

    #[test]
    fn a_session_that_takes_refusals_loses_what_is_not_permitted_and_goes_on_with_the_rest() {
        let mut rig = direct(2);
        let address = "192.0.2.1:1".parse().expect("an address");
        let identity = Identity::Anonymous(Some(address));
        let id = rig.open_with(0, OverflowPolicy::DropOldest, (identity, Features::OURS));
        let watch = |filter, request| Frame::WatchPublishers { filter, request, kind: 1 };
        let other = |filter| Frame::Subscribe { filter, request: 3, subscriber: 2, kind: 1 };
        rig.say(0, id, &[subscribe("a", 1), subscribe("b", 2), other(b"b"), watch(b"a", 4), watch(b"b", 5)]);
        rig.travel();
        rig.take(0, id);
        let publisher = rig.open(1, OverflowPolicy::DropOldest);
        rig.say(1, publisher, &[message("a", 1), message("b", 2)]);
        rig.travel();
        follow(&mut rig, &only(&["a"]));
        rig.say(1, publisher, &[message("a", 3), message("b", 4)]);
        rig.travel();
        assert_eq!(rig.hears(0, id), "a=1 b=2 ~b.1 ~b.2 not_permitted a=3", "what was queued before comes");
        assert_eq!(rig.shards[0].sessions().phase(id), Some(Phase::Open));
        assert_eq!(rig.shards[0].counters().subscriptions, 1);
    }

    #[test]
    fn a_publisher_is_told_at_its_next_message() {
        let mut rig = Rig::with_shards(1);
        let subscriber = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, subscriber, &[subscribe(">", 1)]);
        let publisher = remote(&mut rig, 0);
        rig.say(0, publisher, &[message("a", 1), message("b", 2)]);
        follow(&mut rig, &only(&["a"]));
        assert_eq!(rig.hears(0, publisher), "");
        rig.say(0, publisher, &[message("a", 3), message("b", 4), message("a", 5)]);
        assert_eq!(rig.hears(0, publisher), "not_permitted");
        assert_eq!(rig.hears(0, subscriber), "!1 a=1 b=2 a=3");
    }

    #[test]
    fn watches_end_with_the_right_to_them() {
        let watch_publishers = Frame::WatchPublishers { filter: b"b", request: 1, kind: 1 };
        for watch in [Frame::WatchSubscribers { topic: b"b", request: 1 }, watch_publishers] {
            let mut rig = direct(2);
            let session = remote(&mut rig, 1);
            rig.say(1, session, &[watch]);
            rig.travel();
            follow(&mut rig, &only(&["b"]));
            assert_eq!(rig.shards[1].sessions().phase(session), Some(Phase::Open));
            rig.hears(1, session);
            follow(&mut rig, &only(&["a"]));
            assert_eq!(rig.hears(1, session), "not_permitted");
        }
    }

    #[test]
    fn a_registration_is_taken_back_and_its_publisher_is_told_when_it_registers_again() {
        let register = |epoch, topics, request| Frame::Register {
            endpoints: "tcp://192.0.2.1:1",
            topics,
            publisher: 1,
            epoch,
            request,
        };
        for shard in 0..2 {
            let mut rig = direct(2);
            let subscriber = rig.open(1, OverflowPolicy::DropOldest);
            rig.say(1, subscriber, &[Frame::WatchPublishers { filter: b">", request: 1, kind: 1 }]);
            let publisher = remote(&mut rig, shard);
            rig.say(shard, publisher, &[register(1, "a\nb", 1)]);
            rig.travel();
            assert_eq!(
                (rig.hears(1, subscriber).as_str(), rig.hears(shard, publisher).as_str()),
                ("!1 +1.1", "!1")
            );
            follow(&mut rig, &only(&["a", "b"]));
            assert_eq!(rig.hears(1, subscriber), "", "that takes nothing from it");
            follow(&mut rig, &only(&["a"]));
            assert_eq!(rig.hears(1, subscriber), "#1.1", "watchers hear the reason");
            let late = rig.open(1, OverflowPolicy::DropOldest);
            rig.say(1, late, &[Frame::WatchPublishers { filter: b">", request: 1, kind: 1 }]);
            rig.travel();
            assert_eq!(rig.hears(1, late), "#1.1 !1", "and those that were away");
            rig.say(
                shard,
                publisher,
                &[Frame::Renew { publisher: 1, epoch: 1, request: 2 }, register(2, "a\nb", 3)],
            );
            rig.travel();
            assert_eq!(rig.hears(shard, publisher), "lease_lost not_permitted");
            rig.say(shard, publisher, &[register(2, "a", 4)]);
            rig.travel();
            assert_eq!(
                (rig.hears(1, subscriber).as_str(), rig.hears(shard, publisher).as_str()),
                ("+1.2", "!4")
            );
        }
    }

    #[test]
    fn a_registration_is_taken_back_by_those_alone_that_could_have_made_it() {
        let mut rig = direct(2);
        let [subscriber, publisher] = [(); 2].map(|()| rig.open(0, OverflowPolicy::DropOldest));
        rig.say(0, subscriber, &[Frame::WatchPublishers { filter: b">", request: 1, kind: 1 }]);
        let (endpoints, topics) = ("tcp://192.0.2.1:1", "a");
        rig.say(0, publisher, &[Frame::Register { endpoints, topics, publisher: 1, epoch: 1, request: 1 }]);
        rig.travel();
        assert_eq!(rig.hears(0, subscriber), "!1 +1.1");
        for (topic, answer, news) in [("b", "not_permitted", ""), ("a", "", "-1.1")] {
            let other = remote(&mut rig, 1);
            follow(&mut rig, &only(&[topic]));
            rig.say(1, other, &[Frame::Unregister { publisher: 1, epoch: 1 }]);
            rig.travel();
            assert_eq!((rig.hears(1, other).as_str(), rig.hears(0, subscriber).as_str()), (answer, news));
        }
    }

    #[test]
    fn a_registration_that_is_under_way_is_judged_where_it_arrives() {
        let mut rig = direct(2);
        let publisher = remote(&mut rig, 1);
        let (endpoints, topics) = ("tcp://192.0.2.1:1", "b");
        rig.say(1, publisher, &[Frame::Register { endpoints, topics, publisher: 1, epoch: 1, request: 1 }]);
        follow(&mut rig, &only(&["a"]));
        assert_eq!(rig.hears(1, publisher), "not_permitted");
    }

    #[test]
    fn many_filters_are_judged_in_turns_and_messages_flow_meanwhile() {
        const STEPS: usize = 200;
        const FILTERS: usize = 5_000;
        for (is_last_forbidden, phase) in [(false, Phase::Open), (true, Phase::Closing)] {
            let config = ShardConfig { turn_steps_max: STEPS, ..ShardConfig::default() };
            let mut rig = Rig::new(&config);
            let (session, other) = (remote(&mut rig, 0), remote(&mut rig, 0));
            let topics: Vec<String> = (0..FILTERS).map(|n| format!("t.{n:05}")).collect();
            for some in topics.chunks(100) {
                rig.say(0, session, &some.iter().map(|topic| subscribe(topic, 1)).collect::<Vec<_>>());
                rig.hears(0, session);
            }
            if is_last_forbidden {
                rig.say(0, session, &[subscribe("u", 2)]);
            }
            rig.say(0, other, &[subscribe("t.*", 1)]);
            rig.hears(0, session);
            rig.hears(0, other);
            let publisher = rig.open(0, OverflowPolicy::DropOldest);
            let rules = only(&["t.*"]);
            let mut turns = 0;
            while !rig.shards[0].on_permissions(&rules) {
                // A filter that was found permitted, and one session's end, may be the last of a turn.
                assert!(rig.shards[0].base.turn.spent() <= STEPS);
                turns += 1;
                rig.say(0, publisher, &[message("t.00000", turns)]);
            }
            assert!(turns as usize >= FILTERS / STEPS, "{turns} turns");
            assert_eq!(rig.hears(0, other).matches('=').count() as u64, turns);
            assert_eq!(rig.shards[0].sessions().phase(session), Some(phase));
            rig.audit();
        }
    }

    #[test]
    fn the_same_rules_again_are_no_work_and_others_begin_again() {
        let config = ShardConfig { turn_steps_max: 2, ..ShardConfig::default() };
        let mut rig = Rig::new(&config);
        assert!(rig.shards[0].on_permissions(&Permissions::all()), "they are in force");
        let sessions: Vec<SessionId> = (0..10).map(|_| remote(&mut rig, 0)).collect();
        sessions.iter().for_each(|id| rig.say(0, *id, &[subscribe("a", 1)]));
        assert!(!rig.shards[0].on_permissions(&only(&["a", "b"])));
        assert!(!rig.shards[0].on_permissions(&only(&["b"])));
        follow(&mut rig, &only(&["b"]));
        assert!(
            sessions.iter().all(|id| rig.hears(0, *id).ends_with("not_permitted")),
            "the first ones, too"
        );
        assert!(rig.shards[0].on_permissions(&only(&["b"])));
    }
}
