//! Owns the floor's end of a connection: a socket that waits until it can, by itself or under TLS.

use super::stream::MaybeTls;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::Socket;
use std::io;
use std::sync::Arc;

/// The stream.
pub(super) type FloorStream = MaybeTls<StreamOwned<ServerConnection, Socket>>;

impl FloorStream {
    /// The stream over a socket; under TLS with the certificate of `tls`.
    pub(super) fn over(socket: Socket, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        let Some(config) = tls else { return Ok(FloorStream::Plain(socket)) };
        let connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        Ok(FloorStream::Tls(Box::new(StreamOwned::new(connection, socket))))
    }
}
