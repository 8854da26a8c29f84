//! Events of a subscriber: messages, and gaps where messages are missing.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{ErrorCode, ErrorKind};
use crate::ids::PublisherId;
use crate::wire::{Frame, parts};

/// Something that came, and is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A message.
    Message(Message),
    /// Messages are missing at this place of the stream.
    Gap(Gap),
    /// All history has come with which the subscriber started: what follows is live. It comes once, and only to a subscriber with
    /// a [`Start`](crate::Start).
    CaughtUp,
}

/// Something that came, borrowed from the read buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventRef<'a> {
    /// A message.
    Message(MessageRef<'a>),
    /// Messages are missing at this place of the stream.
    Gap(GapRef<'a>),
    /// As in [`Event`].
    CaughtUp,
}

/// A message. A clone is a refcount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Its topic. From a ZeroMQ peer it is the first part: any bytes, perhaps none or more than 1,024.
    pub topic: Bytes,
    /// Its payload; if it is `multipart`, read it with [`Message::parts`].
    pub payload: Bytes,
    /// It came from a ZeroMQ peer in one part or in more than two, so that the payload is a list of parts.
    pub multipart: bool,
    /// The publisher.
    pub publisher: PublisherId,
    /// Counts the publisher's messages, over all its topics, from 1.
    pub sequence: u64,
    /// When it was published: nanoseconds since 1970-01-01 UTC by the publisher's clock.
    pub sent_at_ns: u64,
    /// It comes from the history with which the subscriber started.
    pub from_history: bool,
}

/// As [`Message`], borrowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageRef<'a> {
    /// Its topic, as in [`Message`].
    pub topic: &'a [u8],
    /// Its payload, as in [`Message`].
    pub payload: &'a [u8],
    /// As in [`Message`].
    pub multipart: bool,
    /// The publisher.
    pub publisher: PublisherId,
    /// Counts the publisher's messages, over all its topics, from 1.
    pub sequence: u64,
    /// When it was published: nanoseconds since 1970-01-01 UTC by the publisher's clock.
    pub sent_at_ns: u64,
    /// It comes from the history with which the subscriber started.
    pub from_history: bool,
    /// The bytes in which it lies, if a copy may be a part of them.
    pub(super) lent: Option<&'a Bytes>,
}

/// Messages that a subscriber missed, between the event before and the event after.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gap {
    /// The topic; `None`: any topic that is subscribed.
    pub topic: Option<Bytes>,
    /// The number of messages; `None`: unknown, perhaps none.
    pub missed: Option<u64>,
    /// Why.
    pub reason: GapReason,
}

/// As [`Gap`], borrowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GapRef<'a> {
    /// The topic; `None`: any topic that is subscribed.
    pub topic: Option<&'a [u8]>,
    /// The number of messages; `None`: unknown, perhaps none.
    pub missed: Option<u64>,
    /// Why.
    pub reason: GapReason,
}

/// Why messages are missing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum GapReason {
    /// The broker's queue for this session was full.
    Overflow,
    /// A publisher lost its connection and does not know what of its last messages was taken; or one that uses ZeroMQ sent
    /// a message that was longer than the broker takes.
    Publisher,
    /// This subscriber's own queue, in its own process, was full.
    Subscriber,
    /// This session lost its connection and has come back; or a direct publisher could be reached only after longer than it
    /// waits for its subscribers.
    Reconnect,
    /// This session was closed by the broker, or by a direct publisher, for this reason, and has come back: under the policy
    /// `disconnect` because it was too slow ([`ErrorCode::SlowSubscriber`]).
    Disconnected(ErrorCode),
    /// The engine between brokers did not bring them.
    Engine,
    /// The broker has given up these messages of the history with which the subscriber started, while it was sent.
    History,
    /// A reason that this version does not know.
    Unknown(u8),
}

impl GapReason {
    /// The number on the wire for a publisher's lost connection.
    pub(super) const WIRE_PUBLISHER: u8 = 2;

    /// The reason of the gap that a connection leaves which has ended so. An end in order, of a broker that is shut down
    /// and perhaps started again, is a reconnect like that after a crash.
    pub(super) fn of_loss(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Refused(ErrorCode::ShuttingDown) => GapReason::Reconnect,
            ErrorKind::Refused(code) => GapReason::Disconnected(code),
            _ => GapReason::Reconnect,
        }
    }

    pub(super) fn from_wire(number: u8) -> Self {
        match number {
            1 => GapReason::Overflow,
            2 => GapReason::Publisher,
            3 => GapReason::Subscriber,
            4 => GapReason::Engine,
            5 => GapReason::History,
            number => GapReason::Unknown(number),
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = match self {
            GapReason::Overflow => "overflow",
            GapReason::Publisher => "publisher",
            GapReason::Subscriber => "subscriber",
            GapReason::Reconnect => "reconnect",
            GapReason::History => "history",
            GapReason::Disconnected(code) => code.label(),
            GapReason::Engine => "engine",
            GapReason::Unknown(number) => return write!(f, "reason {number}"),
        };
        f.write_str(label)
    }
}

impl Event {
    /// Bytes of it that grow with what was published.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Event::Message(message) => message.topic.len() + message.payload.len(),
            Event::Gap(gap) => gap.topic.as_ref().map_or(0, Bytes::len),
            Event::CaughtUp => 0,
        }
    }

    /// The gap that it leaves where the subscriber's own queue drops it. A queue that is told so drops nothing: it holds its
    /// session.
    pub(super) fn into_gap(self) -> Option<Gap> {
        match self {
            Event::Message(message) => {
                Some(Gap { topic: Some(message.topic), missed: Some(1), reason: GapReason::Subscriber })
            }
            Event::Gap(gap) => Some(gap),
            Event::CaughtUp => None,
        }
    }
}

