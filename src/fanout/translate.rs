//! A batch in another encoding than that in which it came: made once a batch and encoding, for all groups of that encoding that
//! want any of it. Pure.

use bytes::{Bytes, BytesMut};

use super::batch::Picked;
use super::encoding::{Author, Encoding, Messages};
use crate::limits::{LENGTH_BYTES, RUN_COUNT_BYTES, RUN_MESSAGE_BYTES};
use crate::wire::{FRAME_BODY_BYTES_MIN, Frame, Span, encode, parts, run, split};
use crate::zmtp::{self, MessageSpan};

/// The messages of a batch in another encoding. A frame of the batch becomes some frames here, one behind the other, or none.
pub(crate) struct Translated {
    pub(crate) bytes: Bytes,
    pub(crate) encoding: Encoding,
    /// By frame of the batch: where that ends which has become of it.
    ends: Box<[End]>,
}

/// A position behind so many bytes, and the number of frames before it.
#[derive(Clone, Copy, Default)]
struct End {
    bytes: u32,
    frames: u32,
}

impl Translated {
    /// Makes what was picked of the batch say where the same messages stand here. Those that have no bytes in this encoding,
    /// as gap notices in ZMTP, are picked no more.
    pub(crate) fn pick_same(&self, picked: &mut Vec<Picked>) {
        picked.retain_mut(|picked| {
            let (first, behind) = (picked.first as usize, (picked.first + picked.frames) as usize);
            let (begin, end) = (self.end_of_first(first), self.end_of_first(behind));
            picked.range = begin.bytes as usize..end.bytes as usize;
            picked.frames = end.frames - begin.frames;
            picked.frames > 0
        });
    }

    /// The end of what has become of the first `frames` of the batch.
    fn end_of_first(&self, frames: usize) -> End {
        frames.checked_sub(1).map_or_else(End::default, |last| self.ends[last])
    }
}

/// The messages of a batch in an encoding that does not read it as it is.
pub(crate) fn translate(bytes: &Bytes, messages: Messages<'_>, encoding: Encoding) -> Translated {
    match (messages, encoding) {
        (Messages::Native(spans), Encoding::Zmtp) => to_zmtp(bytes, spans),
        (Messages::Native(spans), Encoding::Native | Encoding::NativeRuns) => to_singles(bytes, spans),
        (Messages::Zmtp(spans, author), _) => to_native(bytes, spans, author),
    }
}

/// The messages of a batch as native frames, one for each frame of the batch.
pub(crate) fn native_frames(bytes: &Bytes, messages: Messages<'_>) -> (Bytes, Vec<Span>) {
    match messages {
        Messages::Native(spans) => (bytes.clone(), spans.to_vec()),
        Messages::Zmtp(spans, author) => {
            let Translated { bytes, .. } = to_native(bytes, spans, author);
            let mut found = Vec::with_capacity(spans.len());
            let end = split(&bytes, usize::MAX, &mut found);
            assert!(end.error.is_none() && found.len() == spans.len(), "own frames are whole");
            (bytes, found)
        }
    }
}

/// Whole, checked native frames as ZeroMQ messages; notices of gaps have none.
pub(crate) fn zmtp_frames(bytes: &Bytes) -> Bytes {
    let mut spans = Vec::new();
    let end = split(bytes, usize::MAX, &mut spans);
    assert!(end.error.is_none(), "own frames are whole");
    to_zmtp(bytes, &spans).bytes
}

/// Collects the frames of a translation.
struct Ends {
    ends: Vec<End>,
    frames: u32,
}

impl Ends {
    fn with_capacity(frames: usize) -> Self {
        Ends { ends: Vec::with_capacity(frames), frames: 0 }
    }

    /// The next frame of the batch has become so many frames, with which the translation now has so many bytes.
    fn push(&mut self, frames: u32, bytes: usize) {
        self.frames += frames;
        let bytes = u32::try_from(bytes).expect("a batch is under 4 GiB");
        self.ends.push(End { bytes, frames: self.frames });
    }
}

