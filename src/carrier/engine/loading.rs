//! History that comes back from the stores as a broker starts: first all stores are there with their bounds, then what other brokers
//! send on these topics is sure to come, then each store is read to its end, and again until it has what was said before that. What
//! comes live on these topics meanwhile waits, and follows. Whatever was stored twice, or behind later messages, is put right by its
//! positions (`sorting`); what is missing is told at its place. Owned by the engine's state. Pure.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::arrivals::WayIn;
use super::crossing;
use super::head::{HeadKind, PayloadHead, TopicPlace};
use super::heard::Footing;
use super::landings::{Landed, Landing};
use super::making::{Making, bounds_of};
use super::sorting::{CameBy, Sorting};
use super::store_ask::{StoreAnswer, StoreAsk, StoreBounds, StoreFacts};
use super::subject::Subjects;
use super::{EngineOrder, StoredHistory};
use crate::carrier::near::Near;
use crate::limits::{
    ENGINE_BEAT, ENGINE_LANDED_BYTES_MAX, ENGINE_LOAD_BATCH, ENGINE_LOAD_LAG_MAX, ENGINE_LOAD_MAX,
    ENGINE_SILENCE_MAX, ENGINE_TICK,
};

/// The next thing to do about the store under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    /// Stores are looked for, and made.
    Make,
    /// All are there. Other brokers have to know what is wanted here.
    Wait,
    Read,
    /// The next part from the reader, if it has any.
    More,
    /// All are read, once or more. From this time on they may be read again, for what has come since.
    Rest(MonotonicNs),
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

/// The end of loading.
pub(super) struct Ended {
    pub(super) outcome: Loaded,
    /// The way in of all that was kept here, to go on from.
    pub(super) kept: WayIn,
    /// Messages and words that came live and leave a hole behind that: they go by the way in of all that comes live.
    pub(super) left: Vec<Landing>,
    /// Messages that came live and were kept.
    pub(super) received: u64,
}

/// A store, as far as it is read.
struct Store {
    bounds: StoreBounds,
    /// The name of its reader, if there is one on this connection.
    reader: Option<String>,
    /// The number of the payload that comes next if the store has given none up.
    number: u64,
    /// Every payload that it ever had was there, so far.
    is_whole: bool,
}

impl Store {
    fn of(rule: &StoredHistory, subjects: &Subjects) -> Store {
        Store { bounds: bounds_of(rule, subjects), reader: None, number: 1, is_whole: true }
    }
}

/// The loading of one broker.
pub(super) struct Loading {
    making: Making,
    stores: Vec<Store>,
    /// The store that is read.
    at: usize,
    next: Next,
    /// The number of the question under way, and the time at which it was asked, or heard of last.
    asked: Option<(u64, MonotonicNs)>,
    asks: u64,
    /// Messages of the part under way that are still to come.
    expected: usize,
    begun_at: MonotonicNs,
    give_up_at: MonotonicNs,
    /// The time at which all stores were read for the first time.
    read_at: Option<MonotonicNs>,
    /// Something that was said before what came live was not stored yet when they were read last.
    is_behind: bool,
    /// All that has come from the stores, to be kept in order.
    sorting: Sorting,
    /// The way in of all that comes from there.
    kept: WayIn,
    /// Messages and words of other brokers that have come meanwhile, in order.
    held: VecDeque<(Landing, MonotonicNs)>,
    held_bytes: usize,
    /// The places from which on topics of brokers come live, whole: a store may not have yet what it refused at first.
    live_from: BTreeMap<(u64, Bytes), TopicPlace>,
    /// The way things went wrong last.
    trouble: Option<String>,
    loaded: u64,
}

impl Loading {
    /// Loads by these rules, if there are any. Whatever happens, it is over after [`ENGINE_LOAD_MAX`].
    pub(super) fn of(rules: &[StoredHistory], subjects: &Subjects, now: MonotonicNs) -> Option<Loading> {
        let stores: Vec<Store> = rules.iter().map(|rule| Store::of(rule, subjects)).collect();
        (!stores.is_empty()).then(|| Loading {
            making: Making::of(rules, subjects),
            stores,
            at: 0,
            next: Next::Make,
            asked: None,
            asks: 0,
            expected: 0,
            begun_at: now,
            give_up_at: now + ENGINE_LOAD_MAX,
            read_at: None,
            is_behind: false,
            sorting: Sorting::default(),
            kept: WayIn::default(),
            held: VecDeque::new(),
            held_bytes: 0,
            live_from: BTreeMap::new(),
            trouble: None,
            loaded: 0,
        })
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
        self.store_of(topic).is_some()
    }

    fn store_of(&self, topic: &[u8]) -> Option<&Store> {
        self.stores.iter().find(|store| store.bounds.filter.matches(topic))
    }

