//! The order in which the messages of a shelf give way: the oldest first. Pure; owned by a shelf.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, VecDeque};

use crate::slack::{give_back_heap, give_back_queue};

/// Records of messages that have given way, beyond as many as there are others, before they are tidied up.
const TIDY_FROM: usize = 64;

/// A stretch of messages that is, or was, the oldest of its topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Record {
    pub(super) order: u64,
    /// Its time. Neither goes back.
    pub(super) at: u64,
    /// The slot of its topic.
    pub(super) slot: u32,
}

/// The records of a shelf.
pub(super) enum Records {
    /// By a rule of one message there is one for each topic, and a message that takes the place of another leaves it as it is: it
    /// is brought up to date when it is the oldest.
    OfTopics(BinaryHeap<Reverse<Record>>),
    /// One of each stretch, in order.
    OfStretches(VecDeque<Record>),
}

impl Records {
    /// A topic has a first message (by a rule of one), or a stretch more (by any other).
    pub(super) fn add(&mut self, record: Record) {
        match self {
            Records::OfTopics(heap) => heap.push(Reverse(record)),
            Records::OfStretches(queue) => queue.push_back(record),
        }
    }

    /// True if most of them are of messages that have given way, of which so many have not.
    pub(super) fn are_untidy(&self, live: usize) -> bool {
        let records = match self {
            Records::OfTopics(heap) => heap.len(),
            Records::OfStretches(queue) => queue.len(),
        };
        records > 2 * live + TIDY_FROM
    }

    /// Forgets those of messages that have given way, by the oldest of a slot, if it has any. Of a slot that is used again there
    /// may be two.
    pub(super) fn tidy(&mut self, oldest_of: impl Fn(u32) -> Option<Record>) {
        let is_live =
            |record: &Record| oldest_of(record.slot).is_some_and(|first| first.order <= record.order);
        match self {
            Records::OfTopics(heap) => {
                let mut records: Vec<Record> =
                    heap.drain().filter_map(|Reverse(record)| oldest_of(record.slot)).collect();
                records.sort_unstable();
                records.dedup();
                *heap = records.into_iter().map(Reverse).collect();
            }
            Records::OfStretches(queue) => queue.retain(is_live),
        }
    }

    /// The first of them, which may be of a message that has given way: nothing that is kept is older.
    pub(super) fn first(&self) -> Option<Record> {
        match self {
            Records::OfTopics(heap) => heap.peek().map(|Reverse(record)| *record),
            Records::OfStretches(queue) => queue.front().copied(),
        }
    }

    /// Takes the first away if it is of a message that has given way, or brings it up to date, by the oldest of its slot. Returns
    /// true if it stands as it is.
    pub(super) fn settle_first(&mut self, oldest: Option<Record>) -> bool {
        match self {
            Records::OfTopics(heap) => {
                let Some(mut first) = heap.peek_mut() else { return true };
                match oldest {
                    Some(oldest) if oldest == first.0 => return true,
                    Some(oldest) => first.0 = oldest,
                    None => _ = PeekMut::pop(first),
                }
                false
            }
            Records::OfStretches(queue) => {
                let Some(first) = queue.front() else { return true };
                let is_live = oldest.is_some_and(|oldest| oldest.order <= first.order);
                if !is_live {
                    queue.pop_front();
                }
                is_live
            }
        }
    }

    /// Takes the first away.
    pub(super) fn pop(&mut self) -> Option<Record> {
        match self {
            Records::OfTopics(heap) => {
                let first = heap.pop().map(|Reverse(record)| record);
                give_back_heap(heap);
                first
            }
            Records::OfStretches(queue) => {
                let first = queue.pop_front();
                give_back_queue(queue);
                first
            }
        }
    }

    /// Checks that nothing is older than its record says, and returns how many stretches have one, by the oldest of each slot.
    pub(super) fn audit(&self, oldest_of: impl Fn(u32) -> Option<Record>) -> usize {
        match self {
            Records::OfTopics(heap) => {
                let mut slots: Vec<u32> = heap
                    .iter()
                    .filter_map(|Reverse(record)| oldest_of(record.slot).map(|oldest| (record, oldest)))
                    .filter(|(record, oldest)| record.order <= oldest.order && record.at <= oldest.at)
                    .map(|(record, _)| record.slot)
                    .collect();
                slots.sort_unstable();
                slots.dedup();
                slots.len()
            }
            Records::OfStretches(queue) => {
                assert!(queue.iter().is_sorted_by_key(|record| record.order), "records are in order");
                let is_live = |record: &&Record| {
                    oldest_of(record.slot).is_some_and(|oldest| oldest.order <= record.order)
                };
                queue.iter().filter(is_live).count()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(order: u64, slot: u32) -> Record {
        Record { order, at: 10 * order, slot }
    }

    /// The orders in which the messages of these slots give way.
    fn all(records: &mut Records, mut oldest: Vec<Option<Record>>) -> Vec<u64> {
        let mut orders = Vec::new();
        while let Some(first) = records.first() {
            if records.settle_first(oldest[first.slot as usize]) {
                orders.extend(records.pop().map(|record| record.order));
                oldest[first.slot as usize] = None;
            }
        }
        orders
    }

    #[test]
    fn what_was_replaced_gives_way_when_its_last_message_is_the_oldest() {
        for is_tidied in [false, true] {
            let mut records = Records::OfTopics(BinaryHeap::new());
            (0..4).for_each(|slot| records.add(record(u64::from(slot) + 1, slot)));
            // The first is replaced, the second has been taken out, the third's slot is another topic's.
            records.add(record(6, 2));
            let oldest = vec![Some(record(9, 0)), None, Some(record(6, 2)), Some(record(4, 3))];
            assert_eq!(records.audit(|slot| oldest[slot as usize]), 3);
            assert!(!records.are_untidy(0) && records.first() == Some(record(1, 0)));
            if is_tidied {
                records.tidy(|slot| oldest[slot as usize]);
                assert_eq!(records.audit(|slot| oldest[slot as usize]), 3);
            }
            assert_eq!(all(&mut records, oldest), [4, 6, 9], "tidied: {is_tidied}");
        }
    }

    #[test]
    fn topics_that_come_and_go_leave_few_records() {
        let mut records = Records::OfTopics(BinaryHeap::new());
        for order in 1..10_000 {
            records.add(record(order, 0));
            if records.are_untidy(1) {
                records.tidy(|slot| Some(record(order, slot)));
            }
        }
        let Records::OfTopics(heap) = &records else { unreachable!() };
        assert!(heap.len() <= TIDY_FROM + 3, "{}", heap.len());
    }
}
