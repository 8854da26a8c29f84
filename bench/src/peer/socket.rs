//! Owns connecting to a peer: a socket of either kind that never blocks.

use corecast::Endpoint;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::ToSocketAddrs;

/// The address of an endpoint.
pub fn address(endpoint: &Endpoint) -> io::Result<SockAddr> {
    match endpoint {
        Endpoint::Tcp { host, port } => {
            let found = (host.as_str(), *port).to_socket_addrs()?.next();
            let address = found.ok_or_else(|| io::Error::other(format!("{host} has no address")))?;
            Ok(address.into())
        }
        Endpoint::Uds { path } => SockAddr::unix(path),
    }
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

/// How a connection that was asked for stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connecting {
    /// It is there.
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
