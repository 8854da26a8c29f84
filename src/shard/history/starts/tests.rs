use std::time::Duration;

use corecast_executors::TICK;
use proptest::prelude::*;

use super::*;
use crate::auth::Identity;
use crate::fanout::{Batch, OverflowPolicy, QueueBounds, Spans};
use crate::limits::{KEEP_AGE_DEFAULT, KEEP_BYTES_DEFAULT};
use crate::shard::config::ShardConfig;
use crate::shard::door::Door;
use crate::shard::history::{KeepRule, Retention};
use crate::shard::rig::{Rig, message, subscribe, unsubscribe};
use crate::shard::session_state::Phase;
use crate::wire::{Features, encode_to_vec, split};

fn rig(shards: usize, rules: &[&str], bounds: QueueBounds) -> Rig {
    let rules: Vec<KeepRule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    let retention = Retention::new(rules, KEEP_BYTES_DEFAULT, KEEP_AGE_DEFAULT).unwrap();
    Rig::new(&ShardConfig { shards, retention, bounds, ..ShardConfig::default() })
}

fn start(start: Start, subscriptions: u32) -> Frame<'static> {
    let (kind, value) = start.to_wire().unwrap();
    Frame::Start { value, request: 9, subscriptions, kind }
}

/// A session that starts so, on the first shard.
fn starts(rig: &mut Rig, from: Start, filters: &[&str]) -> SessionId {
    let id = rig.open(0, OverflowPolicy::DropOldest);
    let mut frames = vec![start(from, u32::try_from(filters.len()).unwrap())];
    frames.extend((1..).zip(filters).map(|(request, filter)| subscribe(filter, request)));
    rig.say(0, id, &frames);
    id
}

#[test]
fn history_comes_between_the_two_answers_and_live_messages_behind_them() {
    let mut rig = rig(1, &["a.>=last", "b=2"], QueueBounds::default());
    let publisher = rig.open(0, OverflowPolicy::DropOldest);
    let topics = ["a.x", "a.y", "a.x", "b", "b", "b", "c"];
    let said: Vec<_> = (1..).zip(topics).map(|(sequence, topic)| message(topic, sequence)).collect();
    rig.say(0, publisher, &said);
    let id = starts(&mut rig, Start::All, &["a.>", "b", "c"]);
    assert_eq!(rig.hears(0, id), "!9 a.x=3 a.y=2 b=5 b=6 !1 !2 !3");
    rig.say(0, publisher, &[message("a.x", 8), message("c", 9)]);
    assert_eq!(rig.hears(0, id), "a.x=8 c=9");
    let last = starts(&mut rig, Start::Last, &[">"]);
    assert_eq!(rig.hears(0, last), "!9 a.x=8 a.y=2 b=6 !1");
    let plain = rig.open(0, OverflowPolicy::DropOldest);
    rig.say(0, plain, &[subscribe(">", 1)]);
    assert_eq!(rig.hears(0, plain), "!1", "who says nothing starts with the next message");
}

#[test]
fn a_broker_that_keeps_nothing_begins_at_once() {
    let mut rig = rig(2, &[], QueueBounds::default());
    let id = starts(&mut rig, Start::All, &["a"]);
    rig.travel();
    assert_eq!(rig.hears(0, id), "!9");
    rig.travel();
    assert_eq!(rig.hears(0, id), "!1");
}

#[test]
fn what_is_published_while_history_is_sent_follows_it() {
    let mut rig = rig(2, &[">=1h"], QueueBounds::default());
    let publishers = [0, 1].map(|shard| rig.open(shard, OverflowPolicy::DropOldest));
    rig.say(0, publishers[0], &[message("a.near", 1)]);
    rig.say(1, publishers[1], &[message("a.far", 1)]);
    let id = starts(&mut rig, Start::All, &["a.*"]);
    rig.travel();
    assert_eq!(rig.hears(0, id), "!9");
    rig.say(0, publishers[0], &[message("a.near", 2)]);
    rig.say(1, publishers[1], &[message("a.far", 2)]);
    rig.travel();
    assert_eq!(rig.hears(0, id), "a.far=1 a.near=1 !1 a.near=2 a.far=2");
}

