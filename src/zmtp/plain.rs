//! PLAIN (ZeroMQ RFC 24) at the server's end: a name and a password in clear, and then a verdict.

use zeroize::Zeroizing;

use super::claim::{Password, PeerClaim, Progress};
use super::command::command;
use crate::error::ErrorCode;
use crate::wire::WireError;

/// The handshake of one connection.
#[derive(Debug)]
pub(super) enum PlainHandshake {
    /// HELLO comes next.
    Hello,
    /// HELLO waits for its verdict. The peer has nothing to say before it.
    Verdict,
    /// WELCOME was sent.
    Initiate,
}

impl PlainHandshake {
    /// Takes a command.
    ///
    /// # Errors
    /// `Unexpected`, `Malformed`.
    pub(super) fn take(&mut self, name: &[u8], data: &[u8]) -> Result<Progress, WireError> {
        match (&self, name) {
            (PlainHandshake::Hello, b"HELLO") => {
                let password = credentials(data).ok_or_else(|| {
                    WireError::new(ErrorCode::Malformed, "a HELLO of PLAIN is a name and a password")
                })?;
                *self = PlainHandshake::Verdict;
                Ok(Progress::Claimed(PeerClaim::Password(password)))
            }
            (PlainHandshake::Initiate, b"INITIATE") => {
                Ok(Progress::Ended { claim: None, metadata: data.to_vec() })
            }
            _ => {
                Err(WireError::new(ErrorCode::Unexpected, "a command that PLAIN does not have at this point"))
            }
        }
    }

    /// Lets the peer in. Returns WELCOME, if it waits for that.
    pub(super) fn admit(&mut self) -> Option<Vec<u8>> {
        matches!(self, PlainHandshake::Verdict).then(|| {
            *self = PlainHandshake::Initiate;
            command(b"WELCOME", &[])
        })
    }
}

fn credentials(data: &[u8]) -> Option<Password> {
    let (name, rest) = short(data)?;
    let (password, rest) = short(rest)?;
    rest.is_empty().then(|| Password { name: name.to_vec(), password: Zeroizing::new(password.to_vec()) })
}

/// A text behind its length in a byte, and what follows it.
fn short(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_password_wait_for_a_verdict() {
        let mut plain = PlainHandshake::Hello;
        let claim = plain.take(b"HELLO", b"\x05alice\x06sesame").expect("as it should be");
        let Progress::Claimed(PeerClaim::Password(claimed)) = claim else { unreachable!("{claim:?}") };
        assert_eq!((&claimed.name[..], &claimed.password[..]), (&b"alice"[..], &b"sesame"[..]));
        assert!(!format!("{claimed:?}").contains("sesame"));
        assert_eq!(plain.take(b"INITIATE", b"").expect_err("too soon").code, ErrorCode::Unexpected);
        assert_eq!(plain.admit().expect("it waits"), b"\x04\x08\x07WELCOME");
        assert_eq!(plain.admit(), None);
        let ended = plain.take(b"INITIATE", b"metadata").expect("as it should be");
        assert_eq!(ended, Progress::Ended { claim: None, metadata: b"metadata".to_vec() });
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for data in
            [&b""[..], b"\x05alic", b"\x05alice", b"\x05alice\x06sesam", b"\x05alice\x06sesame\x00", b"\xff"]
        {
            let code = PlainHandshake::Hello.take(b"HELLO", data).expect_err("it is wrong").code;
            assert_eq!(code, ErrorCode::Malformed, "{}", data.escape_ascii());
        }
        assert!(PlainHandshake::Hello.take(b"HELLO", b"\0\0").is_ok(), "an empty password is one");
        for (mut plain, name) in [
            (PlainHandshake::Hello, &b"INITIATE"[..]),
            (PlainHandshake::Hello, b"READY"),
            (PlainHandshake::Verdict, b"HELLO"),
            (PlainHandshake::Initiate, b"HELLO"),
        ] {
            let code = plain.take(name, b"\0\0").expect_err("not at this point").code;
            assert_eq!(code, ErrorCode::Unexpected, "{}", name.escape_ascii());
        }
    }
}
