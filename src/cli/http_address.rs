//! Owns how the address of an HTTP server is written: `HOST:PORT`, or the URL that a reader of it uses.

use std::str::FromStr;

use crate::Endpoint;
use crate::error::{Error, ErrorKind, Result};

/// An endpoint of TCP to serve HTTP on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct HttpAddress(pub(super) Endpoint);

impl FromStr for HttpAddress {
    type Err = Error;

    fn from_str(written: &str) -> Result<Self> {
        let text = written.strip_prefix("http://").unwrap_or(written);
        // The path is ours to say; whoever copies it from Prometheus means the same place.
        let text = text.strip_suffix("/metrics").or_else(|| text.strip_suffix('/')).unwrap_or(text);
        let text = text.strip_prefix("tcp://").unwrap_or(text);
        match format!("tcp://{text}").parse() {
            Ok(endpoint) if !text.contains("://") => Ok(HttpAddress(endpoint)),
            _ => {
                let why =
                    format!("`{written}` is no address for HTTP; write HOST:PORT, such as 127.0.0.1:9680");
                Err(Error::new(ErrorKind::Invalid, why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_urls_are_taken() {
        for (text, read) in [
            ("127.0.0.1:9680", "tcp://127.0.0.1:9680"),
            ("localhost:9680", "tcp://localhost:9680"),
            ("[::1]:9680", "tcp://[::1]:9680"),
            ("tcp://127.0.0.1:9680", "tcp://127.0.0.1:9680"),
            ("http://127.0.0.1:9680/metrics", "tcp://127.0.0.1:9680"),
            ("http://127.0.0.1:9680/", "tcp://127.0.0.1:9680"),
        ] {
            let address: HttpAddress = text.parse().expect(text);
            assert_eq!(address.0.to_string(), read);
        }
        for text in ["", "9680", "localhost", "https://localhost:9680", "uds:///run/x", "http://"] {
            let error = text.parse::<HttpAddress>().expect_err(text);
            assert!(error.to_string().contains("write HOST:PORT"), "{error}");
        }
    }
}
