//! Shards that follow the registry, with queues for links.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::super::config::ShardConfig;
use super::super::rig::Rig;
use super::*;
use crate::fanout::OverflowPolicy;
use crate::limits::{CONTROL_BYTES_MAX, LEASE_DEFAULT, LEAVERS_MAX};
use crate::registry::{Mode, ModeRules};

mod far;
mod owners;
mod turns;

const SHARDS: usize = 3;

/// Shards of a broker that introduces publishers of any topic.
fn direct(shards: usize) -> Rig {
    let modes = Arc::new(ModeRules::new(Vec::new(), Mode::Direct).unwrap());
    Rig::new(&ShardConfig { shards, modes, ..ShardConfig::default() })
}

fn open(rig: &mut Rig, shard: usize) -> SessionId {
    rig.open(shard, OverflowPolicy::DropOldest)
}

fn register<'a>(publisher: u64, epoch: u64, topics: &'a str, endpoints: &'a str) -> Frame<'a> {
    Frame::Register { endpoints, topics, publisher, epoch, request: 7 }
}

/// A registration at an endpoint of the publisher's own.
fn say_register(rig: &mut Rig, shard: usize, id: SessionId, publisher: u64, epoch: u64, topics: &str) {
    let endpoint =
        format!("tcp://10.0.{}.{}:{}", publisher >> 16, publisher >> 8 & 255, 1 + (publisher & 255));
    rig.say(shard, id, &[register(publisher, epoch, topics, &endpoint)]);
}

fn watch(filter: &str, request: u32) -> Frame<'_> {
    Frame::WatchPublishers { filter: filter.as_bytes(), request, kind: 1 }
}

fn renew(publisher: u64, epoch: u64) -> Frame<'static> {
    Frame::Renew { publisher, epoch, request: 8 }
}

#[test]
fn a_registration_is_answered_when_every_shard_knows() {
    let mut rig = direct(SHARDS);
    let (publisher, watching) = (open(&mut rig, 1), open(&mut rig, 2));
    rig.say(2, watching, &[watch("a", 1)]);
    assert_eq!(rig.hears(2, watching), "!1");
    say_register(&mut rig, 1, publisher, 1, 1, "a");
    assert!(rig.travel_once(1, 0), "to the registry");
    assert!(rig.travel_once(0, 1) && rig.travel_once(1, 0), "one of the others knows");
    assert_eq!(rig.hears(1, publisher), "");
    assert!(rig.travel_once(0, 2));
    assert_eq!(rig.hears(2, watching), "+1.1", "told as soon as its shard knows");
    assert_eq!(rig.hears(1, publisher), "");
    rig.travel();
    assert_eq!(rig.hears(1, publisher), "!7");
    // Again, word for word: nobody is told twice, and it is answered.
    say_register(&mut rig, 1, publisher, 1, 1, "a");
    rig.travel();
    assert_eq!((rig.hears(1, publisher), rig.hears(2, watching)), ("!7".into(), String::new()));
}

#[test]
fn registrations_are_answered_in_order_and_only_when_theirs_is_known() {
    let mut rig = direct(2);
    let publisher = open(&mut rig, 0);
    for (number, topics) in (1..).zip(["a", "b", "c"]) {
        say_register(&mut rig, 0, publisher, number, 1, topics);
    }
    for _ in 0..3 {
        assert_eq!(rig.hears(0, publisher), "");
        assert!(rig.travel_once(0, 1) && rig.travel_once(1, 0));
        assert_eq!(rig.hears(0, publisher), "!7");
    }
}

#[test]
fn who_watches_later_hears_what_is_there_before_its_done() {
    let mut rig = direct(SHARDS);
    let publisher = open(&mut rig, 0);
    for (number, topics) in [(1, "a.b\na.c"), (2, "b"), (3, "a.*")] {
        say_register(&mut rig, 0, publisher, number, 1, topics);
    }
    rig.travel();
    for shard in 0..SHARDS {
        let late = open(&mut rig, shard);
        rig.say(shard, late, &[watch("a.*", 1), watch("a.b", 2), watch("c", 3), watch(">", 4)]);
        assert_eq!(rig.hears(shard, late), "+1.1 +3.1 !1 !2 !3 +2.1 !4", "each of them once");
    }
}

