//! The promises that two joined brokers keep, in seeded runs and in single cases.

use corecast::internals::carrier::Owed;
use corecast::internals::wire::Features;
use corecast::{OverflowPolicy, QueueBounds};

use super::guest::Heard;
use super::pair::{Pair, Setting};
use crate::seeds::Seeds;

/// Runs of the seeded test: about a second in the dev profile.
const SEEDS: u64 = 150;

/// The topics of each broker's publishers, one publisher each.
const TOPICS: [[&str; 3]; 2] = [["a.0", "a.1", "a.2"], ["b.0", "b.1", "b.2"]];
const FILTERS: [&str; 6] = ["a.*", "b.*", ">", "a.1", "b.2", "*.0"];

fn joined(setting: &Setting) -> Pair {
    let mut pair = Pair::new(setting);
    pair.tick();
    pair.rest();
    pair
}

/// Room for few messages.
fn tight() -> QueueBounds {
    QueueBounds { bytes_max: 2_000, frames_max: 10 }
}

#[test]
fn messages_cross_once_in_order_and_every_hole_is_told() {
    let (mut dropped, mut received) = (0, 0);
    let seeds = Seeds::of(SEEDS);
    for (drops, messages) in seeds.run(run) {
        dropped += drops;
        received += messages;
    }
    let happened = dropped > 1_000 && received > 10_000;
    assert!(happened || !seeds.are_many(), "{dropped} dropped, {received} received");
}

/// A seeded run of two brokers with publishers, subscribers that stay and some that do not, and a joint that is slow, and is
/// cut now and then. Returns the messages that the joint dropped, and those that it brought.
fn run(seed: u64) -> (u64, u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let policies = [
        OverflowPolicy::DropOldest,
        OverflowPolicy::DropNewest,
        OverflowPolicy::Latest,
        OverflowPolicy::Block,
    ];
    let setting = Setting {
        shards: [rng.usize(1..4), rng.usize(1..4)],
        overflow: policies[rng.usize(..policies.len())],
        bounds: if rng.bool() { tight() } else { QueueBounds::default() },
        link_items: rng.usize(1..10),
        parcels: rng.usize(1..6),
        features: [(); 2].map(|()| if rng.bool() { Features::OURS } else { Features::NONE }),
        ..Setting::default()
    };
    let mut pair = joined(&setting);
    let mut guests = Vec::new();
    for side in 0..2 {
        for _ in 0..3 {
            let shard = rng.usize(..setting.shards[side]);
            guests.push(pair.open(side, shard, &[FILTERS[rng.usize(..FILTERS.len())]]));
        }
        let fickle = pair.open(side, 0, &[]);
        pair.guest(fickle).is_fickle = true;
        guests.push(fickle);
    }
    let publishers = [0, 1].map(|side| pair.open(side, rng.usize(..setting.shards[side]), &[]));
    let mut published = [[0_u64; 3]; 2];
    let slowness = rng.u32(0..4);
    for _ in 0..rng.usize(200..1_500) {
        let side = rng.usize(..2);
        match rng.u32(0..100) {
            0..40 => {
                for _ in 0..rng.usize(1..6) {
                    let topic = rng.usize(..3);
                    let (name, first) = (TOPICS[side][topic], published[side][topic] + 1);
                    let payload = vec![7; rng.usize(0..100)];
                    let count = if rng.u8(0..3) == 0 { rng.u64(2..6) } else { 1 };
                    let publisher = pair.guest(publishers[side]);
                    match count {
                        1 => publisher.publish(name, first, &payload),
                        _ => publisher.publish_run(name, first, (count, &payload)),
                    }
                    published[side][topic] += count;
                }
            }
            40..60 => {
                let guest = rng.usize(..pair.houses[side].guests.len());
                pair.houses[side].read(guest, rng.usize(1..500));
            }
            60..75 => {
                let neighbours = pair.houses[side].neighbours();
                let (from, to) = (rng.usize(..neighbours), rng.usize(..neighbours));
                if from != to {
                    pair.houses[side].travel(from, to, rng.usize(1..8));
                }
            }
            75..85 if rng.u32(0..4) >= slowness => _ = pair.send_parcel(side),
            85..90 => _ = pair.receive_parcel(side),
            90..96 => {
                let guest = rng.usize(..pair.houses[side].guests.len());
                pair.houses[side].go_on_moving(guest);
                pair.houses[side].flush(guest);
                pair.houses[side].guests[guest].read(rng.usize(1..2_000));
            }
            96 => pair.tick(),
            97 => {
                let (filter, wanted) = (FILTERS[rng.usize(..FILTERS.len())], rng.bool());
                pair.guest(guests[side * 4 + 3]).ask(filter, wanted);
            }
            98 if rng.u8(0..8) == 0 => pair.cut(),
            98 => {
                let shards = setting.shards[side];
                let (from, by) = (rng.usize(..shards), rng.usize(..shards));
                if by > 0 {
                    pair.houses[side].begin_to_move(from, (from + by) % shards);
                }
            }
            99 => pair.loopback.mend(),
            _ => {}
        }
    }
    pair.mend();
    pair.rest();
    pair.mend();
    pair.rest();
    let crossed = [0, 1].map(|side| pair.crossed(side));
    for (at, (side, guest)) in guests.iter().enumerate().filter(|(at, _)| at % 4 != 3) {
        for (topic, heard) in &pair.houses[*side].guests[*guest].heard {
            let of = usize::from(topic.starts_with('b'));
            let all = published[of][topic[2..].parse::<usize>().expect("a number")];
            assert_eq!(all - heard.last, heard.told, "guest {at}, {topic}: {heard:?} of {all}, {setting:?}");
            assert!(of != *side || heard.told_ever == 0, "a broker's own messages do not pass the joint");
        }
    }
    for [here, far] in [[0, 1], [1, 0]] {
        assert_eq!(crossed[here].sent, crossed[far].received, "what has crossed is confirmed: {setting:?}");
        assert_eq!((crossed[here].lost, crossed[here].untold), (0, 0));
    }
    (crossed[0].dropped + crossed[1].dropped, crossed[0].received + crossed[1].received)
}

