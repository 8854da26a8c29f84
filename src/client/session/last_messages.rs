//! The last message of each publisher on each topic, in bounds. Pure; part of a session's state.

use ahash::AHashMap;
use bytes::Bytes;

use crate::limits::{POSITIONS_BYTES_MAX, POSITIONS_MAX};

/// The last sequence of each publisher, of one topic.
type Last = Vec<(u64, u64)>;

/// The last messages that publishers sent on topics, no more of them than there may be positions.
#[derive(Default)]
pub(super) struct LastMessages {
    topics: AHashMap<Bytes, Last>,
    count: usize,
    /// Bytes of the topics.
    bytes: usize,
}

impl LastMessages {
    /// Notes a message, of which the later counts. False: beside `others`, there is no room for it.
    pub(super) fn note(
        &mut self,
        (topic, publisher, sequence): (&[u8], u64, u64),
        others: &[LastMessages],
    ) -> bool {
        let known = self.topics.get_mut(topic);
        let is_new = known.is_none();
        if let Some((_, last)) = known.and_then(|last| last.iter_mut().find(|(of, _)| *of == publisher)) {
            *last = sequence.max(*last);
            return true;
        }
        let count = others.iter().fold(self.count, |count, other| count + other.count);
        let added = if is_new { topic.len() } else { 0 };
        let bytes = others.iter().fold(self.bytes + added, |bytes, other| bytes + other.bytes);
        if count >= POSITIONS_MAX || bytes > POSITIONS_BYTES_MAX {
            return false;
        }
        match self.topics.get_mut(topic) {
            Some(last) => last.push((publisher, sequence)),
            None => _ = self.topics.insert(Bytes::copy_from_slice(topic), vec![(publisher, sequence)]),
        }
        (self.count, self.bytes) = (self.count + 1, self.bytes + added);
        true
    }

    /// The sequence of the last message of this publisher on this topic.
    #[inline]
    pub(super) fn sequence(&self, topic: &[u8], publisher: u64) -> Option<u64> {
        if self.topics.is_empty() {
            return None;
        }
        self.topics.get(topic)?.iter().find(|(of, _)| *of == publisher).map(|(_, last)| *last)
    }

    /// Each topic, publisher and sequence.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Bytes, u64, u64)> {
        self.topics
            .iter()
            .flat_map(|(topic, last)| last.iter().map(move |&(publisher, last)| (topic, publisher, last)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_counts_and_no_more_are_noted_than_there_is_room_for_beside_others() {
        let mut last = LastMessages::default();
        assert!(last.note((b"a", 1, 5), &[]) && last.note((b"a", 1, 4), &[]) && last.note((b"a", 2, 9), &[]));
        assert_eq!(
            [last.sequence(b"a", 1), last.sequence(b"a", 2), last.sequence(b"b", 1)],
            [Some(5), Some(9), None]
        );
        let long = |number: usize| [&[b'x'; 1 << 20][..], &number.to_be_bytes()].concat();
        let mut others = [LastMessages::default(), LastMessages::default()];
        assert!((0..4).all(|number| others[0].note((&long(number), 1, 1), &[])));
        let more = (4..9).filter(|&number| last.note((&long(number), 1, 1), &others)).count();
        assert_eq!(more, 3, "the bytes of the topics are bounded");
        assert!(last.note((b"a", 1, 6), &others), "one that is known takes no room");
        let [_, many] = &mut others;
        assert!((0..POSITIONS_MAX as u64).all(|of| many.note((&of.to_be_bytes(), 1, 1), &[])));
        assert!(!many.note((&0_u64.to_be_bytes(), 2, 1), &[]), "there is no room for one publisher more");
        assert!(!last.note((b"c", 1, 1), &others) && last.sequence(b"c", 1).is_none());
        assert_eq!((last.count, last.iter().count()), (5, 5));
        assert_eq!(last.bytes, last.topics.keys().map(Bytes::len).sum::<usize>());
    }
}