#[test]
fn a_change_is_told_once_however_many_watches_match_and_to_whom_it_concerns() {
    let mut rig = direct(SHARDS);
    let publisher = open(&mut rig, 0);
    let (all, some, none) = (open(&mut rig, 1), open(&mut rig, 1), open(&mut rig, 2));
    rig.say(1, all, &[watch(">", 1), watch("a.*", 2), watch("a.b", 3)]);
    rig.say(1, some, &[watch("a.c", 1)]);
    rig.say(2, none, &[watch("b", 1)]);
    for (id, shard) in [(all, 1), (some, 1), (none, 2)] {
        rig.hears(shard, id);
    }
    let heard = |rig: &mut Rig| {
        rig.travel();
        [(all, 1), (some, 1), (none, 2)].map(|(id, shard)| rig.hears(shard, id))
    };
    say_register(&mut rig, 0, publisher, 1, 1, "a.b");
    assert_eq!(heard(&mut rig), ["+1.1", "", ""]);
    say_register(&mut rig, 0, publisher, 1, 1, "a.b\na.c");
    assert_eq!(heard(&mut rig), ["+1.1", "+1.1", ""], "it has a topic more");
    rig.say(0, publisher, &[renew(1, 1)]);
    assert_eq!(heard(&mut rig), ["", "", ""], "that it is still there is no news");
    // Whoever was told of it hears of what it has become, and that it has gone.
    say_register(&mut rig, 0, publisher, 1, 2, "d");
    assert_eq!(heard(&mut rig), ["+1.2", "+1.2", ""]);
    rig.say(0, publisher, &[Frame::Unregister { publisher: 1, epoch: 1 }]);
    assert_eq!(heard(&mut rig), ["", "", ""], "that epoch is over");
    rig.say(0, publisher, &[Frame::Unregister { publisher: 1, epoch: 2 }]);
    assert_eq!(heard(&mut rig), ["-1.2", "-1.2", ""]);
}

#[test]
fn a_watch_that_has_ended_brings_nobody_new_and_follows_whom_it_brought() {
    let mut rig = direct(2);
    let (publisher, watching) = (open(&mut rig, 0), open(&mut rig, 1));
    rig.say(1, watching, &[watch("a", 1)]);
    say_register(&mut rig, 0, publisher, 1, 1, "a");
    rig.travel();
    rig.say(1, watching, &[Frame::UnwatchPublishers { request: 1 }]);
    say_register(&mut rig, 0, publisher, 2, 1, "a");
    rig.travel();
    assert_eq!(rig.hears(1, watching), "!1 +1.1");
    rig.say(1, watching, &[watch("a", 2)]);
    assert_eq!(rig.hears(1, watching), "+2.1 !2", "of the other it knows");
    rig.say(0, publisher, &[Frame::Unregister { publisher: 1, epoch: 1 }]);
    rig.travel();
    assert_eq!(rig.hears(1, watching), "-1.1");
    say_register(&mut rig, 0, publisher, 1, 2, "a");
    rig.travel();
    assert_eq!(rig.hears(1, watching), "+1.2");
}

#[test]
fn who_watches_later_hears_who_has_left_before_its_done() {
    let mut rig = direct(SHARDS);
    let publisher = open(&mut rig, 0);
    for (number, topics) in [(1, "a.b"), (2, "b"), (3, "a.c"), (4, "a.d")] {
        say_register(&mut rig, 0, publisher, number, 1, topics);
        rig.say(0, publisher, &[Frame::Unregister { publisher: number, epoch: 1 }]);
    }
    // One is back.
    say_register(&mut rig, 0, publisher, 3, 2, "a.c");
    rig.travel();
    for shard in 0..SHARDS {
        let late = open(&mut rig, shard);
        rig.say(shard, late, &[watch("a.*", 1)]);
        assert_eq!(rig.hears(shard, late), "-1.1 +3.2 -4.1 !1");
    }
}

