//! The promises that brokers keep over an engine, in seeded runs and in single cases: sent is received and told, per subscriber;
//! nothing twice, nothing out of order; and a subscription that is answered misses nothing untold.

use corecast::Filter;
use corecast::internals::carrier::{EngineCounts, EngineState};

use super::cluster::{Brokers, Cluster};
use super::server::Trouble;
use crate::seeds::Seeds;

/// Runs of the seeded test: some seconds in the dev profile.
const SEEDS: u64 = 150;

/// The topics of each broker's publishers; the last of each is no subject.
const TOPICS: [[&str; 4]; 3] =
    [["a.0", "a.1", "a.2", "a. 3"], ["b.0", "b.1", "b.2", "b. 3"], ["c.0", "c.1", "c.2", "c. 3"]];
const FILTERS: [&str; 9] = ["a.*", "b.*", "c.>", ">", "a.1", "b.2", "*.0", "*.1", "c.0"];

fn matches(filter: &str, topic: &str) -> bool {
    Filter::parse(filter).expect("a filter").matches(topic.as_bytes())
}

/// All that engines of a run have counted.
#[derive(Default)]
struct Seen {
    missing: u64,
    behind: u64,
    received: u64,
    given_up: u64,
    troubles: u64,
    late_joins: u64,
}

#[test]
fn messages_cross_once_in_order_and_every_hole_is_told() {
    let mut seen = Seen::default();
    let seeds = Seeds::of(SEEDS);
    for one in seeds.run(|seed| Run::draw(seed).run()) {
        seen.missing += one.missing;
        seen.behind += one.behind;
        seen.received += one.received;
        seen.given_up += one.given_up;
        seen.troubles += one.troubles;
        seen.late_joins += one.late_joins;
    }
    if seeds.are_many() {
        let Seen { missing, behind, received, given_up, troubles, late_joins } = seen;
        let happened = missing > 1_000 && behind > 1_000 && received > 10_000 && given_up > 100;
        assert!(happened, "{missing} missing, {behind} behind, {received} received, {given_up} given up");
        assert!(troubles > 1_000 && late_joins > 100, "{troubles} troubles, {late_joins} late joins");
    }
}

/// A subscriber that comes while messages go on.
struct Late {
    guest: (usize, usize),
    filter: &'static str,
    /// The numbers of the topics when its subscription was answered.
    since: Option<[[u64; 4]; 3]>,
}

/// A seeded run.
struct Run {
    rng: fastrand::Rng,
    brokers: Brokers,
    sides: usize,
    cuts: bool,
    /// Something may be missing.
    may_lose: bool,
    setting: String,
    published: [[u64; 4]; 3],
    publishers: Vec<(usize, usize)>,
    steady: Vec<((usize, usize), &'static str)>,
    fickle: Vec<(usize, usize)>,
    late: Vec<Late>,
}

impl Run {
    fn draw(seed: u64) -> Run {
        let mut rng = fastrand::Rng::with_seed(seed);
        let sides = rng.usize(2..4);
        let one_of = |rng: &mut fastrand::Rng, all: [u32; 4]| all[rng.usize(..4)];
        let setting = Cluster {
            shards: (0..sides).map(|_| rng.usize(1..3)).collect(),
            trouble: Trouble {
                lost: one_of(&mut rng, [0, 0, 20, 5]),
                doubled: one_of(&mut rng, [0, 0, 10, 4]),
                late: one_of(&mut rng, [0, 0, 15, 6]),
                refused: 0,
                lag: 0,
            },
            seed,
            buffer_bytes_max: if rng.bool() { 3_000 } else { 1 << 20 },
            link_items: rng.usize(1..10),
            filters_max: if rng.bool() { 2 } else { 1_000 },
            ..Cluster::default()
        };
        let mut brokers = Brokers::new(&Cluster { trouble: Trouble::default(), ..setting.clone() });
        let (mut steady, mut fickle, mut publishers) = (Vec::new(), Vec::new(), Vec::new());
        for side in 0..sides {
            for _ in 0..3 {
                let filter = FILTERS[rng.usize(..FILTERS.len())];
                let shard = rng.usize(..setting.shards[side]);
                steady.push((brokers.open(side, shard, &[filter]), filter));
            }
            let guest = brokers.open(side, 0, &[]);
            brokers.guest(guest).is_fickle = true;
            fickle.push(guest);
            publishers.push(brokers.open(side, rng.usize(..setting.shards[side]), &[]));
        }
        brokers.server.trouble(setting.trouble);
        let cuts = rng.bool();
        let text = format!("{setting:?}, cuts: {cuts}");
        let may_lose = cuts || setting.trouble.lost > 0 || setting.buffer_bytes_max < 1 << 20;
        let (published, late) = ([[0; 4]; 3], Vec::new());
        Run {
            rng,
            brokers,
            sides,
            cuts,
            may_lose,
            setting: text,
            published,
            publishers,
            steady,
            fickle,
            late,
        }
    }