#[test]
fn nothing_comes_back() {
    let mut pair = joined(&Setting::default());
    let here: Vec<_> = (0..2).map(|shard| pair.open(0, shard, &[">"])).collect();
    let there: Vec<_> =
        (0..3).flat_map(|shard| [pair.open(1, shard, &[">"]), pair.open(1, shard, &["a.*"])]).collect();
    let publisher = pair.open(0, 0, &[]);
    for number in 1..=10 {
        pair.publish(publisher, "a.0", number);
        pair.rest();
    }
    for guest in here.into_iter().chain(there) {
        assert_eq!(pair.guest(guest).heard["a.0"].messages, 10);
    }
    assert_eq!(
        (pair.crossed(0).sent, pair.crossed(1).received),
        (10, 10),
        "once, for six subscribers on three shards"
    );
    assert_eq!((pair.crossed(1).sent, pair.crossed(0).received), (0, 0), "and none of it back");
}

#[test]
fn interest_crosses_first_on_and_last_off() {
    let mut pair = joined(&Setting::default());
    let guests: Vec<_> = (0..6).map(|n| pair.open(1, n % 3, &["a.*"])).collect();
    assert_eq!(pair.interest[0], [("a.*".to_owned(), true)]);
    for (left, guest) in guests.into_iter().enumerate() {
        assert_eq!(pair.interest[0].len(), 1, "{left}");
        pair.guest(guest).ask("a.*", false);
        pair.rest();
    }
    assert_eq!(pair.interest[0][1..], [("a.*".to_owned(), false)]);
    let publisher = pair.open(0, 1, &[]);
    pair.publish(publisher, "a.0", 1);
    pair.rest();
    assert_eq!(pair.crossed(0).sent, 0, "nobody wants it");
}

