//! The topics of one rule, with the newest messages of each. Pure; owned by a shard's log.

use std::collections::{BinaryHeap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
#[cfg(feature = "broker")]
use corecast_executors::MonotonicNs;
use slab::Slab;

use super::kept_queue::KeptQueue;
use super::kept_stretch::{Kept, KeptBytes, is_worth_sharing};
use super::records::{Record, Records};
use super::rule::Keep;
use crate::carrier::{GivenUp, GivenUpOf, Stretch};
#[cfg(feature = "broker")]
use crate::control::KeptFigures;
use crate::limits::{GIVEN_UP_PUBLISHERS_MAX, HISTORY_PAGE_STEPS, KEPT_ITEM_BYTES, KEPT_TOPIC_BYTES};
use crate::slack::give_back_slab;
use crate::wire::{Frame, Span, splitter};

/// The numbers of a stretch that comes: its place among all that is kept, and its time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    pub(super) order: u64,
    pub(super) at: u64,
}

/// A stretch that comes: consecutive frames of one topic.
#[derive(Clone, Copy)]
pub(super) struct Coming<'a> {
    pub(super) bytes: &'a Bytes,
    pub(super) spans: &'a [Span],
    /// The first of them.
    pub(super) first: Frame<'a>,
    /// The number of messages in all of them.
    pub(super) messages: u32,
    /// Bytes of the read that is kept alive with any of these.
    pub(super) read_bytes: usize,
}

impl<'a> Coming<'a> {
    /// Takes the next part of it, of so many bytes at the most or of one frame; `None`: nothing is left.
    #[inline]
    pub(super) fn take_part(&mut self, bytes_max: usize) -> Option<Coming<'a>> {
        let (begins, ends) = (self.spans.first()?.start(), self.spans.last()?.end());
        let whole = *self;
        if ends - begins <= bytes_max || self.spans.len() == 1 {
            self.spans = &[];
            return Some(whole);
        }
        let fit = self.spans.iter().take_while(|span| span.end() - begins <= bytes_max).count();
        let (spans, rest) = self.spans.split_at(fit.max(1));
        let part = Coming { spans, messages: messages_in(self.bytes, spans), ..whole };
        self.spans = rest;
        self.messages -= part.messages;
        if let Some(next) = rest.first() {
            self.first = next.frame(self.bytes);
        }
        Some(part)
    }

    /// The last frame that has messages, and where it stands.
    #[inline]
    fn last(&self) -> Option<(Frame<'a>, Range<usize>)> {
        if let [span] = self.spans {
            return (self.messages > 0).then(|| (self.first, span.start()..span.end()));
        }
        let frames = self.spans.iter().rev();
        let mut frames = frames.map(|span| (span.frame(self.bytes), span.start()..span.end()));
        frames.find(|(frame, _)| frame.messages() > 0)
    }
}

/// All topics of one rule.
pub(super) struct Shelf {
    keep: Keep,
    age_ns: u64,
    /// Most bytes of it, as far as its rule bounds them.
    bytes_max: usize,
    /// Most bytes of a stretch, if it has several frames.
    stretch_max: usize,
    topics: Slab<KeptTopic>,
    /// The time of what was kept last.
    last_at: u64,
    records: Records,
    /// Stretches.
    live: usize,
    messages: u64,
    bytes: usize,
}

/// The kept messages of one topic.
struct KeptTopic {
    name: Bytes,
    kept: KeptQueue,
    /// The number of messages among them.
    messages: u64,
    /// The number of messages that were ever kept here.
    index: u64,
    /// The time of the last that was given up.
    floor: u64,
    /// Those that were given up, but by a rule of one message: of such a topic only the last is of interest.
    given_up: Option<Box<GivenUp>>,
}

const _: () =
    assert!(size_of::<KeptTopic>() <= 176, "KEPT_TOPIC_BYTES is the sum of this and what is around it");

impl Shelf {
    /// A shelf for these messages of each topic, none older than `age`, of so many bytes in all and in each stretch.
    pub(super) fn new(keep: Keep, age: Duration, (bytes_max, stretch_max): (usize, usize)) -> Self {
        Shelf {
            keep,
            age_ns: u64::try_from(age.as_nanos()).unwrap_or(u64::MAX),
            bytes_max,
            stretch_max,
            topics: Slab::new(),
            last_at: 0,
            records: match keep {
                Keep::Last => Records::OfTopics(BinaryHeap::new()),
                Keep::Newest(_) | Keep::Recent(_) => Records::OfStretches(VecDeque::new()),
            },
            live: 0,
            messages: 0,
            bytes: 0,
        }
    }

