//! Where a broker listens: `tcp://HOST:PORT` or `uds://PATH`. Parsing, listening and connecting; broker and
//! client both come here, and nobody else makes a socket.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::error::{Error, ErrorKind, Result};
use crate::limits::LISTEN_BACKLOG;
use crate::printable::printable;

/// The endpoint a broker listens on unless told otherwise. Below 32768, so that no outgoing connection takes it.
pub const DEFAULT_ENDPOINT: &str = "tcp://127.0.0.1:6680";

/// An address of a broker.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Endpoint {
    /// `tcp://HOST:PORT`; the host is a name, an IPv4 address or an IPv6 address in brackets.
    Tcp {
        /// Host as written.
        host: String,
        /// Port; 0 asks the kernel for a free one when listening.
        port: u16,
    },
    /// `uds://PATH`: a Unix stream socket; read as `ipc://PATH`, too, which is what ZeroMQ calls it.
    Uds {
        /// Path of the socket file.
        path: PathBuf,
    },
}

impl Default for Endpoint {
    fn default() -> Self {
        Endpoint::Tcp { host: "127.0.0.1".into(), port: 6680 }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Endpoint::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Endpoint::Uds { path } => write!(f, "uds://{}", path.display()),
        }
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = |why: &str| {
            Err(Error::new(
                ErrorKind::Invalid,
                format!("`{}` is no endpoint: {why}; write tcp://HOST:PORT or uds://PATH", printable(text)),
            ))
        };
        // So that an endpoint can be shown, logged and sent as a line, whoever named it.
        if !printable(text).is_plain() {
            return invalid("it holds a character that cannot be seen");
        }
        if let Some(path) = text.strip_prefix("uds://").or_else(|| text.strip_prefix("ipc://")) {
            if path.is_empty() {
                return invalid("the path is empty");
            }
            return Ok(Endpoint::Uds { path: PathBuf::from(path) });
        }
        let Some(rest) = text.strip_prefix("tcp://") else {
            return invalid("it has no scheme that is known");
        };
        let Some((host, port)) = rest.rsplit_once(':') else { return invalid("it has no port") };
        let Ok(port) = port.parse::<u16>() else { return invalid("the port is not a number up to 65535") };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        if host.is_empty() {
            return invalid("the host is empty");
        }
        if bare.is_none() && host.contains(':') {
            return invalid("an IPv6 address stands in brackets");
        }
        Ok(Endpoint::Tcp { host: host.to_owned(), port })
    }
}

impl Endpoint {
    /// As ZeroMQ writes it.
    pub fn to_zmq(&self) -> String {
        match self {
            Endpoint::Uds { path } => format!("ipc://{}", path.display()),
            Endpoint::Tcp { .. } => self.to_string(),
        }
    }

    fn addresses(&self) -> Result<Vec<SockAddr>> {
        match self {
            Endpoint::Uds { path } => {
                let addr = SockAddr::unix(path)
                    .map_err(|e| Error::new(ErrorKind::Invalid, format!("{self} cannot be a socket: {e}")))?;
                Ok(vec![addr])
            }
            Endpoint::Tcp { host, port } => {
                let found: Vec<SocketAddr> = (host.as_str(), *port)
                    .to_socket_addrs()
                    .map_err(|e| Error::io(format!("the host of {self} is not known"), e))?
                    .collect();
                Ok(found.into_iter().map(SockAddr::from).collect())
            }
        }
    }

