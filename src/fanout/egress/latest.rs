//! The policy `latest`: of each topic only the newest message waits. Part of the egress queue.

use std::collections::VecDeque;
use std::rc::Rc;

use ahash::RandomState;
use hashbrown::HashTable;

use super::super::batch::Chunk;
use super::super::policy::QueueBounds;
use super::{EgressQueue, Offer, Queued};

/// Places without anything, or topics that have left, from which on a queue is tidied up when they are most of it.
const TIDY_FROM: usize = 32;

/// The positions that a queue with one message a topic keeps beside its items.
#[derive(Default, Debug)]
pub(crate) struct Latest {
    /// The positions of the messages, by their topics. Some may have left since.
    newest: HashTable<u64>,
    keys: RandomState,
    /// Where the gap stands. What is missed is older than all that is kept of its topic, so one tells everything, at
    /// the place of what was missed first.
    gap: Option<u64>,
    /// No message that may give way stands before this.
    oldest: u64,
    /// Places without anything.
    gone: usize,
}

impl EgressQueue {
    /// One message a topic: a newer one takes the place of the one that waits, which is told as missed. A gap that a
    /// publisher tells replaces nothing: it is no state.
    pub(crate) fn offer_latest(&mut self, chunk: &Chunk, bounds: QueueBounds) -> Offer {
        let mut latest = self.latest.take().unwrap_or_default();
        let mut dropped = if latest.newest.is_empty() { self.begin_latest(&mut latest) } else { 0 };
        dropped += self.push_singles(&mut latest, chunk);
        while self.is_over(bounds) {
            let Some(at) = self.oldest_single(&mut latest) else { break };
            dropped += self.drop_single(&mut latest, at);
        }
        if latest.gone > TIDY_FROM.max(self.items.len() / 2)
            || latest.newest.len() > TIDY_FROM + 2 * self.items.len()
        {
            self.tidy_up(&mut latest);
        }
        self.latest = Some(latest);
        self.pop_unsent();
        if dropped == 0 { Offer::Queued } else { Offer::Dropped(dropped) }
    }

    /// Takes what waits apart, message by message, as if each had been offered to a `latest` queue.
    fn begin_latest(&mut self, latest: &mut Latest) -> u64 {
        let mut dropped = 0;
        for item in self.items.split_off(self.begun()) {
            match item {
                Queued::Data(chunk) => {
                    self.uncount(&chunk);
                    dropped += self.push_singles(latest, &chunk);
                }
                other => {
                    if matches!(other, Queued::Gap(_)) {
                        latest.gap = Some(self.popped + self.items.len() as u64);
                    }
                    self.items.push_back(other);
                }
            }
        }
        dropped
    }

    /// The gap to which is added what is missed, if it still waits.
    pub(crate) fn gap_of_latest(&self) -> Option<usize> {
        let gap = self.index_of(self.latest.as_ref()?.gap?)?;
        (gap >= self.begun()).then_some(gap)
    }

    /// A gap has been put at the end.
    pub(crate) fn note_last_gap(&mut self) {
        let position = self.popped + self.items.len() as u64 - 1;
        if let Some(latest) = &mut self.latest {
            latest.gap = Some(position);
        }
    }

    fn push_singles(&mut self, latest: &mut Latest, chunk: &Chunk) -> u64 {
        let mut dropped = 0;
        chunk.for_each_single(|single, piece| {
            let position = self.popped + self.items.len() as u64;
            self.push(&Rc::new(single));
            if piece.messages > 0
                && let Some(at) = latest.replace(piece.topic, position, &self.items, self.popped)
                && at >= self.begun()
            {
                dropped += self.drop_single(latest, at);
            }
        });
        dropped
    }

