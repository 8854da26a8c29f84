//! A batch in the other encoding: made once a batch, for all groups that want any of it, when native subscribers
//! want what a ZeroMQ publisher sent or the other way round. Pure.

use bytes::{Bytes, BytesMut};

use super::batch::Batch;
use super::encoding::{Author, Messages, Spans};
use crate::wire::{Frame, Span, encode, parts, split};
use crate::zmtp::{self, MessageSpan};

/// The same messages, one for one, in the other encoding. What it cannot say stands there with no bytes.
pub(crate) fn translate(bytes: &Bytes, messages: Messages<'_>) -> Batch {
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
    // What waits of it is not to keep the room alive that was too much.
    let is_tight = out.len() >= out.capacity() / 4 * 3;
    let bytes = if is_tight { out.freeze() } else { Bytes::copy_from_slice(&out) };
    Batch { bytes, spans: Spans::Zmtp(translated.into(), nobody) }
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
    assert!(found.error.is_none() && found.whole_bytes == bytes.len(), "own frames are whole");
    assert_eq!(translated.len(), spans.len(), "a frame for each message");
    Batch { bytes, spans: Spans::Native(translated.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::encoding::Encoding;
    use crate::zmtp::Decoder;

    const AUTHOR: Author = Author { publisher: 7, first_sequence: 3, received_at_ns: 9 };

    /// These messages as they come from a ZeroMQ peer.
    fn zmtp(messages: &[&[&[u8]]]) -> Batch {
        let mut bytes = BytesMut::new();
        messages.iter().for_each(|parts| {
            zmtp::put_message(&mut bytes, parts[0], parts[1..].iter().copied());
        });
        let (mut decoder, mut at, mut spans) = (Decoder::new(1 << 20), 0, Vec::new());
        while at < bytes.len() {
            let Ok(zmtp::Found::Message(span)) = decoder.next(&bytes[at..]) else { panic!("messages alone") };
            spans.push(span.moved(at));
            at += span.end();
        }
        Batch { bytes: bytes.freeze(), spans: Spans::Zmtp(spans.into(), AUTHOR) }
    }

    fn native(frames: &[Frame<'_>]) -> Batch {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| encode(frame, &mut bytes));
        let (bytes, mut spans) = (Bytes::from(bytes), Vec::new());
        assert_eq!(split(&bytes, usize::MAX, &mut spans).error, None);
        Batch { bytes, spans: Spans::Native(spans.into()) }
    }

    fn other(batch: &Batch) -> Batch {
        translate(&batch.bytes, batch.spans.messages())
    }

    /// The frames of a native batch.
    fn frames(batch: &Batch) -> Vec<Frame<'_>> {
        let Spans::Native(spans) = &batch.spans else { panic!("it is native") };
        spans.iter().map(|span| span.frame(&batch.bytes)).collect()
    }

    #[test]
    fn two_parts_are_topic_and_payload_and_any_other_number_is_kept_apart() {
        let batch =
            other(&zmtp(&[&[b"t", b"p"], &[b"t"], &[b"t", b"", b""], &[b"", b""], &[b"a", b"b", b"c"]]));
        let Author { publisher, received_at_ns: sent_at_ns, .. } = AUTHOR;
        let message =
            |sequence, topic, payload| Frame::Message { topic, payload, publisher, sequence, sent_at_ns };
        let of = |sequence, topic, payload| Frame::Parts { topic, payload, publisher, sequence, sent_at_ns };
        let expected = [
            message(3, b"t", b"p"),
            of(4, b"t", b""),
            of(5, b"t", &[0; 8]),
            message(6, b"", b""),
            of(7, b"a", b"\x01\0\0\0b\x01\0\0\0c"),
        ];
        assert_eq!(frames(&batch), expected);
    }

    #[test]
    fn there_and_back_again_is_the_same() {
        let long = vec![7; 70_000];
        let sent: [&[&[u8]]; 6] =
            [&[b"t", b"p"], &[b"t"], &[b""], &[&long, &long], &[b"a", b"", &long, b""], &[b"", b"", b""]];
        let batch = zmtp(&sent);
        let back = other(&other(&batch));
        assert_eq!(back.bytes, batch.bytes);
        let Spans::Zmtp(spans, _) = &back.spans else { panic!("it is ZMTP") };
        for (span, parts) in spans.iter().zip(sent) {
            assert_eq!(span.parts(&back.bytes).collect::<Vec<_>>(), parts);
            assert_eq!(span.route_topic(&back.bytes), &parts[0][..parts[0].len().min(1024)]);
        }
    }

    #[test]
    fn a_gap_has_a_place_and_no_bytes_and_is_not_picked() {
        let message =
            |topic| Frame::Message { topic, payload: b"", publisher: 1, sequence: 1, sent_at_ns: 0 };
        let gap = Frame::Gap { topic: b"g", missed: 2, reason: 2 };
        let batch = native(&[message(b"a"), gap, message(b"b"), gap]);
        let translated = other(&batch);
        assert_eq!(translated.spans.messages().encoding(), Encoding::Zmtp);
        let picked = |first, frames| super::super::batch::Picked { range: 0..0, first, frames, messages: 1 };
        let mut all = vec![picked(0, 4), picked(1, 1), picked(2, 2)];
        translated.spans.pick_same(&mut all);
        let found: Vec<_> = all.iter().map(|p| (p.range.clone(), p.frames, p.messages)).collect();
        assert_eq!(
            found,
            [(0..10, 2, 2), (5..10, 1, 1)],
            "each message has two heads of two bytes and a topic"
        );
    }
}
