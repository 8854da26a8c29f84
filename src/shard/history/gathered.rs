//! History on its way to one session, in the chunks in which it leaves: short stretches gathered, long ones as they are kept.
//! Pure.

use std::rc::Rc;

use bytes::Bytes;

use super::notices::KeptNotices;
use crate::carrier::Stretch;
use crate::fanout::{Chunk, Encoding, zmtp_frames};
use crate::limits::{COPY_BELOW_BYTES, HISTORY_PAGE_BYTES};
use crate::wire::{Frame, encode, splitter};

/// The reason of a gap in history: what was there when the session started has given way before it was sent.
pub(super) const GAP_HISTORY: u8 = 5;

/// The next part of a session's history.
pub(super) struct Gathered {
    encoding: Encoding,
    chunks: Vec<Rc<Chunk>>,
    /// Frames that are gathered for the next chunk.
    next: Vec<u8>,
    frames: u32,
    messages: u32,
    /// Bytes of all.
    bytes: usize,
    /// Messages of all.
    all_messages: u64,
}

impl Gathered {
    /// Nothing yet, for a session of this encoding.
    pub(super) fn new(encoding: Encoding) -> Self {
        let next = Vec::new();
        Gathered { encoding, chunks: Vec::new(), next, frames: 0, messages: 0, bytes: 0, all_messages: 0 }
    }

    /// True if it is enough for one part.
    pub(super) fn is_enough(&self) -> bool {
        self.bytes >= HISTORY_PAGE_BYTES
    }

    /// Adds a stretch without so many of its first messages.
    pub(super) fn add(&mut self, stretch: &Stretch, skip: u64) {
        let Stretch { bytes, frames, messages, .. } = stretch;
        // The counts do not tell: beside a run there may be notices of gaps, which are frames without a message.
        let is_one = (*frames, *messages) == (1, 1);
        let has_runs = || !is_one && splitter::frames(bytes).any(|(_, frame)| frame.messages() > 1);
        let is_whole = skip == 0 && (self.encoding == Encoding::NativeRuns || !has_runs());
        if !is_whole {
            return self.add_singles(bytes, skip);
        }
        if bytes.len() >= COPY_BELOW_BYTES && self.encoding != Encoding::Zmtp {
            self.end_chunk();
            self.chunks.push(Rc::new(Chunk::of_frames(bytes.clone(), *frames, *messages, self.encoding)));
            self.bytes += bytes.len();
            self.all_messages += u64::from(*messages);
        } else {
            self.put(*frames, *messages, |next| next.extend_from_slice(bytes));
        }
    }

    /// Adds frames one by one, and the messages of those that have several, without so many of the first messages.
    fn add_singles(&mut self, bytes: &Bytes, mut skip: u64) {
        for (whole, frame) in splitter::frames(bytes) {
            let messages = frame.messages();
            let takes_whole = messages <= 1 || self.encoding == Encoding::NativeRuns;
            if skip >= u64::from(messages.max(1)) {
                // A gap before what is left out is no gap in what is sent.
                skip -= u64::from(messages);
            } else if skip == 0 && takes_whole {
                self.put(1, messages, |next| next.extend_from_slice(&whole));
            } else {
                for single in frame.singles() {
                    match skip.checked_sub(1) {
                        Some(left) if messages > 0 => skip = left,
                        _ => self.put(1, single.messages(), |next| encode(&single, next)),
                    }
                }
            }
        }
    }

    /// Adds the messages of a stretch of that log that are wanted, by publisher and number. A notice of a gap goes with the next of
    /// them, and stays among the others until there is one.
    pub(super) fn add_wanted(
        &mut self,
        stretch: &Stretch,
        (log, notices): (usize, &mut KeptNotices),
        wants: impl Fn(u64, u64) -> bool,
    ) {
        for (whole, frame) in splitter::frames(&stretch.bytes) {
            let Some((publisher, first)) = frame.author() else {
                notices.add((log, stretch.at), whole);
                continue;
            };
            let messages = frame.messages();
            let takes_whole = messages <= 1 || self.encoding == Encoding::NativeRuns;
            let last = first.saturating_add(u64::from(messages).saturating_sub(1));
            if !wants(publisher, last) {
                notices.have_been_told(log);
                continue;
            }
            self.add_notices(&notices.take_before((log, stretch.at)));
            if takes_whole && wants(publisher, first) {
                self.put(1, messages, |next| next.extend_from_slice(&whole));
                continue;
            }
            for single in
                frame.singles().filter(|single| single.author().is_some_and(|(_, n)| wants(publisher, n)))
            {
                self.put(1, 1, |next| encode(&single, next));
            }
        }
    }

    /// Adds notices of gaps.
    pub(super) fn add_notices(&mut self, notices: &[Bytes]) {
        notices.iter().for_each(|notice| self.put(1, 0, |next| next.extend_from_slice(notice)));
    }

    /// Adds the notice that so many messages of a topic have given way.
    pub(super) fn add_gap(&mut self, topic: &[u8], missed: u64) {
        self.put(1, 0, |next| encode(&Frame::Gap { topic, missed, reason: GAP_HISTORY }, next));
    }

    fn put(&mut self, frames: u32, messages: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.next.len();
        write(&mut self.next);
        self.bytes += self.next.len() - before;
        self.frames += frames;
        self.messages += messages;
        self.all_messages += u64::from(messages);
    }

