//! An encrypted stream of the control thread, under its async runtime. Unlike `channel` it serves few and short connections,
//! and leaves all buffers to rustls.

use std::io::{self, Read as _, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::{ClientConnection, Connection, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::super::heard::{ByteStream, FirstWord, HeardSocket};
use super::TlsEnd;
use super::trouble::{self, FirstBytes};

/// An encrypted stream. Its handshake is made by whoever reads or writes first.
#[derive(Debug)]
pub(in crate::transport) struct TlsControlStream {
    socket: HeardSocket<TcpStream>,
    connection: Connection,
    first_bytes: FirstBytes,
}

impl TlsControlStream {
    /// This end of a connection.
    ///
    /// # Errors
    /// When the configuration cannot make one.
    pub(in crate::transport) fn new(socket: HeardSocket<TcpStream>, end: TlsEnd) -> io::Result<Self> {
        let connection = match end {
            TlsEnd::Server(config) => ServerConnection::new(config).map(Connection::Server),
            TlsEnd::Client(config, name) => ClientConnection::new(config, name).map(Connection::Client),
        };
        let connection = connection.map_err(io::Error::other)?;
        Ok(TlsControlStream { socket, connection, first_bytes: FirstBytes::default() })
    }

    /// Goes on with the handshake until it is over.
    fn poll_shake_hands(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.connection.is_handshaking() {
            let paid = self.poll_pay(context)?;
            match self.connection.wants_read() {
                true if ready!(self.poll_hear(context))? => {
                    let text = "the connection ended in the middle of it";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
                }
                true => {}
                false => ready!(paid),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Hands the kernel the records that wait.
    fn poll_pay(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.connection.wants_write() {
            let first_bytes = &mut self.first_bytes;
            let mut socket = Polled { socket: &mut self.socket, first_bytes, context: &mut *context };
            match self.connection.write_tls(&mut socket) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes records from the kernel; true at the end of the stream.
    fn poll_hear(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let was_open = !self.connection.is_handshaking();
        let first_bytes = &mut self.first_bytes;
        let mut socket = Polled { socket: &mut self.socket, first_bytes, context: &mut *context };
        let heard = match self.connection.read_tls(&mut socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            heard => heard?,
        };
        if let Err(error) = self.connection.process_new_packets() {
            // The alert that says why; the other end may have gone already.
            let _ = self.poll_pay(context);
            return Poll::Ready(Err(trouble::at_http_server(&error, self.first_bytes, was_open)));
        }
        Poll::Ready(Ok(heard == 0))
    }
}

impl ByteStream for TlsControlStream {
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_shake_hands(context)
    }

    fn first_word(&self) -> FirstWord {
        self.socket.first_word.clone()
    }
}

impl AsyncRead for TlsControlStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_shake_hands(context))?;
        loop {
            // What the kernel does not take now is no reason to hear nothing.
            if let Poll::Ready(Err(error)) = self.poll_pay(context) {
                return Poll::Ready(Err(error));
            }
            match self.connection.reader().read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // An end that is not announced is one all the same: a body has its length.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(self.poll_hear(context))?;
        }
    }
}

impl AsyncWrite for TlsControlStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_shake_hands(context))?;
        loop {
            let written = self.connection.writer().write(bytes)?;
            let paid = self.poll_pay(context)?;
            if written > 0 || bytes.is_empty() {
                return Poll::Ready(Ok(written));
            }
            // Its buffer is full.
            ready!(paid);
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_pay(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.send_close_notify();
        ready!(self.poll_pay(context))?;
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// A socket as rustls reads and writes it: what is pending would block.
struct Polled<'a, 'c> {
    socket: &'a mut HeardSocket<TcpStream>,
    first_bytes: &'a mut FirstBytes,
    context: &'a mut Context<'c>,
}

impl io::Read for Polled<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        match Pin::new(&mut *self.socket).poll_read(self.context, &mut buffer) {
            Poll::Ready(read) => read.map(|()| {
                self.first_bytes.hear(buffer.filled());
                buffer.filled().len()
            }),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl io::Write for Polled<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match Pin::new(&mut *self.socket).poll_write(self.context, bytes) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