/// Topic and payload become two parts. Gap notices have no counterpart.
fn to_zmtp(bytes: &Bytes, spans: &[Span]) -> Translated {
    // At most nine bytes before each part, which is less than the native frame of one message has around it.
    let mut out = BytesMut::with_capacity(bytes.len());
    let mut ends = Ends::with_capacity(spans.len());
    for span in spans {
        let frame = span.frame(bytes);
        match frame {
            Frame::Message { topic, payload, .. } => {
                zmtp::put_message(&mut out, topic, std::iter::once(payload));
            }
            Frame::Parts { topic, payload, .. } => zmtp::put_message(&mut out, topic, parts::iter(payload)),
            Frame::Run { topic, messages, .. } => run::iter(messages).for_each(|message| {
                zmtp::put_message(&mut out, topic, std::iter::once(message.payload));
            }),
            _ => {}
        }
        ends.push(frame.messages(), out.len());
    }
    // What waits of it is not to keep the room alive that was too much.
    let is_tight = out.len() >= out.capacity() / 4 * 3;
    let bytes = if is_tight { out.freeze() } else { Bytes::copy_from_slice(&out) };
    Translated { bytes, encoding: Encoding::Zmtp, ends: ends.ends.into() }
}

/// Each message of a run gets a frame of its own. All others stay as they are.
fn to_singles(bytes: &Bytes, spans: &[Span]) -> Translated {
    let mut out = Vec::with_capacity(spans.iter().map(|span| singles_bytes(*span, bytes)).sum());
    let mut ends = Ends::with_capacity(spans.len());
    for span in spans {
        let frame = span.frame(bytes);
        match frame {
            Frame::Run { .. } => frame.singles().for_each(|single| encode(&single, &mut out)),
            _ => out.extend_from_slice(&bytes[span.start()..span.end()]),
        }
        ends.push(frame.messages().max(1), out.len());
    }
    native(out, ends)
}

/// Bytes of the frames of single messages that a frame becomes.
fn singles_bytes(span: Span, bytes: &Bytes) -> usize {
    let frame = span.frame(bytes);
    let Frame::Run { topic, messages, .. } = frame else { return span.end() - span.start() };
    let count = frame.messages() as usize;
    let payloads = messages.len() - RUN_COUNT_BYTES - count * RUN_MESSAGE_BYTES;
    count * (LENGTH_BYTES + FRAME_BODY_BYTES_MIN + topic.len()) + payloads
}

/// The first part becomes the topic; a second that is the last is the payload, else the others are kept apart.
fn to_native(bytes: &Bytes, spans: &[MessageSpan], author: Author) -> Translated {
    let mut out = Vec::with_capacity(spans.iter().map(|span| span.native_bytes() + LENGTH_BYTES).sum());
    let mut ends = Ends::with_capacity(spans.len());
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
        ends.push(1, out.len());
    }
    native(out, ends)
}