    fn end_chunk(&mut self) {
        if self.next.is_empty() {
            return;
        }
        let bytes = Bytes::from(std::mem::take(&mut self.next).into_boxed_slice());
        let (frames, messages) = (std::mem::take(&mut self.frames), std::mem::take(&mut self.messages));
        if self.encoding == Encoding::Zmtp {
            // Notices of gaps have no counterpart there.
            if messages > 0 {
                let bytes = zmtp_frames(&bytes);
                self.chunks.push(Rc::new(Chunk::of_frames(bytes, messages, messages, self.encoding)));
            }
            return;
        }
        self.chunks.push(Rc::new(Chunk::of_frames(bytes, frames, messages, self.encoding)));
    }

    /// The chunks, and the number of messages in them.
    pub(super) fn into_chunks(mut self) -> (Vec<Rc<Chunk>>, u64) {
        self.end_chunk();
        (self.chunks, self.all_messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two messages, as a run has them.
    const TWO: &[u8] = b"\x02\0\0\0\x01\0\0\0\0\0\0\0a\x01\0\0\0\x01\0\0\0b";

    fn stretch(frames: &[Frame<'_>]) -> Stretch {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| encode(frame, &mut bytes));
        let messages = frames.iter().map(Frame::messages).sum();
        let frames = u32::try_from(frames.len()).unwrap();
        Stretch { bytes: bytes.into(), frames, messages, order: 1, at: 1 }
    }

    /// The messages of the chunks by their numbers, gaps by the messages missed; each run in brackets.
    fn texts(gathered: Gathered) -> String {
        let (chunks, messages) = gathered.into_chunks();
        let mut texts = Vec::new();
        let mut counted = 0;
        for chunk in chunks {
            assert_eq!(splitter::frames(&chunk.bytes).count(), chunk.frames as usize);
            for (_, frame) in splitter::frames(&chunk.bytes) {
                counted += u64::from(frame.messages());
                texts.push(match frame {
                    Frame::Gap { missed, .. } => format!("-{missed}"),
                    Frame::Message { sequence, .. } => sequence.to_string(),
                    Frame::Run { sequence, .. } => format!("[{sequence}]"),
                    other => format!("{other:?}"),
                });
            }
        }
        assert_eq!(counted, messages);
        texts.join(" ")
    }

    #[test]
    fn the_first_messages_of_a_stretch_are_left_out_whatever_frames_they_are_in() {
        let message =
            |sequence| Frame::Message { topic: b"t", payload: b"", publisher: 1, sequence, sent_at_ns: 0 };
        let run = |sequence| Frame::Run { topic: b"t", messages: TWO, publisher: 1, sequence, sent_at_ns: 0 };
        let gap = Frame::Gap { topic: b"t", missed: 7, reason: 2 };
        let all = stretch(&[message(1), run(2), gap, run(4), message(6)]);
        for (skip, runs, singles) in [
            (0, "1 [2] -7 [4] 6", "1 2 3 -7 4 5 6"),
            (1, "[2] -7 [4] 6", "2 3 -7 4 5 6"),
            (2, "3 -7 [4] 6", "3 -7 4 5 6"),
            (3, "-7 [4] 6", "-7 4 5 6"),
            (4, "5 6", "5 6"),
            (5, "6", "6"),
            (6, "", ""),
        ] {
            for (encoding, wanted) in [(Encoding::NativeRuns, runs), (Encoding::Native, singles)] {
                let mut gathered = Gathered::new(encoding);
                gathered.add(&all, skip);
                assert_eq!(texts(gathered), wanted, "{encoding:?} without {skip}");
            }
        }
    }

    #[test]
    fn a_run_beside_a_notice_of_a_gap_is_no_run_for_who_takes_none() {
        let run = Frame::Run { topic: b"t", messages: TWO, publisher: 1, sequence: 2, sent_at_ns: 0 };
        let gap = Frame::Gap { topic: b"t", missed: 7, reason: 2 };
        let both = stretch(&[gap, run]);
        assert_eq!(both.frames, both.messages, "as many frames as messages");
        for (encoding, wanted) in [(Encoding::NativeRuns, "-7 [2]"), (Encoding::Native, "-7 2 3")] {
            let mut gathered = Gathered::new(encoding);
            gathered.add(&both, 0);
            assert_eq!(texts(gathered), wanted, "{encoding:?}");
        }
    }

    #[test]
    fn long_stretches_are_sent_as_they_are_kept() {
        let payload = [7; COPY_BELOW_BYTES];
        let long =
            Frame::Message { topic: b"t", payload: &payload, publisher: 1, sequence: 2, sent_at_ns: 0 };
        let short = Frame::Message { topic: b"t", payload: b"", publisher: 1, sequence: 1, sent_at_ns: 0 };
        let (long, short) = (stretch(&[long]), stretch(&[short]));
        let mut gathered = Gathered::new(Encoding::NativeRuns);
        gathered.add(&short, 0);
        gathered.add(&short, 0);
        gathered.add(&long, 0);
        gathered.add_gap(b"t", 3);
        gathered.add(&short, 0);
        let (chunks, messages) = gathered.into_chunks();
        assert_eq!(
            (chunks.iter().map(|chunk| chunk.frames).collect::<Vec<_>>(), messages),
            (vec![2, 1, 2], 4)
        );
        assert_eq!(chunks[1].bytes.as_ptr(), long.bytes.as_ptr(), "not a copy");
    }
}
