//! Messages that came in one read, and the pieces of them that wait in queues. Immutable once made, so that
//! shards may share them.

use std::cell::OnceCell;
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;

use super::encoding::{Encoding, Spans, route_key};
use crate::limits::{COPY_BELOW_BYTES, EGRESS_ITEM_BYTES};
use crate::wire::{Frame, encode_to_vec, splitter};
use crate::zmtp;

/// Whole, checked, routable messages that came in one read: what one shard hands to another, as they came.
#[derive(Debug)]
pub struct Batch {
    /// The bytes that the spans are of. Not public: native frames are read unchecked by them.
    pub(crate) bytes: Bytes,
    /// The messages, in order.
    pub(crate) spans: Spans,
}

impl Batch {
    /// The number of messages in it.
    pub(crate) fn messages(&self) -> u64 {
        match &self.spans {
            Spans::Native(spans) => {
                spans.iter().map(|span| u64::from(span.frame(&self.bytes).messages())).sum()
            }
            Spans::Zmtp(spans, _) => spans.len() as u64,
        }
    }

    /// All but so many of the first messages, if that is any.
    pub(crate) fn after(&self, done: usize) -> Option<Batch> {
        let rest = self.spans.messages().after(done)?;
        Some(Batch { bytes: self.bytes.clone(), spans: rest.to_spans() })
    }
}

/// Which consecutive frames of a batch, where they stand, and how many they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Picked {
    pub(crate) range: Range<usize>,
    /// The first of them, counted in the batch.
    pub(crate) first: u32,
    pub(crate) frames: u32,
    /// The messages among the frames. The others are gaps that publishers tell.
    pub(crate) messages: u32,
}

impl Picked {
    /// Counts what stands behind it as well.
    pub(super) fn count(&mut self, next: &Picked) {
        self.frames += next.frames;
        self.messages += next.messages;
    }

    /// True if copying it costs less than sharing its bytes.
    pub(super) fn is_short(&self) -> bool {
        self.range.len() < COPY_BELOW_BYTES
    }
}

/// Frames of one batch as they wait in egress queues, in order; sessions of one shard share it by `Rc`.
#[derive(Debug)]
pub struct Chunk {
    /// Whole, checked frames, as they leave. Not public: native ones are read unchecked.
    pub(crate) bytes: Bytes,
    /// The number of frames.
    pub(crate) frames: u32,
    /// The number of messages among the frames.
    pub(crate) messages: u32,
    /// Bytes of the buffer that they are a slice of, which lives as long as they do.
    buffer_bytes: u32,
    /// The encoding that they are written in.
    pub(crate) encoding: Encoding,
    /// The same frames in a buffer of their own, for all sessions in which they have to wait.
    copy: OnceCell<Rc<Chunk>>,
}

const _: () = assert!(size_of::<Chunk>() <= 56, "EGRESS_ITEM_BYTES is the sum of this and what is around it");

/// A chunk on its way to another shard.
#[derive(Clone, Debug)]
pub(crate) struct PackedChunk {
    bytes: Bytes,
    frames: u32,
    messages: u32,
    buffer_bytes: u32,
    encoding: Encoding,
}

/// A frame in a chunk: one message or several, or the notice of a gap.
pub(crate) struct Piece<'a> {
    pub(crate) range: Range<usize>,
    /// The key by which queues and gaps know it.
    pub(crate) topic: &'a [u8],
    /// The number of messages that are missed without it: those in it, or for a gap its own number, so that a dropped
    /// notice is not lost.
    pub(crate) missed: u64,
    /// The number of messages in it, none in a notice.
    pub(crate) messages: u32,
}

impl Chunk {
    /// The picked frames of `bytes`, which fill their buffer. A short piece is copied, once for all sessions of a group.
    pub(crate) fn cut(bytes: &Bytes, picked: &Picked, encoding: Encoding) -> Self {
        let Picked { range, frames, messages, .. } = picked;
        if picked.is_short() && range.len() < bytes.len() / 2 {
            return Chunk::gathered(bytes, [picked], range.len(), encoding);
        }
        Chunk::new(bytes.slice(range.clone()), *frames, *messages, bytes.len(), encoding)
    }

