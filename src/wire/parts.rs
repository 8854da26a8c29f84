//! The payload of a frame of several parts: for each part its length (`u32`, little-endian) and its bytes. Pure.

use crate::limits::LENGTH_BYTES;

/// Appends one part to a payload.
///
/// # Panics
/// If it is over 4 GiB: callers bound the whole frame first.
pub fn push(payload: &mut Vec<u8>, part: &[u8]) {
    let length = u32::try_from(part.len()).expect("callers bound the body by frame_bytes_max");
    payload.extend_from_slice(&length.to_le_bytes());
    payload.extend_from_slice(part);
}

/// True if these bytes are whole parts, one after the other.
pub fn are_whole(payload: &[u8]) -> bool {
    let mut parts = iter(payload);
    parts.by_ref().for_each(drop);
    parts.rest.is_empty()
}

/// The parts, up to the first incomplete one.
pub fn iter(payload: &[u8]) -> Iter<'_> {
    Iter { rest: payload }
}

/// See [`iter`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk::<LENGTH_BYTES>()?;
        let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.rest = rest;
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_comes_back() {
        let parts: [&[u8]; 4] = [b"", b"a", b"", &[7; 300]];
        let mut payload = Vec::new();
        assert!(are_whole(&payload) && iter(&payload).next().is_none());
        parts.iter().for_each(|part| push(&mut payload, part));
        assert!(are_whole(&payload));
        assert_eq!(iter(&payload).collect::<Vec<_>>(), parts);
        for cut in 1..300 {
            assert!(!are_whole(&payload[..payload.len() - cut]));
        }
        assert!(!are_whole(&[255; 4]));
    }
}