/// ZeroMQ messages with these topics, and the payload of all messages of a rig.
fn zmtp_messages(topics: &[&str]) -> Vec<u8> {
    let mut bytes = bytes::BytesMut::new();
    for topic in topics {
        crate::zmtp::put_message(&mut bytes, topic.as_bytes(), std::iter::once(&b"payload"[..]));
    }
    bytes.to_vec()
}

#[test]
fn zeromq_subscribers_have_the_last_message_of_some_topics_first() {
    let config = rig(2, &["a.>=3", "b.>=last"], QueueBounds::default()).shards[0].base.config.clone();
    let zmtp_last = ["a.>", "b.x"].map(|filter| Filter::parse(filter).unwrap()).into();
    let mut rig = Rig::new(&ShardConfig { zmtp_last, ..config });
    let publishers = [0, 1].map(|shard| rig.open(shard, OverflowPolicy::DropOldest));
    rig.say(0, publishers[0], &["a.1", "b.x", "b.y", "a.2"].map(|topic| message(topic, 1)));
    rig.say(1, publishers[1], &["a.1", "a.3"].map(|topic| message(topic, 1)));
    let subscribe = |rig: &mut Rig, id, prefix: &str| {
        rig.say_zmtp(id, &crate::zmtp::command::subscription(true, prefix.as_bytes(), true));
    };
    let id = rig.open_zmtp(b"SUB");
    subscribe(&mut rig, id, "a.");
    rig.wait(TICK);
    subscribe(&mut rig, id, "b.");
    rig.travel();
    assert_eq!(rig.take(0, id), b"", "more of them may come");
    rig.wait(TICK * 3);
    for _ in 0..3 {
        rig.say(0, publishers[0], &[message("a.1", 2)]);
        rig.travel();
    }
    let wanted = ["a.1", "a.2", "a.3", "b.x", "a.1", "a.1", "a.1"];
    assert_eq!(rig.take(0, id), zmtp_messages(&wanted), "live messages follow history");
    // What is subscribed to later comes live.
    subscribe(&mut rig, id, "c");
    rig.travel();
    rig.wait(TICK * 4);
    assert_eq!(rig.take(0, id), b"");
    let gone = rig.open_zmtp(b"SUB");
    subscribe(&mut rig, gone, "a.");
    let _ = rig.shards[0].on_closed(gone, None);
    rig.wait(TICK * 4);
    rig.travel();
}

#[test]
fn a_start_that_is_wrong_ends_its_session() {
    let mut rig = rig(1, &[">=last"], QueueBounds::default());
    let of = |value, subscriptions, kind| Frame::Start { value, request: 9, subscriptions, kind };
    let too_many = u32::try_from(START_SUBSCRIPTIONS_MAX + 1).unwrap();
    for frames in [
        &[of(0, 1, 77)][..],
        &[of(0, 0, 1)],
        &[of(0, too_many, 1)],
        &[of(0, 1, 3)],
        &[subscribe("a", 1), of(0, 1, 1)],
        &[of(0, 2, 1), subscribe("a", 1), of(0, 1, 1)],
    ] {
        let id = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, id, frames);
        assert!(rig.hears(0, id).ends_with("unexpected"), "{frames:?}");
        let _ = rig.shards[0].on_closed(id, None);
    }
}

#[test]
fn subscriptions_may_come_and_go_while_history_is_sent() {
    let mut rig = rig(2, &[">=1h"], QueueBounds::default());
    let publisher = rig.open(1, OverflowPolicy::DropOldest);
    rig.say(1, publisher, &["a", "b", "c"].map(|topic| message(topic, 1)));
    let id = starts(&mut rig, Start::All, &["a", "b"]);
    rig.say(0, id, &[subscribe("c", 3), unsubscribe("a", 4)]);
    rig.travel();
    rig.hears(0, id);
    rig.travel();
    rig.say(1, publisher, &["a", "b", "c"].map(|topic| message(topic, 2)));
    rig.travel();
    // The later one has no part in it, and is in force when it is over.
    assert_eq!(rig.hears(0, id), "b=1 !1 !2 b=2 c=2 !3");
    let gone = starts(&mut rig, Start::All, &["a"]);
    rig.travel();
    let _ = rig.shards[0].on_closed(gone, None);
    rig.travel();
    rig.audit();
}

