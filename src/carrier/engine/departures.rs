//! The way out: from batches of publishers here to crossings that wait for the engine, with the positions that count them. Owned by
//! the engine's state.

use std::rc::Rc;

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::EngineOrder;
use super::buffer::{Buffer, WaitingCrossing};
use super::head::{HeadKind, PayloadHead, TopicPlace};
use super::positions::Positions;
use super::probe::{Due, Probes};
use super::stores::{Settled, StoreCounts, Stores};
use super::subject::Subjects;
use super::word::ToldPosition;
use crate::fanout::{Batch, Chunk, Cutter, Encoding, Fanout, Target, Turn, route_key};
use crate::ids::{GroupId, SessionId, ShardId};
use crate::limits::{ENGINE_CROSSING_BYTES_MAX, ENGINE_HEAD_BYTES, ENGINE_PROBES_PER_TICK, TOPIC_BYTES_MAX};
use crate::topic::{Filter, FilterSet};
use crate::wire::{Frame, splitter};

/// All other brokers, as the router knows them.
const FAR: Target = Target::Group(GroupId(0));

/// The publisher that has said something, and when.
type Said = ((ShardId, SessionId), MonotonicNs);

/// Messages, as the way out has seen them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct WayOutCounts {
    /// Given to the connection.
    pub(super) sent: u64,
    /// Given up for newer ones in the buffer.
    pub(super) given_up: u64,
    /// Longer than the engine takes.
    pub(super) too_large: u64,
}

/// The way out.
pub(super) struct WayOut {
    start: u64,
    subjects: Subjects,
    /// Topics that may cross; `None`: all.
    allowed: Option<FilterSet>,
    /// The filters of other brokers.
    fanout: Fanout,
    /// The same, and those of what is stored, if anything is.
    all: Option<Fanout>,
    stores: Stores,
    positions: Positions,
    probes: Probes,
    buffer: Buffer,
    /// The longest payload that the engine takes, in bytes.
    payload_bytes_max: usize,
    /// Messages and bytes that left since the last true round trip began, and before that.
    unconfirmed: [(u64, u64); 2],
    departed: WayOutCounts,
}

impl WayOut {
    pub(super) fn new(
        start: u64,
        subjects: Subjects,
        (allowed, buffer_bytes_max): (Option<FilterSet>, usize),
        stores: Stores,
    ) -> Self {
        let mut all = Fanout::default();
        stores.filters().for_each(|filter| _ = all.file(filter, FAR));
        WayOut {
            all: (!stores.are_none()).then_some(all),
            stores,
            start,
            subjects,
            allowed,
            fanout: Fanout::default(),
            positions: Positions::default(),
            probes: Probes::default(),
            buffer: Buffer::new(buffer_bytes_max),
            payload_bytes_max: usize::MAX,
            unconfirmed: [(0, 0); 2],
            departed: WayOutCounts::default(),
        }
    }

