//! A password that a peer has shown: to be checked elsewhere, since that takes too long for an executor.

use std::net::SocketAddr;

use super::passwords_waiting::PasswordPlace;
use crate::auth::{Identity, Permissions, Proof, Secret};
use crate::error::ErrorCode;
use crate::zmtp::Password;

/// The verdict on a peer: who it is, or the reason for which its session ends.
pub type LoginVerdict = Result<Identity, (ErrorCode, String)>;

/// A name and a password, and the rules by which to judge them.
#[derive(Debug)]
pub struct PasswordCheck {
    permissions: Permissions,
    proof: Proof,
    address: Option<SocketAddr>,
    /// Free again when the check is dropped, also on the thread that has made it.
    _place: PasswordPlace,
}

impl PasswordCheck {
    /// The check of what a peer at this address has shown, which waits in this place. A name that is no text is of nobody.
    pub(super) fn new(
        permissions: Permissions,
        shown: &Password,
        address: Option<SocketAddr>,
        place: PasswordPlace,
    ) -> Self {
        let name = String::from_utf8_lossy(&shown.name).into_owned();
        let proof = Proof::Password { name, password: Secret::new(&shown.password) };
        PasswordCheck { permissions, proof, address, _place: place }
    }

    /// Checks it, which takes tens of milliseconds.
    pub fn run(&self) -> LoginVerdict {
        let identified = self.permissions.identify(&self.proof, self.address);
        identified.map_err(|refusal| (ErrorCode::Unauthenticated, refusal.to_string()))
    }
}
