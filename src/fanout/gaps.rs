//! What a session missed, until it is told. Owned by an egress queue.

use ahash::AHashMap;
use bytes::Bytes;

use crate::limits::GAP_TOPICS_MAX;
use crate::wire::{Frame, encode};

/// The number on the wire for messages that an egress queue had no room for.
pub(super) const REASON_OVERFLOW: u8 = 1;

/// Messages missed at one place of a stream, by topic.
#[derive(Default, Debug)]
pub(super) struct GapTally {
    by_topic: AHashMap<Bytes, Missed>,
    /// Of topics beyond [`GAP_TOPICS_MAX`].
    others: Missed,
}

#[derive(Clone, Copy, Default, Debug)]
struct Missed {
    messages: u64,
    /// A gap notice of unknown size was itself dropped.
    unknown: bool,
}

impl Missed {
    fn add(&mut self, messages: u64) {
        match messages {
            0 => self.unknown = true,
            n => self.messages += n,
        }
    }
}

impl GapTally {
    /// `messages` of `topic` are missed; 0 is an unknown number.
    pub(super) fn add(&mut self, topic: &[u8], messages: u64) {
        if let Some(missed) = self.by_topic.get_mut(topic) {
            missed.add(messages);
        } else if self.by_topic.len() < GAP_TOPICS_MAX {
            self.by_topic.entry(Bytes::copy_from_slice(topic)).or_default().add(messages);
        } else {
            self.others.add(messages);
        }
    }

    /// What `other` tells is missed here as well.
    pub(super) fn absorb(&mut self, other: &GapTally) {
        for (topic, missed) in &other.by_topic {
            if missed.unknown {
                self.add(topic, 0);
            }
            if missed.messages > 0 {
                self.add(topic, missed.messages);
            }
        }
        self.others.messages += other.others.messages;
        self.others.unknown |= other.others.unknown;
    }

    /// The notices that tell it, and how many frames they are.
    pub(super) fn encode(&self) -> (Vec<u8>, u32) {
        let mut out = Vec::new();
        let mut frames = 0;
        let others = std::iter::once((&[][..], &self.others));
        for (topic, missed) in self.by_topic.iter().map(|(t, m)| (&t[..], m)).chain(others) {
            let known = (missed.messages > 0).then_some(missed.messages);
            for missed in known.into_iter().chain(missed.unknown.then_some(0)) {
                encode(&Frame::Gap { topic, missed, reason: REASON_OVERFLOW }, &mut out);
                frames += 1;
            }
        }
        (out, frames)
    }
}
