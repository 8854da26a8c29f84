//! Positions up to which this broker has sent, by topic. Owned by the engine's state.
//!
//! They count the messages of a topic, not those of a publisher, whose sequence goes over all its topics. The table has a
//! bound: topics that were not published lately are forgotten, by halves. A topic that comes again then begins a new count, beyond
//! every position that it ever had; the far ends are told where the old one ended.

use ahash::AHashMap;
use bytes::Bytes;

use super::head::TopicPlace;
use super::probe::Planned;
use super::word::ToldPosition;
use crate::limits::ENGINE_TOPICS_MAX;

/// A topic that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentTopic {
    /// The place of the next message.
    pub(super) next: TopicPlace,
    /// The place up to which all have left, or never will, perhaps in the count before. This is what others are told: the rest may
    /// still come.
    pub(super) left: TopicPlace,
    /// The next message begins a new count, before which something of unknown number is missing.
    pub(super) is_doubted: bool,
    /// When its position is told next.
    pub(super) plan: Option<Planned>,
}

/// All topics.
#[derive(Default)]
pub(super) struct Positions {
    /// Those that were published since the others were made old.
    young: AHashMap<Bytes, SentTopic>,
    old: AHashMap<Bytes, SentTopic>,
    /// Messages over all topics: no position is beyond this.
    messages: u64,
    topics_max: Option<usize>,
}

impl Positions {
    /// A table for fewer topics than usual.
    #[cfg(test)]
    pub(super) fn with_room_for(topics: usize) -> Self {
        Positions { topics_max: Some(topics), ..Positions::default() }
    }

    /// The place of the first message of a count that begins now.
    fn new_count(&self) -> TopicPlace {
        let first = self.messages + 1;
        TopicPlace { base: first, position: first }
    }

    /// Counts messages of a topic. Returns the place of the first, and the topics that are forgotten for this one.
    pub(super) fn advance(&mut self, topic: &[u8], messages: u64) -> (TopicPlace, Vec<ToldPosition>) {
        let mut forgotten = Vec::new();
        if !self.young.contains_key(topic) {
            let (key, known) = match self.old.remove_entry(topic) {
                Some(known) => known,
                None => {
                    let next = self.new_count();
                    (
                        Bytes::copy_from_slice(topic),
                        SentTopic { next, left: next, is_doubted: false, plan: None },
                    )
                }
            };
            if self.young.len() >= self.topics_max.unwrap_or(ENGINE_TOPICS_MAX) / 2 {
                let old = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
                forgotten = old.into_iter().filter_map(ended).collect();
            }
            self.young.insert(key, known);
        }
        let sent = self.young.get_mut(topic).expect("it is there, or was just put there");
        let first = sent.next;
        sent.next.position += messages;
        self.messages += messages;
        (first, forgotten)
    }

    /// Begins new counts of all topics: it is not known what is missing of them, and nobody is told that the old ones ended. Returns
    /// the topics.
    pub(super) fn doubt_all(&mut self) -> Vec<Bytes> {
        let all =
            std::mem::take(&mut self.young).into_keys().chain(std::mem::take(&mut self.old).into_keys());
        let all: Vec<Bytes> = all.collect();
        // Beyond every position before, so that they are seen to be new.
        self.messages += 1;
        for topic in &all {
            let next = self.new_count();
            let half = if self.young.len() < self.topics_max.unwrap_or(ENGINE_TOPICS_MAX) / 2 {
                &mut self.young
            } else {
                &mut self.old
            };
            half.insert(topic.clone(), SentTopic { next, left: next, is_doubted: true, plan: None });
        }
        all
    }

    /// Begins a new count of a topic that is known: it is not known what is missing before it. Returns the place of its first message.
    pub(super) fn doubt(&mut self, topic: &[u8]) -> Option<TopicPlace> {
        // Beyond every position before, so that it is seen to be new.
        self.messages += 1;
        let next = self.new_count();
        let (_, sent) = self.entry_mut(topic)?;
        (sent.next, sent.is_doubted) = (next, true);
        Some(next)
    }

    /// True if the messages that leave next are the first of a count before which something is missing.
    pub(super) fn take_doubt(&mut self, topic: &[u8]) -> bool {
        self.entry_mut(topic).is_some_and(|(_, sent)| std::mem::take(&mut sent.is_doubted))
    }

