//! The policy `latest`: of each topic only the newest message waits. Part of the egress queue.

use std::collections::VecDeque;
use std::rc::Rc;

use ahash::AHashMap;
use bytes::Bytes;

use super::super::batch::Chunk;
use super::super::gaps::GapTally;
use super::super::policy::QueueBounds;
use super::{EgressQueue, Item, Offer};

/// Gaps from which on a queue is looked at for gaps to join.
const JOIN_GAPS: usize = 32;

/// Topics from which on the positions of those that have left are forgotten.
const FORGET_TOPICS: usize = 64;

impl EgressQueue {
    /// One message a topic: a newer one takes the place of the one that waits, with a gap of one before it. A gap
    /// that a publisher tells replaces nothing: it is no state.
    pub(super) fn offer_latest(&mut self, chunk: &Chunk, bounds: QueueBounds) -> Offer {
        let mut dropped = if self.newest.is_none() { self.begin_latest() } else { 0 };
        dropped += self.push_singles(chunk);
        self.join_gaps_if_many();
        while let Some(at) = self.excess(bounds) {
            dropped += self.drop_in_place(at);
        }
        if self.newest.as_ref().is_some_and(|newest| newest.len() > FORGET_TOPICS + 2 * self.items.len()) {
            self.find_newest_again();
        }
        if dropped == 0 { Offer::Queued } else { Offer::Dropped(dropped) }
    }

    /// Takes what waits apart, frame by frame, as if each had been offered to a `latest` queue.
    fn begin_latest(&mut self) -> u64 {
        self.newest = Some(Box::default());
        let mut dropped = 0;
        for item in self.items.split_off(self.begun()) {
            match item {
                Item::Data(chunk) => {
                    self.uncount(&chunk);
                    dropped += self.push_singles(&chunk);
                }
                other => self.items.push_back(other),
            }
        }
        dropped
    }

    fn push_singles(&mut self, chunk: &Chunk) -> u64 {
        let mut dropped = 0;
        chunk.for_each(|piece| {
            if piece.is_message {
                let position = self.popped + self.items.len() as u64;
                let newest = self.newest.get_or_insert_default();
                let older = newest.insert(Bytes::copy_from_slice(piece.topic), position);
                if let Some(at) = older.and_then(|at| self.replaceable(at)) {
                    dropped += self.drop_in_place(at);
                }
            }
            self.push(&Rc::new(chunk.single(piece)));
        });
        dropped
    }

    /// The index of the item at this position, if it still waits and has not begun to leave.
    fn replaceable(&self, position: u64) -> Option<usize> {
        let at = usize::try_from(position.checked_sub(self.popped)?).ok()?;
        (at >= self.begun() && matches!(self.items.get(at), Some(Item::Data(_)))).then_some(at)
    }

    /// Joins the gaps when they are most of the queue, so that a stalled subscriber of one topic holds one message
    /// and one gap, not one gap a message. What is missed is older than all that is kept of its topic, so it may
    /// be told earlier: where the first gap is.
    fn join_gaps_if_many(&mut self) {
        if self.gaps < JOIN_GAPS || self.gaps < 2 * self.frames {
            return;
        }
        let waiting = self.items.split_off(self.begun());
        let mut first = None;
        let mut missed = GapTally::default();
        let mut kept: VecDeque<Item> = VecDeque::new();
        for item in waiting {
            match item {
                Item::Gap(tally) => {
                    first.get_or_insert(kept.len());
                    missed.absorb(&tally);
                    self.gaps -= 1;
                }
                other => kept.push_back(other),
            }
        }
        if let Some(first) = first {
            kept.insert(first, Item::Gap(Box::new(missed)));
            self.gaps += 1;
        }
        self.items.append(&mut kept);
        self.find_newest_again();
    }

    fn find_newest_again(&mut self) {
        let mut newest = AHashMap::new();
        for (at, item) in self.items.iter().enumerate().skip(self.begun()) {
            let Item::Data(chunk) = item else { continue };
            chunk.for_each(|piece| {
                if piece.is_message {
                    newest.insert(Bytes::copy_from_slice(piece.topic), self.popped + at as u64);
                }
            });
        }
        self.newest = Some(Box::new(newest));
    }
}
