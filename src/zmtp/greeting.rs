//! The first bytes of a ZMTP connection, each way. Both ends begin with a signature and a version, and send the rest
//! once they have the other's version, so that each can adapt to an older one.
//!
//! | bytes | ZMTP 3 (RFC 23, RFC 37) | ZMTP 2.0 (RFC 15) |
//! |---|---|---|
//! | 0..10 | signature: `ff`, eight bytes that nobody reads, `7f` | the same |
//! | 10 | major version: 3 | revision: 1 |
//! | 11 | minor version | type of the socket |
//! | 12.. | mechanism, 20 bytes, filled up with zeros | its identity, as a frame |
//! | 32 | 1 if the sender is the server of PLAIN or CURVE | |
//! | 33..64 | zeros | |

use super::frame::{Head, parse_head};
use crate::error::ErrorCode;
use crate::limits::ZMTP_IDENTITY_BYTES_MAX;
use crate::wire::WireError;

/// Length of a greeting of ZMTP 3 in bytes.
pub const GREETING_BYTES: usize = 64;

/// Length of the start, which is the same for every peer's version: the signature and the major version.
pub const OPENING_BYTES: usize = 11;

/// Length of a greeting of ZMTP 2.0 in bytes, without the identity.
const GREETING_2_0_BYTES: usize = 12;

const MECHANISM: std::ops::Range<usize> = 12..32;

/// The place of the flag of a server.
const AS_SERVER: usize = 32;

/// The way in which peers show who they are. Both ends of a connection have the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mechanism {
    /// They do not.
    Null,
    /// By a name and a password, in clear.
    Plain,
    /// By keys; all that follows is encrypted.
    Curve,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Mechanism; 3] = [Mechanism::Null, Mechanism::Plain, Mechanism::Curve];

    /// The name in greetings.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Null => "NULL",
            Mechanism::Plain => "PLAIN",
            Mechanism::Curve => "CURVE",
        }
    }
}

/// The types of sockets by their numbers in ZMTP 2.0.
const SOCKET_TYPES_2_0: [&str; 11] =
    ["PAIR", "PUB", "SUB", "REQ", "REP", "DEALER", "ROUTER", "PULL", "PUSH", "XPUB", "XSUB"];

/// The start of a connection, as far as it has arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ZmtpGreeting {
    /// An incomplete greeting, with nothing wrong so far. Once the peer's version is known, the peer waits for the rest
    /// of this end's greeting, and may send nothing more before that.
    NeedMore(Option<Version>),
    /// A peer that speaks ZMTP 3: 3.0, or 3.1 and newer if `commands`.
    Peer {
        /// The mechanism that it has chosen.
        mechanism: Mechanism,
        /// True if it sends and understands subscriptions and heartbeats as commands.
        commands: bool,
    },
    /// A peer that speaks ZMTP 2.0.
    Peer2 {
        /// The type of its socket.
        socket_type: &'static str,
        /// Length of the greeting, with the identity.
        bytes: usize,
    },
}

/// The version of a greeting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// ZMTP 3.0 or newer.
    V3,
    /// ZMTP 2.0, by a socket of this type.
    V2(&'static str),
}

/// The greeting that this build sends to ZMTP 3 peers that choose NULL: 3.1.
pub fn ours() -> [u8; GREETING_BYTES] {
    ours_for(Mechanism::Null)
}

/// The greeting to peers that choose this mechanism, of which this end is the server.
pub fn ours_for(mechanism: Mechanism) -> [u8; GREETING_BYTES] {
    let mut bytes = [0; GREETING_BYTES];
    (bytes[0], bytes[8], bytes[9]) = (0xff, 1, 0x7f);
    (bytes[10], bytes[11]) = (3, 1);
    let name = mechanism.name().as_bytes();
    bytes[MECHANISM][..name.len()].copy_from_slice(name);
    bytes[AS_SERVER] = u8::from(mechanism != Mechanism::Null);
    bytes
}

/// The end of a greeting to a ZMTP 2.0 peer, after the opening: the type of this end's socket, and no identity.
pub fn ending_2_0(socket_type: &str) -> Vec<u8> {
    let number = SOCKET_TYPES_2_0.iter().position(|name| *name == socket_type);
    let number =
        number.and_then(|number| u8::try_from(number).ok()).expect("this end is a socket of a known type");
    vec![number, 0, 0]
}

/// Parses the start of `bytes`. The first byte that no greeting has there is an error.
///
/// # Errors
/// `NotZmtp`, `Version`, `Mechanism`, or `Malformed` for an invalid identity.
pub fn parse(bytes: &[u8]) -> Result<ZmtpGreeting, WireError> {
    let need_more = Ok(ZmtpGreeting::NeedMore(None));
    let Some(first) = bytes.first() else { return need_more };
    match first {
        0xff => {}
        // ZMTP 1: the length and flags of an identity, which is usually empty.
        1 if bytes.get(1).is_none_or(|flags| *flags == 0) => {
            return if bytes.len() > 1 { Err(unknown_version("1")) } else { need_more };
        }
        _ => {
            return Err(WireError::new(
                ErrorCode::NotZmtp,
                "this is a ZeroMQ port, and the first bytes are not a ZMTP greeting",
            ));
        }
    }
    match bytes.get(9) {
        None => return need_more,
        Some(0x7f) => {}
        // A long ZMTP 1 frame has its flags in the same byte.
        Some(0) => return Err(unknown_version("1")),
        Some(_) => return Err(WireError::new(ErrorCode::NotZmtp, "the signature is not ZMTP's")),
    }
    match bytes.get(10) {
        None => return need_more,
        Some(0) => return Err(unknown_version("1")),
        Some(1) => return parse_2_0(bytes),
        Some(2) => return Err(unknown_version("2.1")),
        Some(_) => {}
    }
    let Some(greeting) = bytes.get(..GREETING_BYTES) else {
        return Ok(ZmtpGreeting::NeedMore(Some(Version::V3)));
    };
    let field = &greeting[MECHANISM];
    let known = Mechanism::ALL.into_iter().find(|mechanism| {
        let (name, rest) = field.split_at(mechanism.name().len());
        name == mechanism.name().as_bytes() && rest.iter().all(|b| *b == 0)
    });
    let Some(mechanism) = known else {
        let name = &field[..field.iter().position(|b| *b == 0).unwrap_or(field.len())];
        let text = format!("the mechanism {} is not known", name.escape_ascii());
        return Err(WireError::new(ErrorCode::Mechanism, text));
    };
    Ok(ZmtpGreeting::Peer { mechanism, commands: greeting[10] > 3 || greeting[11] > 0 })
}

