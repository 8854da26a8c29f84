//! A connection of this executor, whatever carries its bytes. Pumps wait for streams and move bytes through them; the
//! readiness of a socket is a matter of its stream.
//!
//! A stream may have to write before it can read: a handshake has turns of its own, and bytes that are already decrypted
//! wait in no socket. So [`Stream::readable`] and [`Stream::writable`] wait for the stream, and meanwhile send what it owes
//! its peer. One task may wait for the one while another waits for the other. Only [`Stream::readable`] and
//! [`Stream::try_recv`] read from the socket: whoever waits to send never takes input away from the task that waits for it,
//! and a stream on which nobody reads does not open.
//!
//! An error before [`Stream::is_open`] is a failed handshake. `InvalidData` says that every other attempt would fail
//! alike; a peer that ends the connection before it has begun is `ConnectionReset`, as it may be on any socket.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use corecast_executors::ReadySocket;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use socket2::SockRef;

#[cfg(test)]
use super::sealed::{SEALED_HOST, Sealed};
#[cfg(feature = "tls")]
use super::tls::{TlsChannel, TlsEnd};
use super::tls::{TlsClient, TlsServer};
use crate::error::Result;

/// A connected byte stream of this executor. Its kind costs a match for each turn of a pump.
#[derive(Debug)]
pub enum Stream {
    /// Unchanged bytes, over TCP or a Unix socket.
    Plain(ReadySocket),
    /// Encrypted bytes, over TCP.
    #[cfg(feature = "tls")]
    Tls(Box<TlsChannel>),
    /// A stand-in for encrypted ones.
    #[cfg(test)]
    Sealed(Sealed),
}

/// The kind of stream that is made of a socket, which its endpoint decides.
#[derive(Clone, Debug)]
pub(super) enum StreamKind {
    Plain,
    #[cfg(feature = "tls")]
    Tls(TlsEnd),
    #[cfg(test)]
    Sealed,
}

impl StreamKind {
    /// The kind of streams from and to a host that are not encrypted.
    pub(super) fn unencrypted(host: &str) -> Self {
        #[cfg(test)]
        if host == SEALED_HOST {
            return StreamKind::Sealed;
        }
        let _ = host;
        StreamKind::Plain
    }

    /// The kind of encrypted streams that come in.
    pub(super) fn of_server(tls: &TlsServer) -> Self {
        #[cfg(feature = "tls")]
        return StreamKind::Tls(tls.end());
        #[cfg(not(feature = "tls"))]
        match tls.end() {}
    }

    /// The kind of an encrypted stream to this host.
    ///
    /// # Errors
    /// `Invalid` if no certificate could be for the host.
    pub(super) fn of_client(tls: &TlsClient, host: &str) -> Result<Self> {
        #[cfg(feature = "tls")]
        return tls.end(host).map(StreamKind::Tls);
        #[cfg(not(feature = "tls"))]
        match tls.end(host)? {}
    }

    /// True for TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        match self {
            StreamKind::Plain => false,
            #[cfg(feature = "tls")]
            StreamKind::Tls(_) => true,
            #[cfg(test)]
            StreamKind::Sealed => false,
        }
    }
}

impl Stream {
    /// Takes over a connected or connecting socket.
    ///
    /// # Errors
    /// As for [`ReadySocket::adopt`].
    pub(super) fn adopt(fd: OwnedFd, kind: StreamKind) -> io::Result<Self> {
        match kind {
            StreamKind::Plain => ReadySocket::adopt(fd).map(Stream::Plain),
            #[cfg(feature = "tls")]
            StreamKind::Tls(end) => TlsChannel::adopt(fd, end).map(|channel| Stream::Tls(Box::new(channel))),
            #[cfg(test)]
            StreamKind::Sealed => Sealed::adopt(fd).map(Stream::Sealed),
        }
    }

    /// True once bytes of a session can pass: the stream's own handshake, if its kind has one, is over.
    pub fn is_open(&self) -> bool {
        match self {
            Stream::Plain(_) => true,
            #[cfg(feature = "tls")]
            Stream::Tls(channel) => channel.is_open(),
            #[cfg(test)]
            Stream::Sealed(sealed) => sealed.is_open(),
        }
    }

