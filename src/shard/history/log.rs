//! The messages that a shard keeps, by rules: bounded in bytes and in age. Pure; owned by the base of a shard.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use ahash::AHashMap;
use bytes::{Bytes, BytesMut};
use corecast_executors::MonotonicNs;

use super::forgotten::Forgotten;
use super::kept_stretch::copy;
use super::rule::Retention;
use super::shelf::{Came, Coming, Shelf, messages_in};
use crate::carrier::{GivenUp, HistoryAsk, HistoryPage, KeptPart, KeptPlace, Stretch};
#[cfg(feature = "broker")]
use crate::control::KeptFigures;
use crate::fanout::{Batch, Messages, Picked, native_frames, route_key};
#[cfg(feature = "broker")]
use crate::limits::CENSUS_TOPICS_PER_TURN;
use crate::limits::{HISTORY_PAGE_BYTES, HISTORY_PAGE_STEPS, KEPT_ITEM_BYTES, KEPT_LOOKS_PER_TICK};
use crate::slack::give_back;
use crate::topic::Filter;
use crate::wire::Span;

/// Where the messages of a topic are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    shelf: u16,
    slot: u32,
}

/// All that a shard keeps.
pub(in crate::shard) struct Log {
    filters: Vec<Filter>,
    /// By rule.
    shelves: Vec<Shelf>,
    by_topic: AHashMap<Bytes, Place>,
    /// The same in the order of names.
    sorted: BTreeMap<Bytes, Place>,
    bytes_max: usize,
    /// The last stretch that was kept.
    last: Came,
    /// Messages that have given way to others, or were too old.
    given_up: u64,
    /// The time of the newest messages of topics that were taken out.
    forgotten_at: u64,
    /// Some of these topics.
    forgotten: Forgotten,
}

impl Log {
    /// One of so many logs. `None`: nothing is kept.
    pub(in crate::shard) fn new(retention: &Retention, logs: usize) -> Option<Log> {
        if retention.is_empty() {
            return None;
        }
        let share = |bytes| Retention::share(bytes, logs);
        let bytes_max = share(retention.bytes_max());
        let shelf = |rule: &super::KeepRule| {
            let own_max = rule.bytes_max.map_or(usize::MAX, share);
            let stretch_max = own_max.min(bytes_max) / STRETCHES_MIN;
            Shelf::new(rule.keep, retention.age_of(rule), (own_max, stretch_max))
        };
        Some(Log {
            filters: retention.rules().iter().map(|rule| rule.filter.clone()).collect(),
            shelves: retention.rules().iter().map(shelf).collect(),
            by_topic: AHashMap::new(),
            sorted: BTreeMap::new(),
            bytes_max,
            last: Came { order: 0, at: 0 },
            given_up: 0,
            forgotten_at: 0,
            forgotten: Forgotten::default(),
        })
    }

