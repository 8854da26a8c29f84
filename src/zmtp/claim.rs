//! Claims: what a peer has shown in its handshake, and how far the handshake has come.

use std::fmt;

use zeroize::Zeroizing;

use super::z85::{self, KEY_BYTES};

/// A peer's claim to be somebody.
#[derive(Clone, PartialEq, Eq)]
pub enum PeerClaim {
    /// None: NULL, or ZMTP 2.0.
    Nothing,
    /// A name and a password, which nobody has checked. The peer waits for the verdict.
    Password(Password),
    /// The public key of CURVE whose secret key the peer has: that has been checked.
    CurveKey([u8; KEY_BYTES]),
}

/// A name and a password. Wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    /// The name.
    pub name: Vec<u8>,
    /// The password.
    pub password: Zeroizing<Vec<u8>>,
}

/// The result of a command.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// This command answers it, and more is to come.
    Answer(Vec<u8>),
    /// The peer claims this, and waits for the verdict.
    Claimed(PeerClaim),
    /// The peer has said all: with this metadata, and this claim unless there was one before.
    Ended {
        /// The claim, which the peer has proved.
        claim: Option<PeerClaim>,
        /// The properties of the peer's socket.
        metadata: Vec<u8>,
    },
}

impl fmt::Debug for PeerClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerClaim::Nothing => f.write_str("Nothing"),
            PeerClaim::Password(password) => password.fmt(f),
            PeerClaim::CurveKey(key) => write!(f, "CurveKey({})", z85::encode(key)),
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Password({})", self.name.escape_ascii())
    }
}
