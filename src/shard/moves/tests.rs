//! Tests of moves, step by step; the simulation has them at random moments.

use super::super::config::ShardConfig;
use super::super::door::Door;
use super::super::moving::Moving;
use super::super::rig::{Rig, message, subscribe};
use super::super::state::Shard;
use super::*;
use crate::auth::{Identity, Permissions, Rights, Users};
use crate::fanout::{OverflowPolicy, QueueBounds};
use crate::limits::{HEARTBEAT_DEFAULT, HEARTBEATS_MISSED_MAX, STRIKES_PERIOD};
use crate::wire::{Features, Frame, Partial};

/// Sessions of a shard begin to move to another.
fn begin(rig: &mut Rig, from: usize, to: u16) -> usize {
    Moving::of(&mut rig.shards[from]).begin(ShardId(to))
}

/// A session that can leave does. Returns its place.
fn leave(rig: &mut Rig, from: usize, id: SessionId) -> Option<SessionId> {
    let left = Moving::of(&mut rig.shards[from]).leave(id);
    rig.audit();
    left.map(|(_, place)| place)
}

/// The connection of a session has come, with all that came before it.
fn arrive(rig: &mut Rig, shard: usize, place: SessionId) {
    rig.travel();
    let mut moving = Moving::of(&mut rig.shards[shard]);
    assert!(moving.has_arrived(place));
    moving.connect(place);
    rig.audit();
}

/// A session moves, and all others of its shard that may.
fn go(rig: &mut Rig, from: usize, to: u16, id: SessionId) -> SessionId {
    assert!(begin(rig, from, to) > 0);
    rig.travel();
    let place = leave(rig, from, id).expect("nothing is in its way");
    arrive(rig, usize::from(to), place);
    place
}

/// A subscriber to everything, whose subscription is in force.
fn subscriber(rig: &mut Rig, shard: usize, policy: OverflowPolicy) -> SessionId {
    let id = rig.open(shard, policy);
    rig.say(shard, id, &[subscribe(">", 1)]);
    rig.travel();
    assert_eq!(rig.hears(shard, id), "!1");
    id
}

#[test]
fn what_waits_and_what_comes_meanwhile_is_delivered_once_and_in_order() {
    let mut rig = Rig::with_shards(3);
    let id = subscriber(&mut rig, 0, OverflowPolicy::DropOldest);
    let publishers: Vec<SessionId> =
        (0..3).map(|shard| rig.open(shard, OverflowPolicy::DropOldest)).collect();
    let topics = ["a", "b", "c"];
    let mut said = 0;
    let mut publish = |rig: &mut Rig| {
        said += 1;
        for shard in 0..3 {
            rig.say(shard, publishers[shard], &[message(topics[shard], said)]);
        }
    };
    publish(&mut rig);
    rig.travel();
    // The publishers stay: they have begun a frame.
    for (shard, publisher) in rig.shards.iter_mut().zip(&publishers) {
        shard.on_partial(*publisher, Partial::frame(5, None), true);
    }
    assert_eq!(begin(&mut rig, 0, 2), 1);
    let mut place = None;
    for _ in 0..40 {
        publish(&mut rig);
        for from in 0..3 {
            for to in 0..3 {
                rig.travel_once(from, to);
            }
        }
        place = place.or_else(|| leave(&mut rig, 0, id));
    }
    let place = place.expect("it has left");
    arrive(&mut rig, 2, place);
    publish(&mut rig);
    rig.travel();
    let heard = rig.hears(2, place);
    for topic in topics {
        let wanted: Vec<String> = (1..=said).map(|n| format!("{topic}={n}")).collect();
        let got: Vec<&str> = heard.split(' ').filter(|text| text.starts_with(topic)).collect();
        assert_eq!(got, wanted);
    }
    assert_eq!(rig.shards[0].sessions().len(), 1, "the publisher is left");
}

