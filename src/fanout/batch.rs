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

/// Consecutive messages as they wait in egress queues; sessions of one shard share it by `Rc`.
#[derive(Debug)]
pub struct Chunk {
    /// Whole, checked messages, as they leave. Not public: native frames are read unchecked.
    pub(super) bytes: Bytes,
    /// How many.
    pub(super) frames: u32,
    /// How they are written.
    encoding: Encoding,
}

impl Chunk {
    /// The messages of a range of `bytes`. A piece that is small against what it is cut from is copied, once for
    /// all sessions, so that a queue does not keep alive far more than it counts.
    pub(super) fn cut(bytes: &Bytes, range: Range<usize>, frames: u32, encoding: Encoding) -> Self {
        let small = range.len() < COPY_BELOW_BYTES && range.len() < bytes.len() / 2;
        let bytes = if small { Bytes::copy_from_slice(&bytes[range]) } else { bytes.slice(range) };
        Chunk { bytes, frames, encoding }
    }

    /// What is never looked into again: answers, and notices of gaps.
    pub(super) fn opaque(bytes: Bytes, frames: u32) -> Self {
        Chunk { bytes, frames, encoding: Encoding::Native }
    }

    /// The one message of a range of this chunk.
    pub(super) fn single(&self, range: Range<usize>) -> Self {
        Chunk { bytes: self.bytes.slice(range), frames: 1, encoding: self.encoding }
    }

    /// Calls `each` with range, topic and number of messages for every message: 1; what a gap tells, for a gap, so
    /// that a dropped gap notice is not lost.
    pub(super) fn for_each_message(&self, mut each: impl FnMut(Range<usize>, &[u8], u64)) {
        if self.encoding == Encoding::Zmtp {
            return zmtp::for_each_message(&self.bytes, |range, first| each(range, route_key(first), 1));
        }
        let mut at = 0;
        for (bytes, frame) in splitter::frames(&self.bytes) {
            let range = at..at + bytes.len();
            at = range.end;
            match frame {
                Frame::Message { topic, .. } | Frame::Parts { topic, .. } => each(range, route_key(topic), 1),
                Frame::Gap { topic, missed, .. } => each(range, topic, missed),
                _ => debug_assert!(false, "only routable frames are cut from batches"),
            }
        }
    }

    /// As [`Chunk::for_each_message`], without the ranges.
    pub(super) fn for_each_topic(&self, mut each: impl FnMut(&[u8], u64)) {
        self.for_each_message(|_, topic, messages| each(topic, messages));
    }
}
