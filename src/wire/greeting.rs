//! The first 16 bytes of a connection, each way, before any rkyv. Broker and client both send one at once.
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | `CORECAST` |
//! | 8..10 | highest protocol version spoken, `u16` little-endian |
//! | 10..12 | lowest protocol version spoken, `u16` little-endian |
//! | 12..16 | [`Features`] that the sender understands, `u32` little-endian; unknown bits are ignored |

use super::features::Features;
use crate::error::ErrorCode;

/// Length of a greeting in bytes.
pub const GREETING_BYTES: usize = 16;

/// The first 8 bytes of every connection.
pub const MAGIC: &[u8; 8] = b"CORECAST";

/// The protocol version that this build speaks, and the only one so far. The rkyv layout of [`super::Frame`]
/// belongs to it: a change there is a change here.
pub const VERSION: u16 = 1;

/// The start of a connection, as far as it has arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Greeting {
    /// An incomplete greeting, with nothing wrong so far.
    NeedMore,
    /// A greeting of a peer that speaks this version, and the features that it offers.
    Version(u16, Features),
}

/// The greeting that this build sends.
pub fn ours() -> [u8; GREETING_BYTES] {
    offering(Features::OURS)
}

/// A greeting that offers these features: none is version 1 as it began.
pub fn offering(features: Features) -> [u8; GREETING_BYTES] {
    let mut bytes = [0; GREETING_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
    bytes[10..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..].copy_from_slice(&features.to_wire().to_le_bytes());
    bytes
}

/// Reads the start of `bytes`. The first byte that no greeting has there is an error: an HTTP request or a TLS hello is
/// refused at once, not after 16 bytes.
///
/// # Errors
/// `NotCorecast` or `Version`.
pub fn parse(bytes: &[u8]) -> Result<Greeting, ErrorCode> {
    let known = bytes.len().min(MAGIC.len());
    if bytes[..known] != MAGIC[..known] {
        return Err(ErrorCode::NotCorecast);
    }
    let Some(greeting) = bytes.get(..GREETING_BYTES) else { return Ok(Greeting::NeedMore) };
    let highest = u16::from_le_bytes([greeting[8], greeting[9]]);
    let lowest = u16::from_le_bytes([greeting[10], greeting[11]]);
    let features = u32::from_le_bytes([greeting[12], greeting[13], greeting[14], greeting[15]]);
    if (lowest..=highest).contains(&VERSION) {
        Ok(Greeting::Version(VERSION, Features::from_wire(features)))
    } else {
        Err(ErrorCode::Version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_greeting_is_understood_from_the_last_byte_on() {
        let ours = ours();
        for n in 0..GREETING_BYTES {
            assert_eq!(parse(&ours[..n]), Ok(Greeting::NeedMore));
        }
        assert_eq!(parse(&ours), Ok(Greeting::Version(1, Features::OURS)));
        assert_eq!(&ours, b"CORECAST\x01\x00\x01\x00\x3f\0\0\0", "golden: version 1, with all features");
        assert_eq!(&offering(Features::NONE), b"CORECAST\x01\x00\x01\x00\0\0\0\0", "golden: version 1");
    }

    #[test]
    fn strangers_are_told_at_the_first_wrong_byte() {
        for stranger in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01", b"C0", b"\xff\0\0\0\0\0\0\0\x01\x7f"] {
            assert_eq!(parse(stranger), Err(ErrorCode::NotCorecast));
        }
        assert_eq!(parse(b"CORECAST\x02\x00\x02\x00\0\0\0\0"), Err(ErrorCode::Version));
        assert_eq!(parse(b"CORECAST\x05\x00\x01\x00\0\0\0\0"), Ok(Greeting::Version(1, Features::NONE)));
        let from_later = parse(b"CORECAST\x01\x00\x01\x00\xff\xff\xff\xff");
        assert_eq!(from_later, Ok(Greeting::Version(1, Features::OURS)), "other features are not known here");
    }
}