    /// Waits until there is data, the end of the stream or an error.
    ///
    /// # Errors
    /// When waiting itself fails.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.readable().await,
            #[cfg(feature = "tls")]
            Stream::Tls(channel) => channel.readable().await,
            #[cfg(test)]
            Stream::Sealed(sealed) => sealed.readable().await,
        }
    }

    /// The same, until `is_called`. Who makes that true says so by [`Stream::call`]; only a stream that [`Stream::can_move`]
    /// hears it while it waits.
    ///
    /// # Errors
    /// When waiting itself fails.
    pub async fn readable_or(&self, is_called: impl Fn() -> bool) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.readable_or(is_called).await,
            #[cfg(feature = "tls")]
            Stream::Tls(channel) => channel.readable().await,
            #[cfg(test)]
            Stream::Sealed(sealed) => sealed.readable().await,
        }
    }

    /// Ends the wait of the task that waits to read.
    pub fn call(&self) {
        match self {
            Stream::Plain(socket) => socket.interrupt(),
            #[cfg(feature = "tls")]
            Stream::Tls(_) => {}
            #[cfg(test)]
            Stream::Sealed(_) => {}
        }
    }

    /// True if another executor can take the stream over: all of its state is in the kernel.
    pub fn can_move(&self) -> bool {
        match self {
            Stream::Plain(_) => true,
            #[cfg(feature = "tls")]
            Stream::Tls(_) => false,
            #[cfg(test)]
            Stream::Sealed(_) => false,
        }
    }

    /// Waits until there is room to send, or an error.
    ///
    /// # Errors
    /// When waiting itself fails.
    pub async fn writable(&self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.writable().await,
            #[cfg(feature = "tls")]
            Stream::Tls(channel) => channel.writable().await,
            #[cfg(test)]
            Stream::Sealed(sealed) => sealed.writable().await,
        }
    }

    /// Reads the available bytes, at most the whole of `buffer`. `None`: nothing now. `Some(0)`: the end of the stream.
    ///
    /// # Errors
    /// The connection has failed; ECONNRESET is the common one.
    #[inline]
    pub fn try_recv(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Stream::Plain(socket) => socket.try_recv(buffer),
            #[cfg(feature = "tls")]
            Stream::Tls(channel) => channel.try_recv(buffer),
            #[cfg(test)]
            Stream::Sealed(sealed) => sealed.try_recv(buffer),
        }
    }

    /// True if more waits than the last read took, as far as can be told without asking the kernel: it received so many bytes
    /// in so much space. The text of an encrypted stream is shorter than what was read for it.
    #[inline]
    pub fn may_have_more(&self, received: usize, space: usize) -> bool {
        match self {
            Stream::Plain(_) => received == space,
            #[cfg(feature = "tls")]
            Stream::Tls(channel) => channel.may_have_more(),
            #[cfg(test)]
            Stream::Sealed(_) => received == space,
        }
    }

    /// Sends as much of `parts` as is taken now. `None`: no room. All of them are reported as sent only when everything
    /// that the stream has made of them has left: until then the sender waits until it is writable.
    ///
    /// # Errors
    /// The connection has failed; EPIPE and ECONNRESET are the common ones.
    #[inline]
    pub fn try_send_vectored(&self, parts: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        match self {
            Stream::Plain(socket) => socket.try_send_vectored(parts),
            #[cfg(feature = "tls")]
            Stream::Tls(channel) => channel.try_send_vectored(parts),
            #[cfg(test)]
            Stream::Sealed(sealed) => sealed.try_send_vectored(parts),
        }
    }

    /// Ends the sending direction; reading goes on.
    ///
    /// # Errors
    /// ENOTCONN if the peer is gone already.
    pub fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.shutdown_write(),
            #[cfg(feature = "tls")]
            Stream::Tls(channel) => channel.shutdown_write(),
            #[cfg(test)]
            Stream::Sealed(sealed) => sealed.socket.shutdown_write(),
        }
    }

    /// Ends both directions now: every task that waits for this stream sees its end.
    ///
    /// # Errors
    /// ENOTCONN if the peer is gone already.
    pub fn shutdown_both(&self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.shutdown_both(),
            #[cfg(feature = "tls")]
            Stream::Tls(channel) => channel.shutdown_both(),
            #[cfg(test)]
            Stream::Sealed(sealed) => sealed.shutdown_both(),
        }
    }

    /// The peer's address; none for a Unix socket, and for a connection that has ended.
    pub fn peer(&self) -> Option<SocketAddr> {
        SockRef::from(self.socket()).peer_addr().ok()?.as_socket()
    }

    /// The names of the certificate that the peer has shown in its handshake, if it has: once, when it is open.
    pub fn take_peer_names(&self) -> Option<Vec<String>> {
        match self {
            Stream::Plain(_) => None,
            #[cfg(feature = "tls")]
            Stream::Tls(channel) => channel.take_peer_names(),
            #[cfg(test)]
            Stream::Sealed(_) => None,
        }
    }

    /// The user of this host that has connected to a Unix socket, by the kernel's word; none for other sockets.
    pub fn peer_uid(&self) -> Option<u32> {
        let address = SockRef::from(self.socket()).local_addr().ok()?;
        address.is_unix().then(|| getsockopt(self.socket(), PeerCredentials).ok().map(|peer| peer.uid()))?
    }

    /// The address of this host that the peer sees; none for a Unix socket.
    pub fn local_ip(&self) -> Option<IpAddr> {
        Some(SockRef::from(self.socket()).local_addr().ok()?.as_socket()?.ip())
    }

    /// The socket underneath: every kind has one.
    pub(super) fn socket(&self) -> &ReadySocket {
        match self {
            Stream::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Stream::Tls(channel) => &channel.socket,
            #[cfg(test)]
            Stream::Sealed(sealed) => &sealed.socket,
        }
    }
}
