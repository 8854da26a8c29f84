//! The commands of ZMTP 3.1, parsed and written. A command's body is its name, with the length before it, and its data.

use bytes::BufMut;

use super::frame::{COMMAND, put_frame};
use crate::error::ErrorCode;
use crate::limits::{ZMTP_IDENTITY_BYTES_MAX, ZMTP_PING_CONTEXT_BYTES_MAX};
use crate::wire::WireError;

/// A command from the peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ZmtpCommand<'a> {
    /// The peer is ready: its metadata.
    Ready(Metadata<'a>),
    /// The peer asks for messages with this prefix.
    Subscribe(&'a [u8]),
    /// The peer cancels one such subscription.
    Cancel(&'a [u8]),
    /// The peer asks for a sign of life.
    Ping {
        /// Tenths of a second in silence after which the peer may be given up; 0: unspecified.
        ttl_ds: u16,
        /// Bytes that come back in the pong.
        context: &'a [u8],
    },
    /// The answer to a ping.
    Pong,
    /// The peer ends the connection, and gives the reason.
    Error(&'a [u8]),
    /// A command unknown to this end.
    Unknown(&'a [u8]),
}

/// The metadata of a READY.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Metadata<'a> {
    /// The type: PUB, SUB, …
    pub socket_type: Option<&'a [u8]>,
    /// The identity; empty if there is none.
    pub identity: &'a [u8],
}

/// Parses a command's body.
///
/// # Errors
/// `Malformed`.
pub fn parse(body: &[u8]) -> Result<ZmtpCommand<'_>, WireError> {
    let (name, data) = split(body)?;
    Ok(match name {
        b"READY" => ZmtpCommand::Ready(parse_metadata(data)?),
        b"SUBSCRIBE" => ZmtpCommand::Subscribe(data),
        b"CANCEL" => ZmtpCommand::Cancel(data),
        b"PING" => {
            let Some((ttl, context)) = data.split_first_chunk::<2>() else {
                return Err(malformed("a ping has no time to live"));
            };
            if context.len() > ZMTP_PING_CONTEXT_BYTES_MAX {
                return Err(malformed("the context of a ping has more than 16 bytes"));
            }
            ZmtpCommand::Ping { ttl_ds: u16::from_be_bytes(*ttl), context }
        }
        b"PONG" => ZmtpCommand::Pong,
        b"ERROR" => {
            let reason = data.split_first().and_then(|(length, rest)| rest.get(..usize::from(*length)));
            ZmtpCommand::Error(reason.ok_or_else(|| malformed("the reason of an error is not whole"))?)
        }
        name => ZmtpCommand::Unknown(name),
    })
}

/// Splits a command's body into its name and its data.
pub(super) fn split(body: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let named = body.split_first().and_then(|(length, rest)| rest.split_at_checked(usize::from(*length)));
    named.filter(|(name, _)| !name.is_empty()).ok_or_else(|| malformed("a command has no name"))
}

fn malformed(text: &str) -> WireError {
    WireError::new(ErrorCode::Malformed, text)
}

/// Parses properties: a name with its length in a byte, a value with its length in four. Names are case-insensitive.
pub(super) fn parse_metadata(mut data: &[u8]) -> Result<Metadata<'_>, WireError> {
    let mut metadata = Metadata::default();
    let mut has_identity = false;
    while let Some((name_bytes, rest)) = data.split_first() {
        let whole = rest.split_at_checked(usize::from(*name_bytes)).and_then(|(name, rest)| {
            let (value_bytes, rest) = rest.split_first_chunk::<4>()?;
            let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*value_bytes) as usize)?;
            Some((name, value, rest))
        });
        let Some((name, value, rest)) = whole else { return Err(malformed("a property is not whole")) };
        let may_stand = |b: &u8| b.is_ascii_alphanumeric() || b"-_.+".contains(b);
        if name.is_empty() || !name.iter().all(may_stand) {
            return Err(malformed("a property has no proper name"));
        }
        if name.eq_ignore_ascii_case(b"Socket-Type") {
            if metadata.socket_type.replace(value).is_some() {
                return Err(malformed("two socket types"));
            }
        } else if name.eq_ignore_ascii_case(b"Identity") {
            if std::mem::replace(&mut has_identity, true) || value.len() > ZMTP_IDENTITY_BYTES_MAX {
                return Err(malformed("two identities, or one of more than 255 bytes"));
            }
            metadata.identity = value;
        }
        data = rest;
    }
    Ok(metadata)
}

/// A command with this data.
pub fn command(name: &[u8], data: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(1 + name.len() + data.len());
    body.put_u8(u8::try_from(name.len()).expect("names of commands are short"));
    body.put_slice(name);
    body.put_slice(data);
    let mut out = Vec::with_capacity(body.len() + 9);
    put_frame(&mut out, COMMAND, &body);
    out
}

/// The READY of this end, as a socket of this type.
pub fn ready(socket_type: &str) -> Vec<u8> {
    command(b"READY", &metadata(socket_type))
}

