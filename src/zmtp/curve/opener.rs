//! Boxes from the peer: each is one frame of ZMTP, whose place in the stream its count shows.

use super::nacl::{BoxKey, PrefixKey};
use super::{
    COUNT_BYTES, FLAGS_BYTES, MESSAGE, MESSAGE_HEAD_BYTES, SEALED_COMMAND, SEALED_MORE, TAG_BYTES, bad_box,
    malformed,
};
use crate::error::ErrorCode;
use crate::wire::{Partial, WireError};
use crate::zmtp::frame::{COMMAND, MORE, head_of, parse_head};

/// Opens the boxes of one peer.
#[derive(Debug)]
pub(super) struct Opener {
    key: PrefixKey,
    /// The count of the last box: the next has a greater one.
    last_count: u64,
}

impl Opener {
    pub(super) fn new(key: &BoxKey, last_count: u64) -> Self {
        Opener { key: key.with_prefix(b"CurveZMQMESSAGEC"), last_count }
    }

    /// Opens the box at the start of `bytes`, and appends its frame to `opened`. Returns the bytes of the box; 0 if it is not
    /// whole.
    ///
    /// # Errors
    /// `TooLarge` for a box whose frame would have more than `frame_bytes_max`, at once: without its end it cannot be opened, and
    /// so not be skipped, since how it goes on is sealed. `BadBox`, `Malformed`.
    pub(super) fn open_next(
        &mut self,
        bytes: &[u8],
        frame_bytes_max: usize,
        opened: &mut Vec<u8>,
    ) -> Result<usize, WireError> {
        let Some(head) = parse_head(bytes)? else { return Ok(0) };
        if head.more {
            return Err(malformed("a box is one frame"));
        }
        let max = frame_bytes_max + MESSAGE_HEAD_BYTES + FLAGS_BYTES;
        let body_bytes = usize::try_from(head.body_bytes).unwrap_or(usize::MAX);
        if body_bytes > max {
            let text = format!("a box announces {body_bytes} bytes; the limit is {max}");
            return Err(WireError::new(ErrorCode::TooLarge, text));
        }
        let end = head.head_bytes + body_bytes;
        let Some(body) = bytes.get(head.head_bytes..end) else { return Ok(0) };
        self.open(body, opened)?;
        Ok(end)
    }

    /// The box that `bytes` are the start of.
    pub(super) fn partial(&self, bytes: &[u8]) -> Partial {
        let head = parse_head(bytes).ok().flatten();
        let box_bytes =
            head.map(|head| head.head_bytes + usize::try_from(head.body_bytes).unwrap_or(usize::MAX));
        Partial::frame(bytes.len(), box_bytes)
    }

    fn open(&mut self, body: &[u8], opened: &mut Vec<u8>) -> Result<(), WireError> {
        let rest = body
            .strip_prefix(MESSAGE)
            .ok_or_else(|| malformed("behind a handshake of CURVE all is in boxes"))?;
        let head = rest.split_first_chunk::<COUNT_BYTES>().and_then(|(count, rest)| {
            let (tag, sealed) = rest.split_first_chunk::<TAG_BYTES>()?;
            (!sealed.is_empty()).then_some((*count, tag, sealed))
        });
        let Some((count, tag, sealed)) = head else { return Err(malformed("a box is not whole")) };
        let number = u64::from_be_bytes(count);
        if number <= self.last_count {
            return Err(bad_box(format!("a box has the count {number}, and {} was there", self.last_count)));
        }
        // The flags are where the head of the frame ends, so that nothing is moved.
        let body_bytes = sealed.len() - FLAGS_BYTES;
        let (_, head_bytes) = head_of(0, body_bytes);
        let start = opened.len();
        let flags_at = start + head_bytes - FLAGS_BYTES;
        opened.resize(flags_at, 0);
        opened.extend_from_slice(sealed);
        if !self.key.open(count, &mut opened[flags_at..], tag) {
            opened.truncate(start);
            return Err(bad_box("a box does not open"));
        }
        let Some(flags) = flags_of(opened[flags_at]) else {
            opened.truncate(start);
            return Err(malformed("the frame in a box has flags that CURVE does not know"));
        };
        let (head, _) = head_of(flags, body_bytes);
        opened[start..=flags_at].copy_from_slice(&head[..head_bytes]);
        self.last_count = number;
        Ok(())
    }
}

/// The flags of a frame by those in its box.
fn flags_of(sealed: u8) -> Option<u8> {
    match sealed {
        0 => Some(0),
        SEALED_MORE => Some(MORE),
        SEALED_COMMAND => Some(COMMAND),
        _ => None,
    }
}
