//! Connecting: the look-up of a name, then one address after the other. The only place that connects.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use corecast_executors::{Either, OpenFilesRoom, Until, first};
use nix::errno::Errno;
use socket2::{Domain, SockRef, Socket, Type};

use super::address::Address;
use super::endpoint::{ANY_HOST, Endpoint};
use super::stream::{Stream, StreamKind};
use super::tls::TlsClient;
use crate::error::{Error, ErrorKind};
use crate::limits::CONNECT_ATTEMPT_DEFAULT;

configuration! {
    /// Everything that can be chosen about connections that are made, besides their endpoints.
    #[derive(Clone, PartialEq, Eq, Hash, Debug)]
    #[non_exhaustive]
    pub struct ConnectConfig {
        /// The time that the look-up of a name may take, and then the attempt at each of its addresses. It should be
        /// longer than a round trip.
        attempt_timeout: Duration = CONNECT_ATTEMPT_DEFAULT;

        /// Trust in the other ends of `tls://` connections; `None`: the authorities that this host trusts.
        tls (into): Option<TlsClient> = None;
    }
}

/// The reason why there is no connection to an endpoint.
#[derive(Debug)]
pub enum ConnectError {
    /// It cannot be tried: its addresses are unknown, or nothing is there to trust it by.
    Untried(Error),
    /// None of its addresses answers.
    Unanswered {
        /// The address that was tried last; none for a Unix socket.
        address: Option<SocketAddr>,
        /// The reason at that address.
        source: io::Error,
    },
}

impl ConnectError {
    /// True if the other end was there, and ended the connection before it could be used.
    #[cfg(feature = "cli")]
    pub fn is_cut_off(&self) -> bool {
        matches!(self, ConnectError::Unanswered { source, .. } if is_cut_off(source.kind()))
    }

    /// The error where a broker was to be found at the endpoint, with advice.
    pub fn at_broker(self, endpoint: &Endpoint) -> Error {
        match self {
            ConnectError::Untried(error) => error,
            ConnectError::Unanswered { address, source } => endpoint.unreachable(address, &source),
        }
    }

    /// The error where `peer`, which is no broker, was to be found at the endpoint.
    pub fn at_peer(self, peer: &impl fmt::Display, endpoint: &Endpoint) -> Error {
        match self {
            ConnectError::Untried(error) => error,
            ConnectError::Unanswered { address, source } => {
                endpoint.barred(address, &source).unwrap_or_else(|| {
                    let text = format!("{peer} does not answer at {}: {source}", endpoint.at(address));
                    Error::new(ErrorKind::Unreachable, text)
                })
            }
        }
    }
}

/// True for errors of a connection that its other end has ended.
#[cfg(feature = "cli")]
pub(crate) fn is_cut_off(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as Kind;
    matches!(kind, Kind::UnexpectedEof | Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe)
}

/// Connects to the first address of an endpoint that answers: `localhost` may be two. `time` begins to wait for so long
/// when it is called: for the look-up of a name, and for each address. A look-up that is given up goes on, and the next
/// connection to that name shares it.
///
/// # Errors
/// The endpoint is unknown, or does not answer.
pub async fn connect<'a>(
    endpoint: &Endpoint,
    config: &ConnectConfig,
    time: impl Fn(Duration) -> Until<'a>,
) -> Result<Stream, ConnectError> {
    let attempt = || time(config.attempt_timeout);
    let kind = outgoing_kind(endpoint, config).await.map_err(ConnectError::Untried)?;
    let addresses = match first(endpoint.connect_addresses(), attempt()).await {
        Either::Left(addresses) => addresses.map_err(ConnectError::Untried)?,
        Either::Right(()) => return Err(ConnectError::Untried(endpoint.not_looked_up())),
    };
    let nowhere = io::ErrorKind::AddrNotAvailable.into();
    let mut failed = ConnectError::Unanswered { address: None, source: nowhere };
    for address in &addresses {
        match connect_to(address, kind.clone(), attempt()).await {
            Ok(stream) => return Ok(stream),
            Err(source) => failed = ConnectError::Unanswered { address: address.sock().as_socket(), source },
        }
    }
    Err(failed)
}

/// The kind of the stream to an endpoint. The host, as it is written, is the one for which the certificate of the other end
/// must be.
pub(super) async fn outgoing_kind(endpoint: &Endpoint, config: &ConnectConfig) -> Result<StreamKind, Error> {
    if !endpoint.is_encrypted() {
        return Ok(StreamKind::unencrypted(endpoint.host()));
    }
    let tls = match (endpoint.pin(), &config.tls) {
        (Some(pin), _) => TlsClient::pinned(pin)?,
        (None, Some(tls)) => tls.clone(),
        (None, None) => TlsClient::of_system().await?,
    };
    let host = if endpoint.host() == ANY_HOST { "localhost" } else { endpoint.host() };
    StreamKind::of_client(&tls, host)
}

/// Connects to one address, and makes a stream of this kind of the socket.
async fn connect_to(address: &Address, kind: StreamKind, time: Until<'_>) -> io::Result<Stream> {
    let fd = begin(address)?;
    let room = OpenFilesRoom::now(&fd);
    // Before accepted connections, after the control thread: there may be very many direct publishers, too.
    if room.free_max <= room.reserved / 2 {
        return Err(Errno::EMFILE.into());
    }
    let stream = Stream::adopt(fd, kind)?;
    // The socket's own readiness: the stream begins when the socket is connected.
    match first(stream.socket().writable(), time).await {
        Either::Left(writable) => writable?,
        Either::Right(()) => return Err(io::ErrorKind::TimedOut.into()),
    }
    finish(SockRef::from(stream.socket()))?;
    Ok(stream)
}

/// Starts a non-blocking connection, which has succeeded or failed once its socket is writable.
pub(super) fn begin(address: &Address) -> io::Result<OwnedFd> {
    let address = address.sock();
    let socket = Socket::new(address.domain(), Type::STREAM.nonblocking().cloexec(), None)?;
    if address.domain() != Domain::UNIX {
        socket.set_tcp_nodelay(true)?;
    }
    match socket.connect(address) {
        Ok(()) => Ok(OwnedFd::from(socket)),
        Err(e) if e.raw_os_error() == Some(Errno::EINPROGRESS as i32) => Ok(OwnedFd::from(socket)),
        Err(e) => Err(e),
    }
}

/// Returns the error of a connection attempt that has failed.
fn finish(socket: SockRef<'_>) -> io::Result<()> {
    if let Some(e) = socket.take_error()? {
        return Err(e);
    }
    let (peer, own) = (socket.peer_addr()?.as_socket(), socket.local_addr()?.as_socket());
    // A client that keeps connecting to a free port of its own host may be given that port as its own, and meet itself.
    if peer.is_some() && peer == own { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn a_connection_to_itself_is_none() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        // The kernel lets a socket that is bound connect to its own address.
        socket.connect(&socket.local_addr().unwrap()).unwrap();
        let error = finish(SockRef::from(&socket)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
