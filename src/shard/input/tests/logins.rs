//! Tests of logins: who is let in, by what it shows, and for how long.

use std::sync::Arc;

use bytes::Bytes;

use super::with;
use crate::auth::{Identity, Permissions, Proof, Secret, TokenHash, Users};
use crate::error::ErrorCode;
use crate::ids::SessionId;
use crate::limits::PASSWORDS_WAITING_PER_HOST_MAX;
use crate::shard::rig::{Rig, message, subscribe};
use crate::shard::{Door, PasswordCheck, Phase, ShardConfig};
use crate::telemetry::CloseReason;
use crate::wire::{Features, Frame};
use crate::zmtp::curve::KeyPair;
use crate::zmtp::greeting::{Mechanism, ours_for};
use crate::zmtp::{Offers, Output, Sides};

pub(super) const HELLO: Frame<'_> = Frame::Hello { name: "", overflow: 0, previous: 0, ticket: 0 };

/// A user of this name, whose token is its name, with these lines as well.
pub(super) fn user(name: &str, lines: &str) -> String {
    let token = TokenHash::of(&Secret::new(name.as_bytes()));
    format!("[[user]]\nname = '{name}'\ntokens = ['{token}']\n{lines}\n")
}

pub(super) fn users(text: &str) -> Permissions {
    Permissions::of_users(Users::parse(text).expect("users"))
}

