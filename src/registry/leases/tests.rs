//! The registry against examples, and against an oracle that keeps everything and scans all of it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::Directory;
use super::*;
use crate::limits::{ENDPOINT_BYTES_MAX, ENDPOINTS_PER_PUBLISHER_MAX, TOPIC_BYTES_MAX};
use crate::topic::Filter;

const LEASE: Duration = Duration::from_secs(5);
const START: MonotonicNs = MonotonicNs(1);

fn filters(topics: &[&str]) -> Vec<Filter> {
    let mut filters: Vec<Filter> = topics.iter().map(|text| Filter::parse(text).unwrap()).collect();
    filters.sort_unstable();
    filters
}

fn registration(publisher: u64, epoch: u64, endpoint: &str, topics: &[&str]) -> Registration {
    Registration {
        publisher: PublisherId(publisher),
        epoch,
        endpoints: vec![endpoint.parse().unwrap()],
        topics: filters(topics),
    }
}

/// The usual registration: its endpoint is its own.
fn usual(publisher: u64, epoch: u64, topics: &[&str]) -> Registration {
    registration(publisher, epoch, &format!("tcp://10.0.0.1:{}", 7000 + publisher), topics)
}

fn gone(publisher: u64, epoch: u64, reason: GoneReason) -> Gone {
    Gone { publisher: PublisherId(publisher), epoch, reason }
}

/// A registry in which publisher 1 is registered with these topics, in epoch 3.
fn with_one(topics: &[&str]) -> Registry {
    let mut registry = Registry::new(LEASE);
    assert!(registry.register(START, usual(1, 3, topics)).unwrap().is_some());
    registry
}

fn topics_of(registry: &Registry, publisher: u64) -> Vec<String> {
    let (found, _) =
        registry.list(START, None).find(|(r, _)| r.publisher == PublisherId(publisher)).expect("it is there");
    found.topics.iter().map(ToString::to_string).collect()
}

#[test]
fn a_lease_runs_out_to_the_nanosecond_and_a_renewal_begins_it_again() {
    let mut registry = with_one(&["a"]);
    let end = START + LEASE;
    assert_eq!(registry.expire(MonotonicNs(end.0 - 1)), None);
    registry.renew(MonotonicNs(end.0 - 1), PublisherId(1), 3).unwrap();
    assert_eq!(registry.expire(end), None);
    assert_eq!(registry.list(end, None).next().unwrap().1, LEASE - Duration::from_nanos(1));
    let end = MonotonicNs(end.0 - 1) + LEASE;
    assert_eq!(registry.expire(MonotonicNs(end.0 - 1)), None);
    assert_eq!(registry.expire(end), Some(gone(1, 3, GoneReason::Expired)));
    assert!(registry.is_empty() && registry.list(end, None).next().is_none());
    assert_eq!(registry.expire(end + LEASE), None, "it is told once");
    let lost = registry.renew(end, PublisherId(1), 3).unwrap_err();
    assert_eq!(lost.code(), ErrorCode::LeaseLost);
}

#[test]
fn a_renewal_of_another_epoch_or_of_nobody_renews_nothing() {
    let mut registry = with_one(&["a"]);
    for (publisher, epoch) in [(1, 2), (1, 4), (2, 3)] {
        let error = registry.renew(START + LEASE / 2, PublisherId(publisher), epoch).unwrap_err();
        assert_eq!(error, LeaseError::Lost { publisher: PublisherId(publisher), epoch });
    }
    assert_eq!(registry.expire(START + LEASE), Some(gone(1, 3, GoneReason::Expired)));
}