    /// Lets something that comes live wait, or returns it if there is no room.
    pub(super) fn hold(&mut self, landing: Landing, footing: Footing, now: MonotonicNs) -> Option<Landing> {
        let (bytes, of_topic) = (landing.held_bytes(), (landing.start, landing.topic.clone()));
        if self.held_bytes + bytes > ENGINE_LANDED_BYTES_MAX {
            self.live_from.remove(&of_topic);
            return Some(landing);
        }
        if footing == Footing::Answered {
            let end = TopicPlace { position: landing.place.position + landing.count, ..landing.place };
            let from = self.live_from.entry(of_topic).or_default();
            *from = end.max(*from);
        }
        self.held_bytes += bytes;
        self.held.push_back((landing, now));
        None
    }

    /// Memory that it holds, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes + self.sorting.held_bytes() + self.kept.held_bytes()
    }

    /// Begins again, on a new connection: what has come already is known by its positions.
    pub(super) fn on_connected(&mut self) {
        self.live_from.clear();
        self.begin_again(Next::Make);
    }

    fn begin_again(&mut self, next: Next) {
        (self.at, self.next, self.asked, self.expected) = (0, next, None, 0);
        self.making.begin_again();
        self.stores.iter_mut().for_each(|store| store.reader = None);
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
        self.begin_again(Next::Pause(now + ENGINE_BEAT));
    }

    /// Takes the next question, if there is one now.
    pub(super) fn next_order(&mut self, now: MonotonicNs) -> Option<EngineOrder> {
        if self.asked.is_some() {
            return None;
        }
        match self.next {
            Next::Pause(until) if until <= now => self.next = Next::Make,
            Next::Rest(from) if from <= now => (self.at, self.next) = (0, Next::More),
            _ => {}
        }
        let Store { bounds, reader, number, .. } = self.stores.get_mut(self.at)?;
        let store = bounds.clone();
        let ask = match self.next {
            Next::Make => self.making.ask()?,
            Next::Read => {
                *number = 1;
                StoreAsk::Read(store)
            }
            Next::More => {
                self.expected = ENGINE_LOAD_BATCH;
                StoreAsk::More { store, reader: reader.clone()?, count: ENGINE_LOAD_BATCH }
            }
            Next::Wait | Next::Rest(_) | Next::Pause(_) => return None,
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
        match (answer, self.next) {
            (answer, Next::Make) => match self.making.on_answer(answer) {
                Ok(()) if self.making.ask().is_none() => self.next = Next::Wait,
                Ok(()) => {}
                Err(why) => self.fail(now, why),
            },
            (StoreAnswer::Reads { reader, left }, Next::Read) => {
                self.stores[self.at].reader = Some(reader);
                match left {
                    0 => self.go_to_next_store(now),
                    _ => self.next = Next::More,
                }
            }
            // A part that is not full was the last.
            (StoreAnswer::NoMore, Next::More) => self.go_to_next_store(now),
            (answer, next) => {
                let why = format!("an answer that nobody has asked for: {answer:?} to {next:?}");
                self.fail(now, why);
            }
        }
    }

    fn go_to_next_store(&mut self, now: MonotonicNs) {
        (self.at, self.expected) = (self.at + 1, 0);
        self.next = match self.stores.get(self.at) {
            Some(Store { reader: Some(_), .. }) => Next::More,
            Some(_) => Next::Read,
            None => {
                self.read_at.get_or_insert(now);
                self.is_behind = self.is_behind_others();
                Next::Rest(now + ENGINE_TICK)
            }
        };
    }

    /// Takes a payload from a store; `is_here` tells if the broker with this start is there. `None`: no broker has made it.
    pub(super) fn take(
        &mut self,
        mut payload: Bytes,
        StoreFacts { age, number, left }: StoreFacts,
        (own_start, frame_bytes_max): (u64, usize),
        (now, near): (MonotonicNs, &mut Near),
        is_here: impl Fn(u64) -> bool,
    ) -> Option<()> {
        if self.next != Next::More {
            return Some(());
        }
        let store = &mut self.stores[self.at];
        store.is_whole &= number == store.number;
        store.number = number + 1;
        self.asked.iter_mut().for_each(|(_, heard_at)| *heard_at = now);
        self.expected = self.expected.saturating_sub(1);
        if self.expected == 0 {
            // The part is whole.
            self.asked = None;
        }
        let age = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        // 0 is no time.
        let stored = CameBy::Stored(MonotonicNs(now.0.saturating_sub(age).max(1)));
        let taken = self.sort(&mut payload, (own_start, frame_bytes_max), stored, is_here);
        while self.sorting.is_full()
            && let Some((landing, came)) = self.sorting.next()
        {
            self.keep((landing, came), near);
        }
        if left == 0 {
            self.asked = None;
            self.go_to_next_store(now);
        }
        taken
    }

    fn sort(
        &mut self,
        payload: &mut Bytes,
        (own_start, frame_bytes_max): (u64, usize),
        mut came: CameBy,
        is_here: impl Fn(u64) -> bool,
    ) -> Option<()> {
        let head = PayloadHead::take(payload)?;
        if head.kind != HeadKind::Crossing {
            return None;
        }
        let (topic, batches) = crossing::read(std::mem::take(payload), head.count, frame_bytes_max)?;
        if head.start != own_start {
            if !is_here(head.start) {
                // Its publishers have come to others since, and the clock of the store may be ahead.
                came = came.no_later_than(self.begun_at);
            }
            let PayloadHead { start, place, is_doubted, .. } = head;
            let (count, what) = (u64::from(head.count), Landed::Messages(batches));
            self.loaded += count;
            self.sorting.add(Landing { start, topic, place, count, is_doubted, what }, came);
        }
        Some(())
    }

    /// True if something was said before what has come live that the stores did not bring: they may have it a moment later. Brokers of
    /// which nothing has come live are gone.
    fn is_behind_others(&self) -> bool {
        let mut firsts: BTreeMap<(u64, &Bytes), (TopicPlace, u64)> = BTreeMap::new();
        for (landing, _) in &self.held {
            let place = (landing.place, landing.count);
            let first = firsts.entry((landing.start, &landing.topic)).or_insert(place);
            *first = place.min(*first);
        }
        firsts.into_iter().any(|((start, topic), (first, count))| {
            let is_whole = self.store_of(topic).is_some_and(|store| store.is_whole);
            let stored = self.sorting.places_of(start, topic).take_while(|(place, _)| *place <= first);
            let places = stored.map(|place| (place, true)).chain([((first, count), false)]);
            let mut next = self.kept.next_of(start, topic);
            for ((place, count), is_stored) in places {
                let end = TopicPlace { position: place.position + count, ..place };
                let reached = match next {
                    Some(next) if next >= end => continue,
                    Some(next) if next >= place => place.position,
                    Some(next) if next.base == place.base => next.position,
                    // Where a store has given something up, its first is what is left.
                    None if is_stored && !is_whole => place.position,
                    _ => place.base,
                };
                if place.position > reached {
                    return true;
                }
                next = Some(end);
            }
            false
        })
    }

    /// Keeps something behind all that was kept of its topic.
    fn keep(&mut self, (landing, came): (Landing, CameBy), near: &mut Near) {
        let (start, topic) = (landing.start, landing.topic.clone());
        let is_first = self.kept.next_of(start, &topic).is_none();
        let tells_beginning = !came.is_live() && self.store_of(&topic).is_some_and(|store| store.is_whole);
        if is_first && !tells_beginning && !landing.is_doubted {
            // What was before it is too old, or was not to be stored.
            self.kept.begin_at((start, &topic), landing.place);
        }
        // A store that has given nothing up has refused what is not there.
        let footing = if is_first && tells_beginning { Footing::Answered } else { Footing::Confirmed };
        self.kept.take(landing, |_| footing);
        while self.kept.begin_look() {
            self.kept.on_looked(|_, _| footing);
        }
        self.kept.keep(near, came.at());
    }

    /// Ends, if all is read, or it takes too long: what has waited follows.
    pub(super) fn end(&mut self, now: MonotonicNs, near: &mut Near) -> Option<Ended> {
        let outcome = match (self.is_read(now), now >= self.give_up_at) {
            (true, _) => Loaded::Whole,
            (false, true) => Loaded::GivenUp,
            (false, false) => return None,
        };
        for (landing, at) in std::mem::take(&mut self.held) {
            self.sorting.add(landing, CameBy::Live(at));
        }
        self.held_bytes = 0;
        let (mut left, mut received) = (Vec::new(), 0);
        while let Some((landing, came)) = self.sorting.next() {
            let from = self.live_from.get(&(landing.start, landing.topic.clone()));
            if !came.is_live() && from.is_some_and(|from| landing.place >= *from) {
                continue;
            }
            if came.is_live() {
                let next = self.kept.next_of(landing.start, &landing.topic);
                let is_message = matches!(landing.what, Landed::Messages(_));
                // Where a broker begins is no hole, if nothing of it is stored.
                if !next.map_or(is_message, |next| landing.place <= next) {
                    left.push(landing);
                    continue;
                }
                if next.is_none_or(|next| landing.place == next) {
                    received += landing.count;
                }
            }
            self.keep((landing, came), near);
        }
        Some(Ended { outcome, kept: std::mem::take(&mut self.kept), left, received })
    }

    /// True if all stores are read, and have what was said before all that has come live, as far as they will have it soon.
    fn is_read(&self, now: MonotonicNs) -> bool {
        let Next::Rest(_) = self.next else { return false };
        let is_late = self.read_at.is_some_and(|read_at| now >= read_at + ENGINE_LOAD_LAG_MAX);
        // What comes live has to have room.
        !self.is_behind || is_late || self.held_bytes > ENGINE_LANDED_BYTES_MAX / 2
    }
}

#[cfg(test)]
mod tests;