    /// Opens a non-blocking listener, and says where: with the port that the kernel chose if 0 was asked.
    /// Without SO_REUSEPORT, so that a second broker on the same port is an error and not half the clients.
    ///
    /// # Errors
    /// `AddressInUse` when somebody listens there, else `Io`; both name the endpoint.
    pub fn listen(&self) -> Result<(OwnedFd, Endpoint)> {
        let addresses = self.addresses()?;
        let Some(addr) = addresses.first() else {
            return Err(Error::new(ErrorKind::Invalid, format!("{self} has no address")));
        };
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::AddrInUse => {
                Error::io(format!("cannot listen on {self}: another process listens there"), e)
            }
            _ => Error::io(format!("cannot listen on {self}"), e),
        };
        if let Endpoint::Uds { path } = self {
            remove_stale_socket(path, addr).map_err(failed)?;
        }
        let socket =
            Socket::new(addr.domain(), Type::STREAM.nonblocking().cloexec(), None).map_err(failed)?;
        if matches!(self, Endpoint::Tcp { .. }) {
            // Without it a broker that was killed could not take its port back for a minute.
            socket.set_reuse_address(true).map_err(failed)?;
        }
        socket.bind(addr).map_err(failed)?;
        socket.listen(LISTEN_BACKLOG).map_err(failed)?;
        let at = match self {
            Endpoint::Tcp { host, port: 0 } => {
                let local = socket.local_addr().map_err(failed)?;
                let port = local.as_socket().map_or(0, |a| a.port());
                Endpoint::Tcp { host: host.clone(), port }
            }
            other => other.clone(),
        };
        Ok((OwnedFd::from(socket), at))
    }

    /// The addresses to try, one after the other, with [`begin_connect`]. The look-up of a host name blocks; an
    /// address in digits does not.
    ///
    /// # Errors
    /// `Io` for a host that is not known, `Invalid` for a path that is too long.
    pub fn connect_addresses(&self) -> Result<Vec<SockAddr>> {
        self.addresses()
    }

    /// Whether its addresses are known without a look-up.
    pub(crate) fn is_in_digits(&self) -> bool {
        match self {
            Endpoint::Tcp { host, .. } => host.parse::<std::net::IpAddr>().is_ok(),
            Endpoint::Uds { .. } => true,
        }
    }

    /// The error for a connection that failed with `source`.
    pub fn unreachable(&self, source: io::Error) -> Error {
        Error::new(
            ErrorKind::Unreachable,
            format!(
                "no broker answers at {self} ({source}); start one with `corecast broker --listen {self}`"
            ),
        )
    }

    /// Sets what a connected or accepted stream of this kind wants: no delay for TCP, nothing for Unix sockets.
    pub fn tune(&self, socket: socket2::SockRef<'_>) -> io::Result<()> {
        match self {
            Endpoint::Tcp { .. } => socket.set_tcp_nodelay(true),
            Endpoint::Uds { .. } => Ok(()),
        }
    }

    /// Removes what a listener leaves in the file system.
    pub fn unlisten(&self) {
        if let Endpoint::Uds { path } = self {
            // Gone already is as good.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Starts a non-blocking connection: the caller waits until it is writable and then asks [`finish_connect`].
///
/// # Errors
/// Those of `connect(2)` that are known at once.
pub fn begin_connect(addr: &SockAddr) -> io::Result<OwnedFd> {
    let socket = Socket::new(addr.domain(), Type::STREAM.nonblocking().cloexec(), None)?;
    if addr.domain() != Domain::UNIX {
        socket.set_tcp_nodelay(true)?;
    }
    match socket.connect(addr) {
        Ok(()) => Ok(OwnedFd::from(socket)),
        Err(e) if e.raw_os_error() == Some(IN_PROGRESS) => Ok(OwnedFd::from(socket)),
        Err(e) => Err(e),
    }
}

/// EINPROGRESS on Linux: a non-blocking connect has begun. (`io::ErrorKind::InProgress` is not stable.)
const IN_PROGRESS: i32 = 115;

/// Whether the connection that was begun on this socket, now writable, stands.
pub fn finish_connect(socket: socket2::SockRef<'_>) -> io::Result<()> {
    if let Some(e) = socket.take_error()? {
        return Err(e);
    }
    let (peer, own) = (socket.peer_addr()?.as_socket(), socket.local_addr()?.as_socket());
    // Who asks again and again for a free port of its own host may be given that port to ask from, and meet itself.
    if peer.is_some() && peer == own { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(()) }
}

/// A socket file that nobody listens on is left by a broker that was killed: it may go. One that answers, or a
/// file that is no socket, stays.
fn remove_stale_socket(path: &Path, addr: &SockAddr) -> io::Result<()> {
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    if !meta.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path is there, and is no socket"));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM.cloexec().nonblocking(), None)?;
    match probe.connect(addr) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        _ => Err(io::Error::from(io::ErrorKind::AddrInUse)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_read_as_they_are_written() {
        for text in ["tcp://127.0.0.1:6680", "tcp://[::1]:1", "tcp://localhost:0", "uds:///run/corecast.sock"]
        {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for text in
            ["", "127.0.0.1:1", "tcp://:1", "tcp://a", "tcp://a:70000", "tcp://::1:1", "uds://", "udp://a:1"]
        {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
        }
        for text in ["uds:///run/a\nb", "tcp://a\u{1b}[2J:1", "uds:///\u{202e}x", "tcp://\u{9b}:1"] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains("cannot be seen") && printable(&error).is_plain(), "{error}");
        }
        assert_eq!(Endpoint::default().to_string(), DEFAULT_ENDPOINT);
    }

    #[test]
    fn a_second_listener_is_an_error_that_names_the_address() {
        let (_fd, at) = "tcp://127.0.0.1:0".parse::<Endpoint>().unwrap().listen().unwrap();
        let error = at.listen().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddressInUse);
        assert!(error.to_string().contains(&at.to_string()), "{error}");
    }

    #[test]
    fn a_connection_to_itself_is_none() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        // The kernel lets a socket that is bound connect to its own address.
        socket.connect(&socket.local_addr().unwrap()).unwrap();
        let error = finish_connect(socket2::SockRef::from(&socket)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_stale_socket_file_goes_a_live_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::Uds { path: dir.path().join("s") };
        let (fd, _) = endpoint.listen().unwrap();
        assert_eq!(endpoint.listen().unwrap_err().kind(), ErrorKind::AddressInUse);
        drop(fd);
        endpoint.listen().unwrap();
        let file = Endpoint::Uds { path: dir.path().join("f") };
        std::fs::write(dir.path().join("f"), "x").unwrap();
        assert!(file.listen().is_err());
    }
}
