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

impl FromStr for Transport {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "tcp" => Ok(Transport::Tcp),
            "tls" => Ok(Transport::Tls),
            "uds" => Ok(Transport::Uds),
            _ => {
                Err(format!("`{word}` is no transport that this version has: it has `tcp`, `tls` and `uds`"))
            }
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
