//! Owns the account of one stream: what one subscriber got of one publisher on one topic. Used by the oracle only.
//!
//! A message in order costs one comparison and two additions. Whatever arrives ahead of its turn leaves a hole;
//! holes are kept as ranges, so an account grows with the number of holes (each 16 bytes), never with the number
//! of messages. A message that fills a hole is late; one that fills none was here before.

use serde::{Deserialize, Serialize};

/// Sequences from `start` to before `end` that have not arrived, though a later one has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Hole {
    start: u64,
    end: u64,
}

/// The arrivals of one stream.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Stream {
    /// One past the highest sequence that arrived.
    next: u64,
    delivered: u64,
    holes: Vec<Hole>,
    duplicated: u64,
    reordered: u64,
}

impl Stream {
    /// Message `sequence` has arrived intact. Returns whether it is the first time.
    #[inline]
    pub fn arrived(&mut self, sequence: u64) -> bool {
        if sequence == self.next {
            self.next += 1;
            self.delivered += 1;
            return true;
        }
        self.arrived_out_of_turn(sequence)
    }

    #[cold]
    fn arrived_out_of_turn(&mut self, sequence: u64) -> bool {
        if sequence > self.next {
            self.holes.push(Hole { start: self.next, end: sequence });
            self.next = sequence + 1;
        } else if self.fill(sequence) {
            self.reordered += 1;
        } else {
            self.duplicated += 1;
            return false;
        }
        self.delivered += 1;
        true
    }

    /// Takes `sequence` out of the hole that it is in. Returns whether there is one.
    fn fill(&mut self, sequence: u64) -> bool {
        let after = self.holes.partition_point(|hole| hole.start <= sequence);
        let Some(at) = after.checked_sub(1) else { return false };
        let hole = self.holes[at];
        if sequence >= hole.end {
            return false;
        }
        let left = Hole { start: hole.start, end: sequence };
        let right = Hole { start: sequence + 1, end: hole.end };
        match (left.start < left.end, right.start < right.end) {
            (false, false) => drop(self.holes.remove(at)),
            (true, false) => self.holes[at] = left,
            (false, true) => self.holes[at] = right,
            (true, true) => {
                self.holes[at] = left;
                self.holes.insert(after, right);
            }
        }
        true
    }

    /// One past the highest sequence that arrived.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Messages that arrived intact, each counted once.
    pub fn delivered_count(&self) -> u64 {
        self.delivered
    }

    /// Intact messages that had arrived before.
    pub fn duplicated_count(&self) -> u64 {
        self.duplicated
    }

    /// Messages that arrived after one with a higher sequence (RFC 4737's definition of reordering).
    pub fn reordered_count(&self) -> u64 {
        self.reordered
    }

    /// The first few sequences below `sent` that have not arrived, for error messages.
    pub fn first_missing(&self, sent: u64, count: usize) -> Vec<u64> {
        let tail = Hole { start: self.next, end: sent };
        let holes = self.holes.iter().copied().chain(std::iter::once(tail));
        holes.flat_map(|hole| hole.start..hole.end).filter(|sequence| *sequence < sent).take(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn after(arrivals: &[u64]) -> Stream {
        let mut stream = Stream::default();
        for sequence in arrivals {
            stream.arrived(*sequence);
        }
        stream
    }

    /// Delivered, duplicated, reordered.
    fn counts(stream: &Stream) -> (u64, u64, u64) {
        (stream.delivered, stream.duplicated, stream.reordered)
    }

    #[test]
    fn each_kind_of_disorder_alone() {
        assert_eq!(counts(&after(&[0, 1, 2, 3])), (4, 0, 0), "in order");
        assert_eq!(counts(&after(&[0, 1, 3, 4])), (4, 0, 0), "a hole");
        assert_eq!(counts(&after(&[0, 1, 1, 2])), (3, 1, 0), "twice at once");
        assert_eq!(counts(&after(&[0, 1, 2, 0])), (3, 1, 0), "twice, later");
        assert_eq!(counts(&after(&[0, 2, 1, 3])), (4, 0, 1), "two exchanged");
        assert_eq!(counts(&after(&[0, 3, 1, 2, 1])), (4, 1, 2), "late, then again");
        assert_eq!(counts(&after(&[5])), (1, 0, 0), "the first one is missing");
    }

    #[test]
    fn what_is_missing_is_named() {
        let stream = after(&[1, 2, 6]);
        assert_eq!(stream.first_missing(9, 10), [0, 3, 4, 5, 7, 8]);
        assert_eq!(stream.first_missing(9, 2), [0, 3]);
        assert_eq!(after(&[0, 1]).first_missing(2, 10), [0; 0]);
    }

    #[test]
    fn holes_are_ranges() {
        let mut stream = after(&[0, 1_000_000]);
        assert_eq!(stream.holes.len(), 1);
        stream.arrived(500_000);
        assert_eq!(stream.holes, [Hole { start: 1, end: 500_000 }, Hole { start: 500_001, end: 1_000_000 }]);
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set_of_everything(arrivals in prop::collection::vec(0u64..40, 0..120)) {
            let stream = after(&arrivals);
            let (mut seen, mut duplicated, mut reordered) = (BTreeSet::new(), 0, 0);
            for sequence in &arrivals {
                let late = seen.last().is_some_and(|highest| sequence < highest);
                let first_time = seen.insert(*sequence);
                duplicated += u64::from(!first_time);
                reordered += u64::from(first_time && late);
            }
            prop_assert_eq!(counts(&stream), (seen.len() as u64, duplicated, reordered));
            let missing: Vec<u64> = (0..45).filter(|sequence| !seen.contains(sequence)).collect();
            prop_assert_eq!(stream.first_missing(45, 100), missing);
        }
    }
}
