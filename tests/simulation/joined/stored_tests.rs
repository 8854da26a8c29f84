//! History that is stored at the engine: all brokers are killed, and others come in their place. Whoever starts with history there has
//! each message that was confirmed, once and in order, and is told of each hole among the others.

use super::cluster::{Brokers, Cluster};
use super::server::Trouble;
use crate::seeds::Seeds;

/// Runs of the seeded test: some seconds in the dev profile.
const SEEDS: u64 = 100;

/// The topics of each broker's publishers; the last of each is no subject.
const TOPICS: [[&str; 2]; 3] = [["a.0", "a. 1"], ["b.0", "b. 1"], ["c.0", "c. 1"]];

/// Numbers of the messages on all topics, and how far they are confirmed.
#[derive(Default)]
struct Said {
    published: [[u64; 2]; 3],
    confirmed: [[u64; 2]; 3],
    /// Flushes that were asked for: the broker, the request, and what had been published.
    asked: Vec<(usize, u32, [u64; 2])>,
}

impl Said {
    fn note_confirmed(&mut self, brokers: &mut Brokers, publishers: &[(usize, usize)]) {
        for (side, request, published) in &self.asked {
            if brokers.guest(publishers[*side]).done.contains(request) {
                for (confirmed, published) in self.confirmed[*side].iter_mut().zip(published) {
                    *confirmed = (*confirmed).max(*published);
                }
            }
        }
    }
}

/// Publishes and confirms in any order, kills all brokers, and looks at the history that is left. Returns the messages that were
/// confirmed, and those that were not and are there.
fn run(seed: u64) -> (u64, u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let sides = rng.usize(1..4);
    let setting = Cluster {
        shards: (0..sides).map(|_| rng.usize(1..4)).collect(),
        seed,
        link_items: rng.usize(1..10),
        keep: vec![">=1h,confirmed".parse().expect("a rule")],
        stores: true,
        ..Cluster::default()
    };
    let mut brokers = Brokers::new(&setting);
    let publishers: Vec<_> = (0..sides)
        .map(|side| {
            let shard = rng.usize(..setting.shards[side]);
            brokers.open(side, shard, &[])
        })
        .collect();
    let mut said = Said::default();
    let troubles = [Trouble::default(), Trouble { doubled: 10, refused: 10, late: 15, lost: 0, lag: 0 }];
    let trouble = troubles[rng.usize(..2)];
    brokers.server.trouble(trouble);
    for _ in 0..rng.usize(100..800) {
        let side = rng.usize(..sides);
        match rng.u32(..100) {
            0..16 => {
                let topic = rng.usize(..2);
                said.published[side][topic] += 1;
                brokers.publish(publishers[side], TOPICS[side][topic], said.published[side][topic]);
            }
            16..20 => {
                let request = brokers.guest(publishers[side]).flush();
                said.asked.push((side, request, said.published[side]));
            }
            20..22 if rng.u32(..5) == 0 => brokers.cut(side, false),
            22..28 => brokers.tick(),
            28..48 => drop(brokers.houses[side].go_on()),
            which => drop(brokers.step(side, which % 4)),
        }
    }
    said.note_confirmed(&mut brokers, &publishers);
    brokers.server.calm();
    for side in 0..sides {
        brokers.restart(side);
    }
    brokers.wait(50);
    let mut confirmed = 0;
    let mut others = 0;
    for side in 0..sides {
        let guest = brokers.welcome(side, rng.usize(..setting.shards[side]));
        let request = brokers.guest(guest).start(">");
        brokers.wait(50);
        assert!(brokers.guest(guest).done.contains(&request), "it has not caught up");
        for (topics, side) in TOPICS.iter().zip(0..sides) {
            for (at, topic) in topics.iter().enumerate() {
                let (published, least) = (said.published[side][at], said.confirmed[side][at]);
                let heard = brokers.guest(guest).heard.get(*topic).copied().unwrap_or_default();
                let text = format!("{topic}: {heard:?} of {published}, {least} are confirmed");
                assert!(heard.last >= least && heard.last <= published, "{text}");
                assert_eq!((heard.messages + heard.told_ever, heard.unknown), (heard.last, 0), "{text}");
                // What is told to be missing was refused, and was not stored before all was killed.
                assert!(heard.messages >= least && (trouble.refused > 0 || heard.told_ever == 0), "{text}");
                confirmed += least;
                others += heard.messages - least;
            }
        }
    }
    (confirmed, others)
}