    /// Notes that all messages up to this place have left, or never will.
    pub(super) fn leave(&mut self, topic: &[u8], place: TopicPlace) {
        if let Some((_, sent)) = self.entry_mut(topic) {
            sent.left = sent.left.max(place);
        }
    }

    /// True if all messages before this place have left, or never will.
    pub(super) fn has_left(&mut self, topic: &[u8], place: TopicPlace) -> bool {
        self.entry_mut(topic).is_some_and(|(_, sent)| sent.left == place)
    }

    /// The topic and its state, if it is known.
    pub(super) fn entry_mut(&mut self, topic: &[u8]) -> Option<(Bytes, &mut SentTopic)> {
        let half = if self.young.contains_key(topic) { &mut self.young } else { &mut self.old };
        let key = half.get_key_value(topic)?.0.clone();
        let sent = half.get_mut(topic)?;
        Some((key, sent))
    }

    /// All topics, each with its state.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Bytes, &mut SentTopic)> {
        self.young.iter_mut().chain(&mut self.old)
    }

    /// The positions of these topics that are known.
    pub(super) fn of<'a>(&self, topics: impl Iterator<Item = &'a [u8]>) -> Vec<ToldPosition> {
        let entry = |topic| self.young.get_key_value(topic).or_else(|| self.old.get_key_value(topic));
        topics.filter_map(entry).map(|(topic, sent)| sent.told(topic)).collect()
    }

    /// The positions of all topics for which `is_wanted`.
    pub(super) fn all(&self, mut is_wanted: impl FnMut(&[u8]) -> bool) -> Vec<ToldPosition> {
        let all = self.young.iter().chain(&self.old).filter(|(topic, _)| is_wanted(topic));
        all.map(|(topic, sent)| sent.told(topic)).collect()
    }

    /// The number of topics.
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

impl SentTopic {
    /// The position as others are told.
    pub(super) fn told(&self, topic: &Bytes) -> ToldPosition {
        ToldPosition { topic: topic.clone(), next: self.left, is_last: false }
    }
}

/// The end of the count of a topic; `None`: some of it has not left.
fn ended((topic, sent): (Bytes, SentTopic)) -> Option<ToldPosition> {
    (sent.left == sent.next).then_some(ToldPosition { topic, next: sent.next, is_last: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(base: u64, position: u64) -> TopicPlace {
        TopicPlace { base, position }
    }

    #[test]
    fn each_topic_has_its_own_count() {
        let mut positions = Positions::default();
        assert_eq!(positions.advance(b"a", 3).0, place(1, 1));
        assert_eq!(positions.advance(b"b", 1).0, place(4, 4));
        assert_eq!(positions.advance(b"a", 2).0, place(1, 4));
        assert_eq!(positions.of([&b"a"[..], b"c"].into_iter()).len(), 1);
        let all = |positions: &Positions| positions.all(|topic| topic == b"b");
        let told = |next| [ToldPosition { topic: Bytes::from_static(b"b"), next, is_last: false }];
        assert_eq!(all(&positions), told(place(4, 4)), "it has not left");
        positions.leave(b"b", place(4, 5));
        assert_eq!(all(&positions), told(place(4, 5)));
    }

    #[test]
    fn a_forgotten_topic_is_told_and_begins_beyond_all_that_it_had() {
        let mut positions = Positions::with_room_for(4);
        let mut last = AHashMap::new();
        let mut forgotten = 0;
        for round in 0..200_u64 {
            let topic = format!("t.{}", round * round % 11);
            let (first, gone) = positions.advance(topic.as_bytes(), round % 3 + 1);
            for told in gone {
                forgotten += 1;
                assert!(told.is_last);
                assert_eq!(last.get(&told.topic), Some(&told.next), "it ended there");
                last.insert(told.topic, place(0, told.next.position));
            }
            let before = last.get(topic.as_bytes()).copied().unwrap_or_default();
            assert!(first == before || (first.base == first.position && first.position >= before.position));
            let next = place(first.base, first.position + round % 3 + 1);
            if round % 2 == 0 {
                positions.leave(topic.as_bytes(), next);
            }
            last.insert(Bytes::from(topic), next);
            assert!(positions.len() <= 4);
        }
        assert!(forgotten > 20);
    }
}
