//! In which encoding a session's bytes are, and messages as the fan-out sees them: all it needs of one is where it
//! stands and its topic.

use bytes::Bytes;

use super::batch::Picked;
use crate::limits::TOPIC_BYTES_MAX;
use crate::wire::{Features, Frame, Span};
use crate::zmtp::MessageSpan;

/// The form in which the frames of a session are written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Encoding {
    /// This project's own, with a frame for each message.
    #[default]
    Native,
    /// This project's own, in which several messages may share a frame.
    NativeRuns,
    /// ZeroMQ's.
    Zmtp,
}

impl Encoding {
    /// The native encoding of a peer that offers these features.
    pub fn native(features: Features) -> Self {
        if features.has(Features::RUNS) { Encoding::NativeRuns } else { Encoding::Native }
    }

    /// True if bytes of that encoding can be read by a session of this one as they are.
    #[inline]
    pub fn reads(self, written: Encoding) -> bool {
        self == written || (self == Encoding::NativeRuns && written == Encoding::Native)
    }

    /// True if the notice of a gap can be written in it; else drops are only counted.
    #[inline]
    pub fn can_tell_gaps(self) -> bool {
        match self {
            Encoding::Native | Encoding::NativeRuns => true,
            Encoding::Zmtp => false,
        }
    }

    /// True if its readers cannot be introduced to direct publishers, whose messages are relayed to them.
    #[inline]
    pub fn needs_relays(self) -> bool {
        match self {
            Encoding::Native | Encoding::NativeRuns => false,
            Encoding::Zmtp => true,
        }
    }
}

/// The author of the messages of a ZeroMQ session, which do not name one themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Author {
    /// As native subscribers see it.
    pub publisher: u64,
    /// The sequence number of the first message; the others count on from it.
    pub first_sequence: u64,
    /// When they came: nanoseconds since 1970-01-01 UTC.
    pub received_at_ns: u64,
}

/// Whole messages that stand one behind the other in some bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Messages<'a> {
    Native(&'a [Span]),
    Zmtp(&'a [MessageSpan], Author),
}

/// As [`Messages`], to keep.
#[derive(Debug)]
pub(crate) enum Spans {
    Native(Box<[Span]>),
    Zmtp(Box<[MessageSpan]>, Author),
}

impl<'a> Messages<'a> {
    /// The first `count` of them.
    pub(crate) fn first(self, count: usize) -> Messages<'a> {
        match self {
            Messages::Native(spans) => Messages::Native(&spans[..count]),
            Messages::Zmtp(spans, author) => Messages::Zmtp(&spans[..count], author),
        }
    }

    /// All but so many of the first, if that is any.
    pub(crate) fn after(self, done: usize) -> Option<Messages<'a>> {
        match self {
            Messages::Native(spans) => Some(Messages::Native(&spans[done..])).filter(|_| done < spans.len()),
            Messages::Zmtp(spans, author) => {
                let first_sequence = author.first_sequence + done as u64;
                let rest = Messages::Zmtp(&spans[done..], Author { first_sequence, ..author });
                Some(rest).filter(|_| done < spans.len())
            }
        }
    }

    /// Those that were picked, to keep. `None`: they cannot be kept without the others, by which they are numbered.
    pub(crate) fn of<'p>(self, picked: impl Iterator<Item = &'p Picked>) -> Option<Spans> {
        let Messages::Native(spans) = self else { return None };
        let picked = picked.flat_map(|p| &spans[p.first as usize..(p.first + p.frames) as usize]);
        Some(Spans::Native(picked.copied().collect()))
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Messages::Native(spans) => spans.len(),
            Messages::Zmtp(spans, _) => spans.len(),
        }
    }

    /// The encoding in which they are written, with `runs` among them or not.
    pub(super) fn encoding(&self, runs: bool) -> Encoding {
        match self {
            Messages::Native(_) if runs => Encoding::NativeRuns,
            Messages::Native(_) => Encoding::Native,
            Messages::Zmtp(..) => Encoding::Zmtp,
        }
    }

    /// True if a native publisher has written them.
    pub(crate) fn are_native(&self) -> bool {
        matches!(self, Messages::Native(_))
    }

    pub(crate) fn to_spans(self) -> Spans {
        match self {
            Messages::Native(spans) => Spans::Native(spans.into()),
            Messages::Zmtp(spans, author) => Spans::Zmtp(spans.into(), author),
        }
    }
}

impl Spans {
    pub(crate) fn messages(&self) -> Messages<'_> {
        match self {
            Spans::Native(spans) => Messages::Native(spans),
            Spans::Zmtp(spans, author) => Messages::Zmtp(spans, *author),
        }
    }
}

/// The facts about a message that routing needs.
pub(crate) trait Routable: Copy {
    fn start(self) -> usize;
    fn end(self) -> usize;
    /// Its topic, of at most `TOPIC_BYTES_MAX` bytes, and the number of messages in it, none if it is the notice of a gap;
    /// else what is wrong with it.
    fn topic(self, bytes: &Bytes) -> Result<(&[u8], u32), BadRoute>;
}

/// Why a message cannot travel.
pub(crate) enum BadRoute {
    /// A topic of so many bytes.
    Topic(usize),
    /// Parts that are not whole.
    Parts,
    /// A topic that its publisher must not publish.
    NotPermitted,
}

impl Routable for Span {
    #[inline]
    fn start(self) -> usize {
        Span::start(self)
    }

    #[inline]
    fn end(self) -> usize {
        Span::end(self)
    }

    #[expect(
        clippy::inline_always,
        reason = "a call for each message is a twentieth of routing it (perf-gate)"
    )]
    #[inline(always)]
    fn topic(self, bytes: &Bytes) -> Result<(&[u8], u32), BadRoute> {
        match self.frame(bytes) {
            Frame::Message { topic, .. } => routable(topic, 1),
            _ => topic_of_rarer(self, bytes),
        }
    }
}

/// The topic of a frame that is no message, of which there are few: by a call, and with another look at the frame, so that of
/// a message nothing but the topic is read.
#[inline(never)]
fn topic_of_rarer(span: Span, bytes: &Bytes) -> Result<(&[u8], u32), BadRoute> {
    let frame = span.frame(bytes);
    match frame {
        Frame::Gap { topic, .. } => routable(topic, 0),
        Frame::Run { topic, .. } => routable(topic, frame.messages()),
        Frame::Parts { topic, payload, .. } if crate::wire::parts::are_whole(payload) => routable(topic, 1),
        _ => Err(BadRoute::Parts),
    }
}

#[inline]
fn routable(topic: &[u8], messages: u32) -> Result<(&[u8], u32), BadRoute> {
    if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX {
        return Err(BadRoute::Topic(topic.len()));
    }
    Ok((topic, messages))
}

impl Routable for MessageSpan {
    #[inline]
    fn start(self) -> usize {
        MessageSpan::start(self)
    }

    #[inline]
    fn end(self) -> usize {
        MessageSpan::end(self)
    }

    #[inline]
    fn topic(self, bytes: &Bytes) -> Result<(&[u8], u32), BadRoute> {
        Ok((self.route_topic(bytes), 1))
    }
}

/// The key by which routing, queues and gaps know a topic: ZeroMQ's may be longer than a topic, and no prefix is.
#[inline]
pub(crate) fn route_key(topic: &[u8]) -> &[u8] {
    &topic[..topic.len().min(TOPIC_BYTES_MAX)]
}
