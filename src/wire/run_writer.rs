//! Messages on their way out of which consecutive ones of one topic and publisher share a frame.

use super::encode::encode;
use super::frame::{FRAME_BODY_BYTES_MIN, Frame};
use super::run::{RunBytes, RunMessage};
use crate::limits::{LENGTH_BYTES, RUN_BYTES_MAX, RUN_MESSAGE_BYTES, RUN_MESSAGES_MAX};

/// The messages at the end of what waits, in the frame that the next may join. It is written when another frame follows, or
/// when it leaves.
#[derive(Default, Debug)]
pub struct RunWriter {
    /// Longest body of a run, in bytes; 0: every message gets a frame of its own.
    body_bytes_max: usize,
    topic: Vec<u8>,
    messages: RunBytes,
    publisher: u64,
    /// The sequence number of the first message.
    sequence: u64,
    /// The time of the first message.
    sent_at_ns: u64,
}

impl RunWriter {
    /// A writer for an end that takes runs, and frames with bodies of so many bytes.
    pub fn for_bodies_of(frame_bytes_max: usize) -> Self {
        RunWriter { body_bytes_max: frame_bytes_max.min(RUN_BYTES_MAX), ..RunWriter::default() }
    }

    /// Adds a message behind those that were written to `out`. `true`: it has joined the messages of the open run.
    #[inline]
    pub fn push(&mut self, message: &Frame<'_>, out: &mut Vec<u8>) -> bool {
        if self.join(message) {
            return true;
        }
        self.write(out);
        if !self.begin(message) {
            encode(message, out);
        }
        false
    }

    /// Adds a message if it is the next of the open run, and there is room for it.
    #[inline]
    fn join(&mut self, frame: &Frame<'_>) -> bool {
        let Frame::Message { topic, payload, publisher, sequence, sent_at_ns } = *frame else { return false };
        let count = self.messages.count();
        let after_ns =
            sent_at_ns.checked_sub(self.sent_at_ns).and_then(|after_ns| u32::try_from(after_ns).ok());
        let Some(after_ns) = after_ns.filter(|_| (1..RUN_MESSAGES_MAX).contains(&count)) else {
            return false;
        };
        let joins = publisher == self.publisher
            && sequence == self.sequence.wrapping_add(count as u64)
            && self.body_bytes() + RUN_MESSAGE_BYTES + payload.len() <= self.body_bytes_max
            && topic == self.topic;
        if joins {
            self.messages.push(RunMessage { payload, after_ns });
        }
        joins
    }

    /// Opens a run with this message, if others may join it. The run before it must be written.
    #[inline]
    fn begin(&mut self, frame: &Frame<'_>) -> bool {
        assert!(self.messages.is_empty(), "the open run is written first");
        let Frame::Message { topic, payload, publisher, sequence, sent_at_ns } = *frame else { return false };
        if topic.len() + payload.len() > self.body_bytes_max / 2 {
            return false;
        }
        self.topic.clear();
        self.topic.extend_from_slice(topic);
        self.messages.push(RunMessage { payload, after_ns: 0 });
        (self.publisher, self.sequence, self.sent_at_ns) = (publisher, sequence, sent_at_ns);
        true
    }

    /// Writes the open run, if there is one, and closes it. A single message gets the frame of one.
    pub fn write(&mut self, out: &mut Vec<u8>) {
        if self.messages.is_empty() {
            return;
        }
        let RunWriter { topic, messages, publisher, sequence, sent_at_ns, .. } = self;
        let (publisher, sequence, sent_at_ns) = (*publisher, *sequence, *sent_at_ns);
        let is_run = messages.count() > 1;
        let run = Frame::Run { topic, messages: messages.messages(), publisher, sequence, sent_at_ns };
        if is_run {
            encode(&run, out);
        } else {
            run.singles().for_each(|single| encode(&single, out));
        }
        self.messages.clear();
    }

    /// Bytes that [`RunWriter::write`] is about to write, or a few more.
    #[inline]
    pub fn bytes(&self) -> usize {
        if self.messages.is_empty() { 0 } else { LENGTH_BYTES + self.body_bytes() }
    }

