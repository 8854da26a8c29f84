//! Owns how the address of an HTTP server is written: `HOST:PORT`, the URL that a reader of it uses, or a socket file.

use std::fmt;
use std::str::FromStr;

use crate::Endpoint;
use crate::error::{Error, ErrorKind, Result};

/// The scheme of endpoints that is not written before an address of HTTP, and that of encrypted ones in the words of both.
const SCHEME: &str = "tcp://";
const ENCRYPTED_SCHEME: &str = "tls://";
const ENCRYPTED_URL: &str = "https://";

/// An endpoint of an HTTP server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct HttpAddress(pub(super) Endpoint);

impl HttpAddress {
    /// True if it is served under TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        self.0.is_encrypted()
    }

    /// A text about the endpoint, which has this address in its place.
    pub(super) fn as_written(&self, text: &str) -> String {
        text.replace(&self.0.to_string(), &self.to_string())
    }
}

impl FromStr for HttpAddress {
    type Err = Error;

    fn from_str(written: &str) -> Result<Self> {
        let written = written.trim();
        if let Ok(file @ Endpoint::Uds { .. }) = written.parse() {
            return Ok(HttpAddress(file));
        }
        // The path is ours to say; whoever copies it from Prometheus means the same place.
        let text = written.strip_suffix("/metrics").or_else(|| written.strip_suffix('/')).unwrap_or(written);
        let unencrypted =
            || text.strip_prefix("http://").or_else(|| text.strip_prefix(SCHEME)).unwrap_or(text);
        let (scheme, text) = match text.strip_prefix(ENCRYPTED_URL) {
            Some(text) => (ENCRYPTED_SCHEME, text),
            None => (SCHEME, unencrypted()),
        };
        match format!("{scheme}{text}").parse() {
            Ok(endpoint) if !text.contains("://") => Ok(HttpAddress(endpoint)),
            _ => {
                let is_port = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let port = if is_port { text } else { "9680" };
                let fault = if is_out_of_range(text) { ": the port is not a number up to 65535" } else { "" };
                let why = format!(
                    "`{written}` is no address for HTTP{fault}; write HOST:PORT, https://HOST:PORT or uds://PATH, such as \
                     127.0.0.1:{port}"
                );
                Err(Error::new(ErrorKind::Invalid, why))
            }
        }
    }
}

/// True if what stands where a port does is a number, and no port.
fn is_out_of_range(text: &str) -> bool {
    let port = text.rsplit_once(':').map_or("", |(_, port)| port);
    !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_err()
}

/// `HOST:PORT`, as scrapers are configured, `https://HOST:PORT`, or `uds://PATH`.
impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = self.0.to_string();
        if let Some(place) = endpoint.strip_prefix(ENCRYPTED_SCHEME) {
            return write!(f, "{ENCRYPTED_URL}{place}");
        }
        f.write_str(endpoint.strip_prefix(SCHEME).unwrap_or(&endpoint))
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
            ("*:0", "tcp://*:0"),
            (":9680", "tcp://*:9680"),
            (" :9680 ", "tcp://*:9680"),
        ] {
            let address: HttpAddress = text.parse().expect(text);
            assert_eq!(address.0.to_string(), read);
            assert_eq!(format!("tcp://{address}"), read);
        }
        for text in ["https://broker:9680", "https://broker:9680/metrics"] {
            let address: HttpAddress = text.parse().expect(text);
            assert_eq!(address.0.to_string(), "tls://broker:9680");
            assert_eq!(address.to_string(), "https://broker:9680");
        }
        for text in ["uds:///run/metrics", "unix:/run/metrics", "/run/metrics"] {
            let address: HttpAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), "uds:///run/metrics");
        }
        for text in
            ["", "9680", "localhost", "uds://", "http://", "https://", "http:///run/x", "https://tcp://h:1"]
        {
            let error = text.parse::<HttpAddress>().expect_err(text);
            assert!(
                error.to_string().contains("write HOST:PORT, https://HOST:PORT or uds://PATH"),
                "{error}"
            );
        }
        let high = "127.0.0.1:99999".parse::<HttpAddress>().unwrap_err().to_string();
        assert!(high.contains("no address for HTTP: the port is not a number up to 65535; write"), "{high}");
        let bare = "19680".parse::<HttpAddress>().unwrap_err().to_string();
        assert!(bare.ends_with("such as 127.0.0.1:19680"), "{bare}");
    }
}