#[test]
fn a_subscription_is_answered_when_the_other_broker_routes_by_it_or_is_away() {
    let mut pair = joined(&Setting::default());
    let guest = pair.open(1, 0, &[]);
    let asks = |pair: &mut Pair, filter| {
        let request = pair.guest(guest).ask(filter, true);
        while pair.houses[1].go_on() {}
        request
    };
    let first = asks(&mut pair, "a.0");
    assert!(!pair.guest(guest).done.contains(&first), "the other broker has not heard of it");
    pair.rest();
    assert!(pair.guest(guest).done.contains(&first));
    let second = asks(&mut pair, "a.1");
    assert!(!pair.guest(guest).done.contains(&second));
    pair.cut();
    while pair.houses[1].go_on() {}
    assert!(pair.guest(guest).done.contains(&second), "nobody waits for a broker that is away");
    let third = asks(&mut pair, "a.2");
    assert!(pair.guest(guest).done.contains(&third));
    pair.mend();
    pair.rest();
    let publisher = pair.open(0, 0, &[]);
    for topic in ["a.0", "a.1", "a.2"] {
        pair.publish(publisher, topic, 1);
    }
    pair.rest();
    assert_eq!(pair.guest(guest).heard.len(), 3, "it hears of all when it is back");
}

/// A pair whose second broker takes no parcels, a subscriber there, and a publisher here.
fn with_a_slow_far_end(overflow: OverflowPolicy) -> (Pair, (usize, usize), (usize, usize)) {
    let mut pair = joined(&Setting { overflow, bounds: tight(), ..Setting::default() });
    let subscriber = pair.open(1, 2, &["a.*"]);
    let publisher = pair.open(0, 0, &[]);
    (pair, subscriber, publisher)
}

#[test]
fn a_slow_far_end_holds_the_publisher_under_block() {
    let (mut pair, subscriber, publisher) = with_a_slow_far_end(OverflowPolicy::Block);
    let is_held = |pair: &mut Pair| {
        let (shard, session) = (pair.guest(publisher).shard, pair.guest(publisher).session);
        pair.houses[0].shards[shard].sessions().is_held(session)
    };
    let mut number = 0;
    while !is_held(&mut pair) {
        number += 1;
        assert!(number < 100, "nothing holds it");
        pair.publish(publisher, "a.0", number);
        while pair.houses[0].go_on() {}
    }
    assert!(number > 1);
    pair.rest();
    assert!(!is_held(&mut pair));
    let Heard { messages, told_ever, .. } = pair.guest(subscriber).heard["a.0"];
    assert_eq!((messages, told_ever), (number, 0));
    // A far end that is away holds nobody, and is told of what it missed.
    pair.cut();
    for n in 1..=100 {
        pair.publish(publisher, "a.0", number + n);
        while pair.houses[0].go_on() {}
        assert!(!is_held(&mut pair));
    }
    pair.mend();
    pair.rest();
    let Heard { messages, told_ever, last, .. } = pair.guest(subscriber).heard["a.0"];
    assert_eq!((messages + told_ever, last), (number + 100, number + 100));
    assert!(told_ever > 80 && told_ever == pair.crossed(0).dropped, "{told_ever}");
}

#[test]
fn a_far_end_that_is_away_misses_no_more_than_the_queue_has_no_room_for() {
    for overflow in [OverflowPolicy::DropOldest, OverflowPolicy::DropNewest, OverflowPolicy::Latest] {
        let (mut pair, subscriber, publisher) = with_a_slow_far_end(overflow);
        pair.cut();
        for number in 1..=50 {
            pair.publish(publisher, "a.0", number);
            while pair.houses[0].go_on() {}
        }
        pair.mend();
        pair.rest();
        pair.publish(publisher, "a.1", 1);
        pair.rest();
        let Heard { messages, told_ever, last, told, .. } = pair.guest(subscriber).heard["a.0"];
        assert_eq!(messages + told_ever, 50, "{overflow}");
        assert!(messages >= 1 && told_ever == pair.crossed(0).dropped, "{overflow}: {messages} came");
        match overflow {
            OverflowPolicy::DropNewest => assert_eq!((last, told), (messages, told_ever), "an unbroken past"),
            _ => assert_eq!((last, told), (50, 0), "the newest came"),
        }
        assert_eq!(pair.guest(subscriber).heard["a.1"].messages, 1);
    }
}

