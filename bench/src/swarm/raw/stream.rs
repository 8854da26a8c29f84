//! Owns the stream of a raw client: a socket that never blocks, by itself or under TLS.

use super::tls_stream::TlsStream;
use socket2::Socket;
use std::io::{self, Read, Write};

/// The stream.
#[derive(Debug)]
pub enum RawStream {
    /// The socket by itself.
    Plain(Socket),
    /// The socket under TLS.
    Tls(Box<TlsStream>),
}

impl RawStream {
    /// The socket.
    pub(super) fn socket(&self) -> &Socket {
        match self {
            RawStream::Plain(socket) => socket,
            RawStream::Tls(stream) => stream.socket(),
        }
    }

    /// True if bytes wait here for the kernel to have room: those that were written, or words of a handshake.
    pub(super) fn owes(&self) -> bool {
        match self {
            RawStream::Plain(_) => false,
            RawStream::Tls(stream) => stream.owes(),
        }
    }
}

impl Read for RawStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            RawStream::Plain(socket) => socket.read(buffer),
            RawStream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for RawStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            RawStream::Plain(socket) => socket.write(bytes),
            RawStream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            RawStream::Plain(_) => Ok(()),
            RawStream::Tls(stream) => stream.flush(),
        }
    }
}
