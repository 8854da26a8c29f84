//! Owns the choice between TCP, TCP under TLS, and Unix sockets.

use corecast::Endpoint;
use std::fmt;
use std::str::FromStr;

/// The sockets between clients and whoever fans out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Transport {
    /// TCP on the loopback interface.
    #[default]
    Tcp,
    /// TCP on the loopback interface, encrypted by TLS 1.3.
    Tls,
    /// Unix sockets.
    Uds,
}

/// A word that names no transport.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no transport that this version has: it has `tcp`, `tls` and `uds`")]
pub struct UnknownTransport(String);

impl FromStr for Transport {
    type Err = UnknownTransport;

    fn from_str(word: &str) -> Result<Self, UnknownTransport> {
        match word {
            "tcp" => Ok(Transport::Tcp),
            "tls" => Ok(Transport::Tls),
            "uds" => Ok(Transport::Uds),
            _ => Err(UnknownTransport(word.to_owned())),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Uds => "uds",
        })
    }
}

impl Transport {
    /// The transport of an endpoint.
    pub fn of(endpoint: &Endpoint) -> Self {
        match endpoint {
            Endpoint::Uds { .. } => Transport::Uds,
            Endpoint::Tls { .. } => Transport::Tls,
            _ => Transport::Tcp,
        }
    }
}
