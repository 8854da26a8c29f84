//! The mechanisms that a door accepts.

use std::sync::Arc;

#[cfg(feature = "broker")]
use super::curve::KeyPair;
use super::greeting::Mechanism;
#[cfg(not(feature = "broker"))]
use super::no_curve::NoKeyPair as KeyPair;

/// The mechanisms that a door accepts, and what it needs for them. The default is NULL alone.
#[derive(Clone, Debug)]
pub struct Offers {
    null: bool,
    plain: bool,
    curve: Option<Arc<KeyPair>>,
}

impl Default for Offers {
    fn default() -> Self {
        Offers { null: true, plain: false, curve: None }
    }
}

impl Offers {
    /// The same, with or without NULL.
    #[must_use]
    pub fn null(self, null: bool) -> Self {
        Offers { null, ..self }
    }

    /// The same, with or without PLAIN.
    #[must_use]
    pub fn plain(self, plain: bool) -> Self {
        Offers { plain, ..self }
    }

    /// The same, with CURVE for the server of this pair, or without.
    #[must_use]
    pub fn curve(self, curve: Option<Arc<KeyPair>>) -> Self {
        Offers { curve, ..self }
    }

    /// The same for a peer on another host: where it may come by CURVE it has to, so that nobody on the way reads or changes
    /// what it says.
    #[must_use]
    pub fn for_other_hosts(self) -> Self {
        match self.curve {
            Some(_) => Offers { null: false, plain: false, ..self },
            None => self,
        }
    }

    /// True if this is accepted.
    pub fn has(&self, mechanism: Mechanism) -> bool {
        match mechanism {
            Mechanism::Null => self.null,
            Mechanism::Plain => self.plain,
            Mechanism::Curve => self.curve.is_some(),
        }
    }

    /// True if NULL is all that is accepted, so that this end need not wait for the peer's choice.
    pub fn is_only_null(&self) -> bool {
        self.null && !self.plain && self.curve.is_none()
    }

    /// The pair of the CURVE server.
    pub(super) fn key_pair(&self) -> Option<Arc<KeyPair>> {
        self.curve.clone()
    }

    /// The names of the mechanisms, for people.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = Mechanism::ALL
            .iter()
            .filter(|mechanism| self.has(**mechanism))
            .map(|mechanism| mechanism.name())
            .collect();
        names.join(", ")
    }
}
