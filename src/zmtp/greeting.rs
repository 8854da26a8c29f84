//! The first 64 bytes of a ZMTP 3 connection, each way.
//!
//! | bytes | what |
//! |---|---|
//! | 0..10 | signature: `ff`, eight bytes that nobody reads, `7f` |
//! | 10, 11 | version, major and minor |
//! | 12..32 | mechanism, filled up with zeros |
//! | 32 | whether the sender is the server, which NULL ignores |
//! | 33..64 | zeros |

use crate::error::ErrorCode;
use crate::wire::WireError;

/// Length of a greeting in bytes.
pub const GREETING_BYTES: usize = 64;

const MECHANISM: std::ops::Range<usize> = 12..32;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Greeting {
    /// Not all there yet, and nothing wrong so far.
    NeedMore,
    /// A peer that speaks ZMTP 3 with NULL; of 3.0 or, if `commands`, of 3.1 or newer.
    Peer {
        /// It knows subscriptions and heartbeats as commands.
        commands: bool,
    },
}

/// The greeting that this build sends: 3.1, NULL.
pub fn ours() -> [u8; GREETING_BYTES] {
    let mut bytes = [0; GREETING_BYTES];
    (bytes[0], bytes[8], bytes[9]) = (0xff, 1, 0x7f);
    (bytes[10], bytes[11]) = (3, 1);
    bytes[MECHANISM][..4].copy_from_slice(b"NULL");
    bytes
}

/// Reads the start of `bytes`. The first byte that cannot be a greeting's is an error.
///
/// # Errors
/// `NotZmtp`, `Version` or `Mechanism`.
pub fn parse(bytes: &[u8]) -> Result<Greeting, WireError> {
    let Some(first) = bytes.first() else { return Ok(Greeting::NeedMore) };
    match first {
        0xff => {}
        // ZMTP 1: the length and flags of an identity, which mostly is empty.
        1 if bytes.get(1).is_none_or(|flags| *flags == 0) => {
            return if bytes.len() > 1 { Err(too_old("1")) } else { Ok(Greeting::NeedMore) };
        }
        _ => return Err(WireError::new(ErrorCode::NotZmtp, "this is a ZeroMQ port, and no ZMTP greeting")),
    }
    match bytes.get(9) {
        None => return Ok(Greeting::NeedMore),
        Some(0x7f) => {}
        // The same byte is where a long ZMTP 1 frame has its flags.
        Some(0) => return Err(too_old("1")),
        Some(_) => return Err(WireError::new(ErrorCode::NotZmtp, "the signature is not ZMTP's")),
    }
    match bytes.get(10) {
        None => return Ok(Greeting::NeedMore),
        Some(0) => return Err(too_old("1")),
        Some(1 | 2) => return Err(too_old("2")),
        Some(_) => {}
    }
    let Some(greeting) = bytes.get(..GREETING_BYTES) else { return Ok(Greeting::NeedMore) };
    let name = &greeting[MECHANISM];
    let name = &name[..name.iter().position(|b| *b == 0).unwrap_or(name.len())];
    if name != b"NULL" || greeting[MECHANISM][4..].iter().any(|b| *b != 0) {
        let text = format!("the mechanism {} is not supported, only NULL", name.escape_ascii());
        return Err(WireError::new(ErrorCode::Mechanism, text));
    }
    Ok(Greeting::Peer { commands: greeting[10] > 3 || greeting[11] > 0 })
}

fn too_old(version: &str) -> WireError {
    WireError::new(ErrorCode::Version, format!("this end speaks ZMTP 3.0 and 3.1, not {version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_greeting_is_understood_from_the_last_byte_on() {
        let ours = ours();
        for n in 0..GREETING_BYTES {
            assert_eq!(parse(&ours[..n]), Ok(Greeting::NeedMore), "{n}");
        }
        assert_eq!(parse(&ours), Ok(Greeting::Peer { commands: true }));
        let mut old = ours;
        old[11] = 0;
        assert_eq!(parse(&old), Ok(Greeting::Peer { commands: false }));
        (old[10], old[11]) = (4, 0);
        assert_eq!(parse(&old), Ok(Greeting::Peer { commands: true }));
    }

    #[test]
    fn others_are_refused_at_the_first_wrong_byte() {
        for (bytes, code) in [
            (&b"GET / HTTP/1.1\r\n"[..], ErrorCode::NotZmtp),
            (b"\x16\x03\x01", ErrorCode::NotZmtp),
            (b"CORECAST", ErrorCode::NotZmtp),
            (b"\x01\x00", ErrorCode::Version),
            (b"\xff\0\0\0\0\0\0\0\x01\x00", ErrorCode::Version),
            (b"\xff\0\0\0\0\0\0\0\x01\x33", ErrorCode::NotZmtp),
            (b"\xff\0\0\0\0\0\0\0\x01\x7f\x00", ErrorCode::Version),
            (b"\xff\0\0\0\0\0\0\0\x01\x7f\x01", ErrorCode::Version),
            (b"\xff\0\0\0\0\0\0\0\x01\x7f\x02", ErrorCode::Version),
        ] {
            assert_eq!(parse(bytes).unwrap_err().code, code, "{bytes:x?}");
        }
        for mechanism in [&b"PLAIN"[..], b"CURVE", b"NUL", b"NULLX", b"null", b""] {
            let mut greeting = ours();
            greeting[MECHANISM].fill(0);
            greeting[MECHANISM][..mechanism.len()].copy_from_slice(mechanism);
            assert_eq!(parse(&greeting).unwrap_err().code, ErrorCode::Mechanism, "{mechanism:?}");
        }
    }
}