#[test]
fn history_is_of_the_subscriptions_of_the_start_alone() {
    let mut rig = rig(3, &[">=1h"], QueueBounds::default());
    let publisher = rig.open(1, OverflowPolicy::DropOldest);
    rig.say(1, publisher, &["a", "b", "c"].map(|topic| message(topic, 1)));
    rig.travel();
    let id = starts(&mut rig, Start::All, &["a", "b"]);
    // All of these come before its neighbours have confirmed the first two.
    rig.say(0, id, &[unsubscribe("b", 3), subscribe("c", 4), subscribe("b", 5)]);
    let mut heard = String::new();
    for round in 0..4 {
        rig.travel();
        if round == 2 {
            rig.say(1, publisher, &["a", "b", "c"].map(|topic| message(topic, 2)));
        }
        heard += &format!(" {}", rig.hears(0, id));
    }
    let parts = [("a=1", true), ("b=1", false), ("c=1", false), ("a=2", true), ("b=2", true), ("c=2", true)];
    for (part, is_heard) in parts {
        assert_eq!(heard.contains(part), is_heard, "{part}: {heard}");
    }
    rig.audit();
}

#[test]
fn nothing_of_a_subscription_follows_the_answer_to_its_end_while_history_is_sent() {
    let mut rig = rig(2, &["kept=1h"], QueueBounds::default());
    let publisher = rig.open(0, OverflowPolicy::DropOldest);
    rig.say(0, publisher, &[message("kept", 1)]);
    let id = starts(&mut rig, Start::All, &["kept", "a", "b"]);
    rig.travel();
    // This waits behind the history.
    rig.say(0, publisher, &["a", "b"].map(|topic| message(topic, 1)));
    rig.say(0, id, &[unsubscribe("a", 4)]);
    rig.say(0, publisher, &["a", "b"].map(|topic| message(topic, 2)));
    assert_eq!(rig.hears(0, id), "!9", "the answer is not ahead of what came before it");
    rig.travel();
    assert_eq!(rig.hears(0, id), "kept=1 !1 !2 !3 a=1 b=1 !4 b=2");
    let gone = starts(&mut rig, Start::All, &["a", "b"]);
    rig.travel();
    rig.say(0, gone, &[unsubscribe("a", 4), subscribe("b", 5)]);
    rig.shards[0].base.sessions.get_mut(gone).unwrap().egress.clear();
    let egress = rig.shards[0].sessions().egress(gone).unwrap();
    egress.audit();
    assert!(egress.answer_bytes() > 0 && !egress.is_parked(), "answers outlive the queue");
    let _ = rig.shards[0].on_closed(gone, None);
    rig.travel();
}

#[test]
fn what_is_published_for_those_that_are_counted_reaches_one_that_starts() {
    for has_later in [false, true] {
        let mut rig = rig(3, &["kept=1h"], QueueBounds::default());
        let publishers = [0, 1].map(|shard| rig.open(shard, OverflowPolicy::DropOldest));
        for (shard, publisher) in publishers.into_iter().enumerate() {
            rig.say(shard, publisher, &[Frame::WatchSubscribers { topic: b"live", request: 7 }]);
        }
        rig.travel();
        rig.wait(TICK);
        rig.travel();
        let id = if has_later {
            let id = starts(&mut rig, Start::All, &["kept"]);
            rig.say(0, id, &[subscribe("live", 2)]);
            id
        } else {
            starts(&mut rig, Start::All, &["kept", "live"])
        };
        let mut waiting = vec![0, 1];
        let mut heard = String::new();
        for _ in 0..40 {
            // The links are slow: all that can be early is.
            for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
                rig.wait(TICK);
                rig.travel_once(from, to);
                heard += &format!(" {}", rig.hears(0, id));
                waiting.retain(|shard| {
                    let is_told = rig.hears(*shard, publishers[*shard]).contains("7:1")
                        || (has_later && heard.contains("!2"));
                    if is_told {
                        let sequence = *shard as u64 + 1;
                        rig.say(*shard, publishers[*shard], &[message("live", sequence)]);
                    }
                    !is_told
                });
            }
        }
        heard += &rig.hears(0, id);
        assert!(waiting.is_empty(), "both are told: {heard}");
        for sequence in 1..=2 {
            assert!(heard.contains(&format!("live={sequence}")), "{sequence}, {has_later}: {heard}");
        }
    }
}