#[test]
fn who_watches_later_hears_once_that_more_have_left_than_are_remembered() {
    let mut rig = direct(1);
    let publisher = open(&mut rig, 0);
    for number in 1..=LEAVERS_MAX as u64 + 2 {
        rig.wait(Duration::from_millis(100));
        say_register(&mut rig, 0, publisher, number, 1, "a");
        rig.say(0, publisher, &[Frame::Unregister { publisher: number, epoch: 1 }]);
        rig.hears(0, publisher);
    }
    let late = open(&mut rig, 0);
    rig.say(0, late, &[watch("b", 1), watch("c", 2)]);
    // The last that is forgotten is the second.
    let ago_ms = LEAVERS_MAX * 100;
    assert_eq!(rig.hears(0, late), format!("x0.{ago_ms} !1 !2"));
    rig.say(0, late, &[watch("d", 3)]);
    assert_eq!(rig.hears(0, late), "!3");
}

#[test]
fn a_lease_runs_out_on_all_shards_and_a_late_renewal_is_refused() {
    let mut rig = direct(2);
    let (publisher, watching) = (open(&mut rig, 1), open(&mut rig, 1));
    rig.say(1, watching, &[watch("a", 1)]);
    say_register(&mut rig, 1, publisher, 1, 1, "a");
    rig.travel();
    rig.wait(LEASE_DEFAULT - Duration::from_millis(20));
    rig.say(1, publisher, &[renew(1, 1)]);
    rig.travel();
    rig.wait(LEASE_DEFAULT - Duration::from_millis(20));
    rig.travel();
    assert_eq!((rig.hears(1, publisher), rig.hears(1, watching)), ("!7 !8".into(), "!1 +1.1".into()));
    rig.wait(Duration::from_millis(40));
    rig.travel();
    assert_eq!(rig.hears(1, watching), "x1.1");
    rig.say(1, publisher, &[renew(1, 1)]);
    rig.travel();
    assert_eq!(rig.hears(1, publisher), "lease_lost");
    say_register(&mut rig, 1, publisher, 1, 1, "a");
    rig.travel();
    assert_eq!(rig.hears(1, publisher), "stale_epoch");
    say_register(&mut rig, 1, publisher, 1, 2, "a");
    rig.travel();
    assert_eq!((rig.hears(1, publisher), rig.hears(1, watching)), ("!7".into(), "+1.2".into()));
}

#[test]
fn what_is_refused_is_answered_and_told_to_nobody() {
    let mut rig = direct(2);
    let (publisher, watching) = (open(&mut rig, 1), open(&mut rig, 0));
    rig.say(0, watching, &[watch(">", 1)]);
    let refused = [
        register(1, 1, "a", "tcp://0.0.0.0:1"),
        register(1, 1, "a", "nonsense"),
        register(1, 1, "a..b", "tcp://10.0.0.1:1"),
        register(1, 1, "", "tcp://10.0.0.1:1"),
    ];
    for frame in refused {
        rig.say(1, publisher, &[frame]);
        rig.travel();
        assert_eq!(rig.hears(1, publisher), "endpoint_refused", "{frame:?}");
    }
    rig.say(
        1,
        publisher,
        &[register(1, 1, "a", "tcp://10.0.0.1:1"), register(2, 1, "a", "tcp://10.0.0.1:1")],
    );
    rig.travel();
    assert_eq!(rig.hears(1, publisher), "endpoint_taken !7");
    assert_eq!(rig.hears(0, watching), "!1 +1.1");
    rig.say(1, publisher, &[renew(2, 1)]);
    rig.travel();
    assert_eq!(rig.hears(1, publisher), "lease_lost", "it is still open, though");
}

