//! History that comes back from the stores as a broker starts: first all stores are there with their bounds, then what other brokers
//! send on these topics is sure to come, then each store is read to its end. What comes live on these topics meanwhile waits, and
//! follows. Whatever was stored twice, or behind later messages, is put right by its positions; what is missing is told at its place.
//! Owned by the engine's state. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::arrivals::WayIn;
use super::crossing;
use super::head::{HeadKind, PayloadHead};
use super::heard::Footing;
use super::landings::{Landed, Landing};
use super::store_ask::{StoreAnswer, StoreAsk, StoreBounds};
use super::subject::Subjects;
use super::{EngineOrder, StoredHistory};
use crate::carrier::near::Near;
use crate::limits::{
    ENGINE_BEAT, ENGINE_LANDED_BYTES_MAX, ENGINE_LOAD_BATCH, ENGINE_LOAD_MAX, ENGINE_SILENCE_MAX,
};

/// The next thing to do about the store under way.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Next {
    Look,
    Make,
    Change(Bytes),
    /// All are there. Other brokers have to know what is wanted here.
    Wait,
    Read,
    /// The next part from this reader, of which so much was left.
    More {
        reader: String,
        left: u64,
    },
    /// Nothing before this time: something went wrong, and all begins again.
    Pause(MonotonicNs),
}

/// The outcome of loading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Loaded {
    /// All that was stored is there.
    Whole,
    /// It took too long.
    GivenUp,
}

/// The loading of one broker.
pub(super) struct Loading {
    stores: Vec<StoreBounds>,
    /// The store under way.
    at: usize,
    next: Next,
    /// The number of the question under way, and the time at which it was asked, or heard of last.
    asked: Option<(u64, MonotonicNs)>,
    asks: u64,
    /// Messages of the part under way that are still to come.
    expected: usize,
    give_up_at: MonotonicNs,
    /// The way in of all that comes from the stores.
    stored: WayIn,
    /// Messages and words of other brokers that have come meanwhile, in order.
    held: VecDeque<Landing>,
    held_bytes: usize,
    /// The way things went wrong last.
    trouble: Option<String>,
    loaded: u64,
}

impl Loading {
    /// Loads by these rules, if there are any.
    pub(super) fn of(rules: &[StoredHistory], subjects: &Subjects, now: MonotonicNs) -> Option<Loading> {
        let store = |rule: &StoredHistory| StoreBounds {
            filter: rule.filter.clone(),
            name: subjects.store(&rule.filter),
            subjects: subjects.all_stored(&rule.filter),
            age: rule.age,
            bytes: rule.bytes,
            of_each: rule.of_each,
        };
        let stores: Vec<StoreBounds> = rules.iter().map(store).collect();
        (!stores.is_empty()).then(|| Loading::new(stores, now))
    }

    /// Loads from these stores. Whatever happens, it is over after [`ENGINE_LOAD_MAX`].
    fn new(stores: Vec<StoreBounds>, now: MonotonicNs) -> Self {
        Loading {
            stores,
            at: 0,
            next: Next::Look,
            asked: None,
            asks: 0,
            expected: 0,
            give_up_at: now + ENGINE_LOAD_MAX,
            stored: WayIn::default(),
            held: VecDeque::new(),
            held_bytes: 0,
            trouble: None,
            loaded: 0,
        }
    }

    /// Messages that were loaded.
    pub(super) fn loaded(&self) -> u64 {
        self.loaded
    }

    /// Takes the way things went wrong last, as a sentence.
    pub(super) fn take_trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    /// True if what comes on this topic belongs behind what is stored.
    pub(super) fn holds(&self, topic: &[u8]) -> bool {
        self.stores.iter().any(|store| store.filter.matches(topic))
    }

    /// Lets something that comes live wait, or returns it if there is no room.
    pub(super) fn hold(&mut self, landing: Landing) -> Option<Landing> {
        let bytes = landing.held_bytes();
        if self.held_bytes + bytes > ENGINE_LANDED_BYTES_MAX {
            return Some(landing);
        }
        self.held_bytes += bytes;
        self.held.push_back(landing);
        None
    }

