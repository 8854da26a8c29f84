use std::time::Duration;

use super::*;
use crate::carrier::link_item::LinkItem;
use crate::ids::ShardId;
use crate::limits::FRAME_BYTES_MAX_DEFAULT;
use crate::topic::Filter;
use crate::wire::{Frame, encode_to_vec};

const NOW: MonotonicNs = MonotonicNs(1_000_000_000);
const OWN: u64 = 9;
const OTHER: u64 = 7;

/// A broker that loads what is stored of all topics, and its shard.
struct Loader {
    loading: Loading,
    near: Near,
    now: MonotonicNs,
    /// Payloads that were brought.
    brought: u64,
    /// The time for which payloads have been in the store.
    age: Duration,
    /// The other broker is there.
    is_other_here: bool,
    /// It has said before each that something is missing.
    is_doubted: bool,
}

fn message(sequence: u64) -> Frame<'static> {
    Frame::Message { topic: b"a", payload: b"", publisher: 1, sequence, sent_at_ns: 0 }
}

/// A message of the other broker, whose count begins at 1.
fn payload(position: u64, is_doubted: bool) -> Bytes {
    let place = TopicPlace { base: 1, position };
    let mut payload = Vec::new();
    PayloadHead { kind: HeadKind::Crossing, start: OTHER, place, count: 1, is_doubted }.write(&mut payload);
    payload.extend(encode_to_vec(&message(position)));
    payload.into()
}

/// The same as it comes live.
fn landing(position: u64) -> Landing {
    let frames = Bytes::from(encode_to_vec(&message(position)));
    let (topic, batches) = crossing::read(frames, 1, FRAME_BYTES_MAX_DEFAULT).expect("a crossing");
    let place = TopicPlace { base: 1, position };
    Landing { start: OTHER, topic, place, count: 1, is_doubted: false, what: Landed::Messages(batches) }
}

impl Loader {
    /// Its stores are there, and are read from now on.
    fn new() -> Loader {
        let rule = StoredHistory {
            filter: Filter::parse(">").unwrap(),
            age: Duration::from_secs(60),
            bytes: 1 << 20,
            of_each: None,
            is_confirmed: true,
        };
        let loading = Loading::of(&[rule], &Subjects::new("c"), NOW).expect("a rule");
        let now = NOW + Duration::from_millis(1);
        let age = Duration::from_secs(3);
        let mut loader = Loader {
            loading,
            near: Near::new(1),
            now,
            brought: 0,
            age,
            is_other_here: true,
            is_doubted: false,
        };
        let look = loader.ask().expect("a question");
        assert!(matches!(look, StoreAsk::Look(_)), "{look:?}");
        loader.answer(StoreAnswer::Fits);
        assert!(loader.ask().is_none(), "the others have to know");
        loader.loading.on_in_force();
        loader
    }