#[test]
fn what_comes_while_a_long_history_is_sent_is_bounded_and_its_loss_is_told_with_its_number() {
    let bounds = QueueBounds { frames_max: 4, ..QueueBounds::default() };
    let mut rig = rig(1, &[">=1h"], bounds);
    let publisher = rig.open(0, OverflowPolicy::DropOldest);
    (1..=20).for_each(|sequence| rig.say(0, publisher, &[message("a", sequence)]));
    let id = starts(&mut rig, Start::All, &["a"]);
    (21..=30).for_each(|sequence| rig.say(0, publisher, &[message("a", sequence)]));
    let history: Vec<String> = (1..=20).map(|sequence| format!("a={sequence}")).collect();
    let heard = rig.hears(0, id);
    assert_eq!(heard, format!("!9 {} !1 a-6 a=27 a=28 a=29 a=30", history.join(" ")));
    assert_eq!(rig.shards[0].counters().history_sent, 20);
}

#[test]
fn a_drain_sends_what_was_taken_and_tells_that_history_is_not_whole() {
    let mut rig = rig(2, &[">=1h"], QueueBounds::default());
    let publisher = rig.open(0, OverflowPolicy::DropOldest);
    rig.say(0, publisher, &[message("a", 1)]);
    let id = starts(&mut rig, Start::All, &["a"]);
    rig.travel();
    rig.say(0, publisher, &[message("a", 2)]);
    rig.shards.iter_mut().for_each(|shard| shard.on_drain());
    rig.travel();
    assert_eq!(rig.hears(0, id), "!9 -0 a=2 shutting_down");
}

