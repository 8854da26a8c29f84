//! Owns the floor's end of a connection: a socket that waits until it can, by itself or under TLS.

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::Socket;
use std::io::{self, Read, Write};
use std::sync::Arc;

/// The stream.
#[derive(Debug)]
pub(super) enum FloorStream {
    /// The socket by itself.
    Plain(Socket),
    /// The socket under TLS.
    Tls(Box<StreamOwned<ServerConnection, Socket>>),
}

impl FloorStream {
    /// The stream over a socket; under TLS with the certificate of `tls`.
    pub(super) fn over(socket: Socket, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        let Some(config) = tls else { return Ok(FloorStream::Plain(socket)) };
        let connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        Ok(FloorStream::Tls(Box::new(StreamOwned::new(connection, socket))))
    }
}

impl Read for FloorStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            FloorStream::Plain(socket) => socket.read(buffer),
            FloorStream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for FloorStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            FloorStream::Plain(socket) => socket.write(bytes),
            FloorStream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            FloorStream::Plain(_) => Ok(()),
            FloorStream::Tls(stream) => stream.flush(),
        }
    }
}