    fn ask(&mut self) -> Option<StoreAsk> {
        match self.loading.next_order(self.now)? {
            EngineOrder::Ask { ask, .. } => Some(*ask),
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, answer: StoreAnswer) {
        let (number, _) = self.loading.asked.expect("it has asked");
        self.loading.on_answer(number, Ok(answer), self.now);
    }

    /// Its store has these messages, the first of which has that number there.
    fn read(&mut self, number: u64, positions: &[u64]) {
        self.brought = number - 1;
        assert!(matches!(self.ask(), Some(StoreAsk::Read(_))));
        self.answer(StoreAnswer::Reads { reader: "r".to_owned(), left: positions.len() as u64 });
        self.more(positions);
    }

    /// Its store has more of them.
    fn more(&mut self, positions: &[u64]) {
        if positions.is_empty() {
            return;
        }
        assert!(matches!(self.ask(), Some(StoreAsk::More { reader, .. }) if reader == "r"));
        for (position, left) in positions.iter().zip((0..positions.len() as u64).rev()) {
            self.brought += 1;
            let facts = StoreFacts { age: self.age, number: self.brought, left };
            let own = (OWN, FRAME_BYTES_MAX_DEFAULT);
            self.loading
                .take(payload(*position, self.is_doubted), facts, own, (self.now, &mut self.near), |_| {
                    self.is_other_here
                })
                .expect("a crossing");
        }
    }

    fn hold(&mut self, positions: &[u64]) {
        for position in positions {
            assert!(
                self.loading.hold(landing(*position), Footing::Answered, self.now).is_none(),
                "there is room"
            );
        }
    }

    fn end(&mut self) -> Option<(Loaded, Vec<u64>)> {
        let Ended { outcome, left, .. } = self.loading.end(self.now, &mut self.near)?;
        Some((outcome, left.iter().map(|landing| landing.place.position).collect()))
    }

    /// The numbers of messages that are kept, and the sizes of gaps as `-3`; `!` behind those that were said after loading began.
    fn kept(&mut self) -> String {
        let items = std::iter::from_fn(|| self.near.link_next(ShardId(0)));
        let texts = items.map(|item| {
            let LinkItem::Keep { batch, said_at } = item else { panic!("{item:?}") };
            let said_at = said_at.expect("it is not of this moment");
            let mark = if said_at > NOW { "!" } else { "" };
            let frames = crate::wire::splitter::frames(&batch.bytes);
            let texts = frames.map(|(_, frame)| match frame {
                Frame::Gap { missed, .. } => format!("-{missed}{mark}"),
                other => format!("{}{mark}", other.sequence().expect("a message")),
            });
            texts.collect::<Vec<_>>().join(" ")
        });
        texts.collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn what_is_stored_behind_later_messages_is_kept_before_them() {
    let mut loader = Loader::new();
    loader.read(1, &[2, 1, 4, 4, 3]);
    assert_eq!(loader.end(), Some((Loaded::Whole, vec![])));
    assert_eq!(loader.kept(), "1 2 3 4");
}

#[test]
fn what_brokers_said_that_are_gone_was_said_before_whatever_the_clock_of_the_store_says() {
    for (is_other_here, wanted) in [(true, "1! 2!"), (false, "1 2")] {
        let mut loader = Loader::new();
        (loader.age, loader.is_other_here) = (Duration::ZERO, is_other_here);
        loader.read(1, &[1, 2]);
        assert_eq!(loader.end(), Some((Loaded::Whole, vec![])));
        assert_eq!(loader.kept(), wanted);
    }
}

#[test]
fn what_its_publisher_missed_before_the_first_that_is_stored_is_told() {
    for first in [1, 5] {
        let mut loader = Loader::new();
        loader.is_doubted = true;
        loader.read(first, &[1, 2]);
        assert_eq!(loader.end(), Some((Loaded::Whole, vec![])));
        assert_eq!(loader.kept(), "-0 1 2", "the first has number {first} in its store");
    }
}

#[test]
fn what_a_store_refused_is_a_gap_and_what_it_gave_up_is_none() {
    let mut loader = Loader::new();
    loader.read(1, &[3, 6]);
    assert_eq!(loader.end(), Some((Loaded::Whole, vec![])));
    assert_eq!(loader.kept(), "-2 3 -2 6");
    let mut loader = Loader::new();
    loader.read(2, &[3, 6]);
    assert_eq!(loader.end(), Some((Loaded::Whole, vec![])));
    assert_eq!(loader.kept(), "3 -2 6", "the first may be what is left");
}

#[test]
fn a_store_that_lags_behind_what_comes_live_is_read_again() {
    for stored in [&[1, 2][..], &[]] {
        let mut loader = Loader::new();
        loader.hold(&[5, 6]);
        loader.read(1, stored);
        assert_eq!(loader.end(), None, "there are more");
        assert!(loader.ask().is_none(), "it is too early");
        let missing: Vec<u64> = (1..5).filter(|position| !stored.contains(position)).collect();
        for position in missing {
            assert_eq!(loader.end(), None, "{position} is still to come");
            loader.now = loader.now + ENGINE_TICK;
            loader.more(&[position]);
        }
        assert_eq!(loader.end(), Some((Loaded::Whole, vec![])));
        assert_eq!(loader.kept(), "1 2 3 4 5! 6!");
    }
}

#[test]
fn what_is_not_stored_in_time_is_left_to_be_told() {
    let mut loader = Loader::new();
    loader.hold(&[2, 6, 5]);
    loader.read(1, &[1, 2]);
    loader.now = loader.now + ENGINE_LOAD_LAG_MAX;
    assert_eq!(loader.end(), Some((Loaded::Whole, vec![5, 6])), "what comes live tells what is missing");
    assert_eq!(loader.kept(), "1 2");
}

#[test]
fn what_is_still_to_come_live_is_not_taken_from_a_store() {
    for (footing, wanted) in [(Footing::Answered, "1 2 3 4"), (Footing::Confirmed, "1 2 3 4 -3 8")] {
        let mut loader = Loader::new();
        for position in [3, 4] {
            assert!(loader.loading.hold(landing(position), footing, loader.now).is_none(), "there is room");
        }
        loader.read(1, &[1, 2, 3, 4, 8]);
        assert_eq!(loader.end(), Some((Loaded::Whole, vec![])));
        // 5 to 7 may be stored behind 8, and are on their way from a broker that has answered.
        assert_eq!(loader.kept(), wanted, "{footing:?}");
    }
}