    /// True if messages of this topic may cross.
    pub(super) fn allows(&self, topic: &[u8]) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.matches(topic))
    }

    /// True if some topic of a filter may cross.
    pub(super) fn allows_some_of(&self, filter: &Filter) -> bool {
        let overlaps = |allowed: &FilterSet| allowed.filters().iter().any(|one| one.overlaps(filter));
        self.allowed.as_ref().is_none_or(overlaps)
    }

    /// Adds a filter that some other broker wants, or removes it.
    pub(super) fn want(&mut self, filter: &Filter, wanted: bool) {
        let of_all = self.all.as_mut().filter(|_| !self.stores.filters().any(|stored| stored == filter));
        for fanout in std::iter::once(&mut self.fanout).chain(of_all) {
            if wanted {
                fanout.file(filter, FAR);
            } else {
                fanout.unfile(filter, FAR);
            }
        }
    }

    /// True if messages for this filter are stored, whoever wants them.
    pub(super) fn stores(&self, filter: &Filter) -> bool {
        self.stores.filters().any(|stored| stored == filter)
    }

    /// A publisher of a shard, which may have said some in another session before, waits until all that it has said is stored.
    pub(super) fn wait_for_stores(&mut self, publisher: (ShardId, SessionId), has_come_back: bool) {
        self.stores.wait(publisher, has_come_back);
    }

    /// Takes the news for publishers that have waited so.
    pub(super) fn take_settled(&mut self) -> Vec<Settled> {
        self.stores.take_settled()
    }

    /// Takes the next order to store something, if there is one now.
    pub(super) fn next_store(&mut self, now: MonotonicNs) -> Option<EngineOrder> {
        self.stores.next_order(&self.subjects, (self.payload_bytes_max, now))
    }

    /// Notes the answer to such an order.
    pub(super) fn on_store_answer(&mut self, number: u64, is_stored: bool, now: MonotonicNs) {
        self.stores.on_answer(number, is_stored, now);
    }

    /// All before the first of these numbers has reached the stores; what comes next has the second.
    pub(super) fn store_numbers(&self) -> (u64, u64) {
        self.stores.numbers()
    }

    /// Messages that were stored.
    pub(super) fn store_counts(&self) -> StoreCounts {
        self.stores.counts()
    }

    fn is_wanted(fanout: &mut Fanout, topic: &[u8]) -> bool {
        !fanout.route_of(topic).0.groups.is_empty()
    }

    /// Queues the messages of a batch that other brokers want. Returns where the counts of topics ended that are forgotten.
    pub(super) fn offer(
        &mut self,
        batch: &Batch,
        by: (ShardId, SessionId),
        now: MonotonicNs,
    ) -> Vec<ToldPosition> {
        let messages = batch.spans.messages();
        // Batches are short, and no executor's reactor waits for this turn.
        let mut turn = Turn::new(usize::MAX);
        let fanout = self.all.as_mut().unwrap_or(&mut self.fanout);
        let deliveries = fanout.route((&batch.bytes, messages), false, &mut turn, None);
        let mut cutter = Cutter::new(&batch.bytes, messages, &deliveries);
        let mut chunks = fanout.memory_of_chunks();
        let mut ended = Vec::new();
        for to in &deliveries.groups {
            cutter.cut(to, Encoding::NativeRuns, &mut chunks);
            for chunk in &chunks {
                self.offer_chunk(chunk, (by, now), &mut ended);
            }
        }
        let fanout = self.all.as_mut().unwrap_or(&mut self.fanout);
        fanout.recycle_chunks(chunks);
        fanout.recycle(deliveries);
        ended
    }

    /// Makes crossings of a chunk: consecutive frames of one topic.
    fn offer_chunk(&mut self, chunk: &Rc<Chunk>, said: Said, ended: &mut Vec<ToldPosition>) {
        let bytes = &chunk.bytes;
        let crossing_bytes_max =
            ENGINE_CROSSING_BYTES_MAX.min(self.payload_bytes_max.saturating_sub(ENGINE_HEAD_BYTES));
        let mut stretch = Stretch::default();
        let (mut at, mut most) = (0, 0);
        for (frame_bytes, frame) in splitter::frames(bytes) {
            let topic = frame.routed_topic().unwrap_or_default();
            // One that is too long is counted with others that begin like it, but does not cross with a topic by the grammar.
            let (topic, is_long) = (route_key(topic), topic.len() > TOPIC_BYTES_MAX);
            let length = stretch.end - stretch.start;
            let goes_on =
                (stretch.topic, stretch.is_long) == (topic, is_long) && length + frame_bytes.len() <= most;
            if !goes_on {
                self.cross(bytes, &stretch, said, ended);
                most = crossing_bytes_max.min(self.stores.crossing_bytes_max(topic));
                stretch = Stretch { topic, is_long, start: at, ..Stretch::default() };
            }
            at += frame_bytes.len();
            stretch.end = at;
            stretch.messages += u64::from(frame.messages());
            if let Frame::Gap { missed, .. } = frame {
                stretch.missed = stretch.missed.saturating_add(missed);
            }
        }
        self.cross(bytes, &stretch, said, ended);
    }

    fn cross(
        &mut self,
        bytes: &Bytes,
        stretch: &Stretch<'_>,
        (by, now): Said,
        ended: &mut Vec<ToldPosition>,
    ) {
        let Stretch { topic, start, end, messages, missed, .. } = *stretch;
        if start == end || !self.allows(topic) {
            return;
        }
        if messages == 0 {
            return self.cross_notice((topic, missed), now, ended);
        }
        let (place, topic) = self.count(topic, messages, now, ended);
        let mut payload = Vec::with_capacity(ENGINE_HEAD_BYTES + end - start);
        let count = u32::try_from(messages).expect("a crossing has few messages");
        let (start_of, is_doubted) = (self.start, self.positions.take_doubt(&topic));
        let head = PayloadHead { kind: HeadKind::Crossing, start: start_of, place, count, is_doubted };
        head.write(&mut payload);
        payload.extend_from_slice(&bytes[start..end]);
        let payload = Bytes::from(payload);
        let end = TopicPlace { position: place.position + messages, ..place };
        if let Some(rule) = self.stores.rule_of(&topic) {
            self.stores.push((rule, by), (topic.clone(), payload.clone()), messages);
            // Nobody else hears it, and nothing before it is still to leave.
            if !Self::is_wanted(&mut self.fanout, &topic) && self.positions.has_left(&topic, place) {
                return self.positions.leave(&topic, end);
            }
        }
        self.queue(WaitingCrossing { topic, end, payload, messages });
    }

    /// Counts a publisher's notice that so many messages of a topic are missing, or with 0 that perhaps some are. It has no place of its
    /// own: with a size it counts as if these messages had been sent and lost, and without as if the count had been forgotten.
    fn cross_notice(
        &mut self,
        (topic, missed): (&[u8], u64),
        now: MonotonicNs,
        ended: &mut Vec<ToldPosition>,
    ) {
        let missed = missed.min(u64::from(u32::MAX));
        let is_known = self.positions.entry_mut(topic).is_some();
        let (place, topic) = self.count(topic, missed, now, ended);
        let mut end = TopicPlace { position: place.position + missed, ..place };
        if missed == 0 {
            if !is_known {
                // Others are to know a count before this one.
                ended.push(ToldPosition { topic: topic.clone(), next: place, is_last: false });
            }
            end = self.positions.doubt(&topic).expect("it was just counted");
        }
        if self.positions.has_left(&topic, place) {
            self.positions.leave(&topic, end);
        } else {
            self.queue(WaitingCrossing { topic, end, payload: Bytes::new(), messages: 0 });
        }
    }

    /// Lets a crossing wait to leave.
    fn queue(&mut self, crossing: WaitingCrossing) {
        for given_up in self.buffer.push(crossing) {
            self.departed.given_up += given_up.messages;
            self.positions.leave(&given_up.topic, given_up.end);
        }
    }

    /// Messages of topics that nobody names are missing: the other brokers are told that it may be those of any.
    pub(super) fn doubt_all(&mut self, now: MonotonicNs) {
        self.probes.clear();
        for topic in self.positions.doubt_all() {
            if let Some((_, sent)) = self.positions.entry_mut(&topic) {
                self.probes.sent(&topic, &mut sent.plan, now);
            }
        }
    }

    /// Counts messages of a topic, and plans the word of its position. Returns the place of the first, and the topic to keep.
    fn count(
        &mut self,
        topic: &[u8],
        messages: u64,
        now: MonotonicNs,
        ended: &mut Vec<ToldPosition>,
    ) -> (TopicPlace, Bytes) {
        let (place, gone) = self.positions.advance(topic, messages);
        ended.extend(gone);
        let (key, sent) = self.positions.entry_mut(topic).expect("it was just counted");
        self.probes.sent(&key, &mut sent.plan, now);
        (place, key)
    }

    /// Takes the crossing that goes next: its subject and its payload.
    pub(super) fn next(&mut self) -> Option<(String, Bytes)> {
        loop {
            let next = self.buffer.pop()?;
            self.positions.leave(&next.topic, next.end);
            if next.payload.is_empty() {
                continue;
            }
            if next.payload.len() > self.payload_bytes_max {
                self.departed.too_large += next.messages;
                continue;
            }
            self.departed.sent += next.messages;
            self.unconfirmed[1].0 += next.messages;
            self.unconfirmed[1].1 += next.payload.len() as u64;
            return Some((self.subjects.of_topic(&next.topic), next.payload));
        }
    }

    /// Notes that a true round trip begins behind all that has left.
    pub(super) fn begin_round_trip(&mut self) {
        let [before, since] = &mut self.unconfirmed;
        let (messages, bytes) = std::mem::take(since);
        *before = (before.0 + messages, before.1 + bytes);
    }

    /// Notes that it has come back.
    pub(super) fn on_round_trip(&mut self) {
        self.unconfirmed[0] = (0, 0);
    }

    /// Messages and bytes that have left and are not confirmed by a round trip.
    pub(super) fn unconfirmed(&self) -> (u64, u64) {
        let [before, since] = self.unconfirmed;
        (before.0 + since.0, before.1 + since.1)
    }

    /// Begins a connection to a server that takes payloads of so many bytes. All positions are told again: what left on the
    /// connection before may be lost.
    pub(super) fn on_connected(&mut self, payload_bytes_max: usize, now: MonotonicNs) {
        self.payload_bytes_max = payload_bytes_max;
        self.stores.on_connected();
        self.probes.clear();
        for (topic, sent) in self.positions.iter_mut() {
            self.probes.plan(topic, &mut sent.plan, now);
        }
    }

    /// The positions of topics that have become quiet.
    pub(super) fn quiet(&mut self, now: MonotonicNs) -> Vec<ToldPosition> {
        let mut told = Vec::new();
        for _ in 0..ENGINE_PROBES_PER_TICK {
            let Some((due, topic)) = self.probes.next_due(now) else { break };
            let Some((_, sent)) = self.positions.entry_mut(&topic) else { continue };
            if !Self::is_wanted(&mut self.fanout, &topic) {
                sent.plan = None;
                continue;
            }
            if self.probes.judge((due, topic.clone()), &mut sent.plan, now) == Due::Tell {
                told.push(sent.told(&topic));
            }
        }
        told
    }

    /// The positions of all topics that other brokers want: the last word of a broker that stops.
    pub(super) fn all(&mut self) -> Vec<ToldPosition> {
        let fanout = &mut self.fanout;
        self.positions.all(|topic| Self::is_wanted(fanout, topic))
    }

    /// The positions of topics that these filters match.
    pub(super) fn of(&self, filters: &[Filter]) -> Vec<ToldPosition> {
        if filters.iter().all(|filter| matches!(filter, Filter::Exact(_))) {
            return self.positions.of(filters.iter().map(Filter::as_bytes));
        }
        let filters: FilterSet = filters.iter().cloned().collect();
        self.positions.all(|topic| filters.matches(topic))
    }

    /// Time goes on by some ticks of a shard: routes that no message asks for are forgotten.
    pub(super) fn forget_unused_routes(&mut self, ticks: usize) {
        self.fanout.forget_unused(ticks);
        self.all.iter_mut().for_each(|all| _ = all.forget_unused(ticks));
    }

    /// Messages that wait to leave, or to be stored.
    pub(super) fn waiting_messages(&self) -> u64 {
        self.buffer.messages() + self.stores.waiting_messages()
    }

    /// Memory of what waits to leave, or to be stored, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.buffer.held_bytes() + self.stores.held_bytes()
    }

    /// Messages that wait to be stored, and their memory in bytes.
    pub(super) fn to_be_stored(&self) -> (u64, usize) {
        (self.stores.waiting_messages(), self.stores.held_bytes())
    }

    /// The number of topics whose positions are kept.
    pub(super) fn topics(&self) -> usize {
        self.positions.len()
    }

    /// The counts.
    pub(super) fn departed(&self) -> WayOutCounts {
        self.departed
    }
}

