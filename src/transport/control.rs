//! Listeners and connections of the control thread, which has an async runtime of its own.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::task::{Context, Poll};

use super::accept::ListeningSocket;
use super::heard::{ControlStream, HeardSocket};
use super::stream::StreamKind;
#[cfg(feature = "tls")]
use super::tls::TlsControlStream;
use super::tls::TlsServer;

/// The other end of an accepted connection, as far as the kernel knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ControlPeer {
    /// Somebody at this address.
    Remote(SocketAddr),
    /// A process of this host, of this uid if the kernel tells.
    Local(Option<u32>),
}

impl ControlPeer {
    /// The address; a Unix socket has none.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            ControlPeer::Remote(address) => Some(*address),
            ControlPeer::Local(_) => None,
        }
    }
}

/// The address, or the user.
impl fmt::Display for ControlPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ControlPeer::Remote(address) => address.fmt(f),
            ControlPeer::Local(Some(uid)) => write!(f, "uid {uid}"),
            ControlPeer::Local(None) => f.write_str("a process of this host"),
        }
    }
}

/// Listeners on which the control thread accepts, in turns.
#[derive(Debug)]
pub struct ControlListeners {
    listeners: Vec<ControlListener>,
    /// The listener that is polled first next time.
    turn: usize,
}

#[derive(Debug)]
enum ControlListener {
    Tcp(tokio::net::TcpListener, StreamKind),
    Unix(tokio::net::UnixListener),
}

impl ControlListener {
    fn adopt(socket: ListeningSocket) -> io::Result<Self> {
        if socket.is_tcp() {
            let kind = socket.kind().clone();
            let listener = TcpListener::from(OwnedFd::from(socket));
            return tokio::net::TcpListener::from_std(listener)
                .map(|listener| ControlListener::Tcp(listener, kind));
        }
        let listener = UnixListener::from(OwnedFd::from(socket));
        tokio::net::UnixListener::from_std(listener).map(ControlListener::Unix)
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(ControlStream, ControlPeer)>> {
        match self {
            ControlListener::Tcp(listener, kind) => {
                listener.poll_accept(context)?.map(|(socket, address)| {
                    stream_of(socket, kind).map(|stream| (stream, ControlPeer::Remote(address)))
                })
            }
            ControlListener::Unix(listener) => listener.poll_accept(context)?.map(|(socket, _)| {
                let uid = socket.peer_cred().ok().map(|peer| peer.uid());
                Ok((Box::new(HeardSocket::new(socket)) as ControlStream, ControlPeer::Local(uid)))
            }),
        }
    }
}

/// The stream of this kind over a socket.
fn stream_of(socket: tokio::net::TcpStream, kind: &StreamKind) -> io::Result<ControlStream> {
    #[cfg(feature = "tls")]
    if let StreamKind::Tls(end) = kind {
        return Ok(Box::new(TlsControlStream::new(HeardSocket::new(socket), end.clone())?));
    }
    let _ = kind;
    Ok(Box::new(HeardSocket::new(socket)))
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

    /// Makes this the certificate of the connections that are accepted from now on, if they are encrypted.
    pub fn set_certificate(&mut self, tls: &TlsServer) {
        for listener in &mut self.listeners {
            if let ControlListener::Tcp(_, kind) = listener
                && kind.is_encrypted()
            {
                *kind = StreamKind::of_server(tls);
            }
        }
    }

    /// The next connection of any listener; each is polled first in its turn. A handshake, if there is one, begins with the
    /// first read.
    ///
    /// # Errors
    /// Most likely no descriptor is left.
    pub async fn accept(&mut self) -> io::Result<(ControlStream, ControlPeer)> {
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
