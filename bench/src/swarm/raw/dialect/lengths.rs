//! The floor's dialect: `u32` little-endian length, then the payload. Nothing shorter carries messages over a stream. A
//! subscriber says its number first, in as many bytes.

use super::sink::{DialectError, Sink, Taken};
use std::io::{self, Read};

/// Bytes of a length.
pub const LENGTH_BYTES: usize = 4;
/// The first bytes that the floor sends on a connection: a message of no bytes.
pub const WELCOME: [u8; LENGTH_BYTES] = [0; LENGTH_BYTES];
/// Length above all payloads that are sent: what is longer is not the floor's.
const PAYLOAD_BYTES_MAX: usize = 1 << 30;

/// Appends the number of a subscriber.
pub fn open(subscriber: usize, out: &mut Vec<u8>) {
    let number = u32::try_from(subscriber).expect("subscribers are fewer than sockets can be");
    out.extend_from_slice(&number.to_le_bytes());
}

/// The number of the subscriber that has connected.
pub fn accept(stream: &mut impl Read) -> io::Result<usize> {
    let mut number = [0; LENGTH_BYTES];
    stream.read_exact(&mut number)?;
    Ok(u32::from_le_bytes(number) as usize)
}

/// See [`super::Dialect::read`].
pub fn read(bytes: &[u8], sink: &mut impl Sink) -> Taken {
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
