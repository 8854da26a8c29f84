//! Counts of subscribers over an engine: a message that is published behind a count reaches all whom it counts, and whatever is
//! lost of the words between brokers, counts come to be true.

use super::cluster::{Brokers, Cluster};
use super::server::Trouble;
use crate::seeds::Seeds;

/// Runs of the seeded test: some seconds in the dev profile.
const SEEDS: u64 = 100;

/// A subscriber, and a publisher that waits for it.
struct Meeting {
    topic: String,
    publisher: (usize, usize),
    request: u32,
    subscribers: Vec<(usize, usize)>,
    /// Its publisher has seen all of them, and published one message.
    has_met: bool,
}

struct Run {
    rng: fastrand::Rng,
    brokers: Brokers,
    shards: Vec<usize>,
    meetings: Vec<Meeting>,
}

impl Run {
    fn draw(seed: u64, lost: u32) -> Run {
        let mut rng = fastrand::Rng::with_seed(seed);
        let shards: Vec<usize> = (0..rng.usize(2..4)).map(|_| rng.usize(1..3)).collect();
        let setting =
            Cluster { shards: shards.clone(), link_items: rng.usize(1..10), seed, ..Cluster::default() };
        let mut brokers = Brokers::new(&setting);
        brokers.server.trouble(Trouble {
            lost,
            doubled: rng.u32(0..6),
            late: rng.u32(0..6),
            refused: 0,
            lag: 0,
        });
        Run { rng, brokers, shards, meetings: Vec::new() }
    }

    /// Some subscribers of a topic of their own, and a publisher, all of which have asked.
    fn begin_meeting(&mut self) {
        let topic = format!("m.{}.x", self.meetings.len());
        let wide = topic.replace("x", "*");
        let (rng, brokers) = (&mut self.rng, &mut self.brokers);
        let mut place = || {
            let side = rng.usize(..self.shards.len());
            (side, rng.usize(..self.shards[side]))
        };
        let (side, shard) = place();
        let publisher = brokers.welcome(side, shard);
        let request = brokers.guest(publisher).watch(&topic);
        let mut subscribers = Vec::new();
        for filter in [&topic, &wide, &topic] {
            let (side, shard) = place();
            let subscriber = brokers.welcome(side, shard);
            brokers.guest(subscriber).is_fickle = true;
            brokers.guest(subscriber).ask(filter, true);
            subscribers.push(subscriber);
        }
        self.meetings.push(Meeting { topic, publisher, request, subscribers, has_met: false });
    }

    fn act(&mut self) {
        let (rng, brokers) = (&mut self.rng, &mut self.brokers);
        let side = rng.usize(..self.shards.len());
        match rng.u32(0..1_000) {
            0..200 => {
                let guest = rng.usize(..brokers.houses[side].guests.len().max(1));
                if guest < brokers.houses[side].guests.len() {
                    brokers.houses[side].read(guest, rng.usize(1..500));
                    brokers.houses[side].flush(guest);
                    brokers.houses[side].guests[guest].read(usize::MAX);
                }
            }
            200..500 => {
                let neighbours = brokers.houses[side].neighbours();
                let (from, to) = (rng.usize(..neighbours), rng.usize(..neighbours));
                if from != to {
                    brokers.houses[side].travel(from, to, rng.usize(1..8));
                }
            }
            500..960 => _ = brokers.step(side, rng.u32(0..4)),
            960..980 => brokers.tick(),
            980..990 => _ = brokers.server.bring_late(side),
            990..995 if self.meetings.len() < 12 => self.begin_meeting(),
            995 => brokers.rest(),
            _ => {}
        }
    }

    /// Publishers that see all subscribers of their topic publish.
    fn meet(&mut self) {
        for meeting in self.meetings.iter_mut().filter(|meeting| !meeting.has_met) {
            let publisher = self.brokers.guest(meeting.publisher);
            let count = publisher.counts.get(&meeting.request).copied().unwrap_or_default() as usize;
            assert!(count <= meeting.subscribers.len(), "{count} of {}", meeting.topic);
            if count == meeting.subscribers.len() {
                publisher.publish(&meeting.topic, 1, b"now");
                meeting.has_met = true;
            }
        }
    }

    fn run(mut self, may_lose: bool) -> usize {
        for _ in 0..self.rng.usize(500..4_000) {
            self.act();
            self.meet();
        }
        self.brokers.mend();
        self.meet();
        self.brokers.mend();
        for meeting in &self.meetings {
            assert!(meeting.has_met, "the subscribers of {} are never counted", meeting.topic);
            for subscriber in &meeting.subscribers {
                let heard = self.brokers.guest(*subscriber).heard.get(&meeting.topic).copied();
                let heard = heard.unwrap_or_default();
                let has_all = heard.messages == 1 || may_lose && heard.told_ever == 1;
                assert!(has_all, "{subscriber:?} of {}: {heard:?}", meeting.topic);
                assert_eq!(heard.messages + heard.told_ever, 1, "{subscriber:?} of {}", meeting.topic);
            }
        }
        self.meetings.len()
    }
}

fn meetings_of_all_seeds(lost: u32) -> usize {
    let seeds = Seeds::of(SEEDS);
    seeds.run(|seed| Run::draw(seed, lost).run(lost > 0)).sum()
}

#[test]
fn a_message_behind_a_count_reaches_all_whom_it_counts() {
    assert!(meetings_of_all_seeds(0) > 0);
}

#[test]
fn counts_come_to_be_true_whatever_words_are_lost_and_what_is_lost_behind_them_is_told() {
    assert!(meetings_of_all_seeds(6) > 0);
}

#[test]
fn a_count_follows_those_who_leave_and_brokers_that_are_gone() {
    let mut brokers = Brokers::new(&Cluster::default());
    let publisher = brokers.open(0, 0, &[]);
    let request = brokers.guest(publisher).watch("a.0");
    let count = |brokers: &mut Brokers| {
        brokers.wait(3);
        brokers.guest(publisher).counts[&request]
    };
    assert_eq!(count(&mut brokers), 0);
    brokers.open(0, 1, &["a.*"]);
    let near = brokers.open(1, 0, &["a.0", "a.*"]);
    brokers.open(2, 1, &[">"]);
    brokers.open(2, 0, &["b.*"]);
    assert_eq!(count(&mut brokers), 3);
    brokers.houses[1].part(near.1);
    assert_eq!(count(&mut brokers), 2);
    // One that comes back counts again, one that is gone for good does not.
    brokers.cut(0, true);
    assert_eq!(count(&mut brokers), 1, "nobody else can be reached");
    brokers.mend();
    assert_eq!(count(&mut brokers), 2);
    brokers.cut(2, true);
    brokers.wait(60);
    assert_eq!(count(&mut brokers), 1);
    brokers.mend();
    assert_eq!(count(&mut brokers), 2);
    brokers.restart(2);
    brokers.wait(60);
    assert_eq!(count(&mut brokers), 1);
    brokers.open(2, 0, &["a.0"]);
    assert_eq!(count(&mut brokers), 2);
}
