//! Finds the whole frames in the received bytes and checks each once. Pure: bytes in, spans out.

use bytes::Bytes;

use super::checked::CheckedFrame;
use super::frame::{FRAME_BODY_BYTES_MIN, Frame};
use crate::error::ErrorCode;
use crate::limits::LENGTH_BYTES;

/// One whole, checked frame within the split bytes. Only [`split`] makes spans, and only this crate reads through them
/// without checking: it keeps a span together with its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    start: u32,
    body_bytes: u32,
}

impl Span {
    /// The position of the frame's length, in bytes from the start of the split bytes.
    pub fn start(self) -> usize {
        self.start as usize
    }

    /// The end of the frame.
    pub fn end(self) -> usize {
        self.start() + LENGTH_BYTES + self.body_bytes as usize
    }

    /// The frame, in the split bytes (or an unchanged copy of them).
    #[inline]
    pub(crate) fn frame(self, bytes: &[u8]) -> Frame<'_> {
        CheckedFrame::trusted(&bytes[self.start() + LENGTH_BYTES..self.end()]).frame()
    }
}

/// Walks bytes that are whole checked frames, such as those of a queue, and yields each frame with its own bytes.
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

/// A fault in a connection's bytes, which ends the connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WireError {
    /// The code sent to the peer.
    pub code: ErrorCode,
    /// The explanation sent to the peer.
    pub text: String,
}

impl WireError {
    /// An error of this code, with this explanation.
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        WireError { code, text: text.into() }
    }
}

/// The result of [`split`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Split {
    /// Bytes of the whole frames; the spans lie in `..whole_bytes`.
    pub whole_bytes: usize,
    /// The fault in the bytes after them. The frames before it are good.
    pub error: Option<WireError>,
}

/// Appends the span of each whole frame at the start of `bytes` to `spans`. An unfinished frame is left in place; one
/// that announces more than `frame_bytes_max` is an error at once, however little of it has arrived.
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
            let error = WireError::new(ErrorCode::Malformed, "a frame body is not a version 1 archive");
            return Split { whole_bytes: at, error: Some(error) };
        }
        spans.push(Span { start: u32::try_from(at).expect("a read is under 4 GiB"), body_bytes });
        at = body_start + body_bytes as usize;
    }
    Split { whole_bytes: at, error: None }
}

/// The length of the frame at the start of `bytes`, with its length prefix, if that has arrived.
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
