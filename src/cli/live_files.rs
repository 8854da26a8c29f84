//! Owns the files that a running broker reads again when it is asked to: its users, its certificate, the token of its HTTP
//! server. All are read before any of them counts.

use std::path::PathBuf;

use crate::TlsServerFiles;
use crate::broker::Broker;
use crate::control::{HttpRenewal, HttpToken};
use crate::error::{Error, Result};
use crate::telemetry::count_reload;

/// The outcome of a reload, in lines for people: what was done, or why nothing was.
pub(super) type Reloaded = Result<String, String>;

/// The files of a broker, as its options name them.
#[derive(Clone, Debug)]
pub(super) struct LiveFiles {
    pub(super) users: Option<PathBuf>,
    pub(super) certificate: TlsServerFiles,
    pub(super) http_token: Option<PathBuf>,
}

impl LiveFiles {
    /// True if there is something to read again.
    pub(super) fn are_there(&self) -> bool {
        self.users.is_some() || self.certificate.tls_cert.is_some() || self.http_token.is_some()
    }

    /// The token of the HTTP server, if it has one.
    pub(super) fn read_http_token(&self) -> Result<Option<HttpToken>> {
        let token = self.http_token.as_deref().map(HttpToken::read).transpose();
        token.map_err(|e| Error::of_field("http_token_file", e.to_string()))
    }

    /// Reads all files, and has the broker and its HTTP servers follow them. One that is at fault changes nothing. The outcome is
    /// counted.
    pub(super) fn follow(&self, broker: &Broker, http: &[HttpRenewal]) -> Reloaded {
        let unchanged =
            |what: &str, error: &Error| format!("{what} is not read again, and nothing changes: {error}\n");
        let read =
            self.certificate.read().map_err(|error| unchanged("the certificate", &error)).and_then(|tls| {
                let token = self
                    .read_http_token()
                    .map_err(|error| unchanged("the token of the HTTP server", &error))?;
                Ok((tls, token))
            });
        let (tls, token) = read.inspect_err(|_| count_reload(false))?;
        let mut done = String::new();
        if let Some(users) = &self.users {
            broker.reload_users(users).map_err(|error| unchanged("the file of users", &error))?;
            done.push_str("the file of users is read again, and followed\n");
        } else {
            count_reload(true);
        }
        let ended = |error: Error| format!("{error}\n");
        for server in http {
            server.renew(token.clone(), tls.clone()).map_err(ended)?;
        }
        if self.http_token.is_some() {
            done.push_str("the token of the HTTP server is read again, for requests from now on; if it is another, streams of the old one end\n");
        }
        if let Some(tls) = tls {
            broker.set_certificate(&tls).map_err(ended)?;
            done.push_str("the certificate is read again, for connections from now on\n");
        }
        Ok(done)
    }
}
