//! Listeners and connections of the control thread, which has an async runtime of its own.

use std::future::poll_fn;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite};

use super::accept::ListeningSocket;

/// TCP listeners on which the control thread accepts, in turns.
#[derive(Debug)]
pub struct ControlListeners {
    listeners: Vec<tokio::net::TcpListener>,
    /// The listener that is polled first next time.
    turn: usize,
}

impl ControlListeners {
    /// Takes the listeners over. Only inside the runtime of the control thread.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn adopt(sockets: Vec<ListeningSocket>) -> io::Result<Self> {
        let adopt = |socket| tokio::net::TcpListener::from_std(TcpListener::from(OwnedFd::from(socket)));
        let listeners: io::Result<Vec<_>> = sockets.into_iter().map(adopt).collect();
        Ok(ControlListeners { listeners: listeners?, turn: 0 })
    }

    /// The next connection of any listener; each is polled first in its turn.
    ///
    /// # Errors
    /// Most likely no descriptor is left.
    pub async fn accept(&mut self) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
        let (later, sooner) = self.listeners.split_at(self.turn % self.listeners.len());
        self.turn += 1;
        poll_fn(|context| {
            for listener in sooner.iter().chain(later) {
                if let Poll::Ready(accepted) = listener.poll_accept(context) {
                    return Poll::Ready(accepted.map(|(peer, _)| peer));
                }
            }
            Poll::Pending
        })
        .await
    }
}
