//! The tally of what a session missed, until it is told. Owned by an egress queue.

use ahash::AHashMap;
use bytes::Bytes;

use super::batch::Chunk;
use crate::limits::{EGRESS_ITEM_BYTES, GAP_BYTES_MAX, GAP_TOPICS_MAX};
use crate::wire::{Frame, encode};

/// The number on the wire for messages that an egress queue had no room for.
pub(crate) const REASON_OVERFLOW: u8 = 1;

/// The number on the wire for messages that did not come from their publisher.
pub(crate) const REASON_PUBLISHER: u8 = 2;

/// Messages missed at one place of a stream, by topic.
#[derive(Clone, Default, Debug)]
pub(crate) struct GapTally {
    by_topic: AHashMap<Box<[u8]>, Missed>,
    /// Bytes that those topics take.
    topics_bytes: usize,
    /// The count for topics beyond [`GAP_TOPICS_MAX`] or [`GAP_BYTES_MAX`].
    others: Missed,
    /// The notices that tell it; made when they are about to leave, and again if more is missed before they do.
    notices: Option<Notices>,
}

/// Written notices.
#[derive(Clone, Debug)]
pub(crate) struct Notices {
    pub(crate) bytes: Bytes,
    pub(crate) frames: u32,
}

/// Bytes of a topic here beside its own: its allocation, and two places in a map that grows by doubling.
const TOPIC_ITEM_BYTES: usize = 24 + 2 * size_of::<(Box<[u8]>, Missed)>();

#[derive(Clone, Copy, Default, Debug)]
struct Missed {
    messages: u64,
    /// A gap notice of unknown size was itself dropped.
    unknown: bool,
}

impl Missed {
    /// Saturates: a publisher may tell a gap of any size.
    fn add(&mut self, messages: u64) {
        match messages {
            0 => self.unknown = true,
            n => self.messages = self.messages.saturating_add(n),
        }
    }
}

impl Missed {
    fn absorb(&mut self, other: Missed) {
        self.messages = self.messages.saturating_add(other.messages);
        self.unknown |= other.unknown;
    }
}

impl GapTally {
    /// The frames of `chunk` are missed: each message, and what each gap notice among them tells.
    pub(crate) fn add_chunk(&mut self, chunk: &Chunk) {
        chunk.for_each(|piece| self.missed(piece.topic).add(piece.missed));
    }

    /// Adds what another tally has.
    pub(crate) fn absorb(&mut self, other: &GapTally) {
        for (topic, missed) in &other.by_topic {
            self.missed(topic).absorb(*missed);
        }
        self.others.absorb(other.others);
    }

