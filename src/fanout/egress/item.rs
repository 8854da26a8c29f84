//! The items of an egress queue: frames that may be dropped, answers that may not, and gaps in the place of what was dropped.
//! Owned by its queue.

use std::rc::Rc;

use super::super::batch::Chunk;
use super::super::gaps::GapTally;
use super::answer::Answer;
use crate::limits::EGRESS_ITEM_BYTES;

/// One place of a queue.
#[derive(Debug)]
pub(super) enum Queued {
    /// Frames that may be dropped.
    Data(Rc<Chunk>),
    /// Frames that may not.
    Answer(Box<Answer>),
    /// The tally of messages that were dropped here.
    Gap(Box<GapTally>),
    /// `latest` only: a place without anything, so that positions stay true. Never the first that leaves.
    Gone,
}

// The allocations of an item (a count of 16 bytes and the chunk, or its bytes and their length), and twice its place.
const _: () = assert!(
    16 + size_of::<Chunk>() + 2 * ALLOCATION_BYTES + 2 * size_of::<Queued>() <= EGRESS_ITEM_BYTES
        && size_of::<Answer>() <= 16 + size_of::<Chunk>()
        && size_of::<GapTally>() <= EGRESS_ITEM_BYTES + ALLOCATION_BYTES
);

/// Bytes that an allocator takes beside those that it was asked for, at the most, when it is asked for few.
const ALLOCATION_BYTES: usize = 16;

impl Queued {
    /// The bytes to be sent of it: of a gap once its notices are written, which is never where it cannot be told.
    #[inline]
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Queued::Data(chunk) => Some(&chunk.bytes),
            Queued::Answer(answer) => Some(answer.bytes()),
            Queued::Gap(tally) => tally.notices().map(|notices| &notices.bytes[..]),
            Queued::Gone => None,
        }
    }

    /// The counts that leave with it.
    #[inline]
    pub(super) fn sent(&self) -> Sent {
        match self {
            Queued::Data(chunk) => {
                Sent { messages: chunk.messages.into(), frames: chunk.frames.into(), ..Sent::default() }
            }
            Queued::Answer(answer) => Sent { frames: answer.frames.into(), ..Sent::default() },
            Queued::Gap(tally) => {
                let notices = tally.notices().map_or(0, |notices| notices.frames).into();
                Sent { gaps: notices, frames: notices, ..Sent::default() }
            }
            Queued::Gone => Sent::default(),
        }
    }
}

/// The counts of what became whole with the bytes that the kernel took.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sent {
    /// Messages.
    pub messages: u64,
    /// Notices of what was dropped here.
    pub gaps: u64,
    /// Frames of any kind, these among them.
    pub frames: u64,
}

impl Sent {
    #[inline]
    pub(super) fn add(&mut self, other: Sent) {
        self.messages += other.messages;
        self.gaps += other.gaps;
        self.frames += other.frames;
    }
}