/// A client comes back on the first shard, which has had these messages of publisher 1, and all that came before `ago`.
fn comes_back(rig: &mut Rig, had: &[(&str, u64)], ago: Duration, filter: &str) -> SessionId {
    let id = rig.open(0, OverflowPolicy::DropOldest);
    let position = |(topic, sequence): &(&'static str, u64)| Frame::Position {
        topic: topic.as_bytes(),
        publisher: 1,
        sequence: *sequence,
    };
    let had: Vec<(&'static str, u64)> =
        had.iter().map(|(topic, sequence)| (&*topic.to_string().leak(), *sequence)).collect();
    let mut frames: Vec<_> = had.iter().map(position).collect();
    let value = u64::try_from(ago.as_nanos()).unwrap();
    frames.push(Frame::Start { value, request: 9, subscriptions: 1, kind: Start::RESUME });
    frames.push(subscribe(filter, 1));
    rig.say(0, id, &frames);
    id
}

/// Everything that such a client hears.
fn heard_back(rig: &mut Rig, had: &[(&str, u64)], filter: &str) -> String {
    let id = comes_back(rig, had, Duration::from_secs(1), filter);
    let mut heard = Vec::new();
    for _ in 0..4 {
        rig.travel();
        heard.extend(Some(rig.hears(0, id)).filter(|heard| !heard.is_empty()));
    }
    heard.join(" ")
}

#[test]
fn who_comes_back_gets_what_it_has_not_had_once_and_hears_of_the_rest() {
    const SECOND: Duration = Duration::from_secs(1);
    let mut rig = rig(2, &["a.*=3", "b=1h", "c=last"], QueueBounds::default());
    let publisher = rig.open(1, OverflowPolicy::DropOldest);
    let topics = ["a.x", "b", "c", "a.x", "b", "c", "a.y"];
    let said: Vec<_> = (1..).zip(topics).map(|(sequence, topic)| message(topic, sequence)).collect();
    rig.say(1, publisher, &said);
    assert_eq!(heard_back(&mut rig, &[("a.x", 1)], "a.*"), "!9 a.x=4 a.y=7 !1");
    assert_eq!(heard_back(&mut rig, &[("a.x", 4), ("a.y", 7)], "a.*"), "!9 !1");
    assert_eq!(heard_back(&mut rig, &[("b", 2)], "b"), "!9 b=5 !1");
    assert_eq!(heard_back(&mut rig, &[("c", 6)], "c"), "!9 !1", "it has the last value");
    assert_eq!(heard_back(&mut rig, &[("c", 3)], "c"), "!9 c-0 c=6 !1", "nobody knows what was between");
    assert_eq!(heard_back(&mut rig, &[], "d"), "!9 -0 !1", "of this nothing is kept");
    assert_eq!(
        heard_back(&mut rig, &[("b", 5)], ">"),
        "!9 -0 a.x=1 a.x=4 a.y=7 c-0 c=6 !1",
        "nor of all of that"
    );
    rig.wait(2 * SECOND);
    assert_eq!(heard_back(&mut rig, &[], "a.*"), "!9 !1", "it has had all that is older");
    let many: Vec<_> = (8..=17).map(|sequence| message("a.x", sequence)).collect();
    for said in many {
        rig.say(1, publisher, &[said]);
    }
    assert_eq!(
        heard_back(&mut rig, &[("a.x", 4)], "a.x"),
        "!9 a.x-0 a.x=15 a.x=16 a.x=17 !1",
        "its publisher has other topics"
    );
    assert_eq!(heard_back(&mut rig, &[("a.x", 14)], "a.x"), "!9 a.x=15 a.x=16 a.x=17 !1");
}

#[test]
fn who_comes_back_is_told_the_exact_number_of_what_was_given_up() {
    let mut rig = rig(1, &[">=3"], QueueBounds::default());
    let publisher = rig.open(0, OverflowPolicy::DropOldest);
    (1..=10).for_each(|sequence| rig.say(0, publisher, &[message("a", sequence)]));
    let id = comes_back(&mut rig, &[("a", 4)], Duration::from_secs(1), "a");
    assert_eq!(rig.hears(0, id), "!9 a-3 a=8 a=9 a=10 !1");
    rig.say(0, publisher, &[message("a", 11)]);
    assert_eq!(rig.hears(0, id), "a=11");
}

/// The carrier behind one shard confirms all that it has been told, and passes marks on.
fn carry(rig: &mut Rig, brings: &[LinkItem]) {
    const CARRIER: Neighbour = Neighbour(1);
    let mut brings = brings.to_vec();
    while let Some(item) = rig.shards[0].links_mut().next(CARRIER) {
        match item {
            LinkItem::Interest { seq, .. } | LinkItem::Fence { seq, .. } => {
                rig.shards[0].on_link(CARRIER, LinkItem::InterestSeen { seq });
            }
            // What it brings before the mark is history.
            LinkItem::Mark(_) => {
                brings.drain(..).for_each(|item| rig.shards[0].on_link(CARRIER, item));
                rig.shards[0].on_link(CARRIER, item);
            }
            _ => {}
        }
    }
}

/// A broker of one shard with a carrier behind it, which keeps by this rule.
fn carried(rule: &str) -> Rig {
    let config = rig(1, &[rule], QueueBounds::default()).shards[0].base.config.clone();
    Rig::new(&ShardConfig { carriers: 1, ..config })
}

/// Frames that the carrier brings to be kept.
fn far(frame: &Frame<'_>) -> LinkItem {
    let (bytes, mut spans) = (Bytes::from(encode_to_vec(frame)), Vec::new());
    assert_eq!(split(&bytes, usize::MAX, &mut spans).error, None);
    let batch = Arc::new(Batch { bytes, spans: Spans::Native(spans.into()) });
    LinkItem::Keep { batch, said_at: None }
}

#[test]
fn history_of_other_hosts_is_sent_and_who_comes_back_from_an_earlier_run_may_miss_some() {
    const SECOND: Duration = Duration::from_secs(1);
    let mut rig = carried("a=1h");
    rig.wait(10 * SECOND);
    let publisher = rig.open(0, OverflowPolicy::DropOldest);
    rig.say(0, publisher, &[message("a", 7)]);
    let mut back = |ago, brings: &[LinkItem]| {
        let id = comes_back(&mut rig, &[("a", 1)], ago, "a");
        carry(&mut rig, brings);
        rig.hears(0, id)
    };
    assert_eq!(back(SECOND, &[far(&message("a", 8))]), "!9 a=7 a=8 !1");
    assert_eq!(back(20 * SECOND, &[]), "!9 -0 a=7 a=8 !1", "it was at another, and other hosts went on");
}

#[test]
fn gaps_among_what_is_kept_are_told_to_who_comes_back() {
    let mut rig = carried(">=4");
    rig.wait(Duration::from_secs(10));
    let back = |rig: &mut Rig, (topic, had): (&str, u64), brings: &[Frame<'_>]| {
        let id = comes_back(rig, &[(topic, had)], Duration::from_secs(1), topic);
        carry(rig, &brings.iter().map(far).collect::<Vec<_>>());
        let heard = rig.hears(0, id);
        rig.wait(TICK * 2);
        heard
    };
    let gap = |topic: &'static str, missed| Frame::Gap { topic: topic.as_bytes(), missed, reason: 6 };
    let two = [message("a", 2), gap("a", 3), message("a", 6)];
    assert_eq!(back(&mut rig, ("a", 1), &two), "!9 a=2 a-3 a=6 !1");
    assert_eq!(back(&mut rig, ("a", 2), &[]), "!9 a-3 a=6 !1");
    assert_eq!(back(&mut rig, ("a", 6), &[]), "!9 !1", "it was told");
    assert_eq!(back(&mut rig, ("a", 6), &[gap("a", 2)]), "!9 a-0 !1", "it may know of it");
    assert_eq!(back(&mut rig, ("a", 6), &[message("a", 9)]), "!9 a-0 a=9 !1");
    assert_eq!(back(&mut rig, ("a", 9), &[]), "!9 !1");
    // A notice that has given way says no more how many there were.
    let mut many = vec![message("b", 1), gap("b", 3)];
    many.extend((2..=6).map(|sequence| message("b", sequence)));
    assert_eq!(back(&mut rig, ("b", 1), &many), "!9 b-0 b=3 b=4 b=5 b=6 !1");
    assert_eq!(back(&mut rig, ("b", 6), &[]), "!9 !1");
}

#[test]
fn what_was_said_before_stands_before_however_late_it_comes() {
    let mut rig = carried(">=1h");
    rig.wait(Duration::from_secs(10));
    let stored_at = rig.now;
    rig.wait(Duration::from_secs(1));
    let publisher = rig.open(0, OverflowPolicy::DropOldest);
    rig.say(0, publisher, &[message("a", 7)]);
    rig.wait(Duration::from_secs(1));
    let LinkItem::Keep { batch, .. } = far(&message("a", 1)) else { unreachable!() };
    let id = comes_back(&mut rig, &[], Duration::from_secs(5), "a");
    carry(&mut rig, &[LinkItem::Keep { batch, said_at: Some(stored_at) }]);
    assert_eq!(rig.hears(0, id), "!9 a=1 a=7 !1");
}

/// Everything that can happen, in any order.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Publish(usize),
    /// A publisher comes back on that shard.
    Return(usize, usize),
    Join(Start),
    Read(usize),
    Travel(usize, usize),
    Tick,
}

