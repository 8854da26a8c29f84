//! Frames that came in one read, and the pieces of them that wait in queues. Immutable once made, so that
//! shards may share them.

use std::ops::Range;

use bytes::Bytes;

use crate::limits::COPY_BELOW_BYTES;
use crate::wire::{Span, splitter};

/// Whole, checked, routable frames that came in one read: what one shard hands to another.
#[derive(Debug)]
pub struct Batch {
    /// The bytes that the spans are of. Not public: frames are read unchecked by them.
    pub(super) bytes: Bytes,
    /// The frames, in order.
    pub(super) spans: Box<[Span]>,
}

/// Consecutive frames as they wait in egress queues; sessions of one shard share it by `Rc`.
#[derive(Debug)]
pub struct Chunk {
    /// Whole, checked frames, as they came. Not public: they are read unchecked.
    pub(super) bytes: Bytes,
    /// How many.
    pub(super) frames: u32,
}

impl Chunk {
    /// The frames of a range of `bytes`. A piece that is small against what it is cut from is copied, once for
    /// all sessions, so that a queue does not keep alive far more than it counts.
    pub(super) fn cut(bytes: &Bytes, range: Range<usize>, frames: u32) -> Self {
        let small = range.len() < COPY_BELOW_BYTES && range.len() < bytes.len() / 2;
        let bytes = if small { Bytes::copy_from_slice(&bytes[range]) } else { bytes.slice(range) };
        Chunk { bytes, frames }
    }

    /// One answer frame.
    pub(super) fn answer(encoded: Vec<u8>) -> Self {
        Chunk { bytes: Bytes::from(encoded), frames: 1 }
    }

    /// Calls `each` with topic and number of messages for every frame: 1 for a message; what a gap tells, for
    /// a gap, so that a dropped gap notice is not lost.
    pub(super) fn for_each_topic(&self, mut each: impl FnMut(&[u8], u64)) {
        for (_, frame) in splitter::frames(&self.bytes) {
            match frame {
                crate::wire::Frame::Message { topic, .. } => each(topic, 1),
                crate::wire::Frame::Gap { topic, missed, .. } => each(topic, missed),
                _ => debug_assert!(false, "only routable frames are cut from batches"),
            }
        }
    }
}
