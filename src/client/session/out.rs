//! Bytes on their way to the broker: the greeting, then frames. It is known where frames begin, so that after a lost
//! connection those that did not leave whole can be told from those that did. Messages that wait together share frames, if the
//! broker takes such.

use bytes::Bytes;
use zeroize::Zeroize as _;

use crate::limits::{LENGTH_BYTES, PUBLISH_BYTES_MAX};
use crate::wire::greeting::{self, GREETING_BYTES};
use crate::wire::{Frame, FrameKind, RunWriter, encode, splitter};

#[derive(Default, Debug)]
pub(in crate::client) struct OutBuffer {
    bytes: Vec<u8>,
    /// Behind them, messages that the next may join.
    run: RunWriter,
    /// True if the peer takes runs.
    takes_runs: bool,
    /// True if the bytes are to be wiped when they have been sent.
    has_secret: bool,
    sent: usize,
    /// Where the first frame begins: behind a greeting that has not left yet, or at the start.
    frames_from: usize,
}

impl OutBuffer {
    /// The first bytes of a connection. Nothing may wait before them.
    pub(super) fn push_greeting(&mut self) {
        assert!(self.is_empty(), "a connection begins with its greeting");
        self.bytes.extend_from_slice(&greeting::ours());
        self.frames_from = GREETING_BYTES;
        (self.run, self.takes_runs) = (RunWriter::default(), false);
    }

    /// From now on messages that wait together share frames, with bodies of so many bytes at the most.
    pub(super) fn gather_runs(&mut self, frame_bytes_max: usize) {
        (self.run, self.takes_runs) = (RunWriter::for_bodies_of(frame_bytes_max), true);
    }

    pub(in crate::client) fn push(&mut self, frame: &Frame<'_>) {
        self.run.write(&mut self.bytes);
        encode(frame, &mut self.bytes);
    }

    /// As [`OutBuffer::push`], of a frame that is wiped once it has been sent.
    pub(super) fn push_secret(&mut self, frame: &Frame<'_>) {
        self.has_secret = true;
        self.push(frame);
    }

    /// Adds a message. `true`: it has joined the messages before it, and nothing was pushed since they came.
    #[inline]
    pub(super) fn publish(&mut self, message: &Frame<'_>) -> bool {
        self.run.push(message, &mut self.bytes)
    }

    /// Adds messages and gaps that were written before, perhaps for another peer.
    pub(super) fn push_publishes(&mut self, frames: &Bytes) {
        self.run.write(&mut self.bytes);
        if self.takes_runs {
            return self.bytes.extend_from_slice(frames);
        }
        let singles = splitter::frames(frames).flat_map(|(_, frame)| frame.singles());
        singles.for_each(|single| encode(&single, &mut self.bytes));
    }

    /// True if nothing waits.
    pub(in crate::client) fn is_empty(&self) -> bool {
        self.unsent_bytes() == 0
    }

    /// Bytes that wait.
    pub(in crate::client) fn unsent_bytes(&self) -> usize {
        self.bytes.len() - self.sent + self.run.bytes()
    }

    /// The bytes that leave next: all that wait.
    pub(in crate::client) fn unsent(&mut self) -> &[u8] {
        self.run.write(&mut self.bytes);
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
        if std::mem::take(&mut self.has_secret) {
            self.bytes.zeroize();
        }
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
    pub(super) fn unsent_frames(&mut self) -> &[u8] {
        self.run.write(&mut self.bytes);
        &self.bytes[self.first_unsent_frame()..]
    }

    /// The connection is lost: empties the buffer and gives the messages and gaps that did not leave whole.
    pub(super) fn take_unsent_publishes(&mut self) -> Vec<u8> {
        let rest = Bytes::copy_from_slice(self.unsent_frames());
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

/// The number of messages in whole frames.
pub(super) fn messages_in(frames: &[u8]) -> usize {
    let frames = Bytes::copy_from_slice(frames);
    crate::wire::splitter::frames(&frames).map(|(_, frame)| frame.messages() as usize).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FRAME_BYTES_MAX_DEFAULT;

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
        let kept = Bytes::from(out.take_unsent_publishes());
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
            let kept = Bytes::from(out.take_unsent_publishes());
            let kept: Vec<Frame<'_>> = splitter::frames(&kept).map(|(_, frame)| frame).collect();
            assert_eq!(kept, [message(1)]);
            out.push_greeting();
            assert_eq!(out.unsent().len(), GREETING_BYTES, "the next connection begins anew");
        }
    }

    /// The numbers of messages in the frames that wait.
    fn counts(out: &mut OutBuffer) -> Vec<u32> {
        let frames = Bytes::copy_from_slice(out.unsent_frames());
        splitter::frames(&frames).map(|(_, frame)| frame.messages()).collect()
    }

    #[test]
    fn messages_that_wait_together_share_a_frame_if_the_peer_takes_it() {
        let mut out = OutBuffer::default();
        assert!(!out.publish(&message(1)) && !out.publish(&message(2)));
        assert_eq!(counts(&mut out), [1, 1], "the peer has not said so");
        out.gather_runs(FRAME_BYTES_MAX_DEFAULT);
        assert!(!out.publish(&message(3)) && out.publish(&message(4)) && out.publish(&message(5)));
        out.push(&Frame::Flush { request: 1 });
        assert!(!out.publish(&message(6)), "a flush divides the messages before it from those behind");
        let announced = out.unsent_bytes();
        assert!((out.unsent().len()..announced + 1).contains(&announced));
        assert!(!out.publish(&message(7)), "the one before it may have begun to leave");
        assert_eq!(counts(&mut out), [1, 1, 3, 0, 1, 1]);
    }

    #[test]
    fn a_run_that_did_not_leave_goes_to_another_peer_as_that_takes_it() {
        for takes_runs in [true, false] {
            let mut out = OutBuffer::default();
            out.gather_runs(FRAME_BYTES_MAX_DEFAULT);
            (1..=3).for_each(|sequence| _ = out.publish(&message(sequence)));
            let left = out.unsent().len() - 1;
            out.sent(left);
            let kept = Bytes::from(out.take_unsent_publishes());
            assert!(out.is_empty());
            out.push_greeting();
            if takes_runs {
                out.gather_runs(FRAME_BYTES_MAX_DEFAULT);
            }
            out.push_publishes(&kept);
            assert_eq!(counts(&mut out), if takes_runs { vec![3] } else { vec![1; 3] });
            let frames = Bytes::copy_from_slice(out.unsent_frames());
            let singles = splitter::frames(&frames).flat_map(|(_, frame)| frame.singles());
            assert_eq!(singles.collect::<Vec<_>>(), [message(1), message(2), message(3)]);
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
