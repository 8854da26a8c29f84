//! Owns the stream over a socket, by itself or under TLS: of a raw client, whose socket never blocks, and of the floor.

use super::tls_stream::TlsStream;
use socket2::Socket;
use std::io::{self, Read, Write};

/// A socket by itself, or under TLS by `T`.
#[derive(Debug)]
pub enum MaybeTls<T> {
    /// The socket by itself.
    Plain(Socket),
    /// The socket under TLS.
    Tls(Box<T>),
}

/// The stream of a raw client.
pub type RawStream = MaybeTls<TlsStream>;

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

impl<T: Read> Read for MaybeTls<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            MaybeTls::Plain(socket) => socket.read(buffer),
            MaybeTls::Tls(stream) => stream.read(buffer),
        }
    }
}

impl<T: Write> Write for MaybeTls<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            MaybeTls::Plain(socket) => socket.write(bytes),
            MaybeTls::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            MaybeTls::Plain(_) => Ok(()),
            MaybeTls::Tls(stream) => stream.flush(),
        }
    }
}