    /// The number of messages of each topic that its rule keeps.
    pub(super) fn most(&self) -> u64 {
        match self.keep {
            Keep::Last => 1,
            Keep::Newest(most) => most,
            Keep::Recent(_) => u64::MAX,
        }
    }

    /// Most bytes of a stretch that is to be kept, if it has several frames.
    #[inline]
    pub(super) fn stretch_max(&self) -> usize {
        match self.keep {
            // Whatever comes together, one of it is kept.
            Keep::Last => usize::MAX,
            Keep::Newest(_) | Keep::Recent(_) => self.stretch_max,
        }
    }

    /// Bytes of all that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages that it holds.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// True if its rule bounds its bytes, and it is over that bound.
    pub(super) fn is_over(&self) -> bool {
        self.bytes > self.bytes_max
    }

    /// The name of the topic in that slot.
    pub(super) fn name(&self, slot: u32) -> &Bytes {
        &self.topics[slot as usize].name
    }

    /// Adds a topic of which nothing is kept, and the last of it was given up at that time; 0: none was. Returns its slot.
    pub(super) fn add_topic(&mut self, name: Bytes, floor: u64) -> u32 {
        self.bytes += topic_bytes(&name);
        let topic =
            KeptTopic { name, kept: KeptQueue::default(), messages: 0, index: 0, floor, given_up: None };
        u32::try_from(self.topics.insert(topic)).expect("each topic has its bytes")
    }

    /// Keeps these frames of a topic, which came together, as far as its rule wants them.
    #[inline]
    pub(super) fn keep(&mut self, slot: u32, mut came: Came, coming: &Coming<'_>) {
        self.last_at = self.last_at.max(came.at);
        came.at = self.last_at;
        match self.keep {
            Keep::Last => self.keep_last(slot, came, coming),
            Keep::Newest(most) => self.push(slot, came, coming, most),
            Keep::Recent(_) => self.push(slot, came, coming, u64::MAX),
        }
    }

    /// The last message takes the place of the one before, in its bytes.
    #[inline]
    fn keep_last(&mut self, slot: u32, came: Came, coming: &Coming<'_>) {
        let Some((frame, range)) = coming.last() else { return };
        let bytes = (coming.bytes, coming.read_bytes);
        let topic = &mut self.topics[slot as usize];
        let Came { order, at } = came;
        topic.index += u64::from(coming.messages);
        let index = topic.index - 1;
        if let Some(kept) = topic.kept.newest_mut() {
            let held_before = kept.held.bytes();
            topic.floor = kept.at;
            kept.held.put_last(&frame, bytes, range);
            (kept.order, kept.index, kept.at) = (order, index, at);
            self.bytes = self.bytes + kept.held.bytes() - held_before;
            return;
        }
        let mut held = KeptBytes::Own(Vec::new());
        held.put_last(&frame, bytes, range);
        self.bytes += held.bytes() + KEPT_ITEM_BYTES;
        topic.kept.push(Kept { held, frames: 1, messages: 1, order, index, at });
        topic.messages = 1;
        self.live += 1;
        self.messages += 1;
        self.record(Record { order, at, slot });
    }