    /// Memory that it holds, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes + self.stored.held_bytes()
    }

    /// Begins again, on a new connection: what has come already is known by its positions.
    pub(super) fn on_connected(&mut self) {
        (self.at, self.next, self.asked, self.expected) = (0, Next::Look, None, 0);
    }

    /// Other brokers know what is wanted here: whatever they send from now on comes.
    pub(super) fn on_in_force(&mut self) {
        if self.next == Next::Wait {
            (self.at, self.next) = (0, Next::Read);
        }
    }

    /// Time goes on: what is not answered is asked again.
    pub(super) fn on_tick(&mut self, now: MonotonicNs) {
        if let Some((_, asked_at)) = self.asked
            && now.saturating_since(asked_at) > ENGINE_SILENCE_MAX
        {
            self.fail(now, format!("no answer within {ENGINE_SILENCE_MAX:?}"));
        }
    }

    fn fail(&mut self, now: MonotonicNs, why: String) {
        self.trouble = Some(why);
        (self.at, self.asked, self.expected) = (0, None, 0);
        self.next = Next::Pause(now + ENGINE_BEAT);
    }

    /// Takes the next question, if there is one now.
    pub(super) fn next_order(&mut self, now: MonotonicNs) -> Option<EngineOrder> {
        if self.asked.is_some() {
            return None;
        }
        if let Next::Pause(until) = self.next
            && until <= now
        {
            self.next = Next::Look;
        }
        let store = self.stores.get(self.at)?.clone();
        let ask = match &self.next {
            Next::Look => StoreAsk::Look(store),
            Next::Make => StoreAsk::Make(store),
            Next::Change(config) => StoreAsk::Change(store, config.clone()),
            Next::Read => StoreAsk::Read(store),
            Next::More { reader, .. } => {
                self.expected = ENGINE_LOAD_BATCH;
                StoreAsk::More { store, reader: reader.clone(), count: ENGINE_LOAD_BATCH }
            }
            Next::Wait | Next::Pause(_) => return None,
        };
        self.asks += 1;
        self.asked = Some((self.asks, now));
        Some(EngineOrder::Ask { number: self.asks, ask: Box::new(ask) })
    }

    /// Notes the answer to a question.
    pub(super) fn on_answer(&mut self, number: u64, answer: Result<StoreAnswer, String>, now: MonotonicNs) {
        if self.asked.is_none_or(|(asked, _)| asked != number) {
            return;
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(why) => return self.fail(now, why),
        };
        self.asked = None;
        match (answer, &self.next) {
            (StoreAnswer::Absent, Next::Look) => self.next = Next::Make,
            (StoreAnswer::Differs(config), Next::Look) => self.next = Next::Change(config),
            (StoreAnswer::Fits, Next::Look | Next::Make | Next::Change(_)) => {
                self.at += 1;
                self.next = if self.at < self.stores.len() { Next::Look } else { Next::Wait };
            }
            (StoreAnswer::Reads { left: 0, .. }, Next::Read) => self.go_to_next_store(),
            (StoreAnswer::Reads { reader, left }, Next::Read) => self.next = Next::More { reader, left },
            // A part that is not full was the last.
            (StoreAnswer::NoMore, Next::More { .. }) => self.go_to_next_store(),
            (answer, next) => {
                let why = format!("an answer that nobody has asked for: {answer:?} to {next:?}");
                self.fail(now, why);
            }
        }
    }

    fn go_to_next_store(&mut self) {
        (self.at, self.next, self.expected) = (self.at + 1, Next::Read, 0);
    }

    /// True if all stores are read.
    fn is_read(&self) -> bool {
        self.next == Next::Read && self.at >= self.stores.len()
    }

    /// Takes a payload from a store, which went there so long ago; so many follow it. `None`: no broker has made it.
    pub(super) fn take(
        &mut self,
        mut payload: Bytes,
        (age, left): (Duration, u64),
        (own_start, frame_bytes_max): (u64, usize),
        (now, near): (MonotonicNs, &mut Near),
    ) -> Option<()> {
        let Next::More { left: before, .. } = &mut self.next else { return Some(()) };
        *before = left;
        self.asked.iter_mut().for_each(|(_, heard_at)| *heard_at = now);
        self.expected = self.expected.saturating_sub(1);
        if self.expected == 0 {
            // The part is whole.
            self.asked = None;
        }
        if left == 0 {
            self.asked = None;
            self.go_to_next_store();
        }
        let head = PayloadHead::take(&mut payload)?;
        if head.kind != HeadKind::Crossing {
            return None;
        }
        let (topic, batches) = crossing::read(payload, head.count, frame_bytes_max)?;
        if head.start != own_start {
            let (start, place, count) = (head.start, head.place, u64::from(head.count));
            self.loaded += count;
            self.put(Landing { start, topic, place, count, what: Landed::Messages(batches) }, age, near);
        }
        Some(())
    }

    /// Puts something behind what is stored.
    fn put(&mut self, landing: Landing, age: Duration, near: &mut Near) {
        self.stored.begin_at((landing.start, &landing.topic), landing.place);
        // The first of a topic is no hole: what was before it is too old.
        self.stored.take(landing, |_| Footing::Confirmed);
        self.stored.keep(near, age);
    }

    /// Ends, if all is read, or it takes too long: what has waited follows, and goes on by the way in without being heard.
    pub(super) fn end(&mut self, now: MonotonicNs, near: &mut Near) -> Option<(Loaded, VecDeque<Landing>)> {
        let loaded = match (self.is_read(), now >= self.give_up_at) {
            (true, _) => Loaded::Whole,
            (false, true) => Loaded::GivenUp,
            (false, false) => return None,
        };
        let mut held = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        for landing in &mut held {
            let what = match &mut landing.what {
                // Nobody was to hear it yet.
                Landed::Messages(batches) => Landed::Messages(std::mem::take(batches)),
                // Where a broker begins is no hole, if nothing of it is stored.
                Landed::Word(_) if !self.stored.knows(landing.start, &landing.topic) => continue,
                Landed::Word(is_last) => Landed::Word(*is_last),
            };
            let (start, topic, place, count) =
                (landing.start, landing.topic.clone(), landing.place, landing.count);
            self.put(Landing { start, topic, place, count, what }, Duration::ZERO, near);
        }
        while self.stored.begin_look() {
            self.stored.on_looked(|_, _| Footing::Confirmed);
            self.stored.keep(near, Duration::ZERO);
        }
        Some((loaded, held))
    }
}