/// The properties of a socket of this type, without an identity.
pub fn metadata(socket_type: &str) -> Vec<u8> {
    let mut data = Vec::new();
    for (name, value) in [("Socket-Type", socket_type), ("Identity", "")] {
        data.put_u8(u8::try_from(name.len()).expect("a short name"));
        data.put_slice(name.as_bytes());
        data.put_u32(u32::try_from(value.len()).expect("a short value"));
        data.put_slice(value.as_bytes());
    }
    data
}

/// A subscription to a prefix (`wanted`), or its cancellation: a command, or for 3.0 a message.
pub fn subscription(wanted: bool, prefix: &[u8], commands: bool) -> Vec<u8> {
    if commands {
        return command(if wanted { b"SUBSCRIBE" } else { b"CANCEL" }, prefix);
    }
    let mut out = Vec::with_capacity(prefix.len() + 10);
    put_frame(&mut out, 0, &[&[u8::from(wanted)], prefix].concat());
    out
}

/// A PING for the peer. It announces no time to live: nothing but the messages from here would prove to the peer that
/// this end is alive, and there may be none.
pub fn ping() -> Vec<u8> {
    command(b"PING", &[0, 0])
}

/// The answer to a ping.
pub fn pong(context: &[u8]) -> Vec<u8> {
    command(b"PONG", context)
}

/// An ERROR with the reason for which the connection ends, cut to 255 bytes.
pub fn error(reason: &str) -> Vec<u8> {
    let reason = &reason.as_bytes()[..reason.len().min(255)];
    let length = u8::try_from(reason.len()).expect("it was cut");
    command(b"ERROR", &[&[length], reason].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(frame: &[u8]) -> &[u8] {
        assert_eq!((frame[0], usize::from(frame[1])), (COMMAND, frame.len() - 2));
        &frame[2..]
    }

    #[test]
    fn what_is_written_is_read() {
        let xpub = ready("XPUB");
        assert_eq!(xpub, b"\x04\x27\x05READY\x0bSocket-Type\0\0\0\x04XPUB\x08Identity\0\0\0\0");
        let metadata = Metadata { socket_type: Some(b"XPUB"), identity: b"" };
        assert_eq!(parse(body(&xpub)), Ok(ZmtpCommand::Ready(metadata)));
        assert_eq!(parse(body(&subscription(true, b"a", true))), Ok(ZmtpCommand::Subscribe(b"a")));
        assert_eq!(parse(body(&subscription(false, b"", true))), Ok(ZmtpCommand::Cancel(b"")));
        assert_eq!(subscription(true, b"a", false), b"\0\x02\x01a");
        assert_eq!(subscription(false, b"", false), b"\0\x01\0");
        assert_eq!(parse(body(&ping())), Ok(ZmtpCommand::Ping { ttl_ds: 0, context: b"" }));
        assert_eq!(parse(body(&pong(b"x"))), Ok(ZmtpCommand::Pong));
        assert_eq!(parse(body(&error("no"))), Ok(ZmtpCommand::Error(b"no")));
        assert_eq!(error(&"x".repeat(300)).len(), 9 + 1 + 5 + 1 + 255);
        assert_eq!(parse(b"\x04WHAT"), Ok(ZmtpCommand::Unknown(b"WHAT")));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let property = |name: &[u8], announced: u32, value: &[u8]| {
            [&[u8::try_from(name.len()).unwrap()], name, &announced.to_be_bytes(), value].concat()
        };
        let ready = |properties: &[Vec<u8>]| [b"\x05READY".to_vec(), properties.concat()].concat();
        let socket = property(b"socket-TYPE", 3, b"PUB");
        let there = ready(std::slice::from_ref(&socket));
        assert!(matches!(parse(&there), Ok(ZmtpCommand::Ready(Metadata { socket_type: Some(b"PUB"), .. }))));
        let wrong = [
            vec![],
            b"\0".to_vec(),
            b"\x06READY".to_vec(),
            b"\x04PING\0".to_vec(),
            [b"\x04PING\0\0".to_vec(), vec![0; 17]].concat(),
            b"\x05ERROR".to_vec(),
            b"\x05ERROR\x02n".to_vec(),
            ready(&[socket.clone(), socket.clone()]),
            ready(&[property(b"", 0, b"")]),
            ready(&[property(b"a b", 0, b"")]),
            ready(&[property(b"a", 1, b"")]),
            ready(&[property(b"a", u32::MAX, b"")]),
            ready(&[property(b"a", 1 << 31, b"x")]),
            ready(&[property(b"Identity", 256, &[1; 256])]),
            there[..there.len() - 1].to_vec(),
        ];
        for body in wrong {
            assert_eq!(parse(&body).unwrap_err().code, ErrorCode::Malformed, "{}", body.escape_ascii());
        }
        assert!(parse(&ready(&[property(b"Identity", 255, &[1; 255])])).is_ok());
        assert!(parse(&[b"\x04PING\0\0".to_vec(), vec![0; 16]].concat()).is_ok());
    }
}
