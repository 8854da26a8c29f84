//! Messages from the far end of a joint: checked once, and kept in order while shards are behind. Owned by a joint.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::error::ErrorCode;
use crate::fanout::{Batch, Routable, Spans};
use crate::wire::{Features, Frame, WireError, split};

/// The way in.
#[derive(Default)]
pub(super) struct Inbound {
    /// Batches that are not handed on, in order, and the messages in each. The far end sends no more than a few ahead of its confirmations.
    waiting: VecDeque<(Batch, u64)>,
    /// The last parcel that was handed on.
    had: u64,
    /// Messages that waited when the connection was lost. They are sent again, unless the far end has restarted.
    dropped: u64,
}

impl Inbound {
    /// The last parcel that was handed on.
    pub(super) fn had(&self) -> u64 {
        self.had
    }

    /// Takes a parcel. Returns the number of missed messages that cannot be reported here, since their notice names no topic.
    ///
    /// # Errors
    /// It is not the next, or its bytes are not whole, routable frames of the `features` that this end has offered.
    pub(super) fn take(
        &mut self,
        number: u64,
        bytes: Bytes,
        (frame_bytes_max, features): (usize, Features),
    ) -> Result<u64, WireError> {
        let next = self.had + self.waiting.len() as u64 + 1;
        if number != next {
            return Err(WireError::new(ErrorCode::Unexpected, "a parcel out of its order"));
        }
        let (batch, messages, untold) = read(bytes, frame_bytes_max, features)?;
        self.waiting.push_back((batch, messages));
        Ok(untold)
    }

    /// Takes the next batch to be handed on: it counts as had.
    pub(super) fn next(&mut self) -> Option<Batch> {
        let (batch, _) = self.waiting.pop_front()?;
        self.had += 1;
        Some(batch)
    }

    /// Drops what is not handed on, since the connection is lost: it will be sent again.
    pub(super) fn forget_waiting(&mut self) {
        self.dropped += self.waiting.drain(..).map(|(_, messages)| messages).sum::<u64>();
    }

    /// Begins a connection to a far end, which `is_known` from the one before. Returns the number of messages that were
    /// dropped and will not be sent again.
    pub(super) fn greet(&mut self, is_known: bool) -> u64 {
        let dropped = std::mem::take(&mut self.dropped);
        if is_known {
            return 0;
        }
        self.had = 0;
        dropped
    }
}

/// Checks the frames of a parcel. Returns them as a batch without the notices that name no topic, the number of messages in
/// it, and the number of missed messages that those notices report.
fn read(bytes: Bytes, frame_bytes_max: usize, features: Features) -> Result<(Batch, u64, u64), WireError> {
    let mut spans = Vec::new();
    let split = split(&bytes, frame_bytes_max, &mut spans);
    if let Some(error) = split.error {
        return Err(error);
    }
    let mut untold = 0_u64;
    spans.retain(|span| match span.frame(&bytes) {
        Frame::Gap { topic: b"", missed, .. } => {
            // Of a gap of unknown size it is known that it is one.
            untold = untold.saturating_add(missed.max(1));
            false
        }
        _ => true,
    });
    let malformed = || WireError::new(ErrorCode::Malformed, "a parcel is not whole messages");
    if split.whole_bytes < bytes.len() {
        return Err(malformed());
    }
    let mut messages = 0;
    for span in &spans {
        let (_, count) = span.topic(&bytes).map_err(|_| malformed())?;
        if count > 1 && !features.has(Features::RUNS) {
            return Err(WireError::new(ErrorCode::Unexpected, "a run, which this end does not take"));
        }
        messages += u64::from(count);
    }
    Ok((Batch { bytes, spans: Spans::Native(spans.into()) }, messages, untold))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FRAME_BYTES_MAX_DEFAULT;
    use crate::wire::encode_to_vec;

    fn message(topic: &[u8]) -> Vec<u8> {
        encode_to_vec(&Frame::Message { topic, payload: b"1", publisher: 1, sequence: 1, sent_at_ns: 0 })
    }

    fn take(inbound: &mut Inbound, number: u64, bytes: Vec<u8>) -> Result<u64, ErrorCode> {
        inbound
            .take(number, bytes.into(), (FRAME_BYTES_MAX_DEFAULT, Features::OURS))
            .map_err(|error| error.code)
    }

    #[test]
    fn parcels_come_one_by_one_and_again_only_if_they_were_not_handed_on() {
        let mut inbound = Inbound::default();
        assert_eq!(take(&mut inbound, 1, message(b"a")), Ok(0));
        assert_eq!(take(&mut inbound, 1, message(b"a")), Err(ErrorCode::Unexpected));
        assert_eq!(take(&mut inbound, 3, message(b"a")), Err(ErrorCode::Unexpected));
        assert!(inbound.next().is_some() && inbound.next().is_none());
        assert_eq!(take(&mut inbound, 2, message(b"a")), Ok(0));
        inbound.forget_waiting();
        assert_eq!(inbound.had(), 1);
        assert_eq!(inbound.greet(true), 0, "it comes again");
        assert_eq!(take(&mut inbound, 2, message(b"a")), Ok(0));
        inbound.forget_waiting();
        assert_eq!((inbound.greet(false), inbound.had()), (1, 0), "it is lost");
    }

    #[test]
    fn bytes_that_are_no_messages_end_the_connection() {
        let mut inbound = Inbound::default();
        let mut half = message(b"a");
        half.truncate(half.len() - 1);
        for bad in [half, encode_to_vec(&Frame::Done { request: 1 }), message(b""), vec![0xff; 64]] {
            assert!(take(&mut inbound, 1, bad).is_err());
        }
        let gap = |topic, missed| encode_to_vec(&Frame::Gap { topic, missed, reason: 1 });
        let some = [message(b"a"), gap(b"", 7), gap(b"a", 2), gap(b"", 0)].concat();
        assert_eq!(take(&mut inbound, 1, some), Ok(8), "nobody can be told of what topic");
        assert_eq!(inbound.next().map(|batch| batch.spans.messages().len()), Some(2));
    }
}