    /// Bytes of the body of the open run.
    #[inline]
    fn body_bytes(&self) -> usize {
        FRAME_BODY_BYTES_MIN + self.topic.len() + self.messages.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{FRAME_BYTES_MAX_DEFAULT, FRAME_BYTES_MAX_LEAST};
    use crate::wire::{CheckedFrame, FrameKind, split};

    fn message<'a>(topic: &'a str, sequence: u64, sent_at_ns: u64, payload: &'a [u8]) -> Frame<'a> {
        Frame::Message { topic: topic.as_bytes(), payload, publisher: 1, sequence, sent_at_ns }
    }

    /// The bytes of these messages.
    fn written(mut writer: RunWriter, messages: &[Frame<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        for message in messages {
            writer.push(message, &mut out);
        }
        let announced = writer.bytes();
        let before = out.len();
        writer.write(&mut out);
        assert!(out.len() - before <= announced);
        out
    }

    /// The number of messages in each frame, all of which are read back as they were.
    fn counts(writer: RunWriter, messages: &[Frame<'_>]) -> Vec<u32> {
        let bytes = written(writer, messages);
        let mut spans = Vec::new();
        let found = split(&bytes, FRAME_BYTES_MAX_DEFAULT, &mut spans);
        assert_eq!((found.whole_bytes, found.error), (bytes.len(), None));
        let frames: Vec<Frame<'_>> = spans.iter().map(|span| span.frame(&bytes)).collect();
        assert!(frames.iter().all(|frame| frame.kind() == FrameKind::Routable));
        assert!(frames.iter().flat_map(|frame| frame.singles()).eq(messages.iter().copied()));
        frames.iter().map(Frame::messages).collect()
    }

    #[test]
    fn messages_of_one_topic_and_publisher_share_a_frame_while_they_are_consecutive() {
        let a = |sequence, at| message("a", sequence, at, b"payload");
        let writer = || RunWriter::for_bodies_of(FRAME_BYTES_MAX_DEFAULT);
        assert_eq!(counts(writer(), &[a(1, 5), a(2, 5), a(3, 9)]), [3]);
        assert_eq!(counts(writer(), &[a(1, 5), a(3, 6), a(4, 7)]), [1, 2], "one is missing");
        assert_eq!(counts(writer(), &[a(1, 5), a(2, 4)]), [1, 1], "the clock was set back");
        let late = 5 + u64::from(u32::MAX);
        assert_eq!(counts(writer(), &[a(1, 5), a(2, late), a(3, late + 1)]), [2, 1]);
        let b = message("b", 2, 6, b"payload");
        assert_eq!(counts(writer(), &[a(1, 5), b, a(3, 7)]), [1, 1, 1], "another topic");
        let other = Frame::Message { topic: b"a", payload: b"", publisher: 2, sequence: 2, sent_at_ns: 6 };
        assert_eq!(counts(writer(), &[a(1, 5), other]), [1, 1], "another publisher");
        assert_eq!(counts(RunWriter::default(), &[a(1, 5), a(2, 6)]), [1, 1], "the peer takes no runs");
    }

    #[test]
    fn a_run_is_no_longer_than_its_end_takes_and_no_longer_than_is_good_for_others() {
        let payload = [7; 300];
        let messages: Vec<_> = (1..=100).map(|sequence| message("a", sequence, 0, &payload)).collect();
        let longest = |frame_bytes_max| {
            let bytes = written(RunWriter::for_bodies_of(frame_bytes_max), &messages);
            let mut spans = Vec::new();
            assert_eq!(split(&bytes, frame_bytes_max, &mut spans).error, None);
            spans.iter().map(|span| span.end() - span.start()).max()
        };
        assert!(longest(FRAME_BYTES_MAX_LEAST).is_some_and(|bytes| (1_500..=2_052).contains(&bytes)));
        assert!(longest(FRAME_BYTES_MAX_DEFAULT).is_some_and(|bytes| (7_000..=8_196).contains(&bytes)));
        let long = [7; RUN_BYTES_MAX];
        let small = |sequence| message("a", sequence, 0, b"");
        let mixed = [small(1), small(2), message("a", 3, 0, &long), small(4), small(5)];
        assert_eq!(counts(RunWriter::for_bodies_of(FRAME_BYTES_MAX_DEFAULT), &mixed), [2, 1, 2]);
        let tiny: Vec<_> = (1..=2 * RUN_MESSAGES_MAX as u64).map(small).collect();
        let most = counts(RunWriter::for_bodies_of(FRAME_BYTES_MAX_DEFAULT), &tiny);
        assert!(most.iter().all(|count| *count as usize <= RUN_MESSAGES_MAX));
    }

    #[test]
    fn a_message_of_a_run_takes_ten_bytes_beside_its_payload_at_the_most() {
        let topic = "prices.eur.usd";
        for payload_bytes in [16, 64, 256] {
            let payload = vec![7; payload_bytes];
            let count = 64 * 1024 / payload_bytes as u64;
            let messages: Vec<_> =
                (0..count).map(|sequence| message(topic, sequence, sequence * 1_000, &payload)).collect();
            let bytes = written(RunWriter::for_bodies_of(FRAME_BYTES_MAX_DEFAULT), &messages);
            let beside = (bytes.len() - messages.len() * payload_bytes) as f64 / messages.len() as f64;
            let alone = written(RunWriter::default(), &messages[..1]).len() - payload_bytes;
            println!("{payload_bytes} bytes of payload: {beside:.2} bytes beside it in a run, {alone} alone");
            assert!(beside <= 10.0 || payload_bytes > 128, "{beside}");
        }
    }

    #[test]
    fn a_single_message_has_the_frame_of_one() {
        let alone = message("a", 1, 5, b"payload");
        let bytes = written(RunWriter::for_bodies_of(FRAME_BYTES_MAX_DEFAULT), &[alone]);
        let mut expected = Vec::new();
        encode(&alone, &mut expected);
        assert_eq!(bytes, expected);
        assert!(CheckedFrame::check(&bytes[LENGTH_BYTES..]).is_some());
    }
}