    /// Drops the message at `at`, to be told where the gap is, and counts it.
    fn drop_single(&mut self, latest: &mut Latest, at: usize) -> u64 {
        let Queued::Data(chunk) = std::mem::replace(&mut self.items[at], Queued::Gone) else {
            return 0;
        };
        self.uncount(&chunk);
        let gap = latest.gap.and_then(|gap| self.index_of(gap)).filter(|gap| *gap >= self.begun());
        match gap {
            Some(gap) if gap < at => self.add_missed(gap, &chunk),
            // Behind this place, an answer may have ended a subscription: a gap may be told earlier, but no later.
            Some(gap) => {
                self.items.swap(gap, at);
                self.add_missed(at, &chunk);
            }
            None => self.begin_gap(at, &chunk),
        }
        if gap.is_some() {
            latest.gone += 1;
        }
        if gap.is_none_or(|gap| at < gap) {
            latest.gap = Some(self.popped + at as u64);
        }
        u64::from(chunk.messages)
    }

    fn index_of(&self, position: u64) -> Option<usize> {
        usize::try_from(position.checked_sub(self.popped)?).ok()
    }

    /// The message that has waited longest, if it may give way to others.
    fn oldest_single(&self, latest: &mut Latest) -> Option<usize> {
        let from = self.index_of(latest.oldest).unwrap_or(0).max(self.begun()).min(self.items.len());
        let found = self.items.range(from..).position(|item| matches!(item, Queued::Data(_)));
        let at = from + found?;
        latest.oldest = self.popped + at as u64;
        Some(at).filter(|at| at + 1 < self.items.len())
    }

    /// An item is about to be put before all that waits: what waits is one place further back, and its position stays
    /// true.
    pub(crate) fn make_place_ahead(&mut self) {
        if let Some(mut latest) = self.latest.take() {
            if self.popped == 0 {
                self.popped = 1 << 32;
                self.tidy_up(&mut latest);
            }
            // Nothing is added to a gap that has left or begun to leave, and the new item may get its position.
            let first_waiting = self.popped + self.begun() as u64;
            latest.gap = latest.gap.filter(|gap| *gap >= first_waiting);
            self.latest = Some(latest);
            self.popped -= 1;
        }
    }

    /// Takes the empty places out, and forgets what has left.
    fn tidy_up(&mut self, latest: &mut Latest) {
        self.items.retain(|item| !matches!(item, Queued::Gone));
        *latest = Latest { keys: std::mem::take(&mut latest.keys), ..Latest::default() };
        for at in self.begun()..self.items.len() {
            let position = self.popped + at as u64;
            match &self.items[at] {
                Queued::Data(chunk) => {
                    let Some(topic) = chunk.first_topic() else { continue };
                    latest.replace(topic, position, &self.items, self.popped);
                }
                Queued::Gap(_) => latest.gap = Some(position),
                Queued::Answer(_) | Queued::Gone => {}
            }
        }
    }
}

impl Latest {
    /// Topics of which something is known.
    #[cfg(test)]
    pub(crate) fn topics(&self) -> usize {
        self.newest.len()
    }

    /// Notes where the newest message of this topic waits, and gives the index of the one before, if it waits, too.
    fn replace(
        &mut self,
        topic: &[u8],
        position: u64,
        items: &VecDeque<Queued>,
        popped: u64,
    ) -> Option<usize> {
        let topic_at = |position: u64| {
            let at = usize::try_from(position.checked_sub(popped)?).ok()?;
            let Queued::Data(chunk) = items.get(at)? else { return None };
            chunk.first_topic()
        };
        let keys = &self.keys;
        let hash = keys.hash_one(topic);
        if let Some(known) = self.newest.find_mut(hash, |known| topic_at(*known) == Some(topic)) {
            return usize::try_from(std::mem::replace(known, position) - popped).ok();
        }
        // Those that have left are looked for by nobody.
        let hash_again = |known: &u64| topic_at(*known).map_or(0, |topic| keys.hash_one(topic));
        self.newest.insert_unique(hash, position, hash_again);
        None
    }
}
