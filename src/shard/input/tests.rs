//! Tests of requests, and of input that waits for its turn.

mod logins;
mod quotas;
mod turns;

use std::sync::Arc;

use super::*;
use crate::auth::{Permissions, Rights};
use crate::fanout::OverflowPolicy;
use crate::registry::{Mode, ModeRules};
use crate::shard::config::ShardConfig;
use crate::shard::rig::{Rig, message, subscribe};
use crate::zmtp::{command, put_message};

/// A shard on which sessions may receive everything, publish `a`, and register `open`; `secret` is for nobody.
fn with_secrets() -> Rig {
    let filter = |text| Filter::parse(text).expect("a filter");
    let rights = Rights::all().publish([filter("a")]).register([filter("open")]);
    with(Permissions::all().local(rights))
}

/// A shard on which sessions may have to do with `open` alone.
fn with_open_topics() -> Rig {
    let open = || [Filter::parse("open").expect("a filter")];
    with(Permissions::all().local(Rights::none().publish(open()).subscribe(open()).register(open())))
}

fn with(permissions: Permissions) -> Rig {
    Rig::new(&ShardConfig {
        permissions,
        modes: Arc::new(ModeRules::new(Vec::new(), Mode::Direct).expect("rules")),
        ..ShardConfig::default()
    })
}

#[test]
fn what_is_not_permitted_ends_the_session_after_what_is() {
    let mut rig = with_secrets();
    let subscriber = rig.open(0, OverflowPolicy::DropOldest);
    rig.say(0, subscriber, &[subscribe(">", 1)]);
    assert_eq!(rig.hears(0, subscriber), "!1");
    let publisher = rig.open(0, OverflowPolicy::DropOldest);
    rig.say(0, publisher, &[message("a", 1), message("secret", 2), message("a", 3)]);
    assert_eq!(rig.hears(0, subscriber), "a=1");
    assert_eq!(rig.hears(0, publisher), "not_permitted");
}

#[test]
fn every_question_of_a_session_is_asked() {
    let watch_publishers = Frame::WatchPublishers { filter: b"secret", request: 1, kind: 1 };
    let watch_subscribers = Frame::WatchSubscribers { topic: b"secret", request: 1 };
    let list = Frame::ListPublishers { request: 1 };
    for frame in [subscribe("secret", 1), watch_subscribers, watch_publishers, list, message("secret", 1)] {
        let mut rig = with_open_topics();
        let id = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, id, &[frame]);
        assert_eq!(rig.hears(0, id), "not_permitted");
    }
}

#[test]
fn a_registration_that_is_not_permitted_is_refused_and_its_session_goes_on() {
    let mut rig = with_secrets();
    let id = rig.open(0, OverflowPolicy::DropOldest);
    let register = |topics, request| Frame::Register {
        endpoints: "tcp://192.0.2.1:1",
        topics,
        publisher: 1,
        epoch: 1,
        request,
    };
    rig.say(0, id, &[register("open\nsecret", 1), Frame::Flush { request: 2 }]);
    assert_eq!(rig.hears(0, id), "not_permitted !2");
    rig.say(0, id, &[register("open", 3)]);
    assert_eq!(rig.hears(0, id), "!3");
}

#[test]
fn zeromq_sockets_are_asked_the_same() {
    let mut message = bytes::BytesMut::new();
    put_message(&mut message, b"secret", std::iter::once(&b"payload"[..]));
    let cases: [(&[u8; 3], Vec<u8>); 2] =
        [(b"SUB", command::subscription(true, b"secret", true)), (b"PUB", message.to_vec())];
    for (socket_type, bytes) in cases {
        let mut rig = with_open_topics();
        let id = rig.open_zmtp(socket_type);
        assert_eq!(rig.shards[0].sessions().phase(id), Some(Phase::Open));
        rig.say_zmtp(id, &bytes);
        assert_eq!(
            rig.shards[0].sessions().phase(id),
            Some(Phase::Closing),
            "{}",
            socket_type.escape_ascii()
        );
    }
}

#[test]
fn a_flush_is_not_answered_behind_messages_that_a_stopping_shard_did_not_take() {
    let mut rig = Rig::with_shards(2);
    let publisher = rig.open(0, OverflowPolicy::DropOldest);
    rig.say(0, publisher, &[message("a", 1), Frame::Flush { request: 1 }]);
    assert_eq!(rig.hears(0, publisher), "!1");
    // The other shard may still have batches for this one: the farewell waits for its last.
    rig.shards[0].on_drain();
    rig.say(0, publisher, &[message("a", 2)]);
    rig.say(0, publisher, &[Frame::Flush { request: 2 }]);
    assert_eq!(rig.hears(0, publisher), "");
    rig.shards[1].on_drain();
    rig.travel();
    assert_eq!(rig.hears(0, publisher), "shutting_down");
}
