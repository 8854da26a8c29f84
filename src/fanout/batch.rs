//! Messages that came in one read, and the pieces of them that wait in queues. Immutable once made, so that
//! shards may share them.

use std::ops::Range;

use bytes::Bytes;

use super::encoding::{Encoding, Spans, route_key};
use crate::limits::COPY_BELOW_BYTES;
use crate::wire::{Frame, splitter};
use crate::zmtp;

/// Whole, checked, routable messages that came in one read: what one shard hands to another, as they came.
#[derive(Debug)]
pub struct Batch {
    /// The bytes that the spans are of. Not public: native frames are read unchecked by them.
    pub(super) bytes: Bytes,
    /// The messages, in order.
    pub(super) spans: Spans,
}

/// Which consecutive frames of a batch, where they stand, and how many they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Picked {
    pub(super) range: Range<usize>,
    /// The first of them, counted in the batch.
    pub(super) first: u32,
    pub(super) frames: u32,
    /// Of the frames: the messages. The others are gaps that publishers tell.
    pub(super) messages: u32,
}

/// Consecutive frames as they wait in egress queues; sessions of one shard share it by `Rc`.
#[derive(Debug)]
pub struct Chunk {
    /// Whole, checked frames, as they leave. Not public: native ones are read unchecked.
    pub(super) bytes: Bytes,
    /// How many.
    pub(super) frames: u32,
    /// Of the frames: the messages.
    pub(super) messages: u32,
    /// How they are written.
    pub(super) encoding: Encoding,
}

/// A message in a chunk, or the notice of a gap.
pub(super) struct Piece<'a> {
    pub(super) range: Range<usize>,
    /// What queues and gaps know it by.
    pub(super) topic: &'a [u8],
    /// How many messages are missed without it: 1; what it tells, for a gap, so that a dropped notice is not lost.
    pub(super) missed: u64,
    pub(super) is_message: bool,
}

impl Chunk {
    /// The picked frames of `bytes`. A piece that is small against what it is cut from is copied, once for all
    /// sessions, so that a queue does not keep alive far more than it counts: the whole slab, if it is a slice of
    /// one, and else `bytes`.
    pub(super) fn cut(bytes: &Bytes, picked: Picked, encoding: Encoding) -> Self {
        let Picked { range, frames, messages, .. } = picked;
        let of_a_slab = bytes.len() >= COPY_BELOW_BYTES;
        let small = range.len() < COPY_BELOW_BYTES && (of_a_slab || range.len() < bytes.len() / 2);
        let bytes = if small { Bytes::copy_from_slice(&bytes[range]) } else { bytes.slice(range) };
        Chunk { bytes, frames, messages, encoding }
    }

    /// What is never looked into again: so many answers, or notices of gaps.
    pub(super) fn opaque(bytes: Bytes, frames: u32) -> Self {
        Chunk { bytes, frames, messages: 0, encoding: Encoding::Native }
    }

    /// One frame of this chunk.
    pub(super) fn single(&self, piece: &Piece<'_>) -> Self {
        let picked =
            Picked { range: piece.range.clone(), first: 0, frames: 1, messages: u32::from(piece.is_message) };
        Chunk::cut(&self.bytes, picked, self.encoding)
    }

    /// Calls `each` for every frame, in order.
    pub(super) fn for_each(&self, mut each: impl FnMut(&Piece<'_>)) {
        if self.encoding == Encoding::Zmtp {
            return zmtp::for_each_message(&self.bytes, |range, first| {
                each(&Piece { range, topic: route_key(first), missed: 1, is_message: true });
            });
        }
        let mut at = 0;
        for (bytes, frame) in splitter::frames(&self.bytes) {
            let range = at..at + bytes.len();
            at = range.end;
            match frame {
                Frame::Message { topic, .. } | Frame::Parts { topic, .. } => {
                    each(&Piece { range, topic: route_key(topic), missed: 1, is_message: true });
                }
                Frame::Gap { topic, missed, .. } => {
                    each(&Piece { range, topic, missed, is_message: false });
                }
                _ => debug_assert!(false, "only routable frames are cut from batches"),
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::wire::encode;

    /// These frames, as they wait in a queue.
    pub(in crate::fanout) fn chunk_of(frames: &[Frame<'_>]) -> Rc<Chunk> {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| encode(frame, &mut bytes));
        let messages = frames.iter().filter(|frame| matches!(frame, Frame::Message { .. })).count();
        let count = |n: usize| u32::try_from(n).unwrap();
        Rc::new(Chunk {
            bytes: Bytes::from(bytes),
            frames: count(frames.len()),
            messages: count(messages),
            encoding: Encoding::Native,
        })
    }

    #[test]
    fn a_small_piece_does_not_keep_a_slab_alive() {
        let slab = Bytes::from(vec![0_u8; 64 << 10]);
        let cut = |bytes: &Bytes, range: Range<usize>| {
            let piece = {
                let picked = Picked { range: range.clone(), first: 0, frames: 1, messages: 1 };
                Chunk::cut(bytes, picked, Encoding::Native)
            };
            assert_eq!(piece.bytes.len(), range.len());
            bytes.as_ptr_range().contains(&piece.bytes.as_ptr())
        };
        assert!(!cut(&slab, 10..COPY_BELOW_BYTES), "copied");
        assert!(cut(&slab, 10..10 + COPY_BELOW_BYTES), "worth a slab");
        let most_of_a_slab = slab.slice(..COPY_BELOW_BYTES + 1);
        assert!(!cut(&most_of_a_slab, 0..COPY_BELOW_BYTES - 1), "half of the read, and little of its slab");
        let copied_before = Bytes::from(vec![0_u8; COPY_BELOW_BYTES - 1]);
        assert!(cut(&copied_before, 0..3_000));
        assert!(!cut(&copied_before, 0..100));
    }
}
