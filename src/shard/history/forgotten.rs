//! Topics of which a shard has given up all messages: the time of the last one. A publisher that was on another shard before has
//! older messages there, and those are no history any more: behind them there would be a hole. Pure; owned by a shard's log.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;

use crate::limits::FORGOTTEN_TOPICS_MAX;

/// The last topics that were forgotten.
#[derive(Default)]
pub(super) struct Forgotten {
    floors: BTreeMap<Bytes, u64>,
    /// The same in the order in which they were forgotten, with some that are kept again.
    order: VecDeque<(Bytes, u64)>,
}

impl Forgotten {
    /// Nothing of a topic is kept any more, whose last message was taken at that time.
    pub(super) fn add(&mut self, topic: &Bytes, at: u64) {
        if self.order.len() >= FORGOTTEN_TOPICS_MAX
            && let Some((oldest, at)) = self.order.pop_front()
            // It may have been kept and forgotten again meanwhile.
            && self.floors.get(&oldest) == Some(&at)
        {
            self.floors.remove(&oldest);
        }
        self.floors.insert(topic.clone(), at);
        self.order.push_back((topic.clone(), at));
    }

    /// Messages of a topic are kept again. Returns the time of the last one before; 0 if that is not known.
    pub(super) fn take(&mut self, topic: &[u8]) -> u64 {
        self.floors.remove(topic).unwrap_or(0)
    }

    /// The time of the last message of a topic.
    pub(super) fn floor(&self, topic: &[u8]) -> Option<u64> {
        self.floors.get(topic).copied()
    }

    /// These topics from there on, in the order of names, with the times of their last messages.
    pub(super) fn from(&self, from: Bound<&[u8]>) -> impl Iterator<Item = (&Bytes, &u64)> {
        self.floors.range::<[u8], _>((from, Bound::Unbounded))
    }

    /// Counts again.
    pub(super) fn audit(&self) {
        assert!(self.floors.len() <= self.order.len() && self.order.len() <= FORGOTTEN_TOPICS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_topics_that_were_forgotten_are_known() {
        let mut forgotten = Forgotten::default();
        let topic = |number: usize| Bytes::from(format!("{number:05}"));
        for number in 0..=FORGOTTEN_TOPICS_MAX {
            forgotten.add(&topic(number), 7);
            forgotten.audit();
        }
        assert_eq!((forgotten.floor(b"00000"), forgotten.floor(b"00001")), (None, Some(7)));
        assert_eq!(forgotten.take(b"00001"), 7, "it is kept again");
        forgotten.add(&topic(1), 9);
        // The place that it had before is the oldest, and is not its own any more.
        forgotten.add(&topic(0), 9);
        assert_eq!((forgotten.floor(b"00001"), forgotten.floor(b"00002")), (Some(9), None));
        assert_eq!(forgotten.from(Bound::Excluded(b"00001")).next(), Some((&topic(3), &7)));
        assert_eq!(forgotten.take(b"00002"), 0);
    }
}