#[test]
fn a_session_takes_its_part_in_the_quotas_of_its_user_along() {
    let text = "[[user]]\nname = 'anonymous'\nsubscribe = ['>']\nsessions = 1\nsubscriptions = 1\n";
    let permissions = Permissions::of_users(Users::parse(text).expect("users"));
    let mut rig = Rig::new(&ShardConfig { shards: 2, permissions, ..ShardConfig::default() });
    let refused = |rig: &mut Rig| {
        let id = rig.shards[0].on_open(Door::Native, Identity::Anonymous(None)).expect("there is room");
        rig.shards[0].on_greeting(id, Ok(Features::NONE));
        rig.say(0, id, &[Frame::Hello { name: "", overflow: 0, previous: 0, ticket: 0 }]);
        rig.hears(0, id)
    };
    let id = subscriber(&mut rig, 0, OverflowPolicy::DropOldest);
    let place = go(&mut rig, 0, 1, id);
    assert_eq!(refused(&mut rig), "too_many_sessions");
    rig.say(1, place, &[subscribe("a", 2)]);
    assert_eq!(rig.hears(1, place), "too_many_subscriptions");
    rig.shards[1].on_closed(place, None);
    subscriber(&mut rig, 0, OverflowPolicy::DropOldest);
}

#[test]
fn a_publisher_that_comes_back_elsewhere_during_the_cut_keeps_its_order() {
    let mut rig = Rig::with_shards(4);
    let id = subscriber(&mut rig, 0, OverflowPolicy::DropOldest);
    let old = rig.open(2, OverflowPolicy::DropOldest);
    let number = old.number(ShardId(2));
    let ticket = rig.shards[2].succession.ticket(number);
    begin(&mut rig, 0, 1);
    // Prepare, interest, ready: all but the way of the cut to the last shard.
    for _ in 0..4 {
        for (from, to) in [(0, 1), (1, 0), (1, 2), (1, 3), (2, 1), (3, 1)] {
            while rig.travel_once(from, to) {}
        }
    }
    while rig.travel_once(0, 2) {}
    rig.say(2, old, &[message("a", 1)]);
    while rig.travel_once(2, 1) {}
    // Its client comes back on the shard that has not heard of the cut from the shard that made it.
    let new = rig.shards[3].on_open(Door::Native, Identity::Anonymous(None)).unwrap();
    rig.shards[3].on_greeting(new, Ok(Features::NONE));
    rig.say(3, new, &[Frame::Hello { name: "", overflow: 0, previous: number.0, ticket }]);
    while rig.travel_once(3, 2) {}
    let _ = rig.shards[2].on_closed(old, None);
    for _ in 0..4 {
        for (from, to) in [(2, 0), (0, 2), (2, 1), (1, 2), (2, 3), (3, 2)] {
            while rig.travel_once(from, to) {}
        }
    }
    assert_eq!(rig.shards[3].sessions().phase(new), Some(Phase::Open));
    rig.say(3, new, &[message("a", 2)]);
    rig.travel();
    let place = leave(&mut rig, 0, id).expect("all have passed the cut on");
    arrive(&mut rig, 1, place);
    assert_eq!(rig.hears(1, place), "a=1 a=2");
}

#[test]
fn a_client_comes_back_behind_all_that_its_session_said_wherever_that_has_gone() {
    let mut rig = Rig::with_shards(3);
    let listener = subscriber(&mut rig, 0, OverflowPolicy::DropOldest);
    rig.shards[0].on_partial(listener, Partial::frame(5, None), true);
    let first = rig.open(1, OverflowPolicy::DropOldest);
    let number = first.number(ShardId(1));
    let ticket = rig.shards[1].succession.ticket(number);
    rig.say(1, first, &[message("a", 1)]);
    let second = go(&mut rig, 1, 2, first);
    rig.say(2, second, &[message("a", 2)]);
    let third = go(&mut rig, 2, 0, second);
    rig.say(0, third, &[message("a", 3)]);
    let home = go(&mut rig, 0, 1, third);
    let last = go(&mut rig, 1, 2, home);
    let new = rig.shards[0].on_open(Door::Native, Identity::Anonymous(None)).unwrap();
    rig.shards[0].on_greeting(new, Ok(Features::NONE));
    rig.say(0, new, &[Frame::Hello { name: "", overflow: 0, previous: number.0, ticket }]);
    rig.travel();
    assert_eq!(rig.shards[0].sessions().phase(new), Some(Phase::Hello), "the old one is still read");
    rig.say(2, last, &[message("a", 4)]);
    let _ = rig.shards[2].on_closed(last, None);
    rig.travel();
    assert_eq!(rig.shards[0].sessions().phase(new), Some(Phase::Open));
    rig.say(0, new, &[message("a", 5)]);
    assert_eq!(rig.hears(0, listener), "a=1 a=2 a=3 a=4 a=5");
    assert!((0..3).all(|shard| rig.shards[shard].succession.moved() == 0), "nobody remembers it");
}

