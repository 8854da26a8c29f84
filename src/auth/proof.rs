//! Proofs that a connection has shown to say who its peer is. Transports and handshakes bring them; only
//! [`Permissions::identify`](super::Permissions::identify) judges them.

use super::{CurveKey, Secret};

/// Something that a connection has shown. What can be checked without the users has been: a certificate has a valid
/// signature, a peer has the secret key of its public key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Proof {
    /// Nothing.
    None,
    /// A token.
    Token(Secret),
    /// The names in a client certificate of an authority that is trusted.
    Certificate(Vec<String>),
    /// The public key of a CURVE peer.
    CurveKey(CurveKey),
    /// A name and its password. To check it takes tens of milliseconds: never on an executor.
    Password {
        /// The name of the user.
        name: String,
        /// The password.
        password: Secret,
    },
    /// The user of this host that has connected to a Unix socket, by the kernel's word.
    Uid(u32),
}