fn anything() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => (0..PUBLISHERS).prop_map(Happens::Publish),
        1 => (0..PUBLISHERS, 0..SHARDS).prop_map(|(publisher, shard)| Happens::Return(publisher, shard)),
        1 => prop_oneof![Just(Start::All), Just(Start::Last), Just(Start::Count(3))].prop_map(Happens::Join),
        3 => (0..8_usize).prop_map(Happens::Read),
        12 => (0..SHARDS, 1..SHARDS).prop_map(|(from, by)| Happens::Travel(from, (from + by) % SHARDS)),
        1 => Just(Happens::Tick),
    ]
}

const SHARDS: usize = 3;
const PUBLISHERS: usize = 3;
const TOPICS: [&str; PUBLISHERS] = ["a.0", "a.1", "a.2"];

/// A publisher with a topic of its own, which goes from shard to shard.
struct Source {
    shard: usize,
    id: SessionId,
    said: u64,
}

/// Shards, publishers, sessions that have started with history, and what each has heard.
struct Play {
    rig: Rig,
    sources: Vec<Source>,
    joined: Vec<(SessionId, Start, Vec<String>)>,
}

impl Play {
    fn new() -> Play {
        let mut rig = rig(SHARDS, &["a.2=last", ">=1h"], QueueBounds::default());
        let source = |shard| Source { shard, id: rig.open(shard, OverflowPolicy::DropOldest), said: 0 };
        let sources = (0..PUBLISHERS).map(source).collect();
        Play { rig, sources, joined: Vec::new() }
    }