#[test]
fn a_move_that_is_overtaken_by_the_end_of_its_session_leaves_nothing_behind() {
    for steps in 0..40 {
        let mut rig = Rig::with_shards(3);
        let id = subscriber(&mut rig, 0, OverflowPolicy::DropOldest);
        begin(&mut rig, 0, 1);
        for step in 0..steps {
            rig.travel_once(step % 3, (step + 1 + step / 9) % 3);
        }
        assert!(rig.shards[0].on_closed(id, None).is_some());
        rig.travel();
        assert!(rig.shards.iter().all(|shard| shard.sessions().is_empty()), "after {steps} steps");
        rig.audit();
        let again = subscriber(&mut rig, 0, OverflowPolicy::DropOldest);
        go(&mut rig, 0, 1, again);
    }
}

#[test]
fn a_drain_waits_for_those_that_have_been_cut_off_and_keeps_the_others() {
    for steps in 0..40 {
        let mut rig = Rig::with_shards(2);
        let id = subscriber(&mut rig, 0, OverflowPolicy::DropOldest);
        let publisher = rig.open(1, OverflowPolicy::DropOldest);
        rig.shards[1].on_partial(publisher, Partial::frame(5, None), true);
        begin(&mut rig, 0, 1);
        for step in 0..steps {
            rig.travel_once(step % 2, (step + 1) % 2);
        }
        rig.say(1, publisher, &[message("a", 1)]);
        rig.shards.iter_mut().for_each(Shard::on_drain);
        rig.travel();
        let heard = match leave(&mut rig, 0, id) {
            Some(place) => {
                arrive(&mut rig, 1, place);
                rig.hears(1, place)
            }
            None => rig.hears(0, id),
        };
        assert_eq!(heard, "a=1 shutting_down", "after {steps} steps");
    }
}

#[test]
fn a_slow_one_that_arrives_during_a_drain_is_told_that_it_was_slow() {
    let mut rig = Rig::new(&ShardConfig {
        shards: 2,
        bounds: QueueBounds { bytes_max: 1 << 20, frames_max: 1 },
        ..ShardConfig::default()
    });
    let id = subscriber(&mut rig, 0, OverflowPolicy::Disconnect);
    let publisher = rig.open(1, OverflowPolicy::DropOldest);
    rig.shards[1].on_partial(publisher, Partial::frame(5, None), true);
    rig.say(1, publisher, &[message("a", 1)]);
    rig.travel();
    begin(&mut rig, 0, 1);
    rig.travel();
    rig.say(1, publisher, &[message("a", 2)]);
    rig.shards.iter_mut().for_each(Shard::on_drain);
    rig.travel();
    let place = leave(&mut rig, 0, id).expect("it has been cut off");
    arrive(&mut rig, 1, place);
    assert_eq!(rig.hears(1, place), "slow_subscriber", "both messages are one too many");
}

/// Two shards under `block`: a subscriber on the second that holds who publishes more than one message, and a publisher on the
/// first.
fn a_slow_one_and_a_publisher() -> (Rig, SessionId, SessionId) {
    let mut rig = Rig::new(&ShardConfig {
        shards: 2,
        overflow: OverflowPolicy::Block,
        bounds: QueueBounds { bytes_max: 1 << 20, frames_max: 1 },
        ..ShardConfig::default()
    });
    let slow = subscriber(&mut rig, 1, OverflowPolicy::Block);
    let publisher = rig.open(0, OverflowPolicy::DropOldest);
    (rig, slow, publisher)
}

#[test]
fn a_publisher_leaves_when_nobody_holds_it() {
    let (mut rig, slow, publisher) = a_slow_one_and_a_publisher();
    begin(&mut rig, 0, 1);
    rig.say(0, publisher, &[message("a", 1), message("a", 2)]);
    rig.say(0, publisher, &[message("a", 3)]);
    rig.travel();
    assert_eq!(leave(&mut rig, 0, publisher), None, "the slow one holds it");
    assert_eq!(rig.hears(1, slow), "a=1 a=2 a=3");
    rig.travel();
    let place = leave(&mut rig, 0, publisher).expect("it is released");
    arrive(&mut rig, 1, place);
    rig.say(1, place, &[message("a", 4)]);
    assert_eq!(rig.hears(1, slow), "a=4");
}