    /// Keeps what the rules want of the messages of a batch, which were cut into these stretches of one topic each.
    pub(in crate::shard) fn keep(
        &mut self,
        now: MonotonicNs,
        (bytes, messages): (&Bytes, Messages<'_>),
        stretches: &[Picked],
    ) {
        self.last.at = self.last.at.max(now.0);
        match messages {
            Messages::Native(spans) => self.keep_all(bytes, spans, stretches),
            Messages::Zmtp(..) => {
                let (bytes, spans) = native_frames(bytes, messages);
                self.keep_all(&bytes, &spans, stretches);
            }
        }
    }

    /// Keeps what the rules want of a batch that was routed elsewhere, and said at that time: of each rule none is older than one
    /// that was kept before. Returns the number of stretches that it had.
    pub(in crate::shard) fn keep_batch(&mut self, at: MonotonicNs, batch: &Batch) -> usize {
        self.last.at = self.last.at.max(at.0);
        let (bytes, spans) = native_frames(&batch.bytes, batch.spans.messages());
        let topic_of = |span: &Span| span.frame(&bytes).routed_topic();
        let mut stretches = 0;
        for spans in spans.chunk_by(|one, next| topic_of(one) == topic_of(next)) {
            let Some(first) = spans.first().map(|span| span.frame(&bytes)) else { continue };
            let Some(topic) = first.routed_topic() else { continue };
            let (topic, messages) = (route_key(topic), messages_in(&bytes, spans));
            let has_notices = spans.iter().any(|span| span.frame(&bytes).messages() == 0);
            if has_notices && !self.keeps_notices_of(topic) {
                // Whoever comes back is told that there was something.
                self.forgotten_at = self.forgotten_at.max(at.0);
            }
            // The bytes may be a part of a read, of which nobody knows how long it is.
            let coming = Coming { bytes: &bytes, spans, first, messages, read_bytes: usize::MAX };
            self.keep_stretch(topic, at.0, &coming);
            stretches += 1;
        }
        self.give_up_oldest();
        stretches
    }

    /// True if notices of gaps of a topic are kept at their place, or nothing of it is kept by any rule.
    fn keeps_notices_of(&self, topic: &[u8]) -> bool {
        match self.by_topic.get(topic) {
            Some(place) => self.shelves[usize::from(place.shelf)].most() > 1,
            None => !self.filters.iter().any(|filter| filter.matches(topic)),
        }
    }

    fn keep_all(&mut self, bytes: &Bytes, spans: &[Span], stretches: &[Picked]) {
        for stretch in stretches {
            let first = stretch.first as usize;
            let spans = &spans[first..first + stretch.frames as usize];
            let Some(first) = spans.first().map(|span| span.frame(bytes)) else { continue };
            let Some(topic) = first.routed_topic() else { continue };
            let (messages, read_bytes) = (stretch.messages, bytes.len());
            self.keep_stretch(
                route_key(topic),
                self.last.at,
                &Coming { bytes, spans, first, messages, read_bytes },
            );
        }
        self.give_up_oldest();
    }

    #[inline]
    fn keep_stretch(&mut self, topic: &[u8], at: u64, coming: &Coming<'_>) {
        let place = match self.by_topic.get(topic) {
            Some(place) => *place,
            None => match self.add_topic(topic, coming.messages == 0) {
                Some(place) => place,
                None => return,
            },
        };
        let shelf = &mut self.shelves[usize::from(place.shelf)];
        let mut rest = *coming;
        while let Some(coming) = rest.take_part(shelf.stretch_max()) {
            self.last.order += 1;
            shelf.keep(place.slot, Came { order: self.last.order, at }, &coming);
        }
    }

    /// Adds a topic that some rule keeps, perhaps with notices of gaps alone.
    fn add_topic(&mut self, topic: &[u8], are_notices: bool) -> Option<Place> {
        let rule = self.filters.iter().position(|filter| filter.matches(topic))?;
        if are_notices && self.shelves[rule].most() == 1 {
            // Before the last message of a topic a gap is a gap of nothing.
            return None;
        }
        let name = Bytes::copy_from_slice(topic);
        let floor = self.forgotten.take(&name);
        let slot = self.shelves[rule].add_topic(name.clone(), floor);
        let place = Place { shelf: u16::try_from(rule).expect("KEEP_RULES_MAX fits"), slot };
        self.by_topic.insert(name.clone(), place);
        self.sorted.insert(name, place);
        Some(place)
    }

    /// Gives up the oldest of rules that are over their bounds, and the oldest of all while they are over theirs.
    fn give_up_oldest(&mut self) {
        for shelf in 0..self.shelves.len() {
            while self.shelves[shelf].is_over() && self.evict(shelf) {}
        }
        while self.bytes() > self.bytes_max {
            let oldest =
                self.shelves.iter_mut().enumerate().filter_map(|(at, shelf)| Some((shelf.oldest()?, at)));
            let Some((_, shelf)) = oldest.min() else { break };
            self.evict(shelf);
        }
    }

    /// Gives up the oldest stretch of a rule; false if there is none.
    fn evict(&mut self, shelf: usize) -> bool {
        let Some((messages, name)) = self.shelves[shelf].evict() else { return false };
        self.given_up += messages;
        if let Some((name, at)) = name {
            self.forget(&name, at);
        }
        true
    }

    /// A tick: gives up what is too old, a turn's work at the most.
    pub(in crate::shard) fn on_tick(&mut self, now: MonotonicNs) {
        let mut looks = KEPT_LOOKS_PER_TICK;
        for shelf in 0..self.shelves.len() {
            while self.shelves[shelf].is_due(now.0, &mut looks) {
                self.evict(shelf);
            }
        }
    }

    /// Bytes of all that is kept.
    pub(in crate::shard) fn bytes(&self) -> usize {
        self.shelves.iter().map(Shelf::bytes).sum()
    }

    /// Messages that are kept.
    pub(in crate::shard) fn messages(&self) -> u64 {
        self.shelves.iter().map(Shelf::messages).sum()
    }

    /// Messages that were given up so far.
    pub(in crate::shard) fn given_up(&self) -> u64 {
        self.given_up
    }

    /// The number of the last stretch that was kept.
    pub(in crate::shard) fn end(&self) -> u64 {
        self.last.order
    }

    /// The time of what was kept last.
    pub(in crate::shard) fn time(&self) -> u64 {
        self.last.at
    }

    /// Another shard has kept messages at that time. Whatever they lead to is later.
    pub(in crate::shard) fn on_time_of_other(&mut self, at: u64) {
        self.last.at = self.last.at.max(at.saturating_add(1));
    }

    /// True if all topics that a filter matches are kept.
    pub(in crate::shard) fn keeps_all_of(&self, filter: &Filter) -> bool {
        self.filters.iter().any(|rule| rule.covers(filter))
    }

    /// A part of what is kept, and the work that it took to find it.
    pub(in crate::shard) fn page(&self, ask: &HistoryAsk) -> (HistoryPage, usize) {
        let (session, of, forgotten_at) = (ask.session, ask.of, self.forgotten_at);
        let mut paging = Paging {
            ask,
            page: HistoryPage { session, of, parts: Vec::new(), next: None, forgotten_at },
            copied: BytesMut::new(),
            bytes_left: HISTORY_PAGE_BYTES,
            steps_left: HISTORY_PAGE_STEPS,
        };
        paging.page.next = self.fill(&mut paging);
        (paging.page, HISTORY_PAGE_STEPS - paging.steps_left)
    }

    /// Adds to a page what is kept, until it is full. Returns the place up to which it goes then.
    fn fill(&self, paging: &mut Paging<'_>) -> Option<KeptPlace> {
        let ask = paging.ask;
        let mut behind = None;
        if let Some((topic, order)) = &ask.behind {
            let place = self.by_topic.get(topic).filter(|_| *order != u64::MAX);
            if let Some(order) = place.and_then(|place| self.find(*place, *order, paging)) {
                return Some((topic.clone(), order));
            }
            behind = Some(topic);
        }
        while !paging.is_full() {
            let (from, is_behind) = first_that_may_match(&ask.filters, behind)?;
            let from = if is_behind { Bound::Excluded(from) } else { Bound::Included(from) };
            let mut kept = self.sorted.range::<[u8], _>((from, Bound::Unbounded)).peekable();
            let mut forgotten = self.forgotten.from(from).peekable();
            // From there on in the order of names, as far as topics are wanted: one that is not may be the first of many.
            loop {
                let is_kept = match (kept.peek(), forgotten.peek()) {
                    (Some((kept, _)), Some((forgotten, _))) => kept < forgotten,
                    (kept, _) => kept.is_some(),
                };
                let (topic, place, floor) = if is_kept {
                    kept.next().map(|(topic, place)| (topic, Some(*place), 0))?
                } else {
                    forgotten.next().map(|(topic, floor)| (topic, None, *floor))?
                };
                paging.take(1 + ask.filters.len() / 4, 0);
                behind = Some(topic);
                if !ask.filters.iter().any(|filter| filter.matches(topic)) {
                    break;
                }
                match place {
                    Some(place) => {
                        if let Some(order) = self.find(place, 0, paging) {
                            return Some((topic.clone(), order));
                        }
                    }
                    None => paging.add(topic, VecDeque::new(), (0, u64::MAX), (floor, None)),
                }
                if paging.is_full() {
                    break;
                }
            }
        }
        behind.map(|topic| (topic.clone(), u64::MAX))
    }

    /// Adds to a page what is kept of a topic behind that stretch. Returns the place of the last one if there are more.
    #[inline]
    fn find(&self, Place { shelf, slot }: Place, behind: u64, paging: &mut Paging<'_>) -> Option<u64> {
        let HistoryAsk { start, since, up_to, resumes, .. } = *paging.ask;
        if behind >= up_to {
            return None;
        }
        let shelf = &self.shelves[usize::from(shelf)];
        let mut stretches = VecDeque::new();
        let mut copied = std::mem::take(&mut paging.copied);
        let (left, more) = shelf.find(
            slot,
            (behind, up_to),
            (start.count(), since),
            (&mut stretches, &mut copied),
            |stretch| {
                paging.take(1, stretch.bytes.len());
                paging.is_full()
            },
        );
        paging.copied = copied;
        let is_first = behind == 0;
        let given_up = (resumes && is_first).then(|| shelf.given_up(slot, since)).flatten();
        let floor = if is_first { shelf.floor(slot) } else { 0 };
        if !stretches.is_empty() || given_up.is_some() || floor > 0 {
            paging.add(shelf.name(slot), stretches, (left, shelf.most()), (floor, given_up));
        }
        more
    }

    /// A turn's share of the topics that a filter may match, behind this one, in the order of names.
    #[cfg(feature = "broker")]
    pub(in crate::shard) fn topics<'a>(
        &'a self,
        filter: &'a Filter,
        behind: Option<&[u8]>,
    ) -> impl Iterator<Item = &'a Bytes> {
        let head = filter.head();
        let from = match behind {
            Some(behind) if behind >= head => Bound::Excluded(behind.to_vec()),
            _ => Bound::Included(head.to_vec()),
        };
        let range = self.sorted.range::<[u8], _>((from.as_ref().map(Vec::as_slice), Bound::Unbounded));
        range.map(|(topic, _)| topic).take_while(|topic| topic.starts_with(head)).take(CENSUS_TOPICS_PER_TURN)
    }

    /// The figures of a topic of which something is kept.
    #[cfg(feature = "broker")]
    pub(in crate::shard) fn figures(&self, topic: &Bytes) -> Option<KeptFigures> {
        let place = self.by_topic.get(topic)?;
        Some(self.shelves[usize::from(place.shelf)].figures(place.slot))
    }

    /// Most bytes that it may take.
    #[cfg(feature = "broker")]
    pub(in crate::shard) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Gives up all that is kept of a topic. Returns the number of its messages.
    #[cfg(feature = "broker")]
    pub(in crate::shard) fn clear(&mut self, topic: &Bytes) -> u64 {
        let Some(Place { shelf, slot }) = self.by_topic.get(topic).copied() else { return 0 };
        let shelf = &mut self.shelves[usize::from(shelf)];
        let (name, messages, at) = shelf.remove_topic(slot);
        self.given_up += messages;
        self.forget(&name, at);
        messages
    }

    /// Nothing is kept of a topic any more, whose last message was taken at that time.
    fn forget(&mut self, name: &Bytes, at: u64) {
        self.forgotten_at = self.forgotten_at.max(at);
        self.forgotten.add(name, at);
        self.by_topic.remove(name);
        self.sorted.remove(name);
        give_back(&mut self.by_topic);
    }

    /// Counts again what is kept.
    pub(in crate::shard) fn audit(&self) {
        self.shelves.iter().for_each(Shelf::audit);
        assert_eq!(self.by_topic.len(), self.sorted.len(), "topics are listed twice");
        for (name, place) in &self.sorted {
            assert_eq!(self.by_topic.get(name), Some(place), "a topic has one place");
            assert_eq!(self.shelves[usize::from(place.shelf)].name(place.slot), name, "it is there");
            assert_eq!(self.forgotten.floor(name), None, "what is kept is not forgotten");
        }
        self.forgotten.audit();
        let newest = KEPT_ITEM_BYTES;
        assert!(self.bytes() <= self.bytes_max.max(newest), "what is kept is bounded");
    }
}

