//! Sessions that subscribe and leave, on shards without sockets.

use super::*;
use crate::auth::Identity;
use crate::carrier::LinkItem;
use crate::fanout::OverflowPolicy;
use crate::ids::ShardId;
use crate::limits::GROUP_FILTERS_MAX;
use crate::shard::config::ShardConfig;
use crate::shard::door::Door;
use crate::shard::rig::{Rig, message, subscribe, unsubscribe};
use crate::shard::state::Shard;
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
    assert_eq!((counters.subscriptions, counters.filter_bytes), (2, 1), "the second time changes nothing");
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
    assert_eq!(rig.shards[0].membership.fanout().groups().iter().count(), 1, "they have the same filters");
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

#[test]
fn everything_goes_to_a_carrier_until_it_has_met_the_others() {
    let config = ShardConfig { carriers: 1, carriers_meet: true, ..ShardConfig::default() };
    let mut rig = Rig::new(&config);
    let publisher = rig.open(0, OverflowPolicy::DropOldest);
    let carrier = Neighbour(1);
    let batches = |rig: &mut Rig| {
        let items = std::iter::from_fn(|| rig.shards[0].links_mut().next(carrier));
        items.filter(|item| matches!(item, LinkItem::Batch { .. })).count()
    };
    let interest = |seq, filter: Filter, wanted| LinkItem::Interest { seq, filter, wanted };
    let everything = Filter::everything();
    rig.say(0, publisher, &[message("a", 1)]);
    assert_eq!(batches(&mut rig), 1);
    // Somebody behind it wants a, and then it has met them all.
    rig.shards[0].on_link(carrier, interest(1, Filter::parse("a").unwrap(), true));
    rig.shards[0].on_link(carrier, interest(2, everything.clone(), false));
    rig.say(0, publisher, &[message("b", 2)]);
    assert_eq!(batches(&mut rig), 0);
    rig.say(0, publisher, &[message("a", 3)]);
    assert_eq!(batches(&mut rig), 1);
    // Whoever wants everything later is told, and told off, as of any filter.
    for (seq, wanted) in [(3, true), (4, false)] {
        rig.shards[0].on_link(carrier, interest(seq, everything.clone(), wanted));
        rig.say(0, publisher, &[message("b", seq + 1)]);
        assert_eq!(batches(&mut rig), usize::from(wanted));
    }
    rig.shards[0].audit();
}
