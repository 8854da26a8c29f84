//! Frames that travel by topic: the topic of each, and the single messages of a run.

use super::frame::Frame;
use super::run::{self, RunMessage};

impl<'a> Frame<'a> {
    /// The topic by which a frame is routed: that of a message or of a gap.
    pub fn routed_topic(&self) -> Option<&'a [u8]> {
        match self {
            Frame::Gap { topic, .. } => Some(topic),
            message => message.message_topic(),
        }
    }

    /// The frames of single messages that say the same as a run, in order; of any other frame, itself.
    pub fn singles(self) -> impl Iterator<Item = Frame<'a>> {
        let (alone, run) = match self {
            Frame::Run { topic, messages, publisher, sequence, sent_at_ns } => {
                let messages = (0..).zip(run::iter(messages));
                let single = move |(place, RunMessage { payload, after_ns })| Frame::Message {
                    topic,
                    payload,
                    publisher,
                    sequence: sequence.wrapping_add(place),
                    sent_at_ns: sent_at_ns.saturating_add(after_ns.into()),
                };
                (None, Some(messages.map(single)))
            }
            other => (Some(other), None),
        };
        alone.into_iter().chain(run.into_iter().flatten())
    }
}
