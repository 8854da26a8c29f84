//! A batch in the other encoding: made once a batch, for all groups that want any of it, when native subscribers
//! want what a ZeroMQ publisher sent or the other way round. Pure.

use bytes::{Bytes, BytesMut};

use super::batch::Batch;
use super::encoding::{Author, Messages, Spans};
use crate::wire::{Frame, Span, encode, parts, split};
use crate::zmtp::{self, MessageSpan};

/// The same messages, one for one, in the other encoding. What it cannot say stands there with no bytes.
pub(super) fn translate(bytes: &Bytes, messages: Messages<'_>) -> Batch {
    match messages {
        Messages::Native(spans) => to_zmtp(bytes, spans),
        Messages::Zmtp(spans, author) => to_native(bytes, spans, author),
    }
}

/// Topic and payload become two parts. Gap notices have no counterpart.
fn to_zmtp(bytes: &Bytes, spans: &[Span]) -> Batch {
    // At most nine bytes before each part, which is less than a native frame has around it.
    let mut out = BytesMut::with_capacity(bytes.len());
    let mut translated = Vec::with_capacity(spans.len());
    for span in spans {
        let start = out.len();
        match span.frame(bytes) {
            Frame::Message { topic, payload, .. } => {
                zmtp::put_message(&mut out, topic, std::iter::once(payload));
            }
            Frame::Parts { topic, payload, .. } => zmtp::put_message(&mut out, topic, parts::iter(payload)),
            _ => {}
        }
        translated.push(MessageSpan::written(start, &out[start..]));
    }
    // Nobody asks for the author of what is not sent on to other shards.
    let nobody = Author { publisher: 0, first_sequence: 0, received_at_ns: 0 };
    Batch { bytes: out.freeze(), spans: Spans::Zmtp(translated.into(), nobody) }
}

/// The first part becomes the topic; a second that is the last is the payload, else the others are kept apart.
fn to_native(bytes: &Bytes, spans: &[MessageSpan], author: Author) -> Batch {
    let mut out =
        Vec::with_capacity(spans.iter().map(|span| span.native_bytes() + crate::limits::LENGTH_BYTES).sum());
    let mut payload = Vec::new();
    for (sequence, span) in (author.first_sequence..).zip(spans) {
        let mut others = span.parts(bytes);
        let topic = others.next().unwrap_or_default();
        let Author { publisher, received_at_ns: sent_at_ns, .. } = author;
        let frame = if span.part_count() == 2 {
            let payload = others.next().unwrap_or_default();
            Frame::Message { topic, payload, publisher, sequence, sent_at_ns }
        } else {
            payload.clear();
            others.for_each(|part| parts::push(&mut payload, part));
            Frame::Parts { topic, payload: &payload, publisher, sequence, sent_at_ns }
        };
        encode(&frame, &mut out);
    }
    let bytes = Bytes::from(out);
    // Its frames are read unchecked from here on, as any others: so they are checked as any others.
    let mut translated = Vec::with_capacity(spans.len());
    let found = split(&bytes, usize::MAX, &mut translated);
    debug_assert!(found.error.is_none() && found.whole_bytes == bytes.len(), "own frames are whole");
    debug_assert_eq!(translated.len(), spans.len());
    Batch { bytes, spans: Spans::Native(translated.into()) }
}
