//! Owns the addresses of raw sockets, and connecting to a peer: a socket of either kind that never blocks.

use corecast::{Endpoint, internals::transport::tcp_addresses_until};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Time that the look-up of a peer's name may take.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// The address of an endpoint; of a name with several, the first at which somebody listens.
pub fn address(endpoint: &Endpoint) -> io::Result<SockAddr> {
    if let Endpoint::Uds { path } = endpoint {
        return SockAddr::unix(path);
    }
    let found: Vec<SocketAddr> = tcp_addresses_until(endpoint, Instant::now() + LOOK_UP_TIMEOUT)?;
    let first = match &found[..] {
        [only] => Some(only),
        several => {
            several.iter().find(|address| TcpStream::connect_timeout(address, LOOK_UP_TIMEOUT).is_ok())
        }
    };
    let first =
        first.ok_or_else(|| io::Error::other(format!("nobody listens at any address of {endpoint}")))?;
    Ok((*first).into())
}

/// A socket for this address that never blocks, and never waits for more bytes before it sends.
pub fn open(address: &SockAddr) -> io::Result<Socket> {
    let domain = address.domain();
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    if domain != Domain::UNIX {
        socket.set_tcp_nodelay(true)?;
    }
    Ok(socket)
}

/// The state of a connection attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connecting {
    /// The connection is there.
    Done,
    /// The socket becomes writable when it is.
    Underway,
    /// The peer has too many that wait to be taken: again later.
    Later,
}

/// Asks for a connection.
pub fn connect(socket: &Socket, address: &SockAddr) -> io::Result<Connecting> {
    match socket.connect(address) {
        Ok(()) => Ok(Connecting::Done),
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32) => {
            Ok(Connecting::Underway)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Connecting::Later),
        Err(error) => Err(error),
    }
}
