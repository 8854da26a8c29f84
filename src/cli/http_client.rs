//! Owns how a command asks the HTTP server of a running broker, and the arguments by which it does.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use zeroize::Zeroizing;

use super::http_address::HttpAddress;
use super::settings::Settings;
use crate::auth::read_token_file;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{HTTP_ANSWER_BYTES_MAX, HTTP_HEAD_BYTES_MAX};
use crate::printable::printable;
use crate::transport::{connect_blocking, is_cut_off};
use crate::{ConnectConfig, TlsClientFiles};

/// Credentials for the HTTP server of a broker, and trust in it.
#[derive(Args, Clone, Debug)]
pub(super) struct HttpClientArgs {
    /// File of the token that the broker's HTTP server asks for: the one that the broker has by this option.
    #[arg(long, value_name = "FILE")]
    http_token_file: Option<PathBuf>,

    /// Show the token also to another host without encryption, where whoever is on the way can read it.
    #[arg(long)]
    insecure: bool,

    #[command(flatten)]
    trust: Settings<TlsClientFiles>,
}

/// An answer of an HTTP server.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct HttpAnswer {
    pub(super) status: u16,
    pub(super) text: String,
}

impl HttpClientArgs {
    /// Sends a request such as `GET /healthz`, and returns the answer.
    ///
    /// # Errors
    /// A file cannot be read; `Unreachable` or `TimedOut` when no answer has come by `deadline`, `Protocol` when it is none.
    pub(super) fn ask(&self, request: &str, address: &HttpAddress, deadline: Instant) -> Result<HttpAnswer> {
        let config = ConnectConfig::default().tls(self.trust.0.read()?);
        self.check_protection(address)?;
        let request = self.request(request)?;
        let mut stream = connect_blocking(&address.0, &config, deadline).map_err(|error| {
            if error.is_cut_off() {
                return cut_off(address);
            }
            let error = error.at_peer(&"the HTTP server", &address.0);
            let kind = match error.kind() {
                // Of a broker's own address there is other advice.
                ErrorKind::Unreachable => ErrorKind::Io,
                kind => kind,
            };
            match error.field() {
                None => Error::new(kind, address.as_written(&error.to_string())),
                Some(_) => error,
            }
        })?;
        let failed = |e: io::Error| match is_cut_off(e.kind()) {
            true => cut_off(address),
            false => Error::io(format!("the HTTP server at {address} does not answer"), e),
        };
        stream.write_all(&request).and_then(|()| stream.flush()).map_err(failed)?;
        let most = HTTP_HEAD_BYTES_MAX + HTTP_ANSWER_BYTES_MAX;
        let mut answer = Vec::new();
        stream.take(most as u64 + 1).read_to_end(&mut answer).map_err(failed)?;
        let no_answer = || {
            Error::new(
                ErrorKind::Protocol,
                format!("what answers at {address} is no HTTP server of a broker"),
            )
        };
        if answer.is_empty() {
            return Err(cut_off(address));
        }
        if answer.len() > most {
            return Err(no_answer());
        }
        HttpAnswer::parse(&answer).ok_or_else(no_answer)
    }

    /// Checks that the token, if there is one, is read by nobody on its way, or that this is accepted.
    fn check_protection(&self, address: &HttpAddress) -> Result<()> {
        let is_open = address.0.is_open_to_readers() && !address.0.is_any_host();
        if self.http_token_file.is_none() || self.insecure || !is_open {
            return Ok(());
        }
        let text = format!(
            "whoever is on the way to {address} could read the token: write https://HOST:PORT, ask on the broker's host at \
             127.0.0.1 or a Unix socket, or accept it with --insecure"
        );
        Err(Error::of_field("metrics", text))
    }

    /// The bytes of a request. They may have a token.
    fn request(&self, request: &str) -> Result<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(HTTP_HEAD_BYTES_MAX));
        bytes.extend_from_slice(request.as_bytes());
        // No page of a site is the one who asks, so the name under which the server is reached does not matter.
        bytes
            .extend_from_slice(b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n");
        if let Some(path) = &self.http_token_file {
            let token =
                read_token_file(path).map_err(|e| Error::of_field("http_token_file", e.to_string()))?;
            bytes.extend_from_slice(b"Authorization: Bearer ");
            bytes.extend_from_slice(token.expose());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        Ok(bytes)
    }
}

/// The error for a server that was there, and did not answer.
fn cut_off(address: &HttpAddress) -> Error {
    let text = format!(
        "the HTTP server at {address} ended the connection before it answered, as it does when the broker ends, or when too many are \
         open: ask again, or at a Unix socket of the broker, where root and its user are never in the way; its log says which it was"
    );
    Error::new(ErrorKind::Io, text)
}

impl HttpAnswer {
    /// Reads an answer whose body lasts until the end; the text does nothing to a terminal. `None`: it is no such answer.
    fn parse(bytes: &[u8]) -> Option<HttpAnswer> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        Some(HttpAnswer { status, text: body.lines().map(|line| format!("{}\n", printable(line))).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_a_text() {
        let answer =
            HttpAnswer::parse(b"HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\ndraining\n").expect("one");
        assert_eq!(answer, HttpAnswer { status: 503, text: "draining\n".to_owned() });
        for none in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 2x0 OK\r\n\r\n",
            b"\x16\x03\x01\r\n\r\n",
            b"HTTP/1.1 \xff\r\n\r\n",
        ] {
            assert_eq!(HttpAnswer::parse(none), None);
        }
    }
}
