//! An encrypted stream that a plain thread has made, and blocks on.

use std::io::{self, Read, Write};

use rustls::{ClientConnection, Error, StreamOwned};

use super::TlsEnd;
use super::trouble::{self, FirstBytes};

/// An encrypted stream, whose handshake is over.
#[derive(Debug)]
pub(in crate::transport) struct TlsBlockingStream<S: Read + Write>(StreamOwned<ClientConnection, S>);

impl<S: Read + Write> TlsBlockingStream<S> {
    /// Makes the handshake with the other end.
    ///
    /// # Errors
    /// The handshake fails, with the reason in words for people.
    pub(in crate::transport) fn open(mut socket: S, end: TlsEnd) -> io::Result<Self> {
        let TlsEnd::Client(config, name) = end else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a connection is made by a client"));
        };
        let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).map_err(in_words)?;
        }
        Ok(TlsBlockingStream(StreamOwned::new(connection, socket)))
    }
}

fn in_words(error: io::Error) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        None => error,
        Some(Error::InvalidMessage(_)) => io::Error::new(io::ErrorKind::InvalidData, "it does not speak TLS"),
        Some(reason) => trouble::at_client(reason, FirstBytes::default()),
    }
}

impl<S: Read + Write> Read for TlsBlockingStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(in_words)
    }
}

impl<S: Read + Write> Write for TlsBlockingStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
