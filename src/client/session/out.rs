//! Bytes on their way to the broker: the greeting, then frames. It is known where frames begin, so that after a lost
//! connection those that did not leave whole can be told from those that did.

use crate::limits::{LENGTH_BYTES, PUBLISH_BYTES_MAX};
use crate::wire::greeting::{self, GREETING_BYTES};
use crate::wire::{Frame, FrameKind, encode, splitter};

#[derive(Default, Debug)]
pub(in crate::client) struct OutBuffer {
    bytes: Vec<u8>,
    sent: usize,
    /// Where the first frame begins: behind a greeting that has not left yet, or at the start.
    frames_from: usize,
}

impl OutBuffer {
    /// The first bytes of a connection. Nothing may wait before them.
    pub(super) fn push_greeting(&mut self) {
        assert!(self.bytes.is_empty(), "a connection begins with its greeting");
        self.bytes.extend_from_slice(&greeting::ours());
        self.frames_from = GREETING_BYTES;
    }

    pub(in crate::client) fn push(&mut self, frame: &Frame<'_>) {
        encode(frame, &mut self.bytes);
    }

    /// Frames that were written before.
    pub(super) fn push_frames(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(in crate::client) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(in crate::client) fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        assert!(self.sent <= self.bytes.len(), "no more is sent than was there");
        if self.sent == self.bytes.len() {
            self.clear();
            self.bytes.shrink_to(PUBLISH_BYTES_MAX);
        } else if self.sent > PUBLISH_BYTES_MAX {
            let whole = self.first_unsent_frame();
            self.bytes.drain(..whole);
            self.sent -= whole;
            self.frames_from = 0;
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
        self.frames_from = 0;
    }

    /// Where the first frame starts that has not left whole.
    fn first_unsent_frame(&self) -> usize {
        let mut at = self.frames_from;
        while let Some(length) = splitter::announced_bytes(&self.bytes[at..])
            && at + length <= self.sent
        {
            assert!(length > LENGTH_BYTES, "a frame has a body");
            at += length;
        }
        at
    }

    /// The frames that have not left whole.
    pub(super) fn unsent_frames(&self) -> &[u8] {
        &self.bytes[self.first_unsent_frame()..]
    }

    /// The connection is lost: empties the buffer and gives the messages and gaps that did not leave whole.
    pub(super) fn take_unsent_publishes(&mut self) -> Vec<u8> {
        let rest = bytes::Bytes::copy_from_slice(self.unsent_frames());
        self.clear();
        let mut publishes = Vec::new();
        for (bytes, frame) in splitter::frames(&rest) {
            if frame.kind() == FrameKind::Routable {
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
    fn a_connection_that_is_lost_within_its_greeting_keeps_what_was_to_be_published() {
        for sent in 0..GREETING_BYTES + 8 {
            let mut out = OutBuffer::default();
            out.push_greeting();
            out.push(&Frame::Hello { name: "", overflow: 0, previous: 0, ticket: 0 });
            out.push(&message(1));
            out.sent(sent);
            let kept = bytes::Bytes::from(out.take_unsent_publishes());
            let kept: Vec<Frame<'_>> = splitter::frames(&kept).map(|(_, frame)| frame).collect();
            assert_eq!(kept, [message(1)]);
            out.push_greeting();
            assert_eq!(out.unsent().len(), GREETING_BYTES, "the next connection begins anew");
        }
    }

    #[test]
    fn what_has_left_is_not_kept_for_long() {
        let mut out = OutBuffer::default();
        out.push_greeting();
        for sequence in 0..50_000 {
            out.push(&message(sequence));
            out.push(&message(sequence));
            let half = out.unsent().len() / 2;
            out.sent(half);
        }
        assert!(out.bytes.len() < 2 * PUBLISH_BYTES_MAX);
    }
}