    fn run(mut self) -> Seen {
        for _ in 0..self.rng.usize(200..2_000) {
            self.act();
            self.note_answers();
        }
        self.brokers.mend();
        self.note_answers();
        self.check_steady();
        let late_joins = self.check_late();
        let mut seen = Seen { late_joins, troubles: self.brokers.server.troubles, ..Seen::default() };
        for side in 0..self.sides {
            let counts = self.brokers.engine(side).counts();
            let EngineCounts { missing, behind, received, given_up, junk, unknown_gaps, too_large, .. } =
                counts;
            assert_eq!((junk, unknown_gaps, too_large), (0, 0, 0), "{}", self.setting);
            assert!(missing == 0 || self.may_lose, "{missing} missing, {}", self.setting);
            seen.missing += missing;
            seen.behind += behind;
            seen.received += received;
            seen.given_up += given_up;
        }
        seen
    }

    fn act(&mut self) {
        let (rng, brokers) = (&mut self.rng, &mut self.brokers);
        let side = rng.usize(..self.sides);
        match rng.u32(0..1_000) {
            0..300 => self.publish(side),
            300..450 => {
                let guest = rng.usize(..brokers.houses[side].guests.len());
                brokers.houses[side].read(guest, rng.usize(1..500));
            }
            450..600 => {
                let neighbours = brokers.houses[side].neighbours();
                let (from, to) = (rng.usize(..neighbours), rng.usize(..neighbours));
                if from != to {
                    brokers.houses[side].travel(from, to, rng.usize(1..8));
                }
            }
            600..900 => _ = brokers.step(side, rng.u32(0..4)),
            900..950 => {
                let guest = rng.usize(..brokers.houses[side].guests.len());
                brokers.houses[side].flush(guest);
                brokers.houses[side].guests[guest].read(rng.usize(1..2_000));
            }
            950..970 => brokers.tick(),
            970..980 => {
                let (filter, wanted) = (FILTERS[rng.usize(..FILTERS.len())], rng.bool());
                brokers.guest(self.fickle[side]).ask(filter, wanted);
            }
            980..988 => _ = brokers.server.bring_late(side),
            988..991 if self.cuts => brokers.cut(side, rng.bool()),
            991..994 => brokers.server.mend(side),
            994..997 if self.late.len() < 6 => {
                let filter = FILTERS[rng.usize(..FILTERS.len())];
                let guest = brokers.welcome(side, 0);
                brokers.guest(guest).is_fickle = true;
                brokers.guest(guest).ask(filter, true);
                self.late.push(Late { guest, filter, since: None });
            }
            997 => brokers.rest(),
            _ => {}
        }
    }

    fn publish(&mut self, side: usize) {
        for _ in 0..self.rng.usize(1..6) {
            let topic = self.rng.usize(..4);
            let (name, first) = (TOPICS[side][topic], self.published[side][topic] + 1);
            let payload = vec![7; self.rng.usize(0..100)];
            let count = if self.rng.u8(0..3) == 0 { self.rng.u64(2..6) } else { 1 };
            let publisher = self.brokers.guest(self.publishers[side]);
            match count {
                1 => publisher.publish(name, first, &payload),
                _ => publisher.publish_run(name, first, (count, &payload)),
            }
            self.published[side][topic] += count;
        }
    }

    /// From its answer on, a subscriber misses nothing.
    fn note_answers(&mut self) {
        for late in &mut self.late {
            if late.since.is_none() && !self.brokers.guest(late.guest).done.is_empty() {
                late.since = Some(self.published);
            }
        }
    }