#[test]
fn sessions_that_end_are_forgotten_and_their_registrations_have_their_lease() {
    let mut rig = direct(2);
    let (publisher, watching, left) = (open(&mut rig, 1), open(&mut rig, 1), open(&mut rig, 1));
    rig.say(1, watching, &[watch("a", 1)]);
    rig.say(1, left, &[watch("a", 1)]);
    say_register(&mut rig, 1, publisher, 1, 1, "a");
    // It ends before it is answered.
    let _ = rig.shards[1].on_closed(publisher, None);
    let _ = rig.shards[1].on_closed(left, None);
    rig.travel();
    assert_eq!(rig.hears(1, watching), "!1 +1.1");
    assert_eq!(rig.shards[1].publishers.watching.len(), 1);
    let next = open(&mut rig, 1);
    rig.say(1, next, &[Frame::Ping { token: 1 }]);
    rig.travel();
    assert_eq!(rig.hears(1, next), "Pong { token: 1 }", "what was for others of its slot is not for it");
    rig.wait(LEASE_DEFAULT);
    rig.travel();
    assert_eq!(rig.hears(1, watching), "x1.1");
}

#[test]
fn what_comes_for_a_session_that_is_refused_does_not_follow_its_farewell() {
    let mut rig = direct(2);
    let publisher = open(&mut rig, 1);
    say_register(&mut rig, 1, publisher, 1, 1, "a");
    rig.say(1, publisher, &[Frame::Done { request: 1 }]);
    rig.travel();
    assert_eq!(rig.hears(1, publisher), "unexpected");
}

#[test]
fn a_list_has_everybody_with_what_is_left_of_their_leases() {
    let mut rig = direct(2);
    let publisher = open(&mut rig, 0);
    say_register(&mut rig, 0, publisher, 2, 1, "b");
    rig.wait(Duration::from_secs(1));
    say_register(&mut rig, 0, publisher, 1, 1, "a");
    rig.travel();
    for shard in [0, 1] {
        let asks = open(&mut rig, shard);
        rig.say(shard, asks, &[Frame::ListPublishers { request: 3 }]);
        rig.travel();
        assert_eq!(rig.hears(shard, asks), "+1.1 +2.1 !3");
    }
}

#[test]
fn ten_thousand_publishers_are_told_and_listed_without_closing_who_asks() {
    const PUBLISHERS: u64 = 10_000;
    let mut rig = direct(2);
    let (publisher, early, late) = (open(&mut rig, 0), open(&mut rig, 1), open(&mut rig, 1));
    rig.say(1, early, &[watch(">", 1)]);
    for number in 0..PUBLISHERS {
        say_register(&mut rig, 0, publisher, number, 1, &format!("shop.{}.prices", number % 100));
        if number % 100 == 0 {
            rig.travel();
            rig.hears(0, publisher);
        }
    }
    rig.travel();
    let count = |heard: &str| heard.split(' ').filter(|word| word.starts_with('+')).count() as u64;
    assert!(
        rig.shards[1].base.sessions.egress(early).unwrap().answer_bytes() < CONTROL_BYTES_MAX,
        "it has read nothing yet"
    );
    // A client with hundreds of subscribers asks for all at once, and has read nothing yet.
    let frames: Vec<Frame<'_>> = (1..=500).map(|request| watch(">", request)).collect();
    rig.say(1, late, &frames);
    rig.say(1, late, &[Frame::ListPublishers { request: 501 }, Frame::Ping { token: 1 }]);
    let heard = hears_all(&mut rig, 1, late);
    assert!(heard.ends_with("!501") && heard.contains("!499 !500 "), "{}", &heard[heard.len() - 100..]);
    assert!(heard.contains("Pong"));
    assert_eq!((count(&heard), count(&hears_all(&mut rig, 1, early))), (2 * PUBLISHERS, PUBLISHERS));
}

