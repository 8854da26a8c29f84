//! Users: their names, credentials and rights. Values that do not change.

use std::sync::Arc;

use super::super::quota::{Account, Quotas, Share, Used};
use super::super::{CurveKey, LoginRefusal, Rights, TokenHash};

/// Something that a user can show, as a file of users has it. Each belongs to one user.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Credential {
    /// A token, by its hash.
    Token(TokenHash),
    /// A name in a client certificate.
    Certificate(String),
    /// A public key of CURVE.
    CurveKey(CurveKey),
    /// A uid of this host.
    Uid(u32),
    /// The argon2 hash of the password of this user.
    Password {
        /// The name of the user.
        name: Arc<str>,
        /// The hash in the PHC string format.
        hash: String,
    },
}

/// One user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    pub(super) name: Arc<str>,
    pub(super) credentials: Vec<Credential>,
    pub(super) rights: Rights,
    pub(super) quotas: Quotas,
    /// The figures that count against its quotas.
    pub(super) account: Account,
}

impl User {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The credentials, any of which shows that a peer is this user.
    pub fn credentials(&self) -> &[Credential] {
        &self.credentials
    }

    /// The rights.
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// The quotas.
    pub fn quotas(&self) -> Quotas {
        self.quotas
    }

    /// The share of a new session in its quotas; `None` without quotas.
    ///
    /// # Errors
    /// The quota of sessions is used up; the text is for the client.
    pub(crate) fn take_share(&self) -> Result<Option<Box<Share>>, String> {
        Share::take(&self.name, self.quotas, &self.account)
    }

    /// The share of a session that is open and uses so much, which follows the share `before`; `None` without quotas.
    pub(crate) fn keep_share(&self, used: Used, before: Option<Box<Share>>) -> Option<Box<Share>> {
        Share::keep(self.quotas, &self.account, used, before)
    }
}

/// A user that has shown this credential. Sessions share it, and keep it when the users change: it is asked about again.
#[derive(PartialEq, Eq, Debug)]
pub struct Login {
    pub(super) user: Arc<User>,
    pub(super) credential: Credential,
    /// The number of the set of users that it was found in.
    pub(super) users: u64,
}

impl Login {
    /// The user, as it was then.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// The refusal for which it counts no longer.
    pub(in crate::auth) fn refusal(&self) -> LoginRefusal {
        match &self.credential {
            Credential::Token(_) => LoginRefusal::Token,
            Credential::Certificate(_) => LoginRefusal::Certificate,
            Credential::CurveKey(_) => LoginRefusal::CurveKey,
            Credential::Password { .. } => LoginRefusal::Password,
            Credential::Uid(uid) => LoginRefusal::Uid(*uid),
        }
    }
}