#[test]
fn a_registration_that_comes_twice_is_one_and_renews() {
    let mut registry = with_one(&["a", "b"]);
    let later = START + LEASE / 2;
    assert_eq!(registry.register(later, usual(1, 3, &["a", "b"])), Ok(None));
    // An earlier one of the same epoch, which was overtaken.
    assert_eq!(registry.register(later, usual(1, 3, &["b"])), Ok(None));
    assert_eq!((registry.len(), topics_of(&registry, 1)), (1, vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(registry.expire(START + LEASE), None);
    assert_eq!(registry.expire(later + LEASE), Some(gone(1, 3, GoneReason::Expired)));
}

#[test]
fn topics_grow_within_an_epoch_and_begin_anew_with_the_next() {
    let mut registry = with_one(&["b"]);
    let grown = registry.register(START, usual(1, 3, &["a", "b", "c.>"])).unwrap().expect("it has changed");
    assert_eq!(grown.topics, filters(&["a", "b", "c.>"]));
    let anew = registry.register(START, usual(1, 4, &["d"])).unwrap().expect("it has changed");
    assert_eq!((anew.epoch, &anew.topics), (4, &filters(&["d"])));
    assert_eq!(registry.len(), 1);
}

#[test]
fn an_epoch_that_is_over_is_stale_while_it_is_there_and_when_it_has_gone() {
    let stale = |registry: &mut Registry, epoch| {
        let error = registry.register(START + LEASE, usual(1, epoch, &["a"])).unwrap_err();
        assert_eq!(error, LeaseError::Stale { publisher: PublisherId(1), epoch, known: 3 });
        assert_eq!(error.code(), ErrorCode::StaleEpoch);
    };
    let mut there = with_one(&["a"]);
    stale(&mut there, 2);
    assert!(!there.is_empty());

    let mut expired = with_one(&["a"]);
    assert!(expired.expire(START + LEASE).is_some());
    let mut left = with_one(&["a"]);
    assert_eq!(left.unregister(PublisherId(1), 3, GoneReason::Left), Some(gone(1, 3, GoneReason::Left)));
    for registry in [&mut expired, &mut left] {
        // The very registration that has run out must not come back: its sender has had its error, or will.
        stale(registry, 3);
        stale(registry, 2);
        assert!(registry.is_empty());
        assert!(registry.register(START + LEASE, usual(1, 4, &["a"])).unwrap().is_some());
    }
}

#[test]
fn who_leaves_leaves_its_own_epoch_only() {
    let mut registry = with_one(&["a"]);
    assert_eq!(
        registry.unregister(PublisherId(1), 2, GoneReason::Left),
        None,
        "late: it has registered again since"
    );
    assert_eq!(registry.unregister(PublisherId(2), 3, GoneReason::Left), None);
    assert_eq!(registry.unregister(PublisherId(1), 3, GoneReason::Left), Some(gone(1, 3, GoneReason::Left)));
    assert_eq!(registry.unregister(PublisherId(1), 3, GoneReason::Left), None);
    assert_eq!(registry.expire(START + LEASE), None);
}

#[test]
fn a_taken_endpoint_is_refused_by_name_until_its_holder_has_gone() {
    let mut registry = with_one(&["a"]);
    let second = registration(2, 1, "tcp://10.0.0.1:7001", &["b"]);
    let error = registry.register(START, second.clone()).unwrap_err();
    assert_eq!(error.to_string(), "tcp://10.0.0.1:7001 is the endpoint of publisher 0000000000000001");
    assert_eq!(error.code(), ErrorCode::EndpointTaken);
    // One of several is enough, and then none of them is taken.
    let several = Registration {
        endpoints: ["tcp://10.0.0.1:1", "tcp://10.0.0.1:7001"].map(|e| e.parse().unwrap()).to_vec(),
        ..second.clone()
    };
    assert!(registry.register(START, several).is_err());
    assert!(registry.register(START, registration(3, 1, "tcp://10.0.0.1:1", &["c"])).is_ok());
    // The holder may repeat it, also under a new epoch.
    assert!(registry.register(START, usual(1, 4, &["a"])).is_ok());
    assert!(registry.expire(START + LEASE).is_some() && registry.expire(START + LEASE).is_some());
    assert_eq!(registry.expire(START + LEASE), None);
    assert!(registry.register(START + LEASE, second).is_ok(), "the endpoint is free");
}

#[test]
fn an_endpoint_that_its_holder_has_changed_is_free() {
    let mut registry = with_one(&["a"]);
    registry.register(START, registration(1, 4, "tcp://10.0.0.1:9", &["a"])).unwrap();
    registry.register(START, usual(1, 5, &["a"])).unwrap();
    assert!(registry.register(START, registration(2, 1, "tcp://10.0.0.1:9", &["a"])).is_ok());
    assert!(registry.register(START, registration(3, 1, "tcp://10.0.0.1:7001", &["a"])).is_err());
}

#[test]
fn within_an_epoch_no_endpoint_changes_and_no_topic_is_dropped() {
    let names: Vec<String> = (0..TOPICS_PER_PUBLISHER_MAX).map(|n| format!("t.{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut registry = with_one(&names);
    let more = registry.register(START, usual(1, 3, &["z"])).unwrap_err();
    assert!(more.to_string().contains("needs a new epoch"), "{more}");
    assert_eq!(topics_of(&registry, 1), names, "nothing has changed");
    // Within the limit once the topics that the wide filter covers are gone.
    let wide = registry.register(START, usual(1, 3, &["t.*", "z"])).unwrap().expect("it has changed");
    assert_eq!(wide.topics, filters(&["t.*", "z"]));
    assert_eq!(registry.register(START, usual(1, 3, &names)), Ok(None), "said before, and come late");
    let moved = registration(1, 3, "tcp://10.0.0.1:9", &["t.00"]);
    assert!(registry.register(START, moved).unwrap_err().to_string().contains("needs a new epoch"));
    assert!(registry.register(START, registration(2, 1, "tcp://10.0.0.1:9", &["a"])).is_ok(), "it is free");
    assert!(registry.register(START, usual(1, 4, &["z"])).is_ok());
}

#[test]
fn a_place_is_taken_whatever_certificate_is_there() {
    let mut registry = Registry::new(LEASE);
    let at = |publisher, pin: &str| {
        registration(publisher, 1, &format!("tls://10.0.0.1:1#sha256:{}", pin.repeat(32)), &["a"])
    };
    registry.register(START, at(1, "aa")).expect("it is free");
    let error = registry.register(START, at(2, "bb")).expect_err("it is not");
    assert_eq!(error.code(), ErrorCode::EndpointTaken);
    registry.unregister(PublisherId(1), 1, GoneReason::Left).expect("it is there");
    registry.register(START, at(2, "bb")).expect("it is free again");
}

#[test]
fn what_cannot_be_reached_or_is_too_much_is_refused_with_the_reason() {
    let mut registry = Registry::new(LEASE);
    let endpoint = |text: &str| registration(1, 1, text, &["a"]);
    let endpoints = |n: usize| Registration {
        endpoints: (1..=n).map(|port| format!("tcp://10.0.0.1:{port}").parse().unwrap()).collect(),
        ..endpoint("tcp://10.0.0.1:1")
    };
    let topics = |n: usize| Registration {
        topics: (0..n).map(|topic| Filter::parse(&format!("t.{topic:03}")).unwrap()).collect(),
        ..endpoint("tcp://10.0.0.1:1")
    };
    for (wrong, part) in [
        (endpoint("tcp://0.0.0.0:7000"), "advertise one of them"),
        (endpoint("tcp://*:7000"), "advertise one of them"),
        (endpoint("tcp://[::]:7000"), "advertise one of them"),
        (endpoint("tcp://[::ffff:0.0.0.0]:7000"), "advertise one of them"),
        (endpoint("tcp://10.0.0.1:0"), "no port"),
        (endpoint(&format!("tcp://{}:1", "h".repeat(ENDPOINT_BYTES_MAX))), "an endpoint of 348 bytes"),
        (endpoints(0), "1 to 8 endpoints"),
        (endpoints(ENDPOINTS_PER_PUBLISHER_MAX + 1), "1 to 8 endpoints"),
        (topics(0), "1 to 64 topics"),
        (topics(TOPICS_PER_PUBLISHER_MAX + 1), "1 to 64 topics"),
    ] {
        let error = registry.register(START, wrong).unwrap_err();
        assert_eq!(error.code(), ErrorCode::EndpointRefused);
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(registry.is_empty());
    let right = ["uds:///run/p.sock", "tcp://host:1", "tcp://[::1]:1"].map(endpoint);
    let most = [endpoints(ENDPOINTS_PER_PUBLISHER_MAX), topics(TOPICS_PER_PUBLISHER_MAX)];
    for (epoch, right) in (1..).zip(right.into_iter().chain(most)) {
        registry.register(START, Registration { epoch, ..right }).unwrap();
    }
}

#[test]
fn a_full_registry_refuses_who_is_new_and_nobody_else() {
    let mut registry = Registry::new(LEASE);
    let one = |n: usize, epoch| {
        let port = u16::try_from(n % 60_000 + 1).unwrap();
        registration(n as u64, epoch, &format!("tcp://10.0.{}.1:{port}", n / 60_000), &["a"])
    };
    for n in 0..PUBLISHERS_MAX {
        registry.register(START, one(n, 1)).unwrap();
    }
    let error = registry.register(START, one(PUBLISHERS_MAX, 1)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::TooManyPublishers);
    assert!(registry.register(START, one(7, 2)).is_ok(), "it is there already");
    registry.unregister(PublisherId(8), 1, GoneReason::Left).unwrap();
    assert!(registry.register(START, one(PUBLISHERS_MAX, 1)).is_ok());
}

#[test]
fn ten_thousand_publishers_come_and_go_each_by_its_own_lease() {
    const PUBLISHERS: u64 = 10_000;
    let mut registry = Registry::new(LEASE);
    let mut directory = Directory::default();
    let at = |n: u64| START + Duration::from_micros(n * 100);
    for n in 0..PUBLISHERS {
        let topics = [format!("shop.{}.prices", n % 100), format!("shop.{}.stock", n % 7)];
        let new = usual(n, 1, &[&topics[0], &topics[1]]);
        directory.up(registry.register(at(n), new).unwrap().expect("it is new"));
    }
    let count = |directory: &Directory, filter: &str| {
        directory.matching(&Filter::parse(filter).unwrap()).count() as u64
    };
    assert_eq!(count(&directory, ">"), PUBLISHERS);
    assert_eq!(count(&directory, "shop.3.prices"), PUBLISHERS / 100);
    assert_eq!(count(&directory, "shop.*.stock"), PUBLISHERS);
    assert_eq!(count(&directory, "shop.99.>"), PUBLISHERS / 100);
    assert_eq!(count(&directory, "shop.3"), 0);
    // Each second one renews, a second later.
    for n in (0..PUBLISHERS).step_by(2) {
        registry.renew(at(n) + Duration::from_secs(1), PublisherId(n), 1).unwrap();
    }
    let mut expired = Vec::new();
    let mut now = START;
    while !registry.is_empty() {
        now = now + Duration::from_millis(10);
        while let Some(gone) = registry.expire(now) {
            let n = gone.publisher.0;
            let end = at(n) + LEASE + Duration::from_secs(u64::from(n % 2 == 0));
            assert!(end <= now && now < end + Duration::from_millis(10), "{n} has its time and no more");
            assert!(directory.down(gone.publisher, gone.epoch).is_some());
            expired.push(n);
        }
    }
    expired.sort_unstable();
    assert!(expired.iter().copied().eq(0..PUBLISHERS));
    assert_eq!(count(&directory, ">"), 0);
}

#[test]
fn of_publishers_that_are_gone_the_last_are_remembered() {
    let mut registry = Registry::new(LEASE);
    for n in 0..=GONE_PUBLISHERS_MAX as u64 {
        registry.register(START, registration(n, 5, "tcp://10.0.0.1:1", &["a"])).unwrap();
        registry.unregister(PublisherId(n), 5, GoneReason::Left).unwrap();
    }
    let late = |n: u64| registration(n, 5, "tcp://10.0.0.1:1", &["a"]);
    for n in [1, 7, GONE_PUBLISHERS_MAX as u64] {
        assert_eq!(registry.register(START, late(n)).unwrap_err().code(), ErrorCode::StaleEpoch, "{n}");
    }
    assert!(registry.register(START, late(0)).is_ok(), "the first is forgotten: it left longest ago");
}

/// An operation of the model test.
#[derive(Clone, Debug)]
enum Act {
    Register { publisher: u64, epoch: u64, endpoint: u16, topics: BTreeSet<u8> },
    Renew { publisher: u64, epoch: u64 },
    Unregister { publisher: u64, epoch: u64 },
    Wait { ms: u64 },
}

fn act() -> impl Strategy<Value = Act> {
    let who = || (0..5_u64, 1..5_u64);
    let topics = prop::collection::btree_set(0..12_u8, 1..4);
    prop_oneof![
        5 => (who(), 0..7_u16, topics).prop_map(|((publisher, epoch), endpoint, topics)| {
            Act::Register { publisher, epoch, endpoint, topics }
        }),
        3 => who().prop_map(|(publisher, epoch)| Act::Renew { publisher, epoch }),
        1 => who().prop_map(|(publisher, epoch)| Act::Unregister { publisher, epoch }),
        4 => (1..3_000_u64).prop_map(|ms| Act::Wait { ms }),
    ]
}

/// The same registry, which scans everything each time.
#[derive(Default)]
struct Oracle {
    there: BTreeMap<u64, Known>,
    gone: BTreeMap<u64, u64>,
}

#[derive(Clone, PartialEq, Debug)]
struct Known {
    epoch: u64,
    endpoint: u16,
    topics: BTreeSet<u8>,
    until_ms: u64,
}

const LEASE_MS: u64 = 2_000;

impl Oracle {
    fn register(&mut self, now_ms: u64, publisher: u64, mut new: Known) -> Result<bool, ErrorCode> {
        let known = self.there.get(&publisher).cloned();
        let last = known.as_ref().map(|k| k.epoch);
        if last.is_some_and(|epoch| new.epoch < epoch) {
            return Err(ErrorCode::StaleEpoch);
        }
        if last.is_none() && self.gone.get(&publisher).is_some_and(|epoch| new.epoch <= *epoch) {
            return Err(ErrorCode::StaleEpoch);
        }
        if self.there.iter().any(|(other, k)| *other != publisher && k.endpoint == new.endpoint) {
            return Err(ErrorCode::EndpointTaken);
        }
        new.until_ms = now_ms + LEASE_MS;
        let mut changed = true;
        if let Some(known) = known.filter(|k| k.epoch == new.epoch) {
            if known.endpoint != new.endpoint {
                return Err(ErrorCode::EndpointRefused);
            }
            new.topics.extend(&known.topics);
            let all = new.topics.clone();
            new.topics.retain(|topic| !all.iter().any(|wide| wide != topic && covers(*wide, *topic)));
            changed = new.topics != known.topics;
        }
        self.there.insert(publisher, new);
        Ok(changed)
    }

    fn renew(&mut self, now_ms: u64, publisher: u64, epoch: u64) -> Result<(), ErrorCode> {
        let known = self.there.get_mut(&publisher).filter(|k| k.epoch == epoch);
        known.ok_or(ErrorCode::LeaseLost)?.until_ms = now_ms + LEASE_MS;
        Ok(())
    }

    fn end(&mut self, ends: impl Fn(u64, &Known) -> bool) -> Vec<(u64, u64)> {
        let ended: Vec<_> =
            self.there.iter().filter(|(p, k)| ends(**p, k)).map(|(p, k)| (*p, k.epoch)).collect();
        for (publisher, epoch) in &ended {
            self.there.remove(publisher);
            self.gone.insert(*publisher, *epoch);
        }
        ended
    }

    fn list(&self, now_ms: u64) -> Vec<(Registration, Duration)> {
        let each = self.there.iter().map(|(publisher, known)| {
            let left = Duration::from_millis(known.until_ms.saturating_sub(now_ms));
            (known.registration(*publisher), left)
        });
        each.collect()
    }
}

/// Some names and some patterns, so that filters overlap in every way.
fn filter_of(number: u8) -> Filter {
    const TEXTS: [&str; 12] =
        ["a", "b", "a.b", "a.c", "b.b", "a.*", "*.b", "*", "a.>", ">", "a.b.c", "*.*.c"];
    Filter::parse(TEXTS[usize::from(number)]).unwrap()
}

/// Coverage by trial: each of a set of topics that distinguishes all filters is matched by both or by the first alone.
fn covers(wide: u8, narrow: u8) -> bool {
    const TRIED: [&str; 10] = ["a", "b", "z", "a.b", "a.c", "b.b", "z.z", "a.b.c", "a.z.z.z", "z.z.z.z"];
    let (wide, narrow) = (filter_of(wide), filter_of(narrow));
    let tried = || TRIED.iter().chain(&["z.b", "z.z.c", "a.z", "a.z.c"]).map(|text| text.as_bytes());
    tried().all(|topic| wide.matches(topic) || !narrow.matches(topic))
}

impl Known {
    fn registration(&self, publisher: u64) -> Registration {
        let mut topics: Vec<Filter> = self.topics.iter().copied().map(filter_of).collect();
        topics.sort_unstable();
        let endpoints = vec![format!("tcp://10.0.0.1:{}", 1 + self.endpoint).parse().unwrap()];
        Registration { publisher: PublisherId(publisher), epoch: self.epoch, endpoints, topics }
    }
}

fn at(now_ms: u64) -> MonotonicNs {
    MonotonicNs(now_ms * 1_000_000)
}

fn check_against_the_oracle(acts: &[Act]) -> Result<(), TestCaseError> {
    let mut registry = Registry::new(Duration::from_millis(LEASE_MS));
    let (mut oracle, mut directory, mut now_ms) = (Oracle::default(), Directory::default(), 1);
    for act in acts {
        match act.clone() {
            Act::Register { publisher, epoch, endpoint, topics } => {
                let new = Known { epoch, endpoint, topics, until_ms: 0 };
                let got = registry.register(at(now_ms), new.registration(publisher));
                let got = got.map_err(|error| error.code());
                prop_assert_eq!(
                    got.clone().map(|up| up.is_some()),
                    oracle.register(now_ms, publisher, new),
                    "{:?}",
                    act
                );
                if let Ok(Some(up)) = got {
                    directory.up(up);
                }
            }
            Act::Renew { publisher, epoch } => {
                let got = registry.renew(at(now_ms), PublisherId(publisher), epoch).map_err(|e| e.code());
                prop_assert_eq!(got, oracle.renew(now_ms, publisher, epoch));
            }
            Act::Unregister { publisher, epoch } => {
                let got = registry.unregister(PublisherId(publisher), epoch, GoneReason::Left);
                let ended = oracle.end(|p, known| p == publisher && known.epoch == epoch);
                prop_assert_eq!(got.is_some(), !ended.is_empty());
                if let Some(gone) = got {
                    prop_assert!(
                        gone.reason == GoneReason::Left
                            && directory.down(gone.publisher, gone.epoch).is_some()
                    );
                }
            }
            Act::Wait { ms } => {
                now_ms += ms;
                let mut got: Vec<(u64, u64)> = Vec::new();
                while let Some(gone) = registry.expire(at(now_ms)) {
                    prop_assert!(
                        gone.reason == GoneReason::Expired
                            && directory.down(gone.publisher, gone.epoch).is_some()
                    );
                    got.push((gone.publisher.0, gone.epoch));
                }
                got.sort_unstable();
                prop_assert_eq!(got, oracle.end(|_, known| known.until_ms <= now_ms));
            }
        }
        let listed: Vec<(Registration, Duration)> =
            registry.list(at(now_ms), None).map(|(r, left)| (Registration::clone(r), left)).collect();
        prop_assert_eq!(registry.len(), listed.len());
        prop_assert_eq!(&listed, &oracle.list(now_ms));
        for filter in (0..12).map(filter_of) {
            let found: Vec<Registration> = directory.matching(&filter).map(|r| (**r).clone()).collect();
            let wanted =
                listed.iter().map(|(r, _)| r).filter(|r| r.topics.iter().any(|t| t.overlaps(&filter)));
            prop_assert_eq!(found, wanted.cloned().collect::<Vec<_>>(), "{}", filter);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn it_does_what_the_oracle_does(acts in prop::collection::vec(act(), 1..60)) {
        check_against_the_oracle(&acts)?;
    }
}

#[test]
fn all_registrations_together_have_their_bytes_and_no_more() {
    let mut registry = Registry::new(LEASE);
    let long = "a".repeat(TOPIC_BYTES_MAX);
    let mut taken = 0;
    let error = loop {
        match registry.register(START, usual(taken, 1, &[&long])) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, LeaseError::Full);
    let each = REGISTRY_BYTES_MAX as u64 / taken;
    assert!((1_024..1_100).contains(&each), "{each}");
    // A registered publisher may change, and one that leaves makes room for another.
    assert!(registry.register(START, usual(0, 2, &[&long])).is_ok());
    registry.unregister(PublisherId(1), 1, GoneReason::Left).unwrap();
    assert!(registry.register(START, usual(taken, 1, &[&long])).is_ok());
    assert_eq!(registry.register(START, usual(taken + 1, 1, &[&long])), Err(LeaseError::Full));
}