    /// Adds frames to a topic. Its oldest give way while the others are `most` messages.
    fn push(&mut self, slot: u32, came: Came, coming: &Coming<'_>, most: u64) {
        let Coming { bytes, spans: all_spans, messages: all, read_bytes, .. } = *coming;
        let spans = newest(bytes, all_spans, most);
        let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return };
        let range = first.start()..last.end();
        let held = if is_worth_sharing(read_bytes, range.len()) {
            bytes.slice(range)
        } else {
            Bytes::copy_from_slice(&bytes[range])
        };
        let messages = if spans.len() == all_spans.len() { all } else { messages_in(bytes, spans) };
        let frames = u32::try_from(spans.len()).expect("a read has few frames");
        let topic = &mut self.topics[slot as usize];
        // Those before the ones that are kept give way at once, and all that came before them.
        topic.index += u64::from(all - messages);
        if all > messages {
            topic.floor = came.at;
            let gone = all_spans.iter().take(all_spans.len() - spans.len());
            gone.for_each(|span| topic.give_up(&span.frame(bytes), came));
        }
        self.bytes += held.len() + KEPT_ITEM_BYTES;
        self.live += 1;
        self.messages += u64::from(messages);
        let Came { order, at } = came;
        let index = topic.index;
        topic.kept.push(Kept { held: KeptBytes::Shared(held), frames, messages, order, index, at });
        topic.index += u64::from(messages);
        topic.messages += u64::from(messages);
        while self.topics[slot as usize].can_spare_oldest(most) {
            self.take_oldest(slot);
        }
        self.record(Record { order, at, slot });
    }

    fn record(&mut self, record: Record) {
        self.records.add(record);
        if self.records.are_untidy(self.live) {
            let topics = &self.topics;
            self.records.tidy(|slot| oldest_of(topics, slot));
        }
    }

    /// Takes the oldest stretch of a topic out. Returns the number of its messages.
    fn take_oldest(&mut self, slot: u32) -> u64 {
        let topic = &mut self.topics[slot as usize];
        let Some(gone) = topic.kept.pop_oldest() else { return 0 };
        let messages = u64::from(gone.messages);
        topic.floor = gone.at;
        if let KeptBytes::Shared(bytes) = &gone.held {
            let came = Came { order: gone.order, at: gone.at };
            splitter::frames(bytes).for_each(|(_, frame)| topic.give_up(&frame, came));
        }
        topic.messages -= messages;
        self.live -= 1;
        self.messages -= messages;
        self.bytes -= gone.held.bytes() + KEPT_ITEM_BYTES;
        messages
    }

    /// The place of the oldest stretch of all topics.
    pub(super) fn oldest(&mut self) -> Option<u64> {
        while let Some(first) = self.records.first() {
            if self.records.settle_first(oldest_of(&self.topics, first.slot)) {
                return Some(first.order);
            }
        }
        None
    }

    /// True if the oldest stretch is too old; each look at a record is counted.
    pub(super) fn is_due(&mut self, now: u64, looks: &mut usize) -> bool {
        while let Some(first) = self.records.first()
            && now.saturating_sub(first.at) > self.age_ns
            && *looks > 0
        {
            *looks -= 1;
            if self.records.settle_first(oldest_of(&self.topics, first.slot)) {
                return true;
            }
        }
        false
    }

    /// Takes the oldest stretch of all topics out. Returns the number of its messages, and the name of its topic with the time of
    /// its last messages if nothing else of it is kept.
    pub(super) fn evict(&mut self) -> Option<(u64, Option<(Bytes, u64)>)> {
        self.oldest()?;
        let Record { slot, .. } = self.records.pop()?;
        let messages = self.take_oldest(slot);
        let is_over = self.topics[slot as usize].kept.is_empty();
        let name = is_over.then(|| self.remove_topic(slot)).map(|(name, _, at)| (name, at));
        Some((messages, name))
    }

    /// Takes a topic out with all that is kept of it. Returns its name, the number of these messages, and the time of the last that
    /// it had.
    pub(super) fn remove_topic(&mut self, slot: u32) -> (Bytes, u64, u64) {
        let mut messages = 0;
        while !self.topics[slot as usize].kept.is_empty() {
            messages += self.take_oldest(slot);
        }
        let gone = self.topics.remove(slot as usize);
        self.bytes -= topic_bytes(&gone.name);
        give_back_slab(&mut self.topics);
        (gone.name, messages, gone.floor)
    }

    /// The figures of a topic.
    #[cfg(feature = "broker")]
    pub(super) fn figures(&self, slot: u32) -> KeptFigures {
        let KeptTopic { name, kept, messages, .. } = &self.topics[slot as usize];
        let held: usize = kept.iter().map(|kept| kept.held.bytes() + KEPT_ITEM_BYTES).sum();
        let at = |kept: Option<&Kept>| MonotonicNs(kept.map_or(0, |kept| kept.at));
        KeptFigures {
            topic: name.clone(),
            messages: *messages,
            bytes: (topic_bytes(name) + held) as u64,
            oldest: at(kept.oldest()),
            newest: at(kept.newest()),
        }
    }

    /// Adds to `found` what is kept of a topic between two places, of so many of its newest messages before the later one, and
    /// not older than `since`, until `is_full`; what has to be copied is appended to `copied`. Returns how many messages that is
    /// and what follows, and the place of the last stretch if something follows.
    pub(super) fn find(
        &self,
        slot: u32,
        (behind, up_to): (u64, u64),
        (count, since): (u64, u64),
        (found, copied): (&mut VecDeque<Stretch>, &mut BytesMut),
        mut is_full: impl FnMut(&Stretch) -> bool,
    ) -> (u64, Option<u64>) {
        let kept = &self.topics[slot as usize].kept;
        let end = kept.partition_point(|kept| kept.order <= up_to);
        let Some(last) = end.checked_sub(1).and_then(|last| kept.get(last)) else { return (0, None) };
        // Where messages are missing between those that are kept, all before them have given way.
        let end_index = last.index + u64::from(last.messages);
        let newest = end_index
            .checked_sub(count)
            .map_or(0, |first| kept.partition_point(|kept| kept.index <= first).saturating_sub(1));
        let since = kept.partition_point(|kept| kept.at < since);
        let first = kept.partition_point(|kept| kept.order <= behind).max(since).max(newest).min(end);
        let left = kept.get(first).filter(|_| first < end).map_or(0, |first| end_index - first.index);
        found.reserve_exact((end - first).min(HISTORY_PAGE_STEPS));
        for (kept, next) in kept.range(first..end).zip(first + 1..) {
            let Kept { held, frames, messages, order, at: time, .. } = kept;
            let (frames, messages, order) = (*frames, *messages, *order);
            let stretch = Stretch { bytes: held.share(copied), frames, messages, order, at: *time };
            let is_last = is_full(&stretch) && next < end;
            found.push_back(stretch);
            if is_last {
                return (left, Some(order));
            }
        }
        (left, None)
    }

    /// The time of the last message of a topic that was given up; 0 if none was.
    pub(super) fn floor(&self, slot: u32) -> u64 {
        self.topics[slot as usize].floor
    }

    /// The messages of a topic that were given up, if it had any since that time. By a rule of one message these are all that came
    /// before that one.
    pub(super) fn given_up(&self, slot: u32, since: u64) -> Option<Box<GivenUp>> {
        let topic = &self.topics[slot as usize];
        let newest = topic.kept.newest().filter(|newest| newest.at >= since)?;
        if let Keep::Last = self.keep {
            return (topic.index > 1).then(|| Box::new(GivenUp { of: Vec::new(), others_at: newest.at }));
        }
        topic.given_up.clone()
    }

    /// Counts again what it holds.
    pub(super) fn audit(&self) {
        let (mut live, mut messages, mut bytes) = (0, 0, 0);
        for (_, topic) in &self.topics {
            assert!(!topic.kept.is_empty(), "a topic of which nothing is kept was left");
            assert!(topic.kept.iter().is_sorted_by(|one, next| one.order < next.order && one.at <= next.at));
            let of_topic: u64 = topic.kept.iter().map(|kept| u64::from(kept.messages)).sum();
            assert_eq!(topic.messages, of_topic, "messages of a topic");
            live += topic.kept.len();
            messages += of_topic;
            bytes += topic_bytes(&topic.name);
            bytes += topic.kept.iter().map(|kept| kept.held.bytes() + KEPT_ITEM_BYTES).sum::<usize>();
        }
        assert_eq!((self.live, self.messages, self.bytes), (live, messages, bytes), "what is kept");
        let recorded = self.records.audit(|slot| oldest_of(&self.topics, slot));
        assert_eq!(recorded, live, "each stretch has a record");
    }
}