#[test]
fn a_publisher_leaves_when_all_that_it_said_has_reached_every_shard() {
    let mut rig = Rig::with_shards(3);
    let far = subscriber(&mut rig, 2, OverflowPolicy::DropOldest);
    let publisher = rig.open(0, OverflowPolicy::DropOldest);
    rig.say(0, publisher, &[message("a", 1)]);
    assert_eq!(begin(&mut rig, 0, 1), 1);
    // The cut comes to the last shard by way of the other one, ahead of the message.
    for _ in 0..4 {
        for (from, to) in [(0, 1), (1, 0), (1, 2), (2, 1), (2, 0)] {
            while rig.travel_once(from, to) {}
        }
    }
    assert_eq!(leave(&mut rig, 0, publisher), None, "its message is on its way");
    rig.travel();
    let place = leave(&mut rig, 0, publisher).expect("nothing is in its way");
    arrive(&mut rig, 1, place);
    rig.say(1, place, &[message("a", 2)]);
    rig.travel();
    assert_eq!(rig.hears(2, far), "a=1 a=2");
}

#[test]
fn a_publisher_that_is_held_before_the_cut_stays() {
    let (mut rig, slow, publisher) = a_slow_one_and_a_publisher();
    rig.say(0, publisher, &[subscribe("b", 1)]);
    rig.travel();
    rig.hears(0, publisher);
    assert_eq!(begin(&mut rig, 0, 1), 1);
    rig.say(0, publisher, &[message("a", 1), message("a", 2)]);
    rig.say(0, publisher, &[message("a", 3)]);
    rig.travel();
    assert!(rig.shards[0].sessions().is_held(publisher));
    assert_eq!(Moving::of(&mut rig.shards[0]).departure(publisher), Parting::Stays);
    assert_eq!(rig.shards[1].sessions().len(), 1, "its place is given back");
    let other = rig.open(1, OverflowPolicy::DropOldest);
    rig.say(1, other, &[message("b", 1)]);
    rig.travel();
    assert_eq!(rig.hears(0, publisher), "b=1");
    assert_eq!(rig.hears(1, slow), "a=1 a=2 a=3 b=1");
    rig.travel();
    go(&mut rig, 0, 1, publisher);
}

#[test]
fn one_that_is_long_about_to_leave_is_not_given_up_and_hears_that_this_end_lives() {
    let mut rig = Rig::with_shards(2);
    let id = subscriber(&mut rig, 0, OverflowPolicy::DropOldest);
    assert_eq!(begin(&mut rig, 0, 1), 1);
    rig.wait(HEARTBEAT_DEFAULT * (HEARTBEATS_MISSED_MAX + 2));
    let heard = rig.hears(0, id);
    assert!(heard.matches("Ping").count() as u32 >= HEARTBEATS_MISSED_MAX, "{heard}");
    assert_eq!(rig.shards[0].sessions().phase(id), Some(Phase::Open));
    rig.travel();
    assert!(leave(&mut rig, 0, id).is_some());
}

#[test]
fn a_full_queue_holds_its_publishers_on_the_other_shard_as_well() {
    let mut rig = Rig::new(&ShardConfig {
        shards: 2,
        overflow: OverflowPolicy::Block,
        bounds: QueueBounds { bytes_max: 1 << 20, frames_max: 1 },
        ..ShardConfig::default()
    });
    let slow = subscriber(&mut rig, 0, OverflowPolicy::Block);
    let publishers = [0, 1].map(|shard| rig.open(shard, OverflowPolicy::DropOldest));
    for (shard, topic) in ["a", "b"].into_iter().enumerate() {
        rig.say(shard, publishers[shard], &[message(topic, 1)]);
        rig.say(shard, publishers[shard], &[message(topic, 2)]);
    }
    rig.travel();
    let are_held = |rig: &Rig| [0, 1].map(|shard| rig.shards[shard].sessions().is_held(publishers[shard]));
    assert_eq!(are_held(&rig), [true, true]);
    let place = go(&mut rig, 0, 1, slow);
    assert_eq!(are_held(&rig), [true, true]);
    assert_eq!(rig.hears(1, place), "a=1 a=2 b=1 b=2");
    rig.travel();
    assert_eq!(are_held(&rig), [false, false]);
}

