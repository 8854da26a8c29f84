//! Finds the whole frames in what has arrived and checks each, once. Pure: bytes in, spans out.

use bytes::Bytes;

use super::checked::CheckedFrame;
use super::frame::{FRAME_BODY_BYTES_MIN, Frame};
use crate::error::ErrorCode;
use crate::limits::LENGTH_BYTES;

/// One whole, checked frame within the bytes that were split. Only [`split`] makes them, and only this crate reads
/// unchecked by them: it keeps a span and the bytes that it is of together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    start: u32,
    body_bytes: u32,
}

impl Span {
    /// Where the frame's length stands, in bytes from the start of what was split.
    pub fn start(self) -> usize {
        self.start as usize
    }

    /// Where the frame ends.
    pub fn end(self) -> usize {
        self.start() + LENGTH_BYTES + self.body_bytes as usize
    }

    /// The frame, out of the bytes that were split (or an unchanged copy of them).
    #[inline]
    pub(crate) fn frame(self, bytes: &[u8]) -> Frame<'_> {
        CheckedFrame::trusted(&bytes[self.start() + LENGTH_BYTES..self.end()]).frame()
    }
}

/// Walks bytes that are whole checked frames, such as those a queue holds, and yields each with its own bytes.
pub(crate) fn frames(bytes: &Bytes) -> impl Iterator<Item = (Bytes, Frame<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let length = bytes.get(at..at + LENGTH_BYTES)?;
        let body_bytes = u32::from_le_bytes(length.try_into().expect("four bytes"));
        let span = Span { start: u32::try_from(at).expect("a batch is under 4 GiB"), body_bytes };
        at = span.end();
        Some((bytes.slice(span.start()..span.end()), span.frame(bytes)))
    })
}

/// The first frame of such bytes.
pub(crate) fn first_frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let length = bytes.get(..LENGTH_BYTES)?;
    let body_bytes = u32::from_le_bytes(length.try_into().expect("four bytes"));
    Some(Span { start: 0, body_bytes }.frame(bytes))
}

/// What is wrong with a connection's bytes: it ends with this.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WireError {
    /// What the peer is told.
    pub code: ErrorCode,
    /// And in words.
    pub text: String,
}

impl WireError {
    /// An error of this code, in these words.
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        WireError { code, text: text.into() }
    }
}

/// What [`split`] found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Split {
    /// Bytes of the whole frames; the spans lie in `..whole_bytes`.
    pub whole_bytes: usize,
    /// What stands after them is no frame. The frames before it are good.
    pub error: Option<WireError>,
}

/// Appends the span of each whole frame at the start of `bytes` to `spans`. A frame that has only begun is left;
/// one that announces more than `frame_bytes_max` is an error at once, whatever has arrived of it.
pub fn split(bytes: &[u8], frame_bytes_max: usize, spans: &mut Vec<Span>) -> Split {
    let mut at = 0;
    while let Some(length) = bytes.get(at..at + LENGTH_BYTES) {
        let body_bytes = u32::from_le_bytes(length.try_into().expect("four bytes"));
        if let Err(error) = length_fits(body_bytes as usize, frame_bytes_max) {
            return Split { whole_bytes: at, error: Some(error) };
        }
        let body_start = at + LENGTH_BYTES;
        let Some(body) = bytes.get(body_start..body_start + body_bytes as usize) else { break };
        if CheckedFrame::check(body).is_none() {
            let error = WireError::new(ErrorCode::Malformed, "a frame's body is no archive of version 1");
            return Split { whole_bytes: at, error: Some(error) };
        }
        spans.push(Span { start: u32::try_from(at).expect("a read is under 4 GiB"), body_bytes });
        at = body_start + body_bytes as usize;
    }
    Split { whole_bytes: at, error: None }
}

/// How many bytes the frame at the start of `bytes` will have, length and body, if its length has arrived.
pub fn announced_bytes(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(..LENGTH_BYTES)?;
    Some(LENGTH_BYTES + u32::from_le_bytes(length.try_into().expect("four bytes")) as usize)
}

fn length_fits(body_bytes: usize, frame_bytes_max: usize) -> Result<(), WireError> {
    if body_bytes > frame_bytes_max {
        let text = format!("a frame announces {body_bytes} bytes; the limit is {frame_bytes_max}");
        return Err(WireError::new(ErrorCode::TooLarge, text));
    }
    if body_bytes < FRAME_BODY_BYTES_MIN {
        let text = format!("a frame announces {body_bytes} bytes; the least is {FRAME_BODY_BYTES_MIN}");
        return Err(WireError::new(ErrorCode::Malformed, text));
    }
    Ok(())
}