/// A peer that has shown this with its connection says these frames.
fn says(rig: &mut Rig, shown: Proof, frames: &[Frame<'_>]) -> SessionId {
    says_at(rig, 0, shown, frames)
}

/// The same at that shard.
pub(super) fn says_at(rig: &mut Rig, shard: usize, shown: Proof, frames: &[Frame<'_>]) -> SessionId {
    let identity = Door::Native.identity(shown, None);
    let id = rig.shards[shard].on_open(Door::Native, identity).expect("there is room");
    rig.shards[shard].on_greeting(id, Ok(Features::OURS));
    rig.say(shard, id, frames);
    id
}

pub(super) fn login(name: &str) -> Frame<'_> {
    Frame::Login { token: name.as_bytes() }
}

#[test]
fn a_session_opens_for_users_and_for_nobody_else() {
    let mut rig = with(users(&user("a", "uids = [7]\nsubscribe = ['a']")));
    let nobodys = [
        says(&mut rig, Proof::None, &[HELLO]),
        says(&mut rig, Proof::Uid(8), &[HELLO]),
        says(&mut rig, Proof::None, &[login("b"), HELLO]),
        says(&mut rig, Proof::Uid(7), &[login("b"), HELLO]),
    ];
    for id in nobodys {
        assert_eq!(rig.hears(0, id), "unauthenticated");
    }
    let known = [
        says(&mut rig, Proof::None, &[login("a"), HELLO]),
        says(&mut rig, Proof::Uid(7), &[HELLO]),
        says(&mut rig, Proof::Uid(8), &[login("a"), HELLO]),
    ];
    for id in known {
        assert_eq!(rig.shards[0].sessions().phase(id), Some(Phase::Open));
        assert_eq!(rig.shards[0].sessions().identity_of(id).and_then(Identity::user), Some("a"));
        rig.take(0, id);
        rig.say(0, id, &[subscribe("a", 1)]);
        assert_eq!(rig.hears(0, id), "!1");
        rig.say(0, id, &[subscribe("b", 2)]);
        assert_eq!(rig.hears(0, id), "not_permitted");
    }
}

#[test]
fn a_login_comes_before_the_hello() {
    let mut rig = with(users(&user("a", "")));
    let id = says(&mut rig, Proof::None, &[login("a"), HELLO]);
    rig.take(0, id);
    rig.say(0, id, &[login("a")]);
    assert_eq!(rig.hears(0, id), "unexpected");
}

#[test]
fn where_everybody_may_do_everything_a_token_is_of_no_account() {
    let mut rig = with(Permissions::all());
    let id = says(&mut rig, Proof::None, &[login("a"), HELLO]);
    assert_eq!(rig.shards[0].sessions().phase(id), Some(Phase::Open));
}

#[test]
fn a_zeromq_socket_that_shows_nothing_is_let_in_as_anonymous_alone() {
    let mut closed = with(users(&user("a", "")));
    let id = closed.open_zmtp(b"SUB");
    assert_eq!(closed.shards[0].sessions().phase(id), Some(Phase::Shut));
    let mut open = with(users("[[user]]\nname = 'anonymous'\nsubscribe = ['a.>']\n"));
    let id = open.open_zmtp(b"SUB");
    assert_eq!(open.shards[0].sessions().phase(id), Some(Phase::Open));
}

#[test]
fn with_a_curve_key_other_hosts_come_by_curve_alone() {
    let zmtp_offers = Offers::default().plain(true).curve(Some(Arc::new(KeyPair::generate())));
    let mut rig = Rig::new(&ShardConfig { zmtp_offers, ..ShardConfig::default() });
    for (address, mechanism, phase) in [
        (None, Mechanism::Null, Phase::Hello),
        (Some("127.0.0.1:1"), Mechanism::Plain, Phase::Hello),
        (Some("192.0.2.1:1"), Mechanism::Curve, Phase::Hello),
        (Some("192.0.2.1:1"), Mechanism::Plain, Phase::Shut),
        (Some("192.0.2.1:1"), Mechanism::Null, Phase::Shut),
    ] {
        let identity = Identity::Anonymous(address.map(|text| text.parse().expect("an address")));
        let id = rig.shards[0].on_open(Door::Zmtp(Sides::Both), identity).expect("there is room");
        let greeting = Bytes::copy_from_slice(&ours_for(mechanism));
        let said = rig.shards[0].on_zmtp(id, 1, &mut Output::default(), |machine, out| {
            (machine.read(&greeting, out), greeting.clone(), ())
        });
        said.expect("it is listened to");
        rig.take(0, id);
        assert_eq!(rig.shards[0].sessions().phase(id), Some(phase), "{address:?} by {mechanism:?}");
    }
}

/// A ZeroMQ socket of this host shows a password, whose check is due unless it was turned away.
fn shows_a_password(rig: &mut Rig, host: u8) -> (SessionId, Option<Box<PasswordCheck>>) {
    let identity = Identity::Anonymous(Some(([192, 0, 2, host], 1).into()));
    let id = rig.shards[0].on_open(Door::Zmtp(Sides::Both), identity).expect("there is room");
    rig.say_zmtp(id, &[&ours_for(Mechanism::Plain)[..], b"\x04\x0a\x05HELLO\x01a\x01b"].concat());
    rig.take(0, id);
    (id, rig.shards[0].outbox().password.take())
}

#[test]
fn a_host_with_many_passwords_that_wait_is_turned_away_and_another_is_not() {
    let zmtp_offers = Offers::default().plain(true);
    let mut rig = Rig::new(&ShardConfig { zmtp_offers, ..ShardConfig::default() });
    let mut checks: Vec<Box<PasswordCheck>> = Vec::new();
    for _ in 0..PASSWORDS_WAITING_PER_HOST_MAX {
        checks.push(shows_a_password(&mut rig, 1).1.expect("there is a place"));
    }
    let (id, check) = shows_a_password(&mut rig, 1);
    assert!(check.is_none());
    assert_eq!(rig.shards[0].sessions().phase(id), Some(Phase::Shut));
    let reason = rig.shards[0].on_closed(id, None).expect("it was there").reason;
    assert_eq!(reason, CloseReason::Code(ErrorCode::TooManySessions));
    let counters = rig.shards[0].counters();
    assert_eq!((counters.passwords_turned_away, counters.logins_failed), (1, 0), "it was not wrong");
    let (id, other) = shows_a_password(&mut rig, 2);
    assert!(other.is_some() && rig.shards[0].sessions().phase(id) == Some(Phase::Hello));
    drop(checks.pop());
    assert!(shows_a_password(&mut rig, 1).1.is_some(), "one has been checked");
}

#[test]
fn new_users_are_asked_for_what_a_session_had_shown() {
    let both = [user("a", "publish = ['a']"), user("b", "publish = ['b']")].concat();
    let mut rig = with(users(&both));
    let [a, b] = ["a", "b"].map(|name| says(&mut rig, Proof::None, &[login(name), HELLO]));
    let early = says(&mut rig, Proof::None, &[login("a")]);
    rig.take(0, a);
    rig.take(0, b);
    let wider = users(&[user("a", "publish = ['a', 'more']"), user("c", "")].concat());
    while !rig.shards[0].on_permissions(&wider) {}
    rig.audit();
    assert_eq!(rig.hears(0, b), "unauthenticated");
    rig.say(0, a, &[message("a", 1), message("more", 2), Frame::Flush { request: 3 }]);
    assert_eq!(rig.hears(0, a), "!3");
    rig.say(0, early, &[HELLO]);
    assert_eq!(rig.shards[0].sessions().phase(early), Some(Phase::Open));
    let identity = rig.shards[0].sessions().identity_of(a).cloned();
    assert!(matches!(identity, Some(Identity::User(login, None)) if Arc::strong_count(&login) > 1));
}

#[test]
fn a_subscription_that_is_refused_leaves_its_session_alone() {
    let mut rig = with(users(&user("a", "publish = ['a']\nsubscribe = ['a']")));
    let id = says(&mut rig, Proof::None, &[login("a"), HELLO]);
    rig.take(0, id);
    let watch = Frame::WatchPublishers { filter: b"b", request: 3, kind: 1 };
    rig.say(0, id, &[subscribe("b", 1), subscribe("a.>", 2), watch, subscribe("a", 4)]);
    assert_eq!(rig.hears(0, id), "not_permitted not_permitted not_permitted !4");
    rig.say(0, id, &[message("a", 1)]);
    assert_eq!(rig.hears(0, id), "a=1");
    assert_eq!(rig.shards[0].counters().refusals, 3);
}

#[test]
fn messages_that_are_refused_are_passed_over_and_the_third_time_in_a_second_ends_the_session() {
    let both = [user("p", "publish = ['a']"), user("s", "subscribe = ['>']")].concat();
    let mut rig = with(users(&both));
    let [publisher, subscriber] = ["p", "s"].map(|name| says(&mut rig, Proof::None, &[login(name), HELLO]));
    rig.take(0, publisher);
    rig.take(0, subscriber);
    rig.say(0, subscriber, &[subscribe(">", 1)]);
    rig.hears(0, subscriber);
    let flush = Frame::Flush { request: 9 };
    rig.say(0, publisher, &[message("a", 1), message("b", 2), message("b", 3), message("a", 4), flush]);
    assert_eq!((rig.hears(0, publisher).as_str(), rig.hears(0, subscriber).as_str()), ("?b !9", "a=1 a=4"));
    rig.say(0, publisher, &[message("c", 5), message("a", 6), message("d", 7), message("a", 8)]);
    assert_eq!(
        (rig.hears(0, publisher).as_str(), rig.hears(0, subscriber).as_str()),
        ("?c not_permitted", "a=6")
    );
}