/// All that a client hears when it reads for as long as something comes.
fn hears_all(rig: &mut Rig, shard: usize, id: SessionId) -> String {
    let mut all = Vec::new();
    loop {
        rig.travel();
        let heard = rig.hears(shard, id);
        if heard.is_empty() {
            return all.join(" ");
        }
        all.push(heard);
    }
}

#[test]
fn news_that_nobody_reads_are_a_part_and_no_more() {
    let mut rig = direct(2);
    let (publisher, asks) = (open(&mut rig, 0), open(&mut rig, 1));
    rig.say(1, asks, &[watch(">", 1), Frame::ListPublishers { request: 2 }]);
    let mut most = 0;
    for epoch in 1..=5 {
        for number in 0..2_000 {
            say_register(&mut rig, 0, publisher, number, epoch, "a");
        }
        if epoch == 3 {
            for number in 0..1_000 {
                rig.say(0, publisher, &[Frame::Unregister { publisher: number, epoch }]);
            }
        }
        rig.travel();
        rig.hears(0, publisher);
        most = most.max(rig.shards[1].base.sessions.egress(asks).unwrap().answer_bytes());
    }
    assert!(most < 3 * NEWS_BYTES_AHEAD, "{most} bytes waited");
    let mut known = BTreeMap::new();
    for word in hears_all(&mut rig, 1, asks).split(' ') {
        let told = |word: &str| word[1..].split_once('.').map(|(p, e)| (p.to_owned(), e.to_owned())).unwrap();
        match word.as_bytes()[0] {
            b'+' => _ = known.insert(told(word).0, told(word).1),
            b'-' => {
                assert_eq!(known.remove(&told(word).0), Some(told(word).1), "of the epoch that it was told")
            }
            _ => {}
        }
    }
    assert!(known.len() == 2_000 && known.values().all(|epoch| epoch == "5"), "it ends with what is there");
}

#[test]
fn lists_come_one_by_one_in_parts_and_no_session_asks_for_any_number() {
    let mut rig = direct(2);
    let publisher = open(&mut rig, 0);
    for number in 0..2_000 {
        say_register(&mut rig, 0, publisher, number, 1, "a");
        rig.travel();
        rig.hears(0, publisher);
    }
    for shard in [0, 1] {
        let asks = open(&mut rig, shard);
        let mut most = 0;
        for request in 1..=LISTS_WAITING_MAX as u32 {
            rig.say(shard, asks, &[Frame::ListPublishers { request }]);
            rig.travel();
            most = most.max(rig.shards[shard].base.sessions.egress(asks).unwrap().answer_bytes());
        }
        assert!(most < 3 * NEWS_BYTES_AHEAD, "{most} bytes waited");
        let heard = hears_all(&mut rig, shard, asks);
        let lists: Vec<&str> = heard.split(" !").collect();
        assert_eq!(lists.len(), LISTS_WAITING_MAX + 1);
        assert!(
            lists[..LISTS_WAITING_MAX].iter().all(|list| list.matches('+').count() == 2_000),
            "each is whole"
        );
        for request in 0..=LISTS_WAITING_MAX as u32 + 1 {
            rig.say(shard, asks, &[Frame::ListPublishers { request }]);
        }
        assert!(hears_all(&mut rig, shard, asks).ends_with("slow_subscriber"));
    }
}

