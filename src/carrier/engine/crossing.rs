//! Crossings: messages of one topic as they travel. Bytes in, values out; owned by nobody.

use bytes::{Bytes, BytesMut};

use crate::fanout::{Author, BadRoute, Batch, Routable, Spans, route_key};
use crate::wire::{FRAME_BODY_BYTES_MIN, Frame, Span, encode_to_vec, parts, split};
use crate::zmtp;

/// The number on the wire for messages that the engine between brokers did not bring.
pub(super) const REASON_ENGINE: u8 = 4;

/// Checks the frames behind the head of a crossing. Returns the key of their topic, and them as batches. `None`: they are not whole
/// frames of one topic with so many messages.
pub(super) fn read(frames: Bytes, count: u32, frame_bytes_max: usize) -> Option<(Bytes, Vec<Batch>)> {
    let mut spans = Vec::new();
    let split = split(&frames, frame_bytes_max, &mut spans);
    if split.error.is_some() || split.whole_bytes < frames.len() {
        return None;
    }
    let first = key_of(*spans.first()?, &frames)?;
    let mut messages = 0_u32;
    for span in &spans {
        let key = key_of(*span, &frames).filter(|key| key == &first)?;
        messages = messages.checked_add(key.messages)?;
    }
    if messages != count {
        return None;
    }
    let topic = frames.slice_ref(first.topic);
    let batches = if first.is_odd {
        spans.iter().map(|span| odd_batch(span.frame(&frames))).collect::<Option<Vec<Batch>>>()?
    } else {
        vec![Batch { bytes: frames, spans: Spans::Native(spans.into()) }]
    };
    Some((topic, batches))
}

/// The topic of a frame, as brokers count its messages.
struct TopicKey<'a> {
    topic: &'a [u8],
    messages: u32,
    /// True if it is empty or too long for a native publisher: the topic of a ZeroMQ publisher.
    is_odd: bool,
}

impl PartialEq for TopicKey<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.topic, self.is_odd) == (other.topic, other.is_odd)
    }
}

fn key_of(span: Span, frames: &Bytes) -> Option<TopicKey<'_>> {
    match span.topic(frames) {
        Ok((topic, messages)) => Some(TopicKey { topic, messages, is_odd: false }),
        Err(BadRoute::Topic(_)) => {
            let topic = route_key(span.frame(frames).message_topic()?);
            Some(TopicKey { topic, messages: 1, is_odd: true })
        }
        Err(BadRoute::Parts | BadRoute::NotPermitted) => None,
    }
}

/// A message with a topic that no native publisher has, as the batch of a ZeroMQ publisher. `None`: it cannot come from one.
fn odd_batch(frame: Frame<'_>) -> Option<Batch> {
    let mut bytes = BytesMut::new();
    let (publisher, first_sequence, received_at_ns) = match frame {
        Frame::Message { topic, payload, publisher, sequence, sent_at_ns } => {
            zmtp::put_message(&mut bytes, topic, std::iter::once(payload));
            (publisher, sequence, sent_at_ns)
        }
        Frame::Parts { topic, payload, publisher, sequence, sent_at_ns } if parts::are_whole(payload) => {
            zmtp::put_message(&mut bytes, topic, parts::iter(payload));
            (publisher, sequence, sent_at_ns)
        }
        _ => return None,
    };
    let bytes = bytes.freeze();
    // As a native frame it is no longer than this.
    let mut decoder = zmtp::Decoder::new(2 * bytes.len() + FRAME_BODY_BYTES_MIN);
    let Ok(zmtp::Found::Message(span)) = decoder.next(&bytes) else { return None };
    let author = Author { publisher, first_sequence, received_at_ns };
    Some(Batch { bytes, spans: Spans::Zmtp([span].into(), author) })
}

