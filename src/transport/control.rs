//! Listeners and connections of the control thread, which has an async runtime of its own.

use std::future::poll_fn;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

use super::accept::ListeningSocket;

/// A connection of the control thread, whatever carries its bytes.
pub type ControlStream = Box<dyn ByteStream>;

/// A connected byte stream of the control thread's runtime.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// Listeners on which the control thread accepts, in turns.
#[derive(Debug)]
pub struct ControlListeners {
    listeners: Vec<ControlListener>,
    /// The listener that is polled first next time.
    turn: usize,
}

#[derive(Debug)]
enum ControlListener {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl ControlListener {
    fn adopt(socket: ListeningSocket) -> io::Result<Self> {
        if socket.is_tcp() {
            let listener = TcpListener::from(OwnedFd::from(socket));
            return tokio::net::TcpListener::from_std(listener).map(ControlListener::Tcp);
        }
        let listener = UnixListener::from(OwnedFd::from(socket));
        tokio::net::UnixListener::from_std(listener).map(ControlListener::Unix)
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<ControlStream>> {
        match self {
            ControlListener::Tcp(listener) => {
                listener.poll_accept(context).map_ok(|(peer, _)| Box::new(peer) as ControlStream)
            }
            ControlListener::Unix(listener) => {
                listener.poll_accept(context).map_ok(|(peer, _)| Box::new(peer) as ControlStream)
            }
        }
    }
}

impl ControlListeners {
    /// Takes the listeners over. Only inside the runtime of the control thread.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn adopt(sockets: Vec<ListeningSocket>) -> io::Result<Self> {
        let listeners: io::Result<Vec<_>> = sockets.into_iter().map(ControlListener::adopt).collect();
        Ok(ControlListeners { listeners: listeners?, turn: 0 })
    }

    /// The next connection of any listener; each is polled first in its turn.
    ///
    /// # Errors
    /// Most likely no descriptor is left.
    pub async fn accept(&mut self) -> io::Result<ControlStream> {
        let (later, sooner) = self.listeners.split_at(self.turn % self.listeners.len());
        self.turn += 1;
        poll_fn(|context| {
            for listener in sooner.iter().chain(later) {
                if let Poll::Ready(accepted) = listener.poll_accept(context) {
                    return Poll::Ready(accepted);
                }
            }
            Poll::Pending
        })
        .await
    }
}