#[test]
fn a_registration_is_as_long_as_it_may_be_and_of_topics_that_go_direct() {
    let rules = vec![ModeRules::parse_rule("video.>=direct").unwrap()];
    let modes = Arc::new(ModeRules::new(rules, Mode::Proxy).unwrap());
    let mut rig = Rig::new(&ShardConfig { modes, ..ShardConfig::default() });
    let publisher = open(&mut rig, 0);
    let long = vec!["video.".to_owned() + &"a".repeat(900); 5].join("\n");
    let many = "tcp://10.0.0.1:1\n".repeat(100_000);
    for (topics, endpoints, registered) in [
        ("video.a", "tcp://10.0.0.1:1", true),
        ("video.a\nprices", "tcp://10.0.0.1:1", false),
        (">", "tcp://10.0.0.1:1", true),
        (&long, "tcp://10.0.0.1:1", false),
        ("video.a", &many, false),
    ] {
        rig.say(0, publisher, &[register(1, 1, topics, endpoints)]);
        let wanted = if registered { "!7" } else { "endpoint_refused" };
        assert_eq!(rig.hears(0, publisher), wanted, "{} bytes", topics.len() + endpoints.len());
    }
    let mut proxy = Rig::with_shards(1);
    let publisher = open(&mut proxy, 0);
    say_register(&mut proxy, 0, publisher, 1, 1, "a");
    assert_eq!(proxy.hears(0, publisher), "endpoint_refused");
    assert!(proxy.shards[0].publishers.registry.as_ref().unwrap().is_empty());
}

#[test]
fn a_direct_publisher_keeps_no_registry() {
    let config = ShardConfig { shards: 2, direct: Some(PublisherId(1)), ..ShardConfig::default() };
    for shard in [0, 1] {
        for frame in [
            register(1, 1, "a", "tcp://10.0.0.1:1"),
            renew(1, 1),
            Frame::Unregister { publisher: 1, epoch: 1 },
            Frame::ListPublishers { request: 1 },
            watch("a", 1),
        ] {
            let mut rig = Rig::new(&config);
            let asks = open(&mut rig, shard);
            rig.say(shard, asks, &[frame]);
            rig.travel();
            assert_eq!(rig.hears(shard, asks), "unexpected", "{frame:?}");
        }
    }
}

/// An event of one of three publishers, or of one of four sessions that watch.
#[derive(Clone, Copy, Debug)]
enum Act {
    Register { publisher: u64, topic: usize },
    Unregister { publisher: u64 },
    Watch { session: usize, filter: usize },
    Unwatch { session: usize },
    Leave { session: usize },
    Travel { from: usize, to: usize },
    Wait { ticks: u32 },
}

const TOPICS: [&str; 4] = ["a.b", "a.c", "b", "a.>"];
const FILTERS: [&str; 4] = ["a.*", ">", "b", "a.b"];

fn act() -> impl Strategy<Value = Act> {
    let publisher = || 1..4_u64;
    let session = || 0..4_usize;
    prop_oneof![
        4 => (publisher(), 0..4_usize).prop_map(|(publisher, topic)| Act::Register { publisher, topic }),
        1 => publisher().prop_map(|publisher| Act::Unregister { publisher }),
        4 => (session(), 0..4_usize).prop_map(|(session, filter)| Act::Watch { session, filter }),
        1 => session().prop_map(|session| Act::Unwatch { session }),
        1 => session().prop_map(|session| Act::Leave { session }),
        9 => (0..SHARDS, 0..SHARDS).prop_map(|(from, to)| Act::Travel { from, to }),
        1 => (1..300_u32).prop_map(|ticks| Act::Wait { ticks }),
    ]
}

/// A client that watches, and what it believes.
struct Watching {
    shard: usize,
    id: SessionId,
    watches: BTreeMap<u32, &'static str>,
    /// By publisher: its epoch.
    told: BTreeMap<u64, u64>,
    next_request: u32,
}

impl Watching {
    fn start(rig: &mut Rig, shard: usize) -> Self {
        let id = open(rig, shard);
        Watching { shard, id, watches: BTreeMap::new(), told: BTreeMap::new(), next_request: 1 }
    }