#[test]
fn rules_that_the_new_shard_follows_already_are_followed_by_whoever_comes() {
    let none = Permissions::all().local(Rights::all().subscribe([]));
    // The place is refused, and the session stays.
    let mut rig = Rig::with_shards(2);
    let id = subscriber(&mut rig, 0, OverflowPolicy::DropOldest);
    assert!(rig.shards[1].on_permissions(&none));
    begin(&mut rig, 0, 1);
    rig.travel();
    assert_eq!(Moving::of(&mut rig.shards[0]).departure(id), Parting::Stays);
    // There are new rules when it is on its way: it ends, even if it could go on without its subscription.
    for features in [Features::NONE, Features::OURS] {
        let mut rig = Rig::with_shards(2);
        let id = rig.open_with(0, OverflowPolicy::DropOldest, (Identity::Anonymous(None), features));
        rig.say(0, id, &[subscribe(">", 1)]);
        rig.travel();
        assert_eq!(rig.hears(0, id), "!1");
        begin(&mut rig, 0, 1);
        rig.travel();
        let place = leave(&mut rig, 0, id).expect("it can leave");
        assert!(rig.shards[1].on_permissions(&none) && rig.shards[0].on_permissions(&none));
        arrive(&mut rig, 1, place);
        assert_eq!(rig.hears(1, place), "not_permitted");
    }
}

#[test]
fn a_session_with_strikes_stays_where_they_are_counted() {
    let mut rig = Rig::with_shards(2);
    assert!(rig.shards[0].on_permissions(&Permissions::all().local(Rights::all().publish([]))));
    let id = rig.open_with(0, OverflowPolicy::DropOldest, (Identity::Anonymous(None), Features::OURS));
    rig.say(0, id, &[message("a", 1)]);
    assert_eq!(rig.hears(0, id), "?a");
    assert_eq!(begin(&mut rig, 0, 1), 0);
    rig.wait(STRIKES_PERIOD);
    assert_eq!(begin(&mut rig, 0, 1), 1);
}

#[test]
fn sessions_that_wait_for_something_or_are_known_by_their_place_stay() {
    let mut rig = Rig::with_shards(2);
    let watch = Frame::WatchSubscribers { topic: b"a", request: 1 };
    let renew = Frame::Renew { publisher: 1, epoch: 1, request: 1 };
    let many: Vec<String> = (0..=GROUP_FILTERS_MAX).map(|n| format!("f.{n}")).collect();
    let many: Vec<Frame<'_>> = many.iter().map(|filter| subscribe(filter, 1)).collect();
    let news = Frame::WatchPublishers { filter: b"a", request: 1, kind: 1 };
    for said in [&[watch][..], &[renew], &many, &[news]] {
        let id = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, id, said);
        rig.travel();
    }
    rig.open_zmtp(b"SUB");
    let bound = rig.open(0, OverflowPolicy::DropOldest);
    Moving::of(&mut rig.shards[0]).bind(bound);
    assert_eq!(begin(&mut rig, 0, 1), 0);
    rig.open(0, OverflowPolicy::DropOldest);
    assert_eq!(begin(&mut rig, 0, 1), 1, "but for one that does nothing of all that");
}

#[test]
fn a_session_is_counted_where_it_is_for_those_that_wait_for_subscribers() {
    let mut rig = Rig::with_shards(2);
    let waits = rig.open(1, OverflowPolicy::DropOldest);
    rig.say(1, waits, &[Frame::WatchSubscribers { topic: b"a", request: 9 }]);
    let id = subscriber(&mut rig, 0, OverflowPolicy::DropOldest);
    rig.wait(corecast_executors::TICK);
    rig.travel();
    rig.hears(1, waits);
    begin(&mut rig, 0, 1);
    rig.travel();
    rig.wait(corecast_executors::TICK);
    rig.travel();
    assert_eq!(rig.hears(1, waits), "", "it is not counted twice");
    let place = leave(&mut rig, 0, id).expect("it can leave");
    arrive(&mut rig, 1, place);
    rig.wait(corecast_executors::TICK * 2);
    rig.travel();
    assert!(rig.hears(1, waits).ends_with("9:1"));
}