impl<'a> EventRef<'a> {
    /// The event of a frame that travels by topic and has one message at the most, from history or live. Of bytes that are lent
    /// the frame is a part.
    pub(super) fn of_frame(frame: Frame<'a>, from_history: bool, lent: Option<&'a Bytes>) -> Option<Self> {
        match frame {
            Frame::Message { topic, payload, publisher, sequence, sent_at_ns }
            | Frame::Parts { topic, payload, publisher, sequence, sent_at_ns } => {
                let multipart = matches!(frame, Frame::Parts { .. });
                let publisher = PublisherId(publisher);
                Some(EventRef::Message(MessageRef {
                    topic,
                    payload,
                    multipart,
                    publisher,
                    sequence,
                    sent_at_ns,
                    from_history,
                    lent,
                }))
            }
            Frame::Gap { topic, missed, reason } => Some(EventRef::Gap(GapRef {
                topic: (!topic.is_empty()).then_some(topic),
                missed: known_count(missed),
                reason: GapReason::from_wire(reason),
            })),
            _ => None,
        }
    }

    /// Its topic; `None` for what concerns any topic.
    pub fn topic(&self) -> Option<&'a [u8]> {
        match self {
            EventRef::Message(message) => Some(message.topic),
            EventRef::Gap(gap) => gap.topic,
            EventRef::CaughtUp => None,
        }
    }

    /// A copy to keep.
    pub fn to_event(&self) -> Event {
        match self {
            EventRef::Message(message) => Event::Message(message.to_message()),
            EventRef::Gap(gap) => Event::Gap(Gap {
                topic: gap.topic.map(Bytes::copy_from_slice),
                missed: gap.missed,
                reason: gap.reason,
            }),
            EventRef::CaughtUp => Event::CaughtUp,
        }
    }
}

/// The count of a gap on the wire: 0 is unknown, and so is one that has come to its end.
pub(super) fn known_count(missed: u64) -> Option<u64> {
    (missed > 0 && missed < u64::MAX).then_some(missed)
}

impl Message {
    /// The parts that follow the topic: the payload, or each of its parts if there is not exactly one.
    pub fn parts(&self) -> impl Iterator<Item = Bytes> + '_ {
        parts_of(&self.payload, self.multipart).map(|part| self.payload.slice_ref(part))
    }
}

impl<'a> MessageRef<'a> {
    /// As [`Message::parts`].
    pub fn parts(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        parts_of(self.payload, self.multipart)
    }
}

fn parts_of(payload: &[u8], multipart: bool) -> impl Iterator<Item = &[u8]> {
    let (one, several) =
        if multipart { (None, parts::iter(payload)) } else { (Some(payload), parts::iter(&[])) };
    one.into_iter().chain(several)
}

impl MessageRef<'_> {
    /// A copy to keep: one allocation, one copy. A long message keeps the buffer into which it was read, and copies only its
    /// topic.
    pub fn to_message(&self) -> Message {
        // It keeps at most a third more memory alive than it is long.
        let lent = self.lent.filter(|lent| self.payload.len() >= lent.len() / 4 * 3);
        let (topic, payload) = match lent {
            Some(lent) => (Bytes::copy_from_slice(self.topic), lent.slice_ref(self.payload)),
            None => self.copied(),
        };
        Message {
            topic,
            payload,
            multipart: self.multipart,
            publisher: self.publisher,
            sequence: self.sequence,
            sent_at_ns: self.sent_at_ns,
            from_history: self.from_history,
        }
    }

    /// Topic and payload, side by side.
    fn copied(&self) -> (Bytes, Bytes) {
        let mut bytes = BytesMut::with_capacity(self.topic.len() + self.payload.len());
        bytes.put_slice(self.topic);
        bytes.put_slice(self.payload);
        let mut payload = bytes.freeze();
        (payload.split_to(self.topic.len()), payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_says_what_is_known_of_it() {
        let of = |missed, reason| match EventRef::of_frame(
            Frame::Gap { topic: b"t", missed, reason },
            false,
            None,
        ) {
            Some(EventRef::Gap(gap)) => (gap.missed, gap.reason.to_string()),
            other => panic!("a gap, not {other:?}"),
        };
        assert_eq!(of(3, 1), (Some(3), "overflow".to_owned()));
        assert_eq!(of(0, 2), (None, "publisher".to_owned()));
        assert_eq!(of(u64::MAX, 77), (None, "reason 77".to_owned()), "counted beyond what can be counted");
    }

    /// A message with a payload that is this part of bytes that are lent.
    fn message_in(lent: &Bytes, payload: std::ops::Range<usize>) -> Message {
        let payload = &lent[payload];
        let frame = Frame::Message { topic: b"t", payload, publisher: 1, sequence: 2, sent_at_ns: 3 };
        match EventRef::of_frame(frame, false, Some(lent)).map(|event| event.to_event()) {
            Some(Event::Message(message)) => message,
            other => panic!("a message, not {other:?}"),
        }
    }

    #[test]
    fn a_message_keeps_the_bytes_that_are_lent_if_it_is_most_of_them() {
        let lent = Bytes::from(vec![7; 1_000]);
        let is_part = |message: &Message| lent.as_ptr_range().contains(&message.payload.as_ptr());
        let (most, half) = (message_in(&lent, 100..850), message_in(&lent, 100..849));
        assert!(is_part(&most) && !is_part(&half));
        assert_eq!((most.payload.len(), half.payload.len()), (750, 749));
        assert_eq!((&most.topic[..], &most.payload[..]), (&b"t"[..], &lent[100..850]));
    }
}