/// The notice of a gap, as a batch. `None`: so many messages are missing as nobody knows, perhaps none.
pub(super) fn gap(topic: &[u8], missed: Option<u64>) -> Batch {
    let gap = Frame::Gap { topic, missed: missed.unwrap_or(0), reason: REASON_ENGINE };
    let (bytes, mut spans) = (Bytes::from(encode_to_vec(&gap)), Vec::new());
    let split = split(&bytes, bytes.len(), &mut spans);
    assert!(split.error.is_none(), "it was just written");
    Batch { bytes, spans: Spans::Native(spans.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FRAME_BYTES_MAX_DEFAULT;

    fn message(topic: &[u8]) -> Vec<u8> {
        encode_to_vec(&Frame::Message { topic, payload: b"1", publisher: 1, sequence: 1, sent_at_ns: 0 })
    }

    #[test]
    fn topics_of_zeromq_alone_are_messages_of_zeromq_again() {
        let long = [b'x'; 2_000];
        for topic in [&b""[..], &long] {
            let frame = |sequence, payload| {
                encode_to_vec(&Frame::Message { topic, payload, publisher: 7, sequence, sent_at_ns: 9 })
            };
            let mut three = [frame(3, b"1"), frame(5, b"2")].concat();
            let payload = &[1, 0, 0, 0, b'a'];
            three.extend(encode_to_vec(&Frame::Parts {
                topic,
                payload,
                publisher: 8,
                sequence: 1,
                sent_at_ns: 9,
            }));
            let (key, batches) = super::read(three.into(), 3, FRAME_BYTES_MAX_DEFAULT).expect("a crossing");
            assert_eq!(key, &topic[..topic.len().min(1_024)]);
            let mut sequences = Vec::new();
            for batch in &batches {
                let Spans::Zmtp(spans, author) = &batch.spans else { panic!("of ZeroMQ") };
                sequences.push((author.publisher, author.first_sequence));
                let parts: Vec<_> = spans[0].parts(&batch.bytes).map(<[u8]>::to_vec).collect();
                assert_eq!((spans.len(), &parts[0][..], parts.len()), (1, topic, 2));
            }
            assert_eq!(sequences, [(7, 3), (7, 5), (8, 1)]);
        }
        let torn = Frame::Parts { topic: b"", payload: &[9, 0], publisher: 1, sequence: 1, sent_at_ns: 0 };
        assert!(super::read(encode_to_vec(&torn).into(), 1, FRAME_BYTES_MAX_DEFAULT).is_none());
        let run = Frame::Run { topic: b"", messages: &[0; 4], publisher: 1, sequence: 1, sent_at_ns: 0 };
        assert!(super::read(encode_to_vec(&run).into(), 0, FRAME_BYTES_MAX_DEFAULT).is_none());
    }

    #[test]
    fn only_whole_messages_of_one_topic_are_a_crossing() {
        let read = |bytes: &[u8], count| {
            read(Bytes::copy_from_slice(bytes), count, FRAME_BYTES_MAX_DEFAULT).map(|(topic, _)| topic)
        };
        let two = [message(b"a"), message(b"a")].concat();
        assert_eq!(read(&two, 2), Some(Bytes::from_static(b"a")));
        assert_eq!(read(&two, 1), None);
        assert_eq!(read(&two[..two.len() - 1], 2), None);
        assert_eq!(read(&[message(b"a"), message(b"b")].concat(), 2), None);
        assert_eq!(read(&encode_to_vec(&Frame::Done { request: 1 }), 0), None);
        let two = [message(&[b'x'; 1_024]), message(&[b'x'; 1_025])].concat();
        assert_eq!(read(&two, 2), None, "a topic, and one that is too long");
        assert_eq!(read(b"", 0), None);
        let mut told = message(b"a");
        told.extend(encode_to_vec(&Frame::Gap { topic: b"a", missed: 7, reason: 2 }));
        assert_eq!(read(&told, 1), Some(Bytes::from_static(b"a")), "a publisher's gap is no message");
    }
}
