//! Frames that came in one read, and the pieces of them that wait in queues. Immutable once made, so that
//! shards may share them.

use std::ops::Range;

use bytes::Bytes;

use crate::limits::COPY_BELOW_BYTES;
use crate::wire::{Frame, Span, splitter};

/// Whole, checked, routable frames that came in one read: what one shard hands to another.
#[derive(Debug)]
pub struct Batch {
    /// The bytes that the spans are of. Not public: frames are read unchecked by them.
    pub(super) bytes: Bytes,
    /// The frames, in order.
    pub(super) spans: Box<[Span]>,
}

/// Where consecutive frames stand in a batch, and how many they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Picked {
    pub(super) range: Range<usize>,
    pub(super) frames: u32,
    /// Of the frames: the messages. The others are gaps that publishers tell.
    pub(super) messages: u32,
}

/// Consecutive frames as they wait in egress queues; sessions of one shard share it by `Rc`.
#[derive(Debug)]
pub struct Chunk {
    /// Whole, checked frames, as they came. Not public: they are read unchecked.
    pub(super) bytes: Bytes,
    /// How many.
    pub(super) frames: u32,
    /// Of the frames: the messages.
    pub(super) messages: u32,
}

impl Chunk {
    /// The picked frames of `bytes`. A piece that is small against what it is cut from is copied, once for all
    /// sessions, so that a queue does not keep alive far more than it counts: the whole slab, if it is a slice of
    /// one, and else `bytes`.
    pub(super) fn cut(bytes: &Bytes, picked: Picked) -> Self {
        let Picked { range, frames, messages } = picked;
        let of_a_slab = bytes.len() >= COPY_BELOW_BYTES;
        let small = range.len() < COPY_BELOW_BYTES && (of_a_slab || range.len() < bytes.len() / 2);
        let bytes = if small { Bytes::copy_from_slice(&bytes[range]) } else { bytes.slice(range) };
        Chunk { bytes, frames, messages }
    }

    /// Calls `each` with topic and number of messages for every frame: 1 for a message; what a gap tells, for
    /// a gap, so that a dropped gap notice is not lost.
    pub(super) fn for_each_topic(&self, mut each: impl FnMut(&[u8], u64)) {
        for (_, frame) in splitter::frames(&self.bytes) {
            match frame {
                Frame::Message { topic, .. } => each(topic, 1),
                Frame::Gap { topic, missed, .. } => each(topic, missed),
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
        Rc::new(Chunk { bytes: Bytes::from(bytes), frames: count(frames.len()), messages: count(messages) })
    }

    #[test]
    fn a_small_piece_does_not_keep_a_slab_alive() {
        let slab = Bytes::from(vec![0_u8; 64 << 10]);
        let cut = |bytes: &Bytes, range: Range<usize>| {
            let piece = Chunk::cut(bytes, Picked { range: range.clone(), frames: 1, messages: 1 });
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
