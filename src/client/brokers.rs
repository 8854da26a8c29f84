//! The addresses of a broker, or of several of which a client uses one at a time.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::limits::BROKERS_MAX;
use crate::printable::printable;
use crate::transport::Endpoint;

/// The addresses of a broker, or of several that serve the same topics: written as `tcp://a:6680,tcp://b:6680`. A client uses
/// one at a time: the first that answers, and when that is lost, the next one in turn.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Brokers {
    /// At least one.
    endpoints: Vec<Endpoint>,
}

impl Brokers {
    /// These addresses, in order of preference.
    ///
    /// # Errors
    /// `Invalid` for none, for too many, for one that stands there twice, and for an address that anybody on the way could
    /// read along at, beside one of `tls://`.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Result<Self> {
        let invalid = |text: String| Err(Error::new(ErrorKind::Invalid, text));
        let endpoints: Vec<Endpoint> = endpoints.into_iter().collect();
        if endpoints.is_empty() || endpoints.len() > BROKERS_MAX {
            return invalid(format!(
                "{} addresses of brokers: there are 1 to {BROKERS_MAX}",
                endpoints.len()
            ));
        }
        if let Some(twice) = (1..endpoints.len()).find(|at| endpoints[..*at].contains(&endpoints[*at])) {
            return invalid(format!("{} stands there twice", endpoints[twice]));
        }
        let brokers = Brokers { endpoints };
        let open = brokers.endpoints.iter().find(|endpoint| endpoint.is_open_to_readers());
        if let Some(open) = open.filter(|_| brokers.are_encrypted()) {
            return invalid(format!(
                "{open} is not encrypted, unlike others here: write tls:// for each of them"
            ));
        }
        Ok(brokers)
    }

    /// The one that is tried first.
    pub fn first(&self) -> &Endpoint {
        &self.endpoints[0]
    }

    /// All of them, in order of preference.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// True if nobody on the way may read along: some are `tls://`.
    pub(super) fn are_encrypted(&self) -> bool {
        self.endpoints.iter().any(Endpoint::is_encrypted)
    }
}

impl Default for Brokers {
    fn default() -> Self {
        Endpoint::default().into()
    }
}

impl From<Endpoint> for Brokers {
    fn from(endpoint: Endpoint) -> Self {
        Brokers { endpoints: vec![endpoint] }
    }
}

impl fmt::Display for Brokers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoints[0].fmt(f)?;
        self.endpoints[1..].iter().try_for_each(|endpoint| write!(f, ",{endpoint}"))
    }
}

impl FromStr for Brokers {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let read = parts.iter().map(|part| part.parse::<Endpoint>()).collect::<Result<Vec<_>>>();
        match read {
            Ok(endpoints) => Brokers::new(endpoints),
            // A comma may also be in a path.
            Err(error) => match text.parse::<Endpoint>() {
                Ok(endpoint @ Endpoint::Uds { .. }) => Ok(endpoint.into()),
                _ if parts.len() > 1 && parts.contains(&"") => {
                    let text = format!("`{}` has an address that is empty", printable(text));
                    Err(Error::new(ErrorKind::Invalid, text))
                }
                _ => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_or_several_are_read_and_written() {
        for (text, count, written) in [
            ("tcp://a:1", 1, "tcp://a:1"),
            ("a:1", 1, "tcp://a:1"),
            ("tcp://a:1,tcp://b:2", 2, "tcp://a:1,tcp://b:2"),
            ("a:1, b:2", 2, "tcp://a:1,tcp://b:2"),
            ("/run/a,b", 1, "uds:///run/a,b"),
            ("uds:///run/a,/run/b", 2, "uds:///run/a,uds:///run/b"),
            ("tls://a:1,/run/b", 2, "tls://a:1,uds:///run/b"),
        ] {
            let brokers: Brokers = text.parse().expect(text);
            assert_eq!(brokers.endpoints().len(), count, "{text}");
            assert_eq!(brokers.to_string(), written);
            assert_eq!(written.parse::<Brokers>().expect(written), brokers);
        }
    }

    #[test]
    fn lists_that_cannot_be_meant_are_refused_with_the_reason() {
        let many: Vec<String> = (1..=BROKERS_MAX + 1).map(|port| format!("a:{port}")).collect();
        for (text, why) in [
            ("", "endpoint"),
            ("a:1,", "empty"),
            ("a:1,,b:2", "empty"),
            ("a:1,a:1", "twice"),
            ("a:1,http://b:2", "http"),
            ("tls://a:1,tcp://b:1", "tcp://b:1 is not encrypted"),
            (&many.join(","), "17 addresses"),
        ] {
            let error = text.parse::<Brokers>().expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(Brokers::new([]).is_err());
    }
}
