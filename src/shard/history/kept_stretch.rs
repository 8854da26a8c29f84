//! A stretch of messages that is kept, and its bytes: a part of a read, or a copy. Pure; owned by a shelf.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::limits::COPY_BELOW_BYTES;
use crate::wire::{Frame, encode};

/// Bytes that copies for readers are allocated in: some ten short messages.
const COPIED_BYTES: usize = 4 << 10;

/// A stretch that is kept.
pub(super) struct Kept {
    pub(super) held: KeptBytes,
    pub(super) frames: u32,
    pub(super) messages: u32,
    pub(super) order: u64,
    pub(super) index: u64,
    pub(super) at: u64,
}

const _: () = assert!(size_of::<Kept>() <= 80, "KEPT_ITEM_BYTES is the sum of this and what is around it");

/// The bytes of a stretch.
pub(super) enum KeptBytes {
    /// Bytes that the next message of a topic takes the place of.
    Own(Vec<u8>),
    /// A part of a read, or a copy that readers share.
    Shared(Bytes),
}

impl KeptBytes {
    pub(super) fn bytes(&self) -> usize {
        match self {
            KeptBytes::Own(bytes) => bytes.capacity(),
            KeptBytes::Shared(bytes) => bytes.len(),
        }
    }

    /// Takes the last message of this frame, which stands there in a read, in place of what was there before.
    pub(super) fn put_last(
        &mut self,
        frame: &Frame<'_>,
        (bytes, read_bytes): (&Bytes, usize),
        range: Range<usize>,
    ) {
        if is_worth_sharing(read_bytes, range.len()) && !matches!(frame, Frame::Run { .. }) {
            *self = KeptBytes::Shared(bytes.slice(range));
            return;
        }
        if !matches!(self, KeptBytes::Own(buffer) if buffer.capacity() <= 2 * range.len()) {
            *self = KeptBytes::Own(Vec::new());
        }
        let KeptBytes::Own(buffer) = self else { unreachable!("it was just made") };
        buffer.clear();
        match frame {
            Frame::Run { .. } => {
                let last = frame.singles().last().expect("a run has messages");
                encode(&last, buffer);
            }
            _ => buffer.extend_from_slice(&bytes[range]),
        }
    }

    /// The bytes for readers, who share what is copied for them into `copied`.
    pub(super) fn share(&self, copied: &mut BytesMut) -> Bytes {
        match self {
            KeptBytes::Own(bytes) => copy(bytes, copied),
            KeptBytes::Shared(bytes) => bytes.clone(),
        }
    }
}

#[cfg(test)]
impl Kept {
    /// A message of this number.
    pub(super) fn of_order(order: u64) -> Self {
        let held = KeptBytes::Own(Vec::new());
        Kept { held, frames: 1, messages: 1, order, index: order, at: order }
    }

    pub(super) fn order(&self) -> u64 {
        self.order
    }
}

/// Appends a copy of these bytes to others.
pub(super) fn copy(bytes: &[u8], copied: &mut BytesMut) -> Bytes {
    if copied.capacity() < bytes.len() {
        copied.reserve(bytes.len().max(COPIED_BYTES));
    }
    copied.extend_from_slice(bytes);
    copied.split().freeze()
}

/// True if a part of a read of so many bytes is better kept as it is than copied: it is not short, and nearly all of the read.
pub(super) fn is_worth_sharing(read_bytes: usize, part: usize) -> bool {
    part >= COPY_BELOW_BYTES && part >= read_bytes / 4 * 3
}