#[test]
fn what_was_under_way_when_the_connection_broke_is_sent_again_and_comes_once() {
    let mut pair = joined(&Setting::default());
    let subscriber = pair.open(1, 0, &[">"]);
    let publisher = pair.open(0, 0, &[]);
    for number in 1..=30 {
        pair.publish(publisher, "a.0", number);
        while pair.houses[0].go_on() {}
        pair.send_parcel(0);
        // Every third parcel arrives, and its confirmation never does.
        if number % 3 == 0 {
            pair.receive_parcel(1);
            pair.cut();
            pair.mend();
        }
    }
    pair.rest();
    let Heard { messages, told_ever, .. } = pair.guest(subscriber).heard["a.0"];
    assert_eq!((messages, told_ever), (30, 0));
    assert_eq!((pair.crossed(0).sent, pair.crossed(1).received), (30, 30));
}

#[test]
fn what_a_broker_that_starts_anew_cannot_be_told_is_counted() {
    let mut pair = joined(&Setting::default());
    pair.open(1, 0, &["a.*"]);
    let publisher = pair.open(0, 0, &[]);
    pair.cut();
    for number in 1..=5 {
        pair.publish(publisher, "a.0", number);
        while pair.houses[0].go_on() {}
    }
    pair.restart_second();
    pair.mend();
    pair.rest();
    assert_eq!((pair.crossed(0).lost, pair.crossed(0).sent), (5, 0));
    assert_eq!(pair.houses[0].carrier.held_bytes(), 0);
    pair.publish(publisher, "a.0", 6);
    pair.rest();
    assert_eq!(pair.crossed(0).sent, 0, "its interest went with it");
    let subscriber = pair.open(1, 2, &["a.*"]);
    pair.guest(subscriber).heard.insert("a.0".to_owned(), Heard { last: 6, ..Heard::default() });
    pair.publish(publisher, "a.0", 7);
    pair.rest();
    assert_eq!(pair.guest(subscriber).heard["a.0"].messages, 1);
}

#[test]
fn a_subscriber_with_block_holds_what_comes_and_nothing_else() {
    let mut pair = joined(&Setting { client_bounds: tight(), ..Setting::default() });
    let shard = 1;
    let slow = (1, pair.houses[1].welcome(shard, OverflowPolicy::Block));
    pair.guest(slow).ask("a.*", true);
    pair.rest();
    let publisher = pair.open(0, 0, &[]);
    let moves = |pair: &mut Pair| {
        for _ in 0..200 {
            for side in 0..2 {
                for from in 0..pair.houses[side].neighbours() {
                    for to in (0..pair.houses[side].neighbours()).filter(|to| *to != from) {
                        pair.houses[side].travel(from, to, 4);
                    }
                }
                pair.send_parcel(side);
                pair.receive_parcel(side);
            }
        }
    };
    // It reads nothing.
    for number in 1..=500 {
        pair.publish(publisher, "a.0", number);
        moves(&mut pair);
        if number % 100 == 0 {
            assert!(pair.crossed(1).received < 100, "{:?}", pair.crossed(1));
        }
    }
    // Interest is exchanged all the same.
    let other = (1, pair.houses[1].welcome(0, OverflowPolicy::DropOldest));
    pair.guest(other).ask("c", true);
    pair.houses[1].read(other.1, usize::MAX);
    moves(&mut pair);
    assert_eq!(pair.interest[0].last(), Some(&("c".to_owned(), true)));
    pair.rest();
    let Heard { messages, told_ever, .. } = pair.guest(slow).heard["a.0"];
    assert_eq!((messages, told_ever), (500, 0));
}