    /// Short pieces, so many bytes in all, one behind the other in a buffer of their own.
    pub(crate) fn gathered<'p>(
        bytes: &Bytes,
        pieces: impl IntoIterator<Item = &'p Picked>,
        gathered_bytes: usize,
        encoding: Encoding,
    ) -> Self {
        let mut gathered = Vec::with_capacity(gathered_bytes);
        let (mut frames, mut messages) = (0, 0);
        pieces.into_iter().for_each(|piece| {
            gathered.extend_from_slice(&bytes[piece.range.clone()]);
            frames += piece.frames;
            messages += piece.messages;
        });
        Chunk::new(Bytes::from(gathered), frames, messages, gathered_bytes, encoding)
    }

    fn new(bytes: Bytes, frames: u32, messages: u32, buffer_bytes: usize, encoding: Encoding) -> Self {
        let buffer_bytes = u32::try_from(buffer_bytes).expect("a batch is under 4 GiB");
        Chunk { bytes, frames, messages, buffer_bytes, encoding, copy: OnceCell::new() }
    }

    /// These whole, checked frames, which nearly fill their buffer.
    pub(crate) fn of_frames(bytes: Bytes, frames: u32, messages: u32, encoding: Encoding) -> Self {
        let buffer_bytes = bytes.len();
        Chunk::new(bytes, frames, messages, buffer_bytes, encoding)
    }

    /// Notices of gaps: frames that are never looked into again.
    pub(crate) fn opaque(bytes: Bytes, frames: u32) -> Self {
        let buffer_bytes = bytes.len();
        Chunk::new(bytes, frames, 0, buffer_bytes, Encoding::Native)
    }

    /// The same frames for another shard: the bytes are shared with it, the chunk is not.
    pub(crate) fn pack(&self) -> PackedChunk {
        let Chunk { frames, messages, buffer_bytes, encoding, .. } = *self;
        PackedChunk { bytes: self.bytes.clone(), frames, messages, buffer_bytes, encoding }
    }

    /// The chunk again, on the shard that it came to.
    pub(crate) fn unpack(packed: PackedChunk) -> Self {
        let PackedChunk { bytes, frames, messages, buffer_bytes, encoding } = packed;
        Chunk { bytes, frames, messages, buffer_bytes, encoding, copy: OnceCell::new() }
    }

    /// Calls `each` for every message and every notice of a gap, in order, with a chunk of it alone, as it may wait.
    pub(crate) fn for_each_single(&self, mut each: impl FnMut(Chunk, &Piece<'_>)) {
        self.for_each(|piece| {
            if piece.messages > 1 {
                return self.for_each_of_run(piece, &mut each);
            }
            let (bytes, buffer_bytes) = self.lasting(piece.range.clone());
            each(Chunk::new(bytes, 1, piece.messages, buffer_bytes, self.encoding), piece);
        });
    }

    /// Calls `each` for every message of a run.
    fn for_each_of_run(&self, run: &Piece<'_>, each: &mut impl FnMut(Chunk, &Piece<'_>)) {
        let frame = splitter::first_frame(&self.bytes[run.range.clone()]).expect("a piece is a frame");
        let single = Piece { range: run.range.clone(), missed: 1, messages: 1, ..*run };
        for message in frame.singles() {
            let bytes = Bytes::from(encode_to_vec(&message).into_boxed_slice());
            let buffer_bytes = bytes.len();
            each(Chunk::new(bytes, 1, 1, buffer_bytes, self.encoding), &single);
        }
    }

    /// The same frames, as they may wait: what a queue holds is not much more than it counts. They are copied at most
    /// once, whatever the number of sessions.
    pub(crate) fn to_wait(self: &Rc<Self>) -> Rc<Chunk> {
        if self.is_tight(self.bytes.len()) {
            return Rc::clone(self);
        }
        let copy = self.copy.get_or_init(|| {
            let (bytes, buffer_bytes) = self.lasting(0..self.bytes.len());
            Rc::new(Chunk::new(bytes, self.frames, self.messages, buffer_bytes, self.encoding))
        });
        Rc::clone(copy)
    }

    /// These of the bytes, and how many the buffer has that they keep.
    fn lasting(&self, range: Range<usize>) -> (Bytes, usize) {
        let bytes = range.len();
        if self.is_tight(bytes) {
            return (self.bytes.slice(range), self.buffer_bytes as usize);
        }
        (Bytes::copy_from_slice(&self.bytes[range]), bytes)
    }

    /// True if so many bytes nearly fill the buffer.
    fn is_tight(&self, bytes: usize) -> bool {
        bytes >= self.buffer_bytes as usize / 4 * 3
    }

    /// Memory that it takes in a queue, in bytes, if nobody shares it.
    #[inline]
    pub(crate) fn held_bytes(&self) -> usize {
        self.bytes.len() + EGRESS_ITEM_BYTES
    }

    /// Frames that it counts as in a queue: one of several messages as so many, so that bounds mean the same for every peer.
    #[inline]
    pub(crate) fn held_frames(&self) -> usize {
        self.frames.max(self.messages) as usize
    }

    /// The topic of its first message, if it begins with one.
    pub(crate) fn first_topic(&self) -> Option<&[u8]> {
        let topic = match self.encoding {
            Encoding::Native | Encoding::NativeRuns => splitter::first_frame(&self.bytes)?.message_topic(),
            Encoding::Zmtp => zmtp::first_part(&self.bytes),
        };
        topic.map(route_key)
    }

    /// The time at which its first message was published, by its publisher's clock in Unix time, if it is told in it.
    pub(crate) fn first_stamp_ns(&self) -> Option<u64> {
        match self.encoding {
            Encoding::Native | Encoding::NativeRuns => splitter::first_frame(&self.bytes)?.sent_at_ns(),
            Encoding::Zmtp => None,
        }
    }

    /// Calls `each` for every frame, in order.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&Piece<'_>)) {
        match self.encoding {
            Encoding::Native | Encoding::NativeRuns => self.for_each_frame(each),
            Encoding::Zmtp => zmtp::for_each_message(&self.bytes, |range, first| {
                each(&Piece { range, topic: route_key(first), missed: 1, messages: 1 });
            }),
        }
    }

    fn for_each_frame(&self, mut each: impl FnMut(&Piece<'_>)) {
        let mut at = 0;
        for (bytes, frame) in splitter::frames(&self.bytes) {
            let range = at..at + bytes.len();
            at = range.end;
            let (topic, missed, messages) = match frame {
                Frame::Message { topic, .. } | Frame::Parts { topic, .. } => (route_key(topic), 1, 1),
                Frame::Run { topic, .. } => {
                    let messages = frame.messages();
                    (route_key(topic), u64::from(messages), messages)
                }
                Frame::Gap { topic, missed, .. } => (topic, missed, 0),
                _ => unreachable!("only routable frames are cut from batches"),
            };
            each(&Piece { range, topic, missed, messages });
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::encode;

    /// These frames, as they wait in a queue.
    pub(in crate::fanout) fn chunk_of(frames: &[Frame<'_>]) -> Rc<Chunk> {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| encode(frame, &mut bytes));
        let messages = frames.iter().map(Frame::messages).sum();
        let buffer_bytes = bytes.len();
        let frames = u32::try_from(frames.len()).unwrap();
        Rc::new(Chunk::new(Bytes::from(bytes), frames, messages, buffer_bytes, Encoding::NativeRuns))
    }

    fn cut(bytes: &Bytes, range: Range<usize>) -> Rc<Chunk> {
        let picked = Picked { range: range.clone(), first: 0, frames: 1, messages: 1 };
        let chunk = Rc::new(Chunk::cut(bytes, &picked, Encoding::Native));
        assert_eq!(chunk.bytes, &bytes[range]);
        chunk
    }

    fn is_of(chunk: &Chunk, bytes: &Bytes) -> bool {
        bytes.as_ptr_range().contains(&chunk.bytes.as_ptr())
    }

    #[test]
    fn a_short_piece_is_copied_at_once_and_a_longer_one_when_it_has_to_wait() {
        let batch = Bytes::from(vec![7_u8; 64 << 10]);
        assert!(!is_of(&cut(&batch, 10..COPY_BELOW_BYTES), &batch));
        let longer = cut(&batch, 10..10 + COPY_BELOW_BYTES);
        assert!(is_of(&longer, &batch));
        let waits = longer.to_wait();
        assert!(!is_of(&waits, &batch));
        assert_eq!((&waits.bytes, waits.frames, waits.messages), (&longer.bytes, 1, 1));
        assert!(Rc::ptr_eq(&waits, &longer.to_wait()), "one copy for all sessions");
        assert!(Rc::ptr_eq(&waits, &waits.to_wait()));
    }

    #[test]
    fn most_of_a_batch_is_never_copied() {
        for bytes in [100, COPY_BELOW_BYTES, 64 << 10] {
            let batch = Bytes::from(vec![7_u8; bytes]);
            let most = cut(&batch, bytes / 8..bytes);
            assert!(is_of(&most, &batch) && Rc::ptr_eq(&most, &most.to_wait()), "of {bytes}");
        }
    }
}
