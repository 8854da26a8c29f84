//! The pair of keys of a server.

use super::nacl::SecretKey;
use super::public_key::PublicKey;

/// A long-term pair of keys.
#[derive(Clone, Debug)]
pub struct KeyPair {
    secret: SecretKey,
    public: PublicKey,
}

impl KeyPair {
    /// A new pair.
    pub fn generate() -> Self {
        KeyPair::of(SecretKey::generate())
    }

    /// The pair of this secret key.
    pub fn of(secret: SecretKey) -> Self {
        KeyPair { public: secret.public(), secret }
    }

    /// The secret key.
    pub fn secret(&self) -> &SecretKey {
        &self.secret
    }

    /// The public key.
    pub fn public(&self) -> PublicKey {
        self.public
    }
}