#[test]
fn a_joined_broker_drains() {
    let mut pair = joined(&Setting::default());
    let subscriber = pair.open(1, 1, &[">"]);
    let publisher = pair.open(0, 0, &[]);
    pair.publish(publisher, "a.0", 1);
    pair.rest();
    pair.houses[1].shards.iter_mut().for_each(|shard| shard.on_drain());
    pair.publish(publisher, "a.0", 2);
    for _ in 0..50 {
        let house = &mut pair.houses[1];
        for from in 0..house.neighbours() {
            for to in (0..house.neighbours()).filter(|to| *to != from) {
                house.travel(from, to, 4);
            }
        }
        pair.send_parcel(0);
        pair.receive_parcel(1);
    }
    let session = pair.guest(subscriber).session;
    let phase = pair.houses[1].shards[1].sessions().phase(session);
    assert_eq!(phase, Some(corecast::internals::shard::Phase::Closing), "no neighbour keeps it from that");
    assert_eq!(pair.guest(subscriber).heard["a.0"].messages, 1);
    // It confirms nothing that it has not handed on.
    let crossed = |pair: &Pair| (pair.crossed(0).sent, pair.crossed(1).received);
    assert_eq!(crossed(&pair), (1, 1));
    pair.restart_second();
    pair.mend();
    pair.rest();
    assert_eq!(
        (pair.crossed(0).sent, pair.crossed(0).lost),
        (1, 1),
        "its publishers' broker knows that it is lost"
    );
}

/// The first broker has published so many messages, with a subscriber on the second, and stops; its clients have gone.
fn stopping(messages: u64) -> (Pair, (usize, usize)) {
    let mut pair = joined(&Setting::default());
    let subscriber = pair.open(1, 1, &["a.0"]);
    let publisher = pair.open(0, 1, &[]);
    (1..=messages).for_each(|number| pair.publish(publisher, "a.0", number));
    pair.houses[0].shards.iter_mut().for_each(|shard| shard.on_drain());
    while pair.houses[0].go_on() {}
    pair.houses[0].part(publisher.1);
    (pair, subscriber)
}

#[test]
fn a_broker_that_stops_waits_until_its_last_messages_are_confirmed() {
    let (mut pair, subscriber) = stopping(3);
    let owed = |pair: &Pair| pair.houses[0].shards[0].links().owed();
    assert_eq!((owed(&pair).messages, owed(&pair).bytes > 0), (3, true));
    assert!(!pair.houses[0].is_drained() && pair.houses[0].shards[1].is_drained(), "the first shard waits");
    while pair.send_parcel(0) {}
    while pair.receive_parcel(1) {}
    while pair.houses[1].go_on() {}
    assert_eq!(pair.guest(subscriber).heard["a.0"].messages, 3);
    while pair.houses[0].go_on() {}
    assert!(!pair.houses[0].is_drained(), "the confirmation is under way");
    pair.rest();
    assert_eq!(owed(&pair), Owed::default());
    assert!(pair.houses[0].is_drained());
}

#[test]
fn a_broker_with_nothing_to_send_waits_for_no_far_end() {
    for is_cut in [false, true] {
        let (mut pair, _) = stopping(0);
        if is_cut {
            pair.cut();
        }
        while pair.houses[0].go_on() {}
        assert!(pair.houses[0].is_drained());
    }
}

#[test]
fn a_broker_whose_far_end_is_away_knows_what_it_would_lose() {
    let (mut pair, subscriber) = stopping(3);
    pair.cut();
    for _ in 0..100 {
        pair.tick();
        pair.rest();
    }
    assert!(!pair.houses[0].is_drained(), "until the drain timeout");
    assert_eq!(pair.houses[0].shards[0].links().owed().messages, 3);
    pair.mend();
    pair.rest();
    assert_eq!(pair.guest(subscriber).heard["a.0"].messages, 3);
    assert!(pair.houses[0].is_drained(), "it came back in time");
}
