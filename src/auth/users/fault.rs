//! Faults in a file of users: the line, the user and the key, and what is wrong there. No value of the file is shown: it may
//! be a secret that was put in the wrong place.

use std::fmt;

use crate::printable::printable;

/// A fault in the text of a file of users.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsersFault {
    /// Counted from 1.
    line: usize,
    /// The user, and the key, as far as they are known.
    user: Option<String>,
    key: Option<&'static str>,
    what: String,
}

impl UsersFault {
    pub(super) fn new(line: usize, what: impl Into<String>) -> Self {
        UsersFault { line, user: None, key: None, what: what.into() }
    }

    pub(super) fn of_key(self, key: &'static str) -> Self {
        UsersFault { key: self.key.or(Some(key)), ..self }
    }

    pub(super) fn of_user(self, name: &str) -> Self {
        UsersFault { user: Some(name.to_owned()), ..self }
    }

    /// The line, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }
}

/// The parts behind the line: "user `feeds`: `tokens`: ...".
impl fmt::Display for UsersFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "user `{}`: ", printable(user))?;
        }
        if let Some(key) = self.key {
            write!(f, "`{key}`: ")?;
        }
        f.write_str(&self.what)
    }
}
