//! Secrets: tokens and passwords, as they come and go. Wiped when they are dropped, compared in constant time, and never
//! displayed.

use std::fmt;
use std::hash::{Hash, Hasher};

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Bytes that only their owner may see.
#[derive(Clone)]
pub struct Secret(Zeroizing<Box<[u8]>>);

impl Secret {
    /// A secret of these bytes, which are copied.
    pub fn new(bytes: &[u8]) -> Self {
        Secret(Zeroizing::new(bytes.into()))
    }

    /// The bytes, for those who send or check them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// In constant time, but for the length.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

/// Nothing of it goes into a table: secrets of the same length collide.
impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.len().hash(state);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_compared_and_not_shown() {
        let secret = Secret::new(b"open sesame");
        assert_eq!(secret, secret.clone());
        assert_ne!(secret, Secret::new(b"open Sesame"));
        assert_ne!(secret, Secret::new(b"open"));
        assert!(!format!("{secret:?}").contains("sesame"));
        assert_eq!(secret.expose(), b"open sesame");
    }
}