/// Stretches for which there is room in every rule, if their messages are not longer: it gives them up one by one.
const STRETCHES_MIN: usize = 16;

/// The first name that one of these filters may match, from that topic on or without it; true: behind it. `None`: there is none.
fn first_that_may_match<'a>(filters: &'a [Filter], behind: Option<&'a Bytes>) -> Option<(&'a [u8], bool)> {
    let from = |filter: &'a Filter| {
        let head = filter.head();
        match behind {
            Some(behind) if head <= &behind[..] => {
                let goes_on = behind.starts_with(head) && !matches!(filter, Filter::Exact(_));
                goes_on.then_some((&behind[..], true))
            }
            _ => Some((head, false)),
        }
    };
    filters.iter().filter_map(from).min()
}

/// Work on an answer.
struct Paging<'a> {
    ask: &'a HistoryAsk,
    page: HistoryPage,
    /// Bytes that are copied for it.
    copied: BytesMut,
    /// The room that it has left.
    bytes_left: usize,
    steps_left: usize,
}

impl Paging<'_> {
    #[inline]
    fn take(&mut self, steps: usize, bytes: usize) {
        self.steps_left = self.steps_left.saturating_sub(steps);
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.bytes_left == 0 || self.steps_left == 0
    }

    /// Adds a part of a topic: its stretches, the messages that are left and the most that are kept, and what was given up.
    #[inline]
    fn add(
        &mut self,
        topic: &Bytes,
        stretches: VecDeque<Stretch>,
        (left, most): (u64, u64),
        (floor, given_up): (u64, Option<Box<GivenUp>>),
    ) {
        // The count of those who share the name is far from it in memory.
        let topic = copy(topic, &mut self.copied);
        self.page.parts.push(KeptPart { topic, stretches, left, most, floor, given_up });
    }
}

#[cfg(test)]
mod tests;
