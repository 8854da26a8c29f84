//! Messages and words that have come and leave a hole, until all channels of the connection were looked at. Owned by the way in.
//!
//! Each subscription has a channel of its own, and they are read one after another. So what seems to be missing may wait in
//! another channel: a hole is believed only after a look at all of them that began after its far edge had come.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::head::TopicPlace;
use crate::fanout::Batch;
use crate::limits::{ENGINE_HELD_BYTES_MAX, ENGINE_ITEM_BYTES};

/// Something that has come: messages, or the word of a position.
#[derive(Debug)]
pub(super) struct Landing {
    /// The start of its broker.
    pub(super) start: u64,
    pub(super) topic: Bytes,
    pub(super) place: TopicPlace,
    /// Messages; in a word none.
    pub(super) count: u64,
    /// As in the head.
    pub(super) is_doubted: bool,
    pub(super) what: Landed,
}

/// The two kinds.
#[derive(Debug)]
pub(super) enum Landed {
    Messages(Vec<Batch>),
    /// The position is told; true if the count of the topic ends there.
    Word(bool),
}

impl Landing {
    pub(super) fn key(&self) -> Key {
        let kind = match self.what {
            Landed::Messages(_) if self.count == 0 => KeyKind::Notice,
            Landed::Messages(_) => KeyKind::Messages,
            Landed::Word(_) => KeyKind::Word,
        };
        (self.start, self.topic.clone(), self.place, kind)
    }

    pub(super) fn held_bytes(&self) -> usize {
        let bytes = match &self.what {
            Landed::Messages(batches) => batches.iter().map(|batch| batch.bytes.len()).sum(),
            Landed::Word(_) => self.topic.len(),
        };
        ENGINE_ITEM_BYTES + bytes
    }
}

/// Broker, topic, place, and kind.
pub(super) type Key = (u64, Bytes, TopicPlace, KeyKind);

/// The kinds of what may stand at one place, in the order in which they are taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum KeyKind {
    /// Notices of gaps without messages: other versions let them cross alone.
    Notice,
    Messages,
    Word,
}

/// All that waits.
#[derive(Default)]
pub(super) struct Landings {
    /// Each with the number of looks that had begun when it came.
    waiting: BTreeMap<Key, (Landing, u64)>,
    bytes: usize,
    looks: u64,
}

impl Landings {
    /// Lets something wait for a look. `false`: the same waits already.
    pub(super) fn hold(&mut self, landing: Landing) -> bool {
        let key = landing.key();
        if self.waiting.contains_key(&key) {
            return false;
        }
        self.bytes += landing.held_bytes();
        self.waiting.insert(key, (landing, self.looks));
        true
    }

    /// Begins a look, if something waits for one.
    pub(super) fn begin_look(&mut self) -> bool {
        self.looks += u64::from(!self.waiting.is_empty());
        !self.waiting.is_empty()
    }

    /// True if more waits than should: it is to be taken without a look.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > ENGINE_HELD_BYTES_MAX
    }

    /// True if nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes, in order, what has waited for the whole look that ends now, and what came meanwhile and stands before that in its
    /// topic. If there is too much, everything.
    pub(super) fn on_looked(&mut self) -> Vec<Landing> {
        let (looks, is_full) = (self.looks, self.is_full());
        let mut ripe = Vec::new();
        let mut last: Option<(u64, &Bytes)> = None;
        for (key, (_, since)) in self.waiting.iter().rev() {
            let topic = (key.0, &key.1);
            if is_full || *since < looks || last == Some(topic) {
                last = Some(topic);
                ripe.push(key.clone());
            }
        }
        ripe.iter().rev().map(|key| self.take(key)).collect()
    }

    /// Takes what stands at this place of a topic or before it, if anything does: the first of it.
    pub(super) fn next_of(&mut self, start: u64, topic: &Bytes, place: TopicPlace) -> Option<Landing> {
        let from = (start, topic.clone(), TopicPlace::default(), KeyKind::Notice);
        let to = (start, topic.clone(), place, KeyKind::Word);
        let key = self.waiting.range(from..=to).next()?.0.clone();
        Some(self.take(&key))
    }

    fn take(&mut self, key: &Key) -> Landing {
        let (landing, _) = self.waiting.remove(key).expect("it was just seen");
        self.bytes -= landing.held_bytes();
        landing
    }

    /// Forgets what waits on topics that nobody wants any more. Returns the number of messages.
    pub(super) fn forget_where(&mut self, mut is_gone: impl FnMut(&[u8]) -> bool) -> u64 {
        let gone: Vec<Key> = self.waiting.keys().filter(|key| is_gone(&key.1)).cloned().collect();
        gone.iter().map(|key| self.take(key).count).sum()
    }

    /// Memory that it holds, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(topic: &'static str, position: u64) -> Landing {
        let place = TopicPlace { base: 1, position };
        Landing {
            start: 7,
            topic: Bytes::from_static(topic.as_bytes()),
            place,
            count: 0,
            is_doubted: false,
            what: Landed::Word(false),
        }
    }

    fn positions(landings: &[Landing]) -> Vec<u64> {
        landings.iter().map(|landing| landing.place.position).collect()
    }

    #[test]
    fn a_hole_is_believed_after_a_look_that_began_behind_it() {
        let mut landings = Landings::default();
        assert!(!landings.begin_look(), "nothing waits");
        assert!(landings.hold(word("a", 5)) && !landings.hold(word("a", 5)));
        assert!(landings.begin_look());
        // During the look.
        landings.hold(word("b", 9));
        landings.hold(word("a", 7));
        landings.hold(word("a", 3));
        assert_eq!(positions(&landings.on_looked()), [3, 5], "and what stands before it");
        assert!(landings.begin_look());
        assert_eq!(positions(&landings.on_looked()), [7, 9]);
        assert!(landings.is_empty() && landings.held_bytes() == 0 && !landings.begin_look());
    }

    #[test]
    fn what_fits_behind_a_message_need_not_wait() {
        let mut landings = Landings::default();
        for position in [4, 5, 9] {
            landings.hold(word("a", position));
        }
        landings.hold(word("b", 1));
        let mut next = |position| {
            let place = TopicPlace { base: 1, position };
            landings.next_of(7, &Bytes::from_static(b"a"), place).map(|landing| landing.place.position)
        };
        assert_eq!([next(5), next(5), next(5), next(9)], [Some(4), Some(5), None, Some(9)]);
    }

    #[test]
    fn what_nobody_wants_any_more_waits_no_longer() {
        let mut landings = Landings::default();
        for topic in ["a", "b", "c"] {
            landings.hold(word(topic, 5));
        }
        assert_eq!(landings.forget_where(|topic| topic != b"b"), 0, "words are no messages");
        assert!(landings.begin_look());
        let left = landings.on_looked();
        assert_eq!(left.iter().map(|landing| &landing.topic[..]).collect::<Vec<_>>(), [b"b"]);
        assert_eq!(landings.held_bytes(), 0);
    }

    #[test]
    fn beyond_the_bound_nothing_waits_for_a_look() {
        let mut landings = Landings::default();
        let mut position = 0;
        while !landings.is_full() {
            position += 1;
            landings.hold(word("a", position));
        }
        assert_eq!(landings.on_looked().len() as u64, position);
        assert!(!landings.is_full());
    }
}
