//! HOT: boxes to the peer. Chunks are shared by all sessions of a group, so each session seals its own copy, in room that all
//! sessions of a shard share; only what the kernel does not take is kept here.

use std::io::IoSlice;

use super::nacl::{BoxKey, PrefixKey};
use super::{COUNT_BYTES, FLAGS_BYTES, MESSAGE, MESSAGE_HEAD_BYTES, SEALED_COMMAND, SEALED_MORE, TAG_BYTES};
use crate::limits::SEALED_BYTES_PER_VISIT;
use crate::zmtp::frame::{Head, head_of, parse_head};

/// Seals the frames to one peer.
#[derive(Debug)]
pub(super) struct Sealer {
    key: PrefixKey,
    /// The count of the next box.
    count: u64,
    /// Bytes that leave as they are before anything is sealed.
    clear_bytes: usize,
    /// Sealed bytes, of which the first `owed_sent` have left. While some have not, the last byte of the last frame in them has
    /// not been reported as sent, so that the session's queue is not empty before they have left.
    owed: Vec<u8>,
    owed_sent: usize,
}

impl Sealer {
    pub(super) fn new(key: &BoxKey, count: u64, clear_bytes: usize) -> Self {
        let key = key.with_prefix(b"CurveZMQMESSAGES");
        Sealer { key, count, clear_bytes, owed: Vec::new(), owed_sent: 0 }
    }

    /// Sends some of `parts`, sealed in `room`: whole frames of ZMTP, but for what was sent before of the first part. Returns how many
    /// of their bytes were tried, and how many of these `send` took; `None`: it has no room.
    ///
    /// # Errors
    /// Those of `send`.
    pub(super) fn send<E>(
        &mut self,
        parts: &[IoSlice<'_>],
        room: &mut Vec<u8>,
        mut send: impl FnMut(&[IoSlice<'_>]) -> Result<Option<usize>, E>,
    ) -> Result<(usize, Option<usize>), E> {
        if self.clear_bytes > 0 {
            return self.send_clear(parts, send);
        }
        let mut reported = 0;
        if !self.owed.is_empty() {
            if !self.pay(&mut send)? {
                return Ok((1, None));
            }
            reported = 1;
        }
        room.clear();
        let tried = reported + self.seal_into(room, parts, reported);
        if tried == reported {
            return Ok((tried, Some(tried)));
        }
        let left = send(&[IoSlice::new(room)])?.unwrap_or(0);
        if left == room.len() {
            return Ok((tried, Some(tried)));
        }
        self.owed.extend_from_slice(&room[left..]);
        Ok((tried, Some(tried - 1)))
    }

    /// Sends the end of the handshake.
    fn send_clear<E>(
        &mut self,
        parts: &[IoSlice<'_>],
        send: impl FnOnce(&[IoSlice<'_>]) -> Result<Option<usize>, E>,
    ) -> Result<(usize, Option<usize>), E> {
        let first = parts.first().map_or(&[][..], |part| part);
        let clear = &first[..first.len().min(self.clear_bytes)];
        let taken = send(&[IoSlice::new(clear)])?;
        self.clear_bytes -= taken.unwrap_or(0);
        Ok((clear.len(), taken))
    }

    /// Sends what is owed. Returns true if nothing is any more.
    fn pay<E>(
        &mut self,
        send: &mut impl FnMut(&[IoSlice<'_>]) -> Result<Option<usize>, E>,
    ) -> Result<bool, E> {
        self.owed_sent += send(&[IoSlice::new(&self.owed[self.owed_sent..])])?.unwrap_or(0);
        let is_paid = self.owed_sent == self.owed.len();
        if is_paid {
            (self.owed, self.owed_sent) = (Vec::new(), 0);
        }
        Ok(is_paid)
    }

    /// Seals frames of `parts`, behind the first `skip` bytes, until `room` holds as much as a visit may send. Returns how many of
    /// their bytes are in it.
    fn seal_into(&mut self, room: &mut Vec<u8>, parts: &[IoSlice<'_>], mut skip: usize) -> usize {
        let mut bytes = 0;
        for part in parts {
            let mut rest = &part[skip..];
            skip = 0;
            while !rest.is_empty() {
                if room.len() >= SEALED_BYTES_PER_VISIT {
                    return bytes;
                }
                let frame_bytes = self.seal(room, rest);
                bytes += frame_bytes;
                rest = &rest[frame_bytes..];
            }
        }
        bytes
    }

    /// Appends the box of the frame at the start of `bytes`, and returns how long the frame is.
    fn seal(&mut self, room: &mut Vec<u8>, bytes: &[u8]) -> usize {
        let head = parse_head(bytes).ok().flatten().expect("what is queued are whole frames");
        let Head { head_bytes, body_bytes, more, command } = head;
        let end = head_bytes + usize::try_from(body_bytes).expect("it is in memory");
        let body = &bytes[head_bytes..end];
        let flags = if more { SEALED_MORE } else { 0 } | if command { SEALED_COMMAND } else { 0 };
        let count = self.count.to_be_bytes();
        self.count += 1;
        // As libzmq does, which marks boxes as messages, not as commands.
        let (head, head_bytes) = head_of(0, MESSAGE_HEAD_BYTES + FLAGS_BYTES + body.len());
        room.extend_from_slice(&head[..head_bytes]);
        room.extend_from_slice(MESSAGE);
        room.extend_from_slice(&count);
        let tag_at = room.len();
        room.extend_from_slice(&[0; TAG_BYTES]);
        room.push(flags);
        room.extend_from_slice(body);
        let (tag, sealed) = room[tag_at..].split_first_chunk_mut::<TAG_BYTES>().expect("it was put there");
        *tag = self.key.seal(count, sealed);
        end
    }
}

const _: () = assert!(COUNT_BYTES == size_of::<u64>());
