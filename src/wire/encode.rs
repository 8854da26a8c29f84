//! Frames as bytes: each with its length first.

use rkyv::ser::Serializer;
use rkyv::ser::allocator::SubAllocator;

use super::frame::{FRAME_BODY_BYTES_MIN, Frame};
use crate::limits::LENGTH_BYTES;

/// Appends the frame, with its length first, to `out`. Allocates only if `out` must grow.
///
/// # Panics
/// If the body would be over 4 GiB: callers bound it by the peer's `frame_bytes_max` first.
pub fn encode(frame: &Frame<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    // Bytes and text need no scratch: rkyv copies them straight to the writer.
    let mut serializer = Serializer::new(&mut *out, SubAllocator::new(&mut []), ());
    let written: Result<usize, rkyv::rancor::Panic> = rkyv::api::serialize_using(frame, &mut serializer);
    let Ok(_root) = written;
    let body = out.len() - start - LENGTH_BYTES;
    let length = u32::try_from(body).expect("callers bound the body by frame_bytes_max");
    out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
}

/// The frame in a vector of its own, for answers and other cold paths.
pub fn encode_to_vec(frame: &Frame<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(LENGTH_BYTES + FRAME_BODY_BYTES_MIN + 64);
    encode(frame, &mut out);
    out
}
