//! Two streams of the same messages, while a session goes from one broker to another: what the old one has brought is not given
//! again, and what the new one brings meanwhile waits for its end. Pure.

use ahash::AHashMap;
use bytes::Bytes;

use crate::limits::{OVERLAP_BYTES_MAX, OVERLAP_TOPICS_MAX};
use crate::wire::{Frame, encode};

/// The overlap of one session.
#[derive(Default, Debug)]
pub(super) struct Overlap {
    /// The last message that the old stream has brought of each publisher and topic.
    heard: AHashMap<u64, AHashMap<Box<[u8]>, u64>>,
    topics: usize,
    /// Frames that the new stream has brought.
    held: Vec<u8>,
    /// More had to be remembered or held than there is room for.
    has_overflowed: bool,
}

impl Overlap {
    /// Notes what the old stream brings.
    pub(super) fn note(&mut self, frame: &Frame<'_>) {
        let (Some(topic), Some(publisher), Some(first)) =
            (frame.message_topic(), frame.publisher(), frame.sequence())
        else {
            return;
        };
        if first == 0 {
            // Its publisher does not count: nothing of it can be told apart.
            return;
        }
        let last = first.saturating_add(u64::from(frame.messages()).saturating_sub(1));
        let topics = self.heard.entry(publisher).or_default();
        if let Some(known) = topics.get_mut(topic) {
            *known = last;
            return;
        }
        if self.topics >= OVERLAP_TOPICS_MAX {
            self.has_overflowed = true;
            return;
        }
        self.topics += 1;
        topics.insert(topic.into(), last);
    }

    /// Keeps what the new stream brings until the old one has ended.
    pub(super) fn hold(&mut self, frame: &Frame<'_>) {
        encode(frame, &mut self.held);
        self.has_overflowed |= self.held.len() > OVERLAP_BYTES_MAX;
    }

    /// True if there was no room: then it is not known that nothing is missing.
    pub(super) fn has_overflowed(&self) -> bool {
        self.has_overflowed
    }

    /// Takes the frames that were held.
    pub(super) fn take_held(&mut self) -> Bytes {
        std::mem::take(&mut self.held).into()
    }

    /// True unless the old stream has brought this message. Of one without a number nobody can tell.
    pub(super) fn is_new(&self, single: &Frame<'_>) -> bool {
        let (Some(topic), Some(publisher), Some(sequence)) =
            (single.message_topic(), single.publisher(), single.sequence())
        else {
            return true;
        };
        let last = self.heard.get(&publisher).and_then(|topics| topics.get(topic));
        last.is_none_or(|last| sequence > *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::run::{RunBytes, RunMessage};
    use crate::wire::splitter;

    fn message(publisher: u64, topic: &str, sequence: u64) -> Frame<'_> {
        Frame::Message { topic: topic.as_bytes(), payload: b"p", publisher, sequence, sent_at_ns: 0 }
    }

    #[test]
    fn what_the_old_stream_has_brought_is_not_new() {
        let mut overlap = Overlap::default();
        for (publisher, topic, sequence) in [(1, "a", 3), (1, "b", 9), (2, "a", 5), (1, "a", 4), (4, "a", 0)]
        {
            overlap.note(&message(publisher, topic, sequence));
        }
        for (publisher, topic, sequence, is_new) in [
            (1, "a", 3, false),
            (1, "a", 4, false),
            // The number 9 of this publisher was of another topic, which does not say that this one was heard.
            (1, "a", 5, true),
            (1, "b", 9, false),
            (2, "a", 5, false),
            (2, "b", 1, true),
            (3, "a", 1, true),
            (4, "a", 0, true),
        ] {
            let single = message(publisher, topic, sequence);
            assert_eq!(overlap.is_new(&single), is_new, "{single:?}");
        }
        assert!(overlap.is_new(&Frame::Gap { topic: b"a", missed: 1, reason: 1 }));
    }

    #[test]
    fn a_run_is_as_many_messages() {
        let mut run = RunBytes::default();
        for _ in 0..3 {
            run.push(RunMessage { payload: b"p", after_ns: 0 });
        }
        let messages = run.messages();
        let mut overlap = Overlap::default();
        overlap.note(&Frame::Run { topic: b"a", messages, publisher: 1, sequence: 5, sent_at_ns: 0 });
        let next = Frame::Run { topic: b"a", messages, publisher: 1, sequence: 6, sent_at_ns: 0 };
        let new: Vec<bool> = next.singles().map(|single| overlap.is_new(&single)).collect();
        assert_eq!(new, [false, false, true]);
    }

    #[test]
    fn what_the_new_stream_brings_is_kept_in_order_and_bounded() {
        let mut overlap = Overlap::default();
        let frames =
            [message(1, "a", 1), Frame::Gap { topic: b"", missed: 0, reason: 2 }, message(1, "b", 2)];
        frames.iter().for_each(|frame| overlap.hold(frame));
        let held = overlap.take_held();
        let kept: Vec<Frame<'_>> = splitter::frames(&held).map(|(_, frame)| frame).collect();
        assert_eq!(kept, frames);
        assert!(!overlap.has_overflowed() && overlap.take_held().is_empty());
        let payload = vec![0; OVERLAP_BYTES_MAX];
        overlap.hold(&Frame::Message {
            topic: b"a",
            payload: &payload,
            publisher: 1,
            sequence: 3,
            sent_at_ns: 0,
        });
        assert!(overlap.has_overflowed());
        let mut overlap = Overlap::default();
        for publisher in 0..=OVERLAP_TOPICS_MAX as u64 {
            assert!(!overlap.has_overflowed());
            overlap.note(&message(publisher, "a", 1));
        }
        assert!(overlap.has_overflowed());
    }
}
