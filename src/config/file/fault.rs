//! Faults of a config file.

use std::fmt;

use super::TextPlace;

/// One thing that is wrong with a config file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct FileFault {
    place: TextPlace,
    /// The key as it is written, where it is about one.
    key: Option<String>,
    what: String,
}

impl FileFault {
    pub(crate) fn new(place: TextPlace, what: impl Into<String>) -> Self {
        FileFault { place, key: None, what: what.into() }
    }

    pub(crate) fn of_key(self, key: impl Into<String>) -> Self {
        FileFault { key: Some(key.into()), ..self }
    }

    pub(crate) fn place(&self) -> TextPlace {
        self.place
    }
}

/// "12:1: `egres-bytes`: no such option; did you mean `egress-bytes`?"
impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if let Some(key) = &self.key {
            write!(f, "`{key}`: ")?;
        }
        f.write_str(&self.what)
    }
}
