//! Accepting: an open listener, which may be sent to the executor that accepts on it, and a connection that no executor
//! has taken yet, which may be sent to any.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use corecast_executors::{OpenFilesRoom, ReadySocket};
use socket2::{Domain, SockRef, TcpKeepalive};

use super::stream::{Stream, StreamKind};
use super::tls::TlsServer;

/// A listener at one address, before any executor accepts on it.
#[derive(Debug)]
pub struct ListeningSocket {
    fd: OwnedFd,
    is_tcp: bool,
    /// The kind of its connections.
    kind: StreamKind,
}

impl ListeningSocket {
    pub(super) fn tcp(fd: OwnedFd, kind: StreamKind) -> Self {
        ListeningSocket { fd, is_tcp: true, kind }
    }

    pub(super) fn unix(fd: OwnedFd, kind: StreamKind) -> Self {
        ListeningSocket { fd, is_tcp: false, kind }
    }

    /// True for TCP, false for a Unix socket.
    #[cfg(feature = "broker")]
    pub(super) fn is_tcp(&self) -> bool {
        self.is_tcp
    }

    /// The kind of its connections.
    #[cfg(feature = "broker")]
    pub(super) fn kind(&self) -> &StreamKind {
        &self.kind
    }

    /// The address that it listens on; none for a Unix socket.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let address = self.is_tcp.then(|| SockRef::from(&self.fd).local_addr().ok())??;
        address.as_socket()
    }

    /// Takes the listener over, to accept on this executor.
    ///
    /// # Errors
    /// If this thread is not an executor, or no descriptor is left.
    pub fn adopt(self) -> io::Result<AcceptQueue> {
        let ListeningSocket { fd, is_tcp, kind } = self;
        Ok(AcceptQueue { socket: ReadySocket::adopt(fd)?, is_tcp, kind })
    }
}

impl From<ListeningSocket> for OwnedFd {
    fn from(socket: ListeningSocket) -> OwnedFd {
        socket.fd
    }
}

/// The pending connections of one listener of this executor.
#[derive(Debug)]
pub struct AcceptQueue {
    socket: ReadySocket,
    is_tcp: bool,
    kind: StreamKind,
}

impl AcceptQueue {
    /// Waits until there is a connection, or an error.
    ///
    /// # Errors
    /// When waiting itself fails.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// True if a connection may have a descriptor: the reserve is for scrapes, look-ups and files.
    pub fn has_room(&self) -> bool {
        let room = OpenFilesRoom::now(&self.socket);
        room.free_max > room.reserved
    }

    /// Makes this the certificate of the connections that it takes from now on, if they are encrypted.
    pub fn set_certificate(&mut self, tls: &TlsServer) {
        if self.kind.is_encrypted() {
            self.kind = StreamKind::of_server(tls);
        }
    }

    /// Takes the connection that has waited longest. `None`: there is none now, or it was reset while it waited.
    ///
    /// # Errors
    /// As for [`ReadySocket::try_accept`].
    pub fn try_accept(&self) -> io::Result<Option<Accepted>> {
        let Some(fd) = self.socket.try_accept()? else { return Ok(None) };
        if self.is_tcp {
            // A socket that cannot be tuned is one that has ended; its pump will notice.
            let _ = SockRef::from(&fd).set_tcp_nodelay(true);
        }
        Ok(Some(Accepted { fd, is_tcp: self.is_tcp, kind: self.kind.clone() }))
    }
}

/// A connection that no executor has: one that was just accepted, or one that moves from an executor to another.
#[derive(Debug)]
pub struct Accepted {
    fd: OwnedFd,
    is_tcp: bool,
    kind: StreamKind,
}

impl Accepted {
    /// A connection that its executor lets go, for another one. Nobody waits for it any more.
    ///
    /// # Panics
    /// If it cannot move ([`Stream::can_move`]).
    pub fn again(stream: Stream) -> Self {
        let fd = match stream {
            Stream::Plain(socket) => socket.into_fd(),
            #[cfg(feature = "tls")]
            Stream::Tls(_) => unreachable!("an encrypted stream belongs to its executor"),
            #[cfg(test)]
            Stream::Sealed(_) => unreachable!("a sealed stream belongs to its executor"),
        };
        let is_tcp = SockRef::from(&fd).domain().is_ok_and(|domain| domain != Domain::UNIX);
        Accepted { fd, is_tcp, kind: StreamKind::Plain }
    }

    /// The peer's address; none for a Unix socket, and for a connection that has ended.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.is_tcp.then(|| SockRef::from(&self.fd).peer_addr().ok())??.as_socket()
    }

    /// Makes the kernel probe the peer's host after this much silence.
    pub fn keep_alive(&self, silence: Duration) {
        if self.is_tcp {
            // As for the delay.
            let _ = SockRef::from(&self.fd).set_tcp_keepalive(&TcpKeepalive::new().with_time(silence));
        }
    }

    /// Takes the connection over on this executor, to which it then belongs.
    ///
    /// # Errors
    /// If this thread is not an executor. The connection is closed then.
    pub fn adopt(self) -> io::Result<Stream> {
        Stream::adopt(self.fd, self.kind)
    }
}