    fn topics(&self, filter: &'static str) -> Vec<(usize, usize)> {
        let all = (0..self.sides).flat_map(|of| (0..4).map(move |topic| (of, topic)));
        all.filter(|(of, topic)| matches(filter, TOPICS[*of][*topic])).collect()
    }

    fn check_steady(&mut self) {
        for (guest, filter) in self.steady.clone() {
            for (of, topic) in self.topics(filter) {
                let (name, all) = (TOPICS[of][topic], self.published[of][topic]);
                let heard = self.brokers.guest(guest).heard.get(name).copied().unwrap_or_default();
                let setting = &self.setting;
                let sum = (heard.messages + heard.told_ever, heard.last + heard.told);
                assert_eq!(sum, (all, all), "{guest:?}, {name}: {heard:?} of {all}, {setting}");
                assert!(
                    of != guest.0 || heard.told_ever == 0,
                    "a broker's own messages do not pass the engine"
                );
            }
        }
    }

    /// Returns the number of those that were answered while other brokers were there.
    fn check_late(&mut self) -> u64 {
        let mut answered = 0;
        for at in 0..self.late.len() {
            let Late { guest, filter, since } = self.late[at];
            // Nobody waits for a broker that is away, so the answer says nothing of its messages.
            let Some(since) = since.filter(|_| !self.cuts) else { continue };
            answered += 1;
            for (of, topic) in self.topics(filter) {
                let (name, all) = (TOPICS[of][topic], self.published[of][topic]);
                let heard = self.brokers.guest(guest).heard.get(name).copied().unwrap_or_default();
                let missed = all - since[of][topic];
                let had = heard.messages + heard.told_ever;
                let setting = &self.setting;
                assert!(had >= missed, "{guest:?}, {name}: {heard:?} of {all}, {missed} since, {setting}");
            }
        }
        answered
    }
}

#[test]
fn brokers_that_want_nothing_are_sent_nothing() {
    let mut brokers = Brokers::new(&Cluster::default());
    let publisher = brokers.open(0, 0, &[]);
    brokers.open(0, 1, &["a.*"]);
    brokers.open(1, 0, &["b.*"]);
    brokers.publish(publisher, "a.0", 1);
    brokers.rest();
    assert_eq!(brokers.engine(0).counts(), EngineCounts::default());
    let there = brokers.open(2, 0, &["*.0"]);
    brokers.guest(there).is_fickle = true;
    for number in 2..=11 {
        brokers.publish(publisher, "a.0", number);
    }
    brokers.rest();
    assert_eq!(brokers.guest(there).heard["a.0"].messages, 10);
    let (sent, received) = (brokers.engine(0).counts().sent, brokers.engine(2).counts().received);
    assert_eq!((sent, received, brokers.engine(2).counts().sent), (10, 10, 0), "and nothing back");
}

#[test]
fn a_lost_last_message_is_told_after_a_second_of_quiet() {
    let mut brokers = Brokers::new(&Cluster::default());
    let there = brokers.open(1, 0, &["a.*"]);
    let publisher = brokers.open(0, 0, &[]);
    brokers.publish(publisher, "a.0", 1);
    brokers.rest();
    brokers.server.trouble(Trouble { lost: 1, ..Trouble::default() });
    brokers.publish(publisher, "a.0", 2);
    brokers.publish(publisher, "a.1", 1);
    brokers.rest();
    brokers.server.calm();
    brokers.wait(9);
    assert_eq!(brokers.guest(there).heard["a.0"].told_ever, 0);
    brokers.wait(15);
    assert_eq!(brokers.guest(there).heard["a.0"].told, 1);
    assert_eq!(brokers.guest(there).heard["a.1"].told, 1, "the only one of its topic as well");
}

#[test]
fn while_the_engine_is_away_nobody_waits_and_the_others_are_told_what_they_missed() {
    let mut brokers = Brokers::new(&Cluster { buffer_bytes_max: 2_000, ..Cluster::default() });
    let there = brokers.open(1, 0, &["a.*"]);
    let here = brokers.open(0, 1, &["a.*"]);
    let publisher = brokers.open(0, 0, &[]);
    brokers.cut(0, true);
    assert_eq!(brokers.engine(0).state(), EngineState::Away);
    for number in 1..=100 {
        brokers.publish(publisher, "a.0", number);
        brokers.rest();
    }
    assert_eq!(brokers.guest(here).heard["a.0"].messages, 100);
    // Nor does a new subscription.
    brokers.open(0, 0, &["b.*"]);
    brokers.mend();
    let heard = brokers.guest(there).heard["a.0"];
    assert_eq!((heard.messages + heard.told_ever, heard.last), (100, 100));
    assert!(heard.messages > 1 && heard.told_ever == brokers.engine(0).counts().given_up);
}

#[test]
fn a_restarted_server_is_sent_nothing_before_the_others_are_back() {
    let mut brokers = Brokers::new(&Cluster::default());
    let there = brokers.open(1, 0, &["a.*"]);
    let publisher = brokers.open(0, 0, &[]);
    for side in 0..3 {
        brokers.cut(side, true);
    }
    for number in 1..=20 {
        brokers.publish(publisher, "a.0", number);
    }
    brokers.rest();
    brokers.server.mend(0);
    brokers.wait(5);
    assert_eq!(brokers.engine(0).state(), EngineState::Returning);
    assert_eq!(brokers.engine(0).counts().sent, 0);
    brokers.server.mend(1);
    brokers.server.mend(2);
    brokers.wait(5);
    assert_eq!(brokers.guest(there).heard["a.0"].messages, 20, "nothing was lost");
}

#[test]
fn a_broker_that_comes_back_as_another_is_heard_from_its_first_message() {
    let mut brokers = Brokers::new(&Cluster::default());
    let there = brokers.open(1, 0, &["a.*"]);
    let publisher = brokers.open(0, 0, &[]);
    brokers.publish(publisher, "a.0", 1);
    brokers.rest();
    brokers.restart(0);
    brokers.wait(10);
    let publisher = brokers.open(0, 0, &[]);
    brokers.publish(publisher, "a.0", 2);
    brokers.rest();
    let heard = brokers.guest(there).heard["a.0"];
    assert_eq!((heard.messages, heard.told_ever, heard.unknown), (2, 0, 0));
    let names: Vec<_> = brokers.engine(1).peers().into_iter().map(|peer| (peer.name, peer.is_here)).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    brokers.wait(60);
    let here = |peer: &corecast::internals::carrier::PeerView| peer.is_here;
    assert_eq!(brokers.engine(1).peers().iter().filter(|peer| here(peer)).count(), 2);
}

#[test]
fn a_broker_that_was_away_for_too_long_is_told_that_it_may_have_missed_some() {
    let mut brokers = Brokers::new(&Cluster::default());
    let there = brokers.open(1, 0, &["a.*"]);
    let publisher = brokers.open(0, 0, &[]);
    brokers.publish(publisher, "a.0", 1);
    brokers.rest();
    brokers.cut(1, true);
    brokers.wait_long(6_100);
    brokers.publish(publisher, "a.0", 2);
    brokers.rest();
    brokers.mend();
    assert!(brokers.guest(there).heard["a.0"].unknown > 0);
    brokers.publish(publisher, "a.0", 3);
    brokers.rest();
    assert_eq!(brokers.guest(there).heard["a.0"].last, 3);
}

#[test]
fn an_answer_that_was_lost_is_not_made_good_by_that_of_a_later_subscription() {
    let mut brokers = Brokers::new(&Cluster::default());
    let publisher = brokers.open(0, 0, &[]);
    brokers.open(2, 0, &["a.*"]);
    for number in 1..=5 {
        brokers.publish(publisher, "a.0", number);
    }
    brokers.rest();
    let there = brokers.open(1, 0, &[]);
    brokers.guest(there).is_fickle = true;
    brokers.guest(there).ask("a.0", true);
    while brokers.houses[1].go_on() {}
    // The others hear of it, but all that they say is lost.
    while brokers.step(1, 0) && brokers.step(1, 1) {}
    brokers.server.trouble(Trouble { lost: 1, ..Trouble::default() });
    brokers.rest();
    brokers.server.calm();
    brokers.guest(there).ask("b.0", true);
    brokers.rest();
    // Neither is confirmed, and what comes now is of the time before.
    assert!(brokers.guest(there).done.is_empty());
    brokers.publish(publisher, "a.0", 6);
    brokers.wait(40);
    assert_eq!(brokers.guest(there).done.len(), 2);
    brokers.publish(publisher, "a.0", 7);
    brokers.wait(40);
    let heard = brokers.guest(there).heard["a.0"];
    assert_eq!((heard.messages, heard.last, heard.told_ever), (1, 7, 0));
    assert_eq!(brokers.engine(1).counts().missing, 0, "nothing that was confirmed was lost");
}

#[test]
fn a_subscription_misses_nothing_while_the_others_are_told_of_few_filters_again() {
    let mut brokers = Brokers::new(&Cluster { filters_max: 2, ..Cluster::default() });
    let publisher = brokers.open(0, 0, &[]);
    let many = brokers.open(1, 0, &["a.1", "a.2", "a.3"]);
    let there = brokers.open(1, 0, &["a.0"]);
    for filter in ["a.1", "a.2", "a.3"] {
        brokers.guest(many).ask(filter, false);
    }
    while brokers.houses[1].go_on() {}
    // The first of its topic is on its way before any other broker has heard of that.
    brokers.publish(publisher, "a.0", 1);
    while brokers.houses[0].go_on() {}
    while brokers.step(0, 0) && brokers.step(0, 1) {}
    while brokers.step(1, 2) && brokers.step(1, 3) {}
    brokers.wait(40);
    let heard = brokers.guest(there).heard["a.0"];
    assert_eq!((heard.messages, heard.told_ever), (1, 0));
}

#[test]
fn topics_that_stay_here_do_not_cross() {
    let topics = vec![Filter::parse("a.0").expect("a filter")];
    let mut brokers = Brokers::new(&Cluster { topics, ..Cluster::default() });
    let there = brokers.open(1, 0, &["a.*"]);
    let publisher = brokers.open(0, 0, &[]);
    brokers.publish(publisher, "a.0", 1);
    brokers.publish(publisher, "a.1", 1);
    brokers.rest();
    assert_eq!(brokers.guest(there).heard.keys().collect::<Vec<_>>(), ["a.0"]);
    assert_eq!(brokers.engine(0).counts().sent, 1);
}

#[test]
fn junk_is_counted_and_harms_nobody() {
    let mut brokers = Brokers::new(&Cluster::default());
    let there = brokers.open(1, 0, &["a.*"]);
    let publisher = brokers.open(0, 0, &[]);
    let mut rng = fastrand::Rng::with_seed(1);
    for length in 0..200 {
        let mut junk: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
        if let [a, b, c, d, ..] = &mut junk[..] {
            (*a, *b, *c, *d) = (0xcc, 1, 1 + (length % 2) as u8, 0);
        }
        brokers.engine(1).on_message(junk.into());
    }
    assert_eq!(brokers.engine(1).counts().junk, 200);
    brokers.publish(publisher, "a.0", 1);
    brokers.rest();
    assert_eq!(brokers.guest(there).heard["a.0"].messages, 1);
    assert_eq!(brokers.engine(1).peers().len(), 2);
}

#[test]
fn a_broker_that_stops_waits_for_a_true_round_trip() {
    let mut brokers = Brokers::new(&Cluster { shards: vec![1, 1], ..Cluster::default() });
    let there = brokers.open(1, 0, &["a.*"]);
    let publisher = brokers.open(0, 0, &[]);
    brokers.publish(publisher, "a.0", 1);
    let neighbours = brokers.houses[0].neighbours();
    brokers.houses[0].shards[0].on_drain();
    brokers.houses[0].part(publisher.1);
    for _ in 0..20 {
        for (from, to) in [(0, 1), (1, 0)] {
            brokers.houses[0].travel(from, to, usize::MAX);
        }
    }
    assert_eq!(neighbours, 2);
    assert!(brokers.engine(0).has_ended() && !brokers.engine(0).is_done());
    assert!(!brokers.houses[0].is_drained(), "a message waits");
    brokers.rest();
    assert!(brokers.engine(0).is_done() && brokers.houses[0].is_drained());
    assert_eq!(brokers.guest(there).heard["a.0"].messages, 1);
    brokers.engine(0).on_stop();
    brokers.rest();
    brokers.cut(0, true);
    brokers.wait(30);
    assert_eq!(brokers.engine(1).peers(), []);
}
