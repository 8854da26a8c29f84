//! The floor's dialect: `u32` little-endian length, then the payload. Nothing shorter carries messages over a stream.

use super::sink::{DialectError, Sink};

/// Bytes of a length.
pub const LENGTH_BYTES: usize = 4;
/// The first bytes that the floor sends on a connection: a message of no bytes.
pub const WELCOME: [u8; LENGTH_BYTES] = [0; LENGTH_BYTES];
/// Length above all payloads that are sent: what is longer is not the floor's.
const PAYLOAD_BYTES_MAX: usize = 1 << 30;

/// A connection to the floor; there is nothing to remember.
#[derive(Debug)]
pub struct Lengths;

/// See [`super::Dialect::read`].
pub fn read(bytes: &[u8], sink: &mut impl Sink) -> Result<usize, DialectError> {
    let mut at = 0;
    while let Some(length) = bytes.get(at..at + LENGTH_BYTES) {
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        if length > PAYLOAD_BYTES_MAX {
            return Err(DialectError::new(format!("the floor announces {length} bytes")));
        }
        let start = at + LENGTH_BYTES;
        let Some(payload) = bytes.get(start..start + length) else { break };
        match payload {
            [] => sink.ready(),
            payload => sink.message(payload),
        }
        at = start + length;
    }
    Ok(at)
}

/// See [`super::Dialect::publish`].
pub fn publish(payload: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).expect("a payload is under 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::super::Language;
    use super::super::tests::refuses;

    #[test]
    fn a_length_beyond_reason_is_refused() {
        refuses(Language::Lengths, &[0xff; 8], "announces 4294967295 bytes");
    }
}