/// Frames that were written here. They are read unchecked from here on, as any others: so they are checked as any others.
fn native(out: Vec<u8>, ends: Ends) -> Translated {
    let mut spans = Vec::with_capacity(ends.frames as usize);
    let found = split(&out, usize::MAX, &mut spans);
    assert!(found.error.is_none() && found.whole_bytes == out.len(), "own frames are whole");
    assert_eq!(spans.len(), ends.frames as usize, "as many frames as were written");
    Translated { bytes: Bytes::from(out), encoding: Encoding::Native, ends: ends.ends.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::batch::Batch;
    use crate::fanout::encoding::Spans;
    use crate::zmtp::Decoder;

    const AUTHOR: Author = Author { publisher: 7, first_sequence: 3, received_at_ns: 9 };

    /// These messages as they come from a ZeroMQ peer.
    fn zmtp(messages: &[&[&[u8]]]) -> Batch {
        let mut bytes = BytesMut::new();
        messages.iter().for_each(|parts| {
            zmtp::put_message(&mut bytes, parts[0], parts[1..].iter().copied());
        });
        read_zmtp(bytes.freeze())
    }

    fn read_zmtp(bytes: Bytes) -> Batch {
        let (mut decoder, mut at, mut spans) = (Decoder::new(1 << 20), 0, Vec::new());
        while at < bytes.len() {
            let Ok(zmtp::Found::Message(span)) = decoder.next(&bytes[at..]) else { panic!("messages alone") };
            spans.push(span.moved(at));
            at += span.end();
        }
        Batch { bytes, spans: Spans::Zmtp(spans.into(), AUTHOR) }
    }

    fn native(frames: &[Frame<'_>]) -> Batch {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| encode(frame, &mut bytes));
        read_native(bytes.into())
    }

    fn read_native(bytes: Bytes) -> Batch {
        let mut spans = Vec::new();
        assert_eq!(split(&bytes, usize::MAX, &mut spans).error, None);
        Batch { bytes, spans: Spans::Native(spans.into()) }
    }

    fn in_encoding(encoding: Encoding, batch: &Batch) -> Translated {
        let translated = translate(&batch.bytes, batch.spans.messages(), encoding);
        assert_eq!(translated.encoding, encoding);
        translated
    }

    fn to_native(batch: &Batch) -> Batch {
        read_native(in_encoding(Encoding::Native, batch).bytes)
    }

    /// The frames of a native batch.
    fn frames(batch: &Batch) -> Vec<Frame<'_>> {
        let Spans::Native(spans) = &batch.spans else { panic!("it is native") };
        spans.iter().map(|span| span.frame(&batch.bytes)).collect()
    }

    #[test]
    fn two_parts_are_topic_and_payload_and_any_other_number_is_kept_apart() {
        let batch =
            to_native(&zmtp(&[&[b"t", b"p"], &[b"t"], &[b"t", b"", b""], &[b"", b""], &[b"a", b"b", b"c"]]));
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
    fn each_message_of_a_run_becomes_one_of_its_own() {
        let message = |sequence, sent_at_ns, payload| Frame::Message {
            topic: b"t",
            payload,
            publisher: 7,
            sequence,
            sent_at_ns,
        };
        let messages = b"\x02\0\0\0\x01\0\0\0\0\0\0\0p\0\0\0\0\x05\0\0\0";
        let run = Frame::Run { topic: b"t", messages, publisher: 7, sequence: 3, sent_at_ns: 9 };
        let gap = Frame::Gap { topic: b"t", missed: 2, reason: 2 };
        let batch = native(&[message(2, 8, b"o"), run, gap, run]);
        let singles = to_native(&batch);
        let [first, second] = [message(3, 9, b"p"), message(4, 14, b"")];
        assert_eq!(frames(&singles), [message(2, 8, b"o"), first, second, gap, first, second]);
        let picked = |first, frames, messages| Picked { range: 0..0, first, frames, messages };
        let mut some = vec![picked(1, 2, 2), picked(3, 1, 2)];
        in_encoding(Encoding::Native, &batch).pick_same(&mut some);
        let frame_bytes = |frames: &[Frame<'_>]| native(frames).bytes.len();
        let (begin, middle) = (frame_bytes(&[message(2, 8, b"o")]), frame_bytes(&[first, second, gap]));
        let end = begin + middle + frame_bytes(&[first, second]);
        assert_eq!(
            some.iter().map(|p| (p.range.clone(), p.frames, p.messages)).collect::<Vec<_>>(),
            [(begin..begin + middle, 3, 2), (begin + middle..end, 2, 2)]
        );
        let parts: [&[&[u8]]; 5] = [&[b"t", b"o"], &[b"t", b"p"], &[b"t", b""], &[b"t", b"p"], &[b"t", b""]];
        assert_eq!(in_encoding(Encoding::Zmtp, &batch).bytes, zmtp(&parts).bytes);
    }

    #[test]
    fn there_and_back_again_is_the_same() {
        let long = vec![7; 70_000];
        let sent: [&[&[u8]]; 6] =
            [&[b"t", b"p"], &[b"t"], &[b""], &[&long, &long], &[b"a", b"", &long, b""], &[b"", b"", b""]];
        let batch = zmtp(&sent);
        let back = read_zmtp(in_encoding(Encoding::Zmtp, &to_native(&batch)).bytes);
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
        let picked = |first, frames, messages| Picked { range: 0..0, first, frames, messages };
        let mut all = vec![picked(0, 4, 2), picked(1, 1, 0), picked(2, 2, 1)];
        in_encoding(Encoding::Zmtp, &batch).pick_same(&mut all);
        let found: Vec<_> = all.iter().map(|p| (p.range.clone(), p.frames, p.messages)).collect();
        assert_eq!(
            found,
            [(0..10, 2, 2), (5..10, 1, 1)],
            "each message has two heads of two bytes and a topic"
        );
    }
}