    fn take(&mut self, step: Happens) {
        let Play { rig, sources, joined } = self;
        match step {
            Happens::Publish(publisher) => {
                let Source { shard, id, said } = &mut sources[publisher];
                if rig.shards[*shard].sessions().phase(*id) == Some(Phase::Open) {
                    *said += 1;
                    let frame = Frame::Message {
                        topic: TOPICS[publisher].as_bytes(),
                        payload: b"payload",
                        publisher: publisher as u64,
                        sequence: *said,
                        sent_at_ns: 0,
                    };
                    rig.say(*shard, *id, &[frame]);
                }
            }
            Happens::Return(publisher, to) => {
                let Source { shard, id, .. } = &mut sources[publisher];
                if rig.shards[*shard].sessions().phase(*id) != Some(Phase::Open) {
                    return;
                }
                let number = id.number(rig.shards[*shard].links().me());
                let ticket = rig.shards[*shard].succession.ticket(number);
                let new = rig.shards[to].on_open(Door::Native, Identity::Anonymous(None)).unwrap();
                rig.shards[to].on_greeting(new, Ok(Features::NONE));
                rig.say(to, new, &[Frame::Hello { name: "", overflow: 0, previous: number.0, ticket }]);
                let _ = rig.shards[*shard].on_closed(*id, None);
                (*shard, *id) = (to, new);
            }
            Happens::Join(from) => {
                let id = starts(rig, from, &["a.*"]);
                joined.push((id, from, Vec::new()));
            }
            Happens::Read(reader) => {
                if let Some((id, _, heard)) = joined.get_mut(reader) {
                    heard.extend(rig.hears(0, *id).split_whitespace().map(str::to_owned));
                }
            }
            Happens::Travel(from, to) => _ = rig.travel_once(from, to),
            Happens::Tick => rig.wait(corecast_executors::TICK),
        }
    }

    /// Everything travels and is read.
    fn rest(&mut self) {
        for _ in 0..10 {
            self.rig.travel();
            self.rig.wait(corecast_executors::TICK);
            (0..self.joined.len()).for_each(|reader| self.take(Happens::Read(reader)));
        }
    }
}

proptest! {
    #[test]
    fn history_and_live_messages_meet_without_a_hole_or_a_double(
        steps in prop::collection::vec(anything(), 0..200),
    ) {
        let mut play = Play::new();
        steps.into_iter().for_each(|step| play.take(step));
        play.rest();
        (0..PUBLISHERS).for_each(|publisher| play.take(Happens::Publish(publisher)));
        play.rest();
        for (_, from, heard) in &play.joined {
            prop_assert!(heard.iter().any(|heard| heard == "!1"), "it has caught up: {heard:?}");
            let end = heard.iter().position(|heard| heard == "!1").unwrap();
            for (publisher, topic) in TOPICS.iter().enumerate() {
                let number = |heard: &String| heard.strip_prefix(topic)?.strip_prefix('=')?.parse::<u64>().ok();
                let numbers: Vec<u64> = heard.iter().filter_map(number).collect();
                let in_history = heard[..end].iter().filter_map(number).count();
                let said = play.sources[publisher].said;
                let first = numbers.first().copied().unwrap_or(said + 1);
                prop_assert!(numbers.iter().copied().eq(first..=said), "{topic} of {said}: {heard:?}");
                match from {
                    // The last topic keeps only its last message.
                    Start::All if publisher < 2 => prop_assert_eq!(first, 1, "{}: {:?}", topic, heard),
                    Start::Last => prop_assert!(in_history <= 1, "{topic}: {heard:?}"),
                    _ => prop_assert!(publisher < 2 || in_history <= 1, "{topic}: {heard:?}"),
                }
                if *from == Start::Count(3) && publisher < 2 {
                    let before = first - 1 + in_history as u64;
                    prop_assert_eq!(in_history as u64, before.min(3), "{}: {:?}", topic, heard);
                }
            }
        }
    }
}
