//! Tests of input that waits for its turn.

use bytes::Bytes;

use crate::fanout::OverflowPolicy;
use crate::ids::Neighbour;
use crate::limits::{
    FRAME_BYTES_MAX_LIMIT, GROUP_FILTERS_MAX, TURN_STEPS_MAX, WILDCARD_SHAPES_MAX,
    WILDCARD_SHAPES_PER_SESSION_MAX,
};
use crate::shard::config::ShardConfig;
use crate::shard::input::*;
use crate::shard::rig::{Rig, message, subscribe, unsubscribe};
use crate::wire::{Frame, Span, encode, split};

fn framed(frames: &[Frame<'_>]) -> (Bytes, Vec<Span>) {
    let mut bytes = Vec::new();
    frames.iter().for_each(|frame| encode(frame, &mut bytes));
    let (bytes, mut spans) = (Bytes::from(bytes), Vec::new());
    assert_eq!(split(&bytes, FRAME_BYTES_MAX_LIMIT, &mut spans).error, None);
    (bytes, spans)
}

fn short_turns(shards: usize) -> Rig {
    Rig::new(&ShardConfig { shards, turn_steps_max: 30, ..ShardConfig::default() })
}

#[test]
fn messages_that_wait_for_a_flush_are_counted_on_each_shard_that_routes_them() {
    let mut rig = Rig::with_shards(2);
    let publisher = rig.open(0, OverflowPolicy::DropOldest);
    for shard in [0, 1] {
        let subscriber = rig.open(shard, OverflowPolicy::DropOldest);
        rig.say(shard, subscriber, &[subscribe(">", 1)]);
    }
    rig.travel();
    rig.shards.iter_mut().for_each(|shard| shard.outbox().begin_flush());
    rig.say(0, publisher, &[message("a", 1), message("b", 2)]);
    rig.say(0, publisher, &[message("a", 3)]);
    rig.travel();
    for shard in &mut rig.shards {
        assert_eq!(shard.outbox().routed_messages, 3);
        assert!(shard.outbox().queued_bytes > 0);
        shard.outbox().begin_flush();
        assert_eq!((shard.outbox().routed_messages, shard.outbox().queued_bytes), (0, 0));
    }
}

#[test]
fn a_read_full_of_new_topics_is_done_in_turns_and_in_order() {
    let mut rig = short_turns(1);
    let subscriber = rig.open(0, OverflowPolicy::DropOldest);
    let publisher = rig.open(0, OverflowPolicy::DropOldest);
    rig.say(0, subscriber, &[subscribe(">", 1)]);
    let topics: Vec<String> = (0..50).map(|n| format!("t.{n}")).collect();
    let mut frames: Vec<Frame<'_>> = topics.iter().map(|topic| message(topic, 1)).collect();
    frames.push(Frame::Flush { request: 7 });
    let (bytes, spans) = framed(&frames);
    rig.shards[0].on_frames(publisher, &bytes, &spans);
    let mut heard = rig.hears(0, subscriber);
    let mut turns = 0;
    while rig.shards[0].sessions().is_behind(publisher) {
        assert_eq!(rig.hears(0, publisher), "", "the flush is behind the messages");
        rig.shards[0].go_on(publisher);
        turns += 1;
        heard = [heard, rig.hears(0, subscriber)].join(" ");
    }
    assert!((5..=50).contains(&turns), "{turns}");
    assert_eq!(rig.hears(0, publisher), "!7");
    let wanted: Vec<String> = topics.iter().map(|topic| format!("{topic}=1")).collect();
    assert_eq!(heard, format!("!1 {}", wanted.join(" ")));
    // Topics that were asked for before are no work, however many messages there are.
    rig.shards[0].on_frames(publisher, &bytes, &spans);
    assert!(!rig.shards[0].sessions().is_behind(publisher));
}

#[test]
fn what_is_said_after_something_that_waits_comes_after_it() {
    let mut rig = short_turns(1);
    let subscriber = rig.open(0, OverflowPolicy::DropOldest);
    let publisher = rig.open(0, OverflowPolicy::DropOldest);
    rig.say(0, subscriber, &[subscribe(">", 1)]);
    let topics: Vec<String> = (0..30).map(|n| format!("t.{n}")).collect();
    for sequence in 1..=2 {
        let frames: Vec<Frame<'_>> = topics.iter().map(|topic| message(topic, sequence)).collect();
        let (bytes, spans) = framed(&frames);
        rig.shards[0].on_frames(publisher, &bytes, &spans);
    }
    while rig.shards[0].sessions().is_behind(publisher) {
        rig.shards[0].go_on(publisher);
    }
    let heard = rig.hears(0, subscriber);
    let wanted = [1, 2].map(|n| topics.iter().map(|t| format!("{t}={n}")).collect::<Vec<_>>().join(" "));
    assert_eq!(heard, format!("!1 {}", wanted.join(" ")));
    // Bytes that are no frame end it behind everything read before.
    let frames: Vec<Frame<'_>> = topics.iter().map(|topic| message(topic, 3)).collect();
    let (bytes, spans) = framed(&frames);
    rig.say(0, subscriber, &[subscribe("aside", 2)]);
    assert_eq!(rig.hears(0, subscriber), "!2");
    let wrong = rig.open(0, OverflowPolicy::DropOldest);
    rig.shards[0].on_frames(wrong, &bytes, &spans);
    assert!(rig.shards[0].sessions().is_behind(wrong));
    rig.shards[0].on_wire_error(wrong, &WireError::new(crate::error::ErrorCode::Malformed, "wrong"));
    assert_eq!(rig.hears(0, wrong), "");
    while rig.shards[0].sessions().is_behind(wrong) {
        rig.shards[0].go_on(wrong);
    }
    assert_eq!(rig.hears(0, wrong), "malformed");
    assert_eq!(rig.hears(0, subscriber).matches("=3").count(), 30);
    // Nothing more is done for one that is closed.
    let other: Vec<String> = (0..30).map(|n| format!("u.{n}")).collect();
    let frames: Vec<Frame<'_>> = other.iter().map(|topic| message(topic, 1)).collect();
    let (bytes, spans) = framed(&frames);
    rig.shards[0].on_frames(publisher, &bytes, &spans);
    assert!(rig.shards[0].sessions().is_behind(publisher));
    rig.shards[0].base.end(publisher, crate::error::ErrorCode::Malformed, "wrong");
    rig.shards[0].settle();
    assert!(!rig.shards[0].sessions().is_behind(publisher));
}

#[test]
fn items_of_a_link_wait_behind_a_batch_that_is_not_done() {
    let mut rig = short_turns(2);
    let subscriber = rig.open(0, OverflowPolicy::DropOldest);
    let publisher = rig.open(1, OverflowPolicy::DropOldest);
    rig.say(0, subscriber, &[subscribe(">", 1)]);
    rig.travel();
    let topics: Vec<String> = (0..50).map(|n| format!("t.{n}")).collect();
    let frames: Vec<Frame<'_>> = topics.iter().map(|topic| message(topic, 1)).collect();
    rig.say(1, publisher, &frames);
    rig.say(1, publisher, &[message("t.0", 2)]);
    let (here, there) = (Neighbour(0), Neighbour(1));
    rig.shards[0].base.turn.begin();
    while let Some(item) = rig.shards[1].links_mut().next(here) {
        rig.shards[0].on_link(there, item);
    }
    let mut turns = 0;
    while rig.shards[0].links().is_behind(there) {
        rig.shards[0].go_on_with_link(there);
        turns += 1;
    }
    assert!(turns > 4, "{turns}");
    let heard = rig.hears(0, subscriber);
    let wanted: Vec<String> = topics.iter().map(|topic| format!("{topic}=1")).collect();
    assert_eq!(heard, format!("!1 {} t.0=2", wanted.join(" ")));
}

/// The n-th of all patterns of 16 levels, each `a` or `*`.
fn wide(n: usize) -> String {
    (0..16).map(|level| if n >> level & 1 == 1 { "*" } else { "a" }).collect::<Vec<_>>().join(".")
}

#[test]
fn wildcards_of_some_sessions_do_not_make_topics_dear_for_all() {
    let mut rig = Rig::with_shards(2);
    let greedy = rig.open(0, OverflowPolicy::DropOldest);
    for n in 1..1 << 16 {
        if rig.shards[0].sessions().phase(greedy) != Some(Phase::Open) {
            assert_eq!(n - 1, WILDCARD_SHAPES_PER_SESSION_MAX + 1, "the last one was too much");
            break;
        }
        rig.say(0, greedy, &[subscribe(&wide(n), 1)]);
        rig.hears(0, greedy);
    }
    let patterns: Vec<String> = (1..1 << 12).map(wide).collect();
    let mut sessions = 0;
    for some in patterns.chunks(WILDCARD_SHAPES_PER_SESSION_MAX) {
        let id = rig.open(0, OverflowPolicy::DropOldest);
        let frames: Vec<Frame<'_>> = some.iter().map(|pattern| subscribe(pattern, 1)).collect();
        rig.say(0, id, &frames);
        rig.travel();
        sessions += usize::from(!rig.hears(0, id).contains("too_many_subscriptions"));
    }
    assert_eq!(sessions, WILDCARD_SHAPES_MAX / WILDCARD_SHAPES_PER_SESSION_MAX);
    for shard in &mut rig.shards {
        let (_, work) = shard.membership.fanout_mut().route_of(vec!["a"; 16].join(".").as_bytes());
        assert!((100..TURN_STEPS_MAX).contains(&work), "{work}");
    }
    // A session that comes later has all that is usual, and the arrangements that others have.
    let late = rig.open(1, OverflowPolicy::DropOldest);
    rig.say(1, late, &[subscribe("*.*.*.*.*.*.*.x", 1), subscribe(&wide(1).replace('a', "b"), 2)]);
    rig.travel();
    assert_eq!(rig.hears(1, late), "!1 !2");
    // A session that changes its mind may: gone is gone.
    let fickle = rig.open(1, OverflowPolicy::DropOldest);
    for n in 1..3 * WILDCARD_SHAPES_PER_SESSION_MAX {
        let pattern = wide(n);
        rig.say(1, fickle, &[subscribe(&pattern, 1)]);
        rig.travel();
        rig.say(1, fickle, &[unsubscribe(&pattern, 2)]);
        assert_eq!(rig.hears(1, fickle), "!1 !2");
    }
}

#[test]
fn a_session_with_very_many_filters_leaves_in_turns() {
    let mut rig = short_turns(2);
    let leaves = rig.open(0, OverflowPolicy::DropOldest);
    let stays = rig.open(0, OverflowPolicy::DropOldest);
    let publisher = rig.open(1, OverflowPolicy::DropOldest);
    let topics: Vec<String> = (0..5 * GROUP_FILTERS_MAX).map(|n| format!("t.{n}")).collect();
    let frames: Vec<Frame<'_>> = topics.iter().map(|topic| subscribe(topic, 1)).collect();
    rig.say(0, leaves, &frames);
    rig.say(0, stays, &[subscribe("t.7", 1)]);
    rig.travel();
    let _ = rig.shards[0].on_closed(leaves, None);
    rig.audit();
    assert!(
        rig.shards[0].membership.has_leaving() && rig.shards[0].wants_tick(),
        "a turn is too short for all"
    );
    rig.say(1, publisher, &[message("t.7", 1), message("t.8", 1)]);
    rig.travel();
    assert_eq!(rig.hears(0, stays), "!1 t.7=1");
    while rig.shards[0].membership.has_leaving() {
        rig.wait(corecast_executors::TICK);
        rig.travel();
    }
    assert_eq!(
        rig.shards[1].membership.fanout_mut().route_of(b"t.8").0.neighbours.len(),
        0,
        "the other shard knows"
    );
    rig.say(1, publisher, &[message("t.7", 2)]);
    rig.travel();
    assert_eq!(rig.hears(0, stays), "t.7=2");
}