fn parse_2_0(bytes: &[u8]) -> Result<ZmtpGreeting, WireError> {
    let Some(number) = bytes.get(11) else { return Ok(ZmtpGreeting::NeedMore(None)) };
    let Some(socket_type) = SOCKET_TYPES_2_0.get(usize::from(*number)) else {
        return Err(WireError::new(ErrorCode::SocketType, format!("ZMTP 2.0 has no socket type {number}")));
    };
    let need_more = Ok(ZmtpGreeting::NeedMore(Some(Version::V2(socket_type))));
    let Some(head) = parse_head(&bytes[GREETING_2_0_BYTES..])? else {
        return need_more;
    };
    let Head { head_bytes, body_bytes, more, command } = head;
    if more || command || body_bytes > ZMTP_IDENTITY_BYTES_MAX as u64 {
        return Err(WireError::new(ErrorCode::Malformed, "an identity is one part of at most 255 bytes"));
    }
    let bytes_all = GREETING_2_0_BYTES + head_bytes + usize::try_from(body_bytes).expect("it is short");
    if bytes.len() < bytes_all {
        return need_more;
    }
    Ok(ZmtpGreeting::Peer2 { socket_type, bytes: bytes_all })
}

fn unknown_version(version: &str) -> WireError {
    WireError::new(ErrorCode::Version, format!("this end speaks ZMTP 2.0, 3.0 and 3.1, not {version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_greeting_is_understood_from_the_last_byte_on() {
        let ours = ours();
        for n in 0..GREETING_BYTES {
            let version = (n >= OPENING_BYTES).then_some(Version::V3);
            assert_eq!(parse(&ours[..n]), Ok(ZmtpGreeting::NeedMore(version)), "{n}");
        }
        assert_eq!(parse(&ours), Ok(ZmtpGreeting::Peer { mechanism: Mechanism::Null, commands: true }));
        let mut old = ours;
        old[11] = 0;
        assert_eq!(parse(&old), Ok(ZmtpGreeting::Peer { mechanism: Mechanism::Null, commands: false }));
        (old[10], old[11]) = (4, 0);
        assert_eq!(parse(&old), Ok(ZmtpGreeting::Peer { mechanism: Mechanism::Null, commands: true }));
    }

    #[test]
    fn a_greeting_of_2_0_ends_with_an_identity() {
        let opening = b"\xff\0\0\0\0\0\0\0\x01\x7f\x01";
        for (end, socket_type) in
            [(&b"\x02\0\0"[..], "SUB"), (b"\x01\0\x02id", "PUB"), (b"\x0a\x02\0\0\0\0\0\0\0\x01i", "XSUB")]
        {
            let whole = [&opening[..], end].concat();
            for n in 0..whole.len() {
                let version = (n > OPENING_BYTES).then_some(Version::V2(socket_type));
                assert_eq!(parse(&whole[..n]), Ok(ZmtpGreeting::NeedMore(version)), "{n}");
            }
            let found = Ok(ZmtpGreeting::Peer2 { socket_type, bytes: whole.len() });
            assert_eq!(parse(&whole), found);
            assert_eq!(parse(&[&whole[..], b"more"].concat()), found);
        }
        for (end, code) in [
            (&b"\x0b"[..], ErrorCode::SocketType),
            (b"\x02\x01\0", ErrorCode::Malformed),
            (b"\x02\x04\0", ErrorCode::Malformed),
            (b"\x02\x02\0\0\0\0\0\0\x01\0", ErrorCode::Malformed),
        ] {
            assert_eq!(parse(&[&opening[..], end].concat()).unwrap_err().code, code, "{end:x?}");
        }
        assert_eq!(ending_2_0("XSUB"), [10, 0, 0]);
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
            (b"\xff\0\0\0\0\0\0\0\x01\x7f\x02", ErrorCode::Version),
        ] {
            assert_eq!(parse(bytes).unwrap_err().code, code, "{bytes:x?}");
        }
        for mechanism in Mechanism::ALL {
            let greeted = Ok(ZmtpGreeting::Peer { mechanism, commands: true });
            assert_eq!(parse(&ours_for(mechanism)), greeted);
        }
        for mechanism in [&b"GSSAPI"[..], b"CURV", b"PLAINER", b"NUL", b"NULLX", b"null", b""] {
            let mut greeting = ours();
            greeting[MECHANISM].fill(0);
            greeting[MECHANISM][..mechanism.len()].copy_from_slice(mechanism);
            assert_eq!(parse(&greeting).unwrap_err().code, ErrorCode::Mechanism, "{mechanism:?}");
        }
    }
}