#[test]
fn what_was_confirmed_is_there_when_all_brokers_were_killed() {
    let seeds = Seeds::of(SEEDS);
    let (mut confirmed, mut others) = (0, 0);
    for (of_seed, others_of_seed) in seeds.run(run) {
        confirmed += of_seed;
        others += others_of_seed;
    }
    assert!(!seeds.are_many() || confirmed.min(others) > 500, "{confirmed} and {others} messages");
}

#[test]
fn a_broker_goes_on_without_its_history_if_no_store_answers() {
    let keep = vec![">=1h".parse().expect("a rule")];
    let mut brokers = Brokers::new(&Cluster { shards: vec![1], keep, stores: true, ..Cluster::default() });
    let publisher = brokers.open(0, 0, &[]);
    brokers.publish(publisher, "a.0", 1);
    brokers.wait(10);
    brokers.restart(0);
    brokers.cut(0, true);
    let late = brokers.welcome(0, 0);
    let request = brokers.guest(late).start(">");
    brokers.wait_long(500);
    assert!(!brokers.guest(late).done.contains(&request), "it waits for its history");
    brokers.wait_long(200);
    assert!(brokers.guest(late).done.contains(&request) && brokers.guest(late).heard.is_empty());
    assert!(brokers.engine(0).has_loaded() && !brokers.engine(0).has_all_history());
}

/// Publishes at one broker, whose messages reach their store late, while another comes and goes. Returns the messages of history there.
fn come_back(seed: u64) -> u64 {
    let mut rng = fastrand::Rng::with_seed(seed);
    let setting = Cluster {
        shards: (0..2).map(|_| rng.usize(1..3)).collect(),
        seed,
        link_items: rng.usize(1..10),
        keep: vec![">=1h".parse().expect("a rule")],
        stores: true,
        ..Cluster::default()
    };
    let mut brokers = Brokers::new(&setting);
    let publisher = brokers.open(0, rng.usize(..setting.shards[0]), &[]);
    // It stores half or a third of what it could.
    brokers.server.trouble(Trouble { lag: rng.u32(2..4), ..Trouble::default() });
    let mut published = [0; 2];
    for _ in 0..rng.usize(1_000..3_000) {
        match rng.u32(..100) {
            0..6 => {
                let topic = rng.usize(..2);
                published[topic] += 1;
                brokers.publish(publisher, TOPICS[0][topic], published[topic]);
            }
            6 if rng.u32(..12) == 0 => {
                brokers.restart(1);
                brokers.tick();
                // They have heard of each other before it takes nobody to be there.
                for (side, which) in
                    (0..40).flat_map(|_| (0..2).flat_map(|side| (0..4).map(move |which| (side, which))))
                {
                    let _ = brokers.houses[side].go_on() | brokers.step(side, which);
                }
            }
            7..9 => brokers.tick(),
            9..60 => drop(brokers.houses[rng.usize(..2)].go_on()),
            which => drop(brokers.step(rng.usize(..2), which % 4)),
        }
    }
    brokers.mend();
    assert!(brokers.engine(1).has_all_history());
    let guest = brokers.welcome(1, rng.usize(..setting.shards[1]));
    let request = brokers.guest(guest).start(">");
    brokers.wait(50);
    assert!(brokers.guest(guest).done.contains(&request), "it has not caught up");
    for (topic, published) in TOPICS[0].iter().zip(published) {
        let heard = brokers.guest(guest).heard.get(*topic).copied().unwrap_or_default();
        assert_eq!((heard.messages, heard.told_ever, heard.unknown), (published, 0, 0), "{topic}: {heard:?}");
    }
    published.iter().sum()
}

#[test]
fn a_broker_that_comes_back_has_what_was_not_stored_yet_when_it_came() {
    let seeds = Seeds::of(SEEDS);
    let heard: u64 = seeds.run(come_back).sum();
    assert!(!seeds.are_many() || heard > 10_000, "{heard} messages");
}
