//! Owns what raw clients know of the peer that they connect to.

use super::dialect::Language;
use super::stream::RawStream;
use super::tls_stream::TlsStream;
use crate::process::server::Server;
use crate::process::trust::Trust;
use corecast::Endpoint;
use socket2::Socket;
use std::io;

/// A peer, as raw clients see it.
#[derive(Clone, Debug)]
pub struct RawTarget {
    /// Its endpoint.
    pub endpoint: Endpoint,
    /// Its protocol.
    pub language: Language,
    /// Trust in its certificate, if it is reached over TLS.
    pub trust: Option<Trust>,
}

impl RawTarget {
    /// A server, for clients that connect to this endpoint of it.
    pub fn at(endpoint: &Endpoint, language: Language, server: &Server) -> Self {
        RawTarget { endpoint: endpoint.clone(), language, trust: server.trust.clone() }
    }

    /// The stream over a socket that connects to it.
    pub(super) fn stream(&self, socket: Socket) -> io::Result<RawStream> {
        let Endpoint::Tls { host, .. } = &self.endpoint else { return Ok(RawStream::Plain(socket)) };
        let trust = self.trust.as_ref().ok_or_else(|| io::Error::other("its certificate is not known"))?;
        let stream = TlsStream::new(socket, (trust.raw(), host), self.language.begins_in_clear())?;
        Ok(RawStream::Tls(Box::new(stream)))
    }
}
