//! Tests of quotas: what the sessions of a user use together, on all shards.

use std::time::Duration;

use super::logins::{HELLO, login, says_at, user, users};
use crate::auth::Proof;
use crate::ids::SessionId;
use crate::limits::QUOTA_RATE_BURST;
use crate::shard::Phase;
use crate::shard::config::ShardConfig;
use crate::shard::rig::{Rig, message, subscribe, unsubscribe};
use crate::wire::Frame;

/// Two shards with a user `a` that has these lines, and a user `b` that may do everything.
fn rig(lines: &str) -> Rig {
    let all = "publish = ['>']\nsubscribe = ['>']";
    let permissions = users(&[user("a", &format!("{all}\n{lines}")), user("b", all)].concat());
    Rig::new(&ShardConfig { shards: 2, permissions, ..ShardConfig::default() })
}

fn opens(rig: &mut Rig, shard: usize, name: &str) -> SessionId {
    let id = says_at(rig, shard, Proof::None, &[login(name), HELLO]);
    if rig.shards[shard].sessions().phase(id) == Some(Phase::Open) {
        rig.take(shard, id);
    }
    id
}

#[test]
fn a_session_too_many_is_refused_on_whichever_shard_it_comes() {
    let mut rig = rig("sessions = 2");
    let first = opens(&mut rig, 0, "a");
    let second = opens(&mut rig, 1, "a");
    for shard in [0, 1] {
        let third = opens(&mut rig, shard, "a");
        assert_eq!(rig.hears(shard, third), "too_many_sessions");
        opens(&mut rig, shard, "b");
    }
    rig.shards[0].on_closed(first, None);
    let fourth = opens(&mut rig, 1, "a");
    assert_eq!(rig.shards[1].sessions().phase(fourth), Some(Phase::Open));
    assert_eq!(rig.shards[1].sessions().phase(second), Some(Phase::Open));
}

#[test]
fn a_subscription_too_many_is_refused_and_its_session_goes_on() {
    let mut rig = rig("subscriptions = 3");
    let (one, other) = (opens(&mut rig, 0, "a"), opens(&mut rig, 1, "a"));
    rig.say(0, one, &[subscribe("x", 1), subscribe("x", 2), subscribe("y", 3)]);
    rig.travel();
    assert_eq!(rig.hears(0, one), "!1 !2 !3", "the same again is none more");
    rig.say(1, other, &[subscribe("x", 1), subscribe("y", 2), subscribe("x", 3)]);
    rig.travel();
    assert_eq!(rig.hears(1, other), "too_many_subscriptions too_many_subscriptions !1");
    rig.say(0, one, &[unsubscribe("x", 4), unsubscribe("x", 5)]);
    rig.say(1, other, &[subscribe("y", 4)]);
    rig.travel();
    assert_eq!((rig.hears(0, one).as_str(), rig.hears(1, other).as_str()), ("!4 !5", "!4"));
    rig.shards[0].on_closed(one, None);
    rig.say(1, other, &[subscribe("z", 5), subscribe("zz", 6)]);
    rig.travel();
    assert_eq!(rig.hears(1, other), "too_many_subscriptions !5", "what it had is free");
    let free = opens(&mut rig, 0, "b");
    let many: Vec<String> = (0..10).map(|n| format!("t.{n}")).collect();
    rig.say(0, free, &many.iter().map(|filter| subscribe(filter, 9)).collect::<Vec<_>>());
    assert!(!rig.hears(0, free).contains("too_many"));
}

#[test]
fn a_subscription_that_is_revoked_counts_no_more() {
    let mut rig = rig("subscriptions = 2");
    let id = opens(&mut rig, 0, "a");
    // The one that stays is judged first: from then on the session is not counted again.
    rig.say(0, id, &[subscribe("k", 1), subscribe("x", 2)]);
    rig.travel();
    assert_eq!(rig.hears(0, id), "!1 !2");
    let rules = users(&user("a", "subscribe = ['k', 'y', 'z']\nsubscriptions = 2"));
    rig.shards.iter_mut().for_each(|shard| while !shard.on_permissions(&rules) {});
    rig.say(0, id, &[subscribe("y", 3), subscribe("z", 4)]);
    rig.travel();
    assert_eq!(rig.hears(0, id), "~x.1 too_many_subscriptions !3");
}