impl KeptTopic {
    /// Messages of a frame are not kept any more.
    fn give_up(&mut self, frame: &Frame<'_>, Came { order, at }: Came) {
        let given_up = self.given_up.get_or_insert_default();
        let Some((publisher, first)) = frame.author() else {
            // A notice of messages that never came, of which it has no numbers.
            return given_up.add_other(at);
        };
        let count = u64::from(frame.messages());
        let last = first.saturating_add(count - 1);
        let gone = GivenUpOf { publisher, first, last, count, at, order };
        given_up.add(gone, GIVEN_UP_PUBLISHERS_MAX);
    }

    /// True if so many messages are kept without the oldest stretch.
    fn can_spare_oldest(&self, most: u64) -> bool {
        let spared = |oldest: &Kept| self.messages - u64::from(oldest.messages) >= most;
        self.kept.len() > 1 && self.kept.oldest().is_some_and(spared)
    }
}

/// Messages in these frames.
pub(super) fn messages_in(bytes: &Bytes, spans: &[Span]) -> u32 {
    spans.iter().map(|span| span.frame(bytes).messages()).sum()
}

/// Bytes that a topic takes, whatever is kept of it.
fn topic_bytes(name: &Bytes) -> usize {
    2 * name.len() + KEPT_TOPIC_BYTES
}

/// The oldest stretch in a slot. Places grow, so that a topic in a slot that was another's has only later ones.
fn oldest_of(topics: &Slab<KeptTopic>, slot: u32) -> Option<Record> {
    let Kept { order, at, .. } = topics.get(slot as usize)?.kept.oldest()?;
    Some(Record { order: *order, at: *at, slot })
}

/// The last of these frames, with so many messages.
fn newest<'a>(bytes: &Bytes, spans: &'a [Span], most: u64) -> &'a [Span] {
    let mut messages = 0;
    for (at, span) in spans.iter().enumerate().rev() {
        messages += u64::from(span.frame(bytes).messages());
        if messages >= most {
            return &spans[at..];
        }
    }
    spans
}
