//! ZMTP frames: a byte of flags, a size of one byte or (long) eight, big-endian, and the body. A message is one frame
//! or more, all but the last with a flag that more follow.

use std::ops::Range;

use bytes::{BufMut, BytesMut};

use crate::error::ErrorCode;
use crate::limits::TOPIC_BYTES_MAX;
use crate::wire::{FRAME_BODY_BYTES_MIN, WireError};

/// The flag of a frame that is followed by more frames of its message.
pub const MORE: u8 = 1;
/// The flag of a frame whose size has eight bytes.
pub const LONG: u8 = 2;
/// The flag of a command, as opposed to a part of a message.
pub const COMMAND: u8 = 4;

/// The head of a frame: everything before its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Bytes of flags and size.
    pub head_bytes: usize,
    /// Bytes of the body, as announced: never allocate by it.
    pub body_bytes: u64,
    /// True if more frames of this message follow.
    pub more: bool,
    /// True for a command.
    pub command: bool,
}

/// Parses the head at the start of `bytes`; `None` if it is incomplete.
///
/// # Errors
/// `Malformed`: invalid flags, or flags that exclude each other.
#[inline]
pub fn parse_head(bytes: &[u8]) -> Result<Option<Head>, WireError> {
    let Some(flags) = bytes.first().copied() else { return Ok(None) };
    let (more, command) = (flags & MORE != 0, flags & COMMAND != 0);
    if flags & !(MORE | LONG | COMMAND) != 0 || (more && command) {
        let text = format!("a frame has the flags {flags:#04x}, which ZMTP does not know");
        return Err(WireError::new(ErrorCode::Malformed, text));
    }
    let head = |head_bytes, body_bytes| Some(Head { head_bytes, body_bytes, more, command });
    Ok(if flags & LONG == 0 {
        bytes.get(1).and_then(|size| head(2, u64::from(*size)))
    } else {
        bytes.get(1..9).and_then(|size| head(9, u64::from_be_bytes(size.try_into().expect("eight bytes"))))
    })
}

/// Longest head in bytes.
const HEAD_BYTES_MAX: usize = 9;

/// The head of a frame with such a body, and how many bytes of it there are.
#[inline]
pub fn head_of(flags: u8, body_bytes: usize) -> ([u8; HEAD_BYTES_MAX], usize) {
    let mut head = [0; HEAD_BYTES_MAX];
    if let Ok(short) = u8::try_from(body_bytes) {
        head[..2].copy_from_slice(&[flags, short]);
        return (head, 2);
    }
    head[0] = flags | LONG;
    head[1..].copy_from_slice(&(body_bytes as u64).to_be_bytes());
    (head, HEAD_BYTES_MAX)
}

/// Appends a frame.
pub fn put_frame(out: &mut impl BufMut, flags: u8, body: &[u8]) {
    let (head, head_bytes) = head_of(flags, body.len());
    out.put_slice(&head[..head_bytes]);
    out.put_slice(body);
}

/// Appends a message of `first` and the parts after it.
pub fn put_message<'a>(out: &mut BytesMut, first: &[u8], others: impl Iterator<Item = &'a [u8]>) {
    let mut part = first;
    for next in others {
        put_frame(out, MORE, part);
        part = next;
    }
    put_frame(out, 0, part);
}

/// One whole message within the decoded bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageSpan {
    start: u32,
    end: u32,
    first: u32,
    first_bytes: u32,
    parts: u32,
    native_bytes: u32,
}

impl MessageSpan {
    /// A message with these facts from the decoder; `first` is the position of its first part.
    pub(super) fn new(range: Range<usize>, first: Range<usize>, parts: u32, native_bytes: usize) -> Self {
        let short = |n: usize| u32::try_from(n).expect("a read is under 4 GiB");
        MessageSpan {
            start: short(range.start),
            end: short(range.end),
            first: short(first.start),
            first_bytes: short(first.len()),
            parts,
            native_bytes: short(native_bytes),
        }
    }

    /// The same message, moved by `by` bytes.
    pub(crate) fn moved(self, by: usize) -> Self {
        let by = u32::try_from(by).expect("a read is under 4 GiB");
        MessageSpan { start: self.start + by, end: self.end + by, first: self.first + by, ..self }
    }

    /// The start of its first frame, in bytes from the start of the decoded bytes.
    pub fn start(self) -> usize {
        self.start as usize
    }

    /// The end of its last frame.
    pub fn end(self) -> usize {
        self.end as usize
    }

    /// The number of parts.
    pub fn part_count(self) -> u32 {
        self.parts
    }

    /// The length of its body as a native frame.
    pub fn native_bytes(self) -> usize {
        self.native_bytes as usize
    }

    /// The bytes that it is routed by: its first part, or the first `TOPIC_BYTES_MAX` bytes of that. No subscription is
    /// longer.
    #[inline]
    pub fn route_topic(self, bytes: &[u8]) -> &[u8] {
        let first = self.first as usize;
        &bytes[first..first + (self.first_bytes as usize).min(TOPIC_BYTES_MAX)]
    }

    /// Its parts.
    pub fn parts(self, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
        frames(&bytes[self.start()..self.end()]).map(|(_, body, _)| body)
    }
}

/// The frames of bytes that are whole messages: the position of each, its body, and if more follow.
fn frames(bytes: &[u8]) -> impl Iterator<Item = (Range<usize>, &[u8], bool)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let head = parse_head(&bytes[at..]).ok().flatten()?;
        let from = at + head.head_bytes;
        let end = from.checked_add(usize::try_from(head.body_bytes).ok()?)?;
        let range = at..end;
        at = end;
        Some((range, bytes.get(from..end)?, head.more))
    })
}

/// Calls `each` with the range and the first part of every message in bytes that are whole messages.
pub fn for_each_message(bytes: &[u8], mut each: impl FnMut(Range<usize>, &[u8])) {
    let mut begun: Option<(usize, &[u8])> = None;
    for (range, body, more) in frames(bytes) {
        let (start, first) = begun.unwrap_or((range.start, body));
        if more {
            begun = Some((start, first));
        } else {
            begun = None;
            each(start..range.end, first);
        }
    }
    assert!(begun.is_none(), "messages are whole");
}

/// The first part of the first of such messages.
pub(crate) fn first_part(bytes: &[u8]) -> Option<&[u8]> {
    frames(bytes).next().map(|(_, body, _)| body)
}

/// Bytes of the body of a native frame with one more part.
pub(super) const fn native_bytes_with(before: usize, parts_before: u32, part: usize) -> usize {
    match parts_before {
        0 => FRAME_BODY_BYTES_MIN + part,
        _ => before + crate::limits::LENGTH_BYTES + part,
    }
}