#[test]
fn a_publisher_that_is_ahead_of_its_rate_waits_and_loses_nothing() {
    let mut rig = rig("publish_rate = 1000");
    let subscriber = opens(&mut rig, 1, "b");
    rig.say(1, subscriber, &[subscribe("t", 1)]);
    rig.travel();
    rig.hears(1, subscriber);
    let publisher = opens(&mut rig, 0, "a");
    let burst = u64::try_from(QUOTA_RATE_BURST.as_millis()).expect("short");
    let messages: Vec<Frame<'_>> = (1..=2 * burst).map(|n| message("t", n)).collect();
    let (within, ahead) = messages.split_at(messages.len() / 2);
    rig.say(0, publisher, within);
    assert!(!rig.shards[0].sessions().is_held(publisher));
    rig.say(0, publisher, ahead);
    rig.say(0, publisher, &[Frame::Flush { request: 7 }]);
    assert!(rig.shards[0].sessions().is_held(publisher) && rig.shards[0].wants_tick());
    assert_eq!(rig.hears(0, publisher), "", "its flush waits with it");
    rig.travel();
    assert_eq!(rig.hears(1, subscriber).matches("t=").count(), messages.len(), "all was taken");
    rig.wait(QUOTA_RATE_BURST - Duration::from_millis(20));
    assert!(rig.shards[0].sessions().is_held(publisher));
    rig.wait(Duration::from_millis(40));
    assert!(!rig.shards[0].sessions().is_held(publisher) && !rig.shards[0].wants_tick());
    assert_eq!(rig.hears(0, publisher), "!7");
    assert_eq!(rig.shards[0].counters().quota_waits, 1);
    rig.say(0, publisher, ahead);
    assert!(rig.shards[0].sessions().is_held(publisher));
    rig.shards[0].on_closed(publisher, None);
    rig.wait(QUOTA_RATE_BURST);
    assert!(!rig.shards[0].wants_tick(), "nobody waits for one that has gone");
}

#[test]
fn sessions_are_closed_until_no_more_bytes_wait_than_may() {
    let mut rig = rig("bytes_waiting = 3000");
    let (one, other) = (opens(&mut rig, 0, "a"), opens(&mut rig, 0, "a"));
    let (publisher, free) = (opens(&mut rig, 0, "b"), opens(&mut rig, 0, "b"));
    for id in [one, other, free] {
        rig.say(0, id, &[subscribe("t", 1)]);
        rig.travel();
        rig.hears(0, id);
    }
    let large =
        Frame::Message { topic: b"t", payload: &[0; 2_000], publisher: 1, sequence: 1, sent_at_ns: 0 };
    rig.say(0, publisher, &[large]);
    rig.wait(Duration::from_millis(300));
    let phases = [one, other, free].map(|id| rig.shards[0].sessions().phase(id));
    let closing = phases.iter().filter(|phase| **phase == Some(Phase::Closing)).count();
    assert_eq!((closing, phases[2]), (1, Some(Phase::Open)), "{phases:?}");
    let heard = [one, other].map(|id| rig.hears(0, id));
    assert!(heard.contains(&"slow_subscriber".to_owned()) && heard.contains(&"t=1".to_owned()), "{heard:?}");
}

#[test]
fn other_quotas_hold_for_sessions_that_are_there_and_end_none() {
    let mut rig = rig("");
    let (one, other) = (opens(&mut rig, 0, "a"), opens(&mut rig, 1, "a"));
    rig.say(0, one, &[subscribe("x", 1), subscribe("y", 2)]);
    rig.travel();
    rig.hears(0, one);
    let all = "publish = ['>']\nsubscribe = ['>']";
    let narrow = users(&user("a", &format!("{all}\nsessions = 1\nsubscriptions = 1")));
    for shard in &mut rig.shards {
        while !shard.on_permissions(&narrow) {}
    }
    rig.audit();
    for (shard, id) in [(0, one), (1, other)] {
        assert_eq!(rig.shards[shard].sessions().phase(id), Some(Phase::Open));
        rig.say(shard, id, &[subscribe("z", 3)]);
        assert_eq!(rig.hears(shard, id), "too_many_subscriptions");
    }
    let third = opens(&mut rig, 0, "a");
    assert_eq!(rig.hears(0, third), "too_many_sessions");
}
