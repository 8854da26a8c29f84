//! History over an engine: each broker keeps what it hears of the others, and who starts with it gets each message once, in order.

use super::cluster::{Brokers, Cluster};
use super::server::Trouble;
use crate::seeds::Seeds;

/// Runs of the seeded test: some seconds in the dev profile.
const SEEDS: u64 = 100;

/// The topics of each broker's publishers; the last of each is no subject.
const TOPICS: [[&str; 3]; 3] = [["a.0", "a.1", "a. 2"], ["b.0", "b.1", "b. 2"], ["c.0", "c.1", "c. 2"]];

/// A subscriber that starts with all that is kept of these topics.
struct Late {
    guest: (usize, usize),
    filter: &'static str,
    request: u32,
}

/// Publishes, carries and lets subscribers start, in any order; returns the messages that all of them have heard.
fn run(seed: u64) -> u64 {
    let mut rng = fastrand::Rng::with_seed(seed);
    let sides = rng.usize(2..4);
    let setting = Cluster {
        shards: (0..sides).map(|_| rng.usize(1..4)).collect(),
        seed,
        link_items: rng.usize(1..10),
        keep: vec![">=1h".parse().expect("a rule")],
        ..Cluster::default()
    };
    let mut brokers = Brokers::new(&setting);
    let publishers: Vec<_> = (0..sides)
        .map(|side| {
            let shard = rng.usize(..setting.shards[side]);
            brokers.open(side, shard, &[])
        })
        .collect();
    // In some runs the engine brings things twice, or late, which is no loss, or it loses some, which is told.
    let trouble =
        [Trouble::default(), Trouble { lost: 20, doubled: 10, late: 15, refused: 0, lag: 0 }][rng.usize(..2)];
    brokers.server.trouble(trouble);
    let mut published = [[0; 3]; 3];
    let mut late: Vec<Late> = Vec::new();
    for _ in 0..rng.usize(100..1_000) {
        let side = rng.usize(..sides);
        match rng.u32(..100) {
            0..30 => {
                let topic = rng.usize(..3);
                published[side][topic] += 1;
                let number = published[side][topic];
                brokers.publish(publishers[side], TOPICS[side][topic], number);
            }
            30..32 if late.len() < 20 => {
                let guest = brokers.welcome(side, rng.usize(..setting.shards[side]));
                let filter = [">", "a.*", "b.>", "*.0", "c.1"][rng.usize(..5)];
                let request = brokers.guest(guest).start(filter);
                late.push(Late { guest, filter, request });
            }
            32..40 => brokers.tick(),
            40..70 => drop(brokers.houses[side].go_on()),
            which => drop(brokers.step(side, which % 4)),
        }
    }
    brokers.mend();
    let mut heard = 0;
    for Late { guest, filter, request } in late {
        assert!(brokers.guest(guest).done.contains(&request), "{guest:?} has not caught up");
        let filter_of = corecast::Filter::parse(filter).expect("a filter");
        for (side, topics) in TOPICS.iter().enumerate().take(sides) {
            for (topic, last) in topics.iter().zip(published[side]) {
                let of_topic = brokers.guest(guest).heard.get(*topic).copied().unwrap_or_default();
                let wanted = if filter_of.matches(topic.as_bytes()) { last } else { 0 };
                let text = format!("{guest:?}, {filter}, {topic}: {of_topic:?} of {wanted}");
                // Who had the last of them, by its number, or was told that it is missing, has had all or was told.
                assert_eq!(of_topic.last + of_topic.told, wanted, "{text}");
                assert!(of_topic.messages + of_topic.told_ever == wanted || of_topic.unknown > 0, "{text}");
                let is_calm = trouble == Trouble::default() || side == guest.0;
                assert!(!is_calm || of_topic.messages == wanted, "{text}");
                heard += of_topic.messages;
            }
        }
    }
    heard
}

#[test]
fn history_of_all_brokers_meets_live_messages_without_a_hole_or_a_double() {
    let seeds = Seeds::of(SEEDS);
    let heard: u64 = seeds.run(run).sum();
    assert!(!seeds.are_many() || heard > 20_000, "{heard} messages");
}