/// Consecutive frames of one topic.
#[derive(Clone, Copy, Default)]
struct Stretch<'a> {
    topic: &'a [u8],
    is_long: bool,
    start: usize,
    end: usize,
    messages: u64,
    /// Messages that the notices among them tell to be missing.
    missed: u64,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::StoredHistory;
    use super::*;
    use crate::fanout::Spans;
    use crate::wire::{encode, encode_to_vec, split};

    const NOW: MonotonicNs = MonotonicNs(1);
    const BY: (ShardId, SessionId) = (ShardId(0), SessionId { slot: 1, generation: 1 });

    fn way_out() -> WayOut {
        let mut way = WayOut::new(7, Subjects::new("c"), (None, 1 << 20), Stores::default());
        way.want(&Filter::parse(">").unwrap(), true);
        way
    }

    fn message(sequence: u64) -> Frame<'static> {
        Frame::Message { topic: b"a", payload: b"", publisher: 1, sequence, sent_at_ns: 0 }
    }

    fn notice(missed: u64) -> Frame<'static> {
        Frame::Gap { topic: b"a", missed, reason: 2 }
    }

    fn offer(way: &mut WayOut, frame: &Frame<'_>) -> Vec<TopicPlace> {
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        encode(frame, &mut bytes);
        let bytes = Bytes::from(bytes);
        assert_eq!(split(&bytes, usize::MAX, &mut spans).error, None);
        let batch = Batch { bytes, spans: Spans::Native(spans.into()) };
        way.offer(&batch, BY, NOW).into_iter().map(|told| told.next).collect()
    }

    /// The place and number of messages of the crossing that leaves next.
    fn leave(way: &mut WayOut) -> Option<(TopicPlace, u32)> {
        let (_, mut payload) = way.next()?;
        let head = PayloadHead::take(&mut payload).expect("it was just written");
        let begins = head.place.base == head.place.position && head.place.base > 1;
        assert_eq!(
            head.is_doubted, begins,
            "the first behind a notice says so to who knows nothing: {head:?}"
        );
        Some((head.place, head.count))
    }

    /// The place that others are told.
    fn told(way: &WayOut) -> TopicPlace {
        way.all_places().pop().expect("it is known")
    }

    impl WayOut {
        fn all_places(&self) -> Vec<TopicPlace> {
            self.positions.all(|_| true).into_iter().map(|told| told.next).collect()
        }
    }

    fn place(base: u64, position: u64) -> TopicPlace {
        TopicPlace { base, position }
    }

    #[test]
    fn a_notice_without_a_size_begins_a_new_count_once_all_before_it_has_left() {
        for waits in [false, true] {
            let mut way = way_out();
            assert!(offer(&mut way, &message(1)).is_empty());
            if !waits {
                assert_eq!(leave(&mut way), Some((place(1, 1), 1)));
            }
            assert!(offer(&mut way, &notice(0)).is_empty());
            if waits {
                assert_eq!(told(&way), place(1, 1), "it would be taken to be missing");
                assert_eq!(leave(&mut way), Some((place(1, 1), 1)));
            }
            assert_eq!(leave(&mut way), None, "a notice has no crossing");
            let next = told(&way);
            assert!(
                next.base == next.position && next.base > 2,
                "{next:?}: if nothing follows, its word tells"
            );
            assert!(offer(&mut way, &message(2)).is_empty());
            assert_eq!(leave(&mut way), Some((next, 1)));
            assert_eq!(told(&way), place(next.base, next.position + 1));
        }
    }

    #[test]
    fn a_notice_with_a_size_counts_as_if_its_messages_were_lost() {
        for waits in [false, true] {
            let mut way = way_out();
            assert!(offer(&mut way, &message(1)).is_empty());
            if !waits {
                assert_eq!(leave(&mut way), Some((place(1, 1), 1)));
            }
            assert!(offer(&mut way, &notice(3)).is_empty());
            if waits {
                assert_eq!(leave(&mut way), Some((place(1, 1), 1)));
                assert_eq!(leave(&mut way), None);
            }
            assert_eq!(told(&way), place(1, 5), "if nothing follows, its word tells");
            assert!(offer(&mut way, &message(5)).is_empty());
            assert_eq!(leave(&mut way), Some((place(1, 5), 1)));
        }
    }

    #[test]
    fn a_store_has_room_for_several_crossings_however_small_it_is() {
        let rule = |bytes| StoredHistory {
            filter: Filter::parse("a").unwrap(),
            age: Duration::from_secs(60),
            bytes,
            of_each: None,
            is_confirmed: true,
        };
        for (bytes, fewest) in [(1 << 20, 1), (32 << 10, 2), (1600, 32)] {
            let mut way = WayOut::new(7, Subjects::new("c"), (None, 1 << 20), Stores::of(&[rule(bytes)]));
            let frames: Vec<u8> = (1..=64).flat_map(|of| encode_to_vec(&message(of))).collect();
            let bytes = Bytes::from(frames);
            let mut spans = Vec::new();
            assert_eq!(split(&bytes, usize::MAX, &mut spans).error, None);
            way.offer(&Batch { bytes, spans: Spans::Native(spans.into()) }, BY, NOW);
            let stored = std::iter::from_fn(|| way.next_store(NOW)).count();
            assert!(stored >= fewest && (stored == 1) == (fewest == 1), "{stored}, not {fewest}");
            assert_eq!(way.store_counts().unstored, 0);
        }
    }

    #[test]
    fn a_notice_before_all_messages_is_told_as_well() {
        let mut way = way_out();
        let began = offer(&mut way, &notice(0));
        assert_eq!(began, [place(1, 1)], "others are to know a count before it");
        assert!(told(&way).base > 1);
    }
}
