//! Bytes on their way to the broker. Begins at a frame's start, so that after a lost connection the frames that
//! did not leave whole can be told from those that did.

use crate::limits::{LENGTH_BYTES, PUBLISH_BYTES_MAX};
use crate::wire::{Frame, encode, splitter};

#[derive(Default, Debug)]
pub(super) struct OutBuffer {
    bytes: Vec<u8>,
    sent: usize,
}

impl OutBuffer {
    pub(super) fn push(&mut self, frame: &Frame<'_>) {
        encode(frame, &mut self.bytes);
    }

    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        debug_assert!(self.sent <= self.bytes.len());
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(PUBLISH_BYTES_MAX);
            self.sent = 0;
        } else if self.sent > PUBLISH_BYTES_MAX {
            let whole = self.first_unsent_frame();
            self.bytes.drain(..whole);
            self.sent -= whole;
        }
    }

    /// Where the first frame starts that has not left whole.
    fn first_unsent_frame(&self) -> usize {
        let mut at = 0;
        while let Some(length) = splitter::announced_bytes(&self.bytes[at..])
            && at + length <= self.sent
        {
            debug_assert!(length > LENGTH_BYTES);
            at += length;
        }
        at
    }

    /// The connection is lost: empties the buffer and gives the messages and gaps that did not leave whole.
    pub(super) fn take_unsent_publishes(&mut self) -> Vec<u8> {
        let from = self.first_unsent_frame();
        let rest = bytes::Bytes::copy_from_slice(&self.bytes[from..]);
        self.bytes.clear();
        self.sent = 0;
        let mut publishes = Vec::new();
        for (bytes, frame) in splitter::frames(&rest) {
            if matches!(frame, Frame::Message { .. } | Frame::Gap { .. }) {
                publishes.extend_from_slice(&bytes);
            }
        }
        publishes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(sequence: u64) -> Frame<'static> {
        Frame::Message { topic: b"t", payload: b"p", publisher: 1, sequence, sent_at_ns: 0 }
    }

    #[test]
    fn after_a_lost_connection_frames_that_left_in_part_are_kept_whole() {
        let mut out = OutBuffer::default();
        out.push(&message(1));
        let first = out.unsent().len();
        out.push(&Frame::Ping { token: 1 });
        out.push(&message(2));
        out.push(&message(3));
        let second_begins = out.unsent().len() - 2 * first;
        out.sent(second_begins + 1);
        let kept = bytes::Bytes::from(out.take_unsent_publishes());
        let kept: Vec<Frame<'_>> = splitter::frames(&kept).map(|(_, frame)| frame).collect();
        assert_eq!(kept, [message(2), message(3)]);
        assert!(out.unsent().is_empty());
    }

    #[test]
    fn what_has_left_is_not_kept_for_long() {
        let mut out = OutBuffer::default();
        for sequence in 0..50_000 {
            out.push(&message(sequence));
            out.push(&message(sequence));
            let half = out.unsent().len() / 2;
            out.sent(half);
        }
        assert!(out.bytes.len() < 2 * PUBLISH_BYTES_MAX);
    }
}
