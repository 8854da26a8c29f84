//! Byte streams of the control thread. Their sockets note the first word of their peers, for whoever has to say which connection
//! gives way.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection of the control thread, whatever carries its bytes.
pub type ControlStream = Box<dyn ByteStream>;

/// A connected byte stream of the control thread's runtime.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Goes on with the handshake of the stream itself, if it has one, until that is over. Whoever reads or writes before does
    /// the same.
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The first word of the peer, be it one of a handshake.
    fn first_word(&self) -> FirstWord;
}

/// The first word of a peer, of which nothing is known but that it has come. Clones are the same one.
#[derive(Clone, Default, Debug)]
pub struct FirstWord(Arc<AtomicBool>);

impl FirstWord {
    /// True once the peer has sent a byte that was read.
    pub fn has_come(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A socket whose first word is noted.
#[derive(Debug)]
pub(super) struct HeardSocket<S> {
    socket: S,
    pub(super) first_word: FirstWord,
}

impl<S> HeardSocket<S> {
    pub(super) fn new(socket: S) -> Self {
        HeardSocket { socket, first_word: FirstWord::default() }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for HeardSocket<S> {
    fn poll_open(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn first_word(&self) -> FirstWord {
        self.first_word.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeardSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.first_word.0.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeardSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