    /// Memory that it takes in a queue, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        let notices = self.notices.as_ref().map_or(0, |notices| notices.bytes.len());
        EGRESS_ITEM_BYTES + self.topics_bytes + notices
    }

    fn missed(&mut self, topic: &[u8]) -> &mut Missed {
        self.notices = None;
        if !self.by_topic.contains_key(topic) {
            let topics_bytes = self.topics_bytes + topic.len() + TOPIC_ITEM_BYTES;
            if self.by_topic.len() >= GAP_TOPICS_MAX || topics_bytes > GAP_BYTES_MAX {
                return &mut self.others;
            }
            self.topics_bytes = topics_bytes;
            self.by_topic.insert(topic.into(), Missed::default());
        }
        self.by_topic.get_mut(topic).expect("it was just looked for, or put there")
    }

    /// Writes the notices that tell it.
    pub(crate) fn write_notices(&mut self) {
        if self.notices.is_some() {
            return;
        }
        let mut out = Vec::new();
        let mut frames = 0;
        let mut topics: Vec<(&[u8], &Missed)> = self.by_topic.iter().map(|(t, m)| (&t[..], m)).collect();
        topics.sort_unstable_by_key(|(topic, _)| *topic);
        topics.push((&[], &self.others));
        for (topic, missed) in topics {
            let known = (missed.messages > 0).then_some(missed.messages);
            for missed in known.into_iter().chain(missed.unknown.then_some(0)) {
                encode(&Frame::Gap { topic, missed, reason: REASON_OVERFLOW }, &mut out);
                frames += 1;
            }
        }
        self.notices = Some(Notices { bytes: Bytes::from(out.into_boxed_slice()), frames });
    }

    /// The notices, once they are written.
    pub(crate) fn notices(&self) -> Option<&Notices> {
        self.notices.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fanout::batch::tests::chunk_of;
    use crate::wire::splitter;

    fn message(topic: &[u8]) -> Frame<'_> {
        Frame::Message { topic, payload: b"payload", publisher: 1, sequence: 1, sent_at_ns: 1 }
    }

    fn gap(topic: &[u8], missed: u64) -> Frame<'_> {
        Frame::Gap { topic, missed, reason: 2 }
    }

    /// The numbers that are told, by topic, in rising order.
    fn told(tally: &mut GapTally) -> BTreeMap<Vec<u8>, Vec<u64>> {
        tally.write_notices();
        let chunk = tally.notices().expect("they were just written");
        let mut told: BTreeMap<Vec<u8>, Vec<u64>> = BTreeMap::new();
        let mut frames = 0;
        for (_, frame) in splitter::frames(&chunk.bytes) {
            let Frame::Gap { topic, missed, reason: REASON_OVERFLOW } = frame else { panic!("{frame:?}") };
            told.entry(topic.to_vec()).or_default().push(missed);
            frames += 1;
        }
        assert_eq!(chunk.frames, frames);
        told.values_mut().for_each(|numbers| numbers.sort_unstable());
        told
    }

    #[test]
    fn each_topic_is_told_once_with_its_number() {
        let mut tally = GapTally::default();
        tally.add_chunk(&chunk_of(&[message(b"a"), message(b"b"), message(b"a")]));
        assert_eq!(told(&mut tally), [(b"a".to_vec(), vec![2]), (b"b".to_vec(), vec![1])].into());
        tally.add_chunk(&chunk_of(&[message(b"b")]));
        assert_eq!(told(&mut tally), [(b"a".to_vec(), vec![2]), (b"b".to_vec(), vec![2])].into());
    }

    #[test]
    fn a_dropped_notice_is_told_again_an_unknown_number_as_unknown() {
        let mut tally = GapTally::default();
        tally.add_chunk(&chunk_of(&[message(b"a"), gap(b"a", 40), gap(b"b", 0), gap(b"a", 0)]));
        assert_eq!(told(&mut tally), [(b"a".to_vec(), vec![0, 41]), (b"b".to_vec(), vec![0])].into());
    }

    #[test]
    fn a_publisher_may_tell_any_number() {
        let mut tally = GapTally::default();
        tally.add_chunk(&chunk_of(&[gap(b"a", u64::MAX), gap(b"a", u64::MAX), message(b"a")]));
        assert_eq!(told(&mut tally), [(b"a".to_vec(), vec![u64::MAX])].into());
    }

    #[test]
    fn topics_beyond_the_limit_are_told_as_one_sum() {
        let mut tally = GapTally::default();
        for n in 0..GAP_TOPICS_MAX + 10 {
            let topic = format!("t.{n}");
            tally.add_chunk(&chunk_of(&[message(topic.as_bytes()), message(topic.as_bytes())]));
        }
        let first = told(&mut tally);
        assert_eq!(first.len(), GAP_TOPICS_MAX + 1);
        assert_eq!(first[&b""[..]], [20]);
        assert_eq!(first[&b"t.0"[..]], [2]);
        assert_eq!(first.values().flatten().sum::<u64>(), 2 * (GAP_TOPICS_MAX as u64 + 10));
    }

    #[test]
    fn long_topics_take_no_more_than_their_share() {
        let mut tally = GapTally::default();
        for n in 0..GAP_TOPICS_MAX {
            tally.add_chunk(&chunk_of(&[message(format!("{n:0>1000}").as_bytes())]));
        }
        assert!(tally.held_bytes() <= GAP_BYTES_MAX + EGRESS_ITEM_BYTES);
        let all = told(&mut tally);
        assert!(all.len() > 100, "{} topics", all.len());
        assert_eq!(all.values().flatten().sum::<u64>(), GAP_TOPICS_MAX as u64);
        assert!(tally.held_bytes() <= 2 * GAP_BYTES_MAX + EGRESS_ITEM_BYTES);
    }
}