    /// Nothing is told twice, no epoch goes back, and nobody goes who was not there, but in the answer to a watch.
    fn listen(&mut self, rig: &mut Rig) -> Result<(), TestCaseError> {
        let heard = rig.hears(self.shard, self.id);
        let words: Vec<&str> = heard.split_whitespace().collect();
        let answered = words.iter().rposition(|word| word.starts_with('!'));
        for (place, word) in words.iter().enumerate() {
            let (what, rest) = word.split_at(1);
            if what == "!" {
                continue;
            }
            let (publisher, epoch) = rest.split_once('.').unwrap();
            let (publisher, epoch): (u64, u64) = (publisher.parse().unwrap(), epoch.parse().unwrap());
            if what == "+" {
                let before = self.told.insert(publisher, epoch);
                prop_assert!(before.is_none_or(|before| before < epoch), "{word} after {before:?}");
            } else {
                let known = self.told.remove(&publisher);
                let had_left = known.is_none() && answered.is_some_and(|answered| place < answered);
                prop_assert!(known == Some(epoch) || had_left, "{word} of {known:?}");
            }
        }
        Ok(())
    }
}

fn check_that_everybody_knows(acts: &[Act]) -> Result<(), TestCaseError> {
    let mut rig = direct(SHARDS);
    // Each publisher on a shard of its own; registrations are told apart by their epochs.
    let publishers: Vec<SessionId> = (0..SHARDS).map(|shard| open(&mut rig, shard)).collect();
    let mut epochs = BTreeMap::new();
    let mut watching: Vec<Watching> = (0..4).map(|n| Watching::start(&mut rig, n % SHARDS)).collect();
    for act in acts {
        match *act {
            Act::Register { publisher, topic } => {
                let shard = publisher as usize - 1;
                let epoch = epochs.entry(publisher).and_modify(|epoch| *epoch += 1).or_insert(1);
                say_register(&mut rig, shard, publishers[shard], publisher, *epoch, TOPICS[topic]);
            }
            Act::Unregister { publisher } => {
                let shard = publisher as usize - 1;
                let epoch = epochs.get(&publisher).copied().unwrap_or(0);
                rig.say(shard, publishers[shard], &[Frame::Unregister { publisher, epoch }]);
            }
            Act::Watch { session, filter } => {
                let session = &mut watching[session];
                rig.say(session.shard, session.id, &[watch(FILTERS[filter], session.next_request)]);
                session.watches.insert(session.next_request, FILTERS[filter]);
                session.next_request += 1;
            }
            Act::Unwatch { session } => {
                let session = &mut watching[session];
                if let Some((request, _)) = session.watches.pop_first() {
                    rig.say(session.shard, session.id, &[Frame::UnwatchPublishers { request }]);
                }
            }
            Act::Leave { session } => {
                let shard = watching[session].shard;
                let _ = rig.shards[shard].on_closed(watching[session].id, None);
                watching[session] = Watching::start(&mut rig, shard);
            }
            Act::Travel { from, to } => drop(from != to && rig.travel_once(from, to)),
            Act::Wait { ticks } => {
                for _ in 0..ticks {
                    rig.wait(corecast_executors::TICK);
                }
            }
        }
        for session in &mut watching {
            session.listen(&mut rig)?;
        }
        publishers.iter().enumerate().for_each(|(shard, id)| drop(rig.hears(shard, *id)));
    }
    rig.travel();
    let registry = rig.shards[0].publishers.registry.as_ref().unwrap().list(rig.now, None);
    let registry: Vec<_> = registry.map(|(registration, left)| (Arc::clone(registration), left)).collect();
    let there: BTreeMap<u64, u64> = registry.iter().map(|(r, _)| (r.publisher.0, r.epoch)).collect();
    for session in &mut watching {
        session.listen(&mut rig)?;
        let known: BTreeSet<u64> = session.told.keys().copied().collect();
        for (registration, _) in &registry {
            let wanted =
                session.watches.values().any(|text| registration.overlaps(&Filter::parse(text).unwrap()));
            prop_assert!(
                !wanted || known.contains(&registration.publisher.0),
                "{:?} is wanted",
                registration
            );
        }
        for (publisher, epoch) in &session.told {
            prop_assert_eq!(there.get(publisher), Some(epoch), "whoever was told of is followed");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_happens_in_the_end_everybody_knows_who_is_there(acts in prop::collection::vec(act(), 1..80)) {
        check_that_everybody_knows(&acts)?;
    }
}
