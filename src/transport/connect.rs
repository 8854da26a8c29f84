//! Connecting: the look-up of a name, then one address after the other. The only place that connects.

use std::io;
use std::os::fd::OwnedFd;

use corecast_executors::{Either, OpenFilesRoom, Until, first};
use nix::errno::Errno;
use socket2::{Domain, SockRef, Socket, Type};

use super::address::Address;
use super::endpoint::Endpoint;
use super::stream::Stream;
use crate::error::Error;

/// The reason why there is no connection to an endpoint.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Its addresses are unknown.
    #[error("{0}")]
    NotFound(Error),
    /// None of its addresses answers, the last of them for this reason.
    #[error("it does not answer: {0}")]
    Unanswered(io::Error),
}

impl ConnectError {
    /// The error for a user of the endpoint, with advice.
    pub fn at(self, endpoint: &Endpoint) -> Error {
        match self {
            ConnectError::NotFound(error) => error,
            ConnectError::Unanswered(source) => endpoint.unreachable(source),
        }
    }

    /// True if the operating system forbids it, whether or not anybody listens there.
    pub fn is_denied(&self) -> bool {
        matches!(self, ConnectError::Unanswered(source) if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// Connects to the first address of an endpoint that answers: `localhost` may be two. The look-up of a name gets the
/// time that `attempt` starts, and so does each address. A look-up that is given up goes on, and the next connection to
/// that name shares it.
///
/// # Errors
/// The endpoint is unknown, or does not answer.
pub async fn connect<'a>(
    endpoint: &Endpoint,
    attempt: impl Fn() -> Until<'a>,
) -> Result<Stream, ConnectError> {
    let addresses = match first(endpoint.connect_addresses(), attempt()).await {
        Either::Left(addresses) => addresses.map_err(ConnectError::NotFound)?,
        Either::Right(()) => return Err(ConnectError::NotFound(endpoint.not_looked_up())),
    };
    let mut failed = io::ErrorKind::AddrNotAvailable.into();
    for address in &addresses {
        match connect_to(address, attempt()).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(ConnectError::Unanswered(failed))
}

async fn connect_to(address: &Address, time: Until<'_>) -> io::Result<Stream> {
    let fd = begin(address)?;
    let room = OpenFilesRoom::now(&fd);
    // Before accepted connections, after the control thread: there may be very many direct publishers, too.
    if room.free_max <= room.reserved / 2 {
        return Err(Errno::EMFILE.into());
    }
    let stream = Stream::plain(fd)?;
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
