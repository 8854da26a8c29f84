//! Crossings: messages of one topic as they travel. Bytes in, values out; owned by nobody.

use bytes::Bytes;

use crate::fanout::{Batch, Routable, Spans};
use crate::wire::{Frame, encode_to_vec, split};

/// The number on the wire for messages that the engine between brokers did not bring.
pub(super) const REASON_ENGINE: u8 = 4;

/// Checks the frames behind the head of a crossing. Returns their topic, and them as a batch. `None`: they are not whole
/// routable frames of one topic with so many messages.
pub(super) fn read(frames: Bytes, count: u32, frame_bytes_max: usize) -> Option<(Bytes, Batch)> {
    let mut spans = Vec::new();
    let split = split(&frames, frame_bytes_max, &mut spans);
    if split.error.is_some() || split.whole_bytes < frames.len() {
        return None;
    }
    let (first, _) = spans.first()?.topic(&frames).ok()?;
    let mut messages = 0_u32;
    for span in &spans {
        let (_, more) = span.topic(&frames).ok().filter(|(topic, _)| *topic == first)?;
        messages = messages.checked_add(more)?;
    }
    let topic = frames.slice_ref(first);
    (messages == count).then(|| (topic, Batch { bytes: frames, spans: Spans::Native(spans.into()) }))
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
        assert_eq!(read(&message(b""), 1), None);
        assert_eq!(read(b"", 0), None);
        let mut told = message(b"a");
        told.extend(encode_to_vec(&Frame::Gap { topic: b"a", missed: 7, reason: 2 }));
        assert_eq!(read(&told, 1), Some(Bytes::from_static(b"a")), "a publisher's gap is no message");
    }
}
