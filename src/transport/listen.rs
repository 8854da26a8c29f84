//! Listening: a socket at each address of an endpoint, with one port for all of them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, Socket, Type};

use super::accept::ListeningSocket;
use super::address::Address;
use super::endpoint::Endpoint;
use super::listen_config::ListenConfig;
use super::socket_file::{self, SocketFile};
use super::stream::StreamKind;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::LISTEN_BACKLOG;

/// Attempts to get a port that is free at every address of a name: another process may have it at one.
const FREE_PORT_TRIES: u32 = 16;

/// Open listeners, one at each address of an endpoint.
#[derive(Debug)]
pub struct Listening {
    /// The file of a Unix socket with a path; before the sockets, so that it is dropped while they still listen.
    pub file: Option<SocketFile>,
    /// The sockets, at least one.
    pub sockets: Vec<ListeningSocket>,
    /// The endpoint: with the port that the kernel chose if 0 was requested.
    pub endpoint: Endpoint,
}

impl Listening {
    /// True if other hosts reach it: a TCP listener at any address that is not loopback.
    pub fn is_remote(&self) -> bool {
        let is_loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
        self.sockets.iter().filter_map(ListeningSocket::address).any(|address| !is_loopback(address))
    }

    /// True if nobody on the way reads what passes there.
    pub fn is_encrypted(&self) -> bool {
        self.endpoint.is_encrypted()
    }
}

/// Opens non-blocking listeners at every address of an endpoint that the host has, all with the same port. Without
/// SO_REUSEPORT, so that a second broker on the same port is an error and not half the clients. For plain threads: a host
/// name is looked up.
///
/// # Errors
/// `AddressInUse` when somebody listens there, else `Io`; both name the endpoint. `Invalid` for the mode or group of what has no
/// file, and for TLS without a certificate.
pub fn listen(endpoint: &Endpoint, config: &ListenConfig) -> Result<Listening> {
    endpoint.listen_at(&endpoint.listen_addresses_blocking()?, config)
}

impl Endpoint {
    /// Opens listeners like [`listen`], at its addresses, which have been looked up.
    pub(crate) fn listen_at(&self, addresses: &[Address], config: &ListenConfig) -> Result<Listening> {
        let failed = |e: io::Error| match e.kind() {
            // One with words of its own says more.
            io::ErrorKind::AddrInUse if e.get_ref().is_none() => {
                Error::io(format!("cannot listen on {self}: another process listens there"), e)
            }
            io::ErrorKind::AddrNotAvailable => {
                let text = "it is no address of this host; write one that is, or * for all of them";
                Error::io(format!("cannot listen on {self}: {text}"), e)
            }
            _ => Error::io(format!("cannot listen on {self}{}", self.missing_folder()), e),
        };
        let kind = incoming_kind(self, config)?;
        match self {
            Endpoint::Uds { path } => {
                let Some(address) = addresses.first() else {
                    return Err(Error::new(ErrorKind::Invalid, format!("{self} has no address")));
                };
                if self.is_abstract() && config.mode().is_some() {
                    let text =
                        format!("{self} has no file: everybody on this host may connect; write uds://PATH");
                    return Err(Error::new(ErrorKind::Invalid, text));
                }
                let listening = match config.inherited.take(addresses, None).map_err(failed)?.pop() {
                    // The file belongs to whoever made the socket.
                    Some(socket) => Ok((socket, None)),
                    None if self.is_abstract() => {
                        listen_on_unix(address, config).map(|socket| (socket.into(), None))
                    }
                    None => listen_on_file(path, address, config)
                        .map(|(socket, file)| (socket.into(), Some(file))),
                };
                let (socket, file) = listening.map_err(failed)?;
                Ok(Listening {
                    file,
                    sockets: vec![ListeningSocket::unix(socket, kind)],
                    endpoint: self.clone(),
                })
            }
            Endpoint::Tcp { port, .. } | Endpoint::Tls { port, .. } => {
                let inherited = config.inherited.take(addresses, Some(*port)).map_err(failed)?;
                let (sockets, port) = if inherited.is_empty() {
                    listen_on_all(addresses, *port).map_err(failed)?
                } else {
                    (inherited, *port)
                };
                let listening = |socket| ListeningSocket::tcp(socket, kind.clone());
                let sockets = sockets.into_iter().map(listening).collect();
                Ok(Listening { file: None, sockets, endpoint: self.clone().with_port(port) })
            }
        }
    }
}

/// The kind of the streams of connections that come in there.
fn incoming_kind(endpoint: &Endpoint, config: &ListenConfig) -> Result<StreamKind> {
    if endpoint.pin().is_some() {
        let text = format!("{endpoint} has a fingerprint, which is for those who connect: write it without");
        return Err(Error::new(ErrorKind::Invalid, text));
    }
    match (endpoint.is_encrypted(), &config.tls) {
        (false, _) => Ok(StreamKind::unencrypted(endpoint.host())),
        (true, Some(tls)) => Ok(StreamKind::of_server(tls)),
        (true, None) => {
            let text = format!("{endpoint} needs a certificate and its key, and there is none");
            Err(Error::new(ErrorKind::Invalid, text))
        }
    }
}

fn listen_on_file(path: &Path, address: &Address, config: &ListenConfig) -> io::Result<(Socket, SocketFile)> {
    socket_file::listen_at(path, address, || {
        let socket = listen_on_unix(address, config)?;
        if let Err(e) = config.set_access(path) {
            // The file is ours, and useless.
            let _ = std::fs::remove_file(path);
            return Err(e);
        }
        Ok(socket)
    })
}

fn listen_on_unix(address: &Address, config: &ListenConfig) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    if let Some(mode) = config.mode() {
        // A file is made with this mode, less the umask: it is never open to more than are meant.
        fchmod(&socket, Mode::from_bits_truncate(mode))?;
    }
    socket.bind(address.sock())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket)
}

/// Listens at every address that this host has; returns the port, too.
fn listen_on_all(addresses: &[Address], port: u16) -> io::Result<(Vec<OwnedFd>, u16)> {
    let mut tries = if port == 0 { FREE_PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        match try_listen_on_all(addresses, port) {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            done => return done,
        }
    }
}

fn try_listen_on_all(addresses: &[Address], mut port: u16) -> io::Result<(Vec<OwnedFd>, u16)> {
    let mut sockets = Vec::with_capacity(addresses.len());
    let mut absent = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses.iter().filter_map(|address| address.sock().as_socket()) {
        match listen_on(address, port, addresses.len() > 1) {
            Ok(socket) => {
                port = socket.local_addr()?.as_socket().map_or(port, |local| local.port());
                sockets.push(socket.into());
            }
            // A name may have more addresses than this host: without IPv6, `localhost` still does.
            Err(e) if is_absent(&e) => absent = e,
            Err(e) => return Err(e),
        }
    }
    if sockets.is_empty() { Err(absent) } else { Ok((sockets, port)) }
}

fn listen_on(mut address: SocketAddr, port: u16, among_others: bool) -> io::Result<Socket> {
    address.set_port(port);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), None)?;
    // Without it a broker that was killed could not take its port back for a minute.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && among_others {
        // `[::]` would take the port of `0.0.0.0`, too.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket)
}

fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn listen(text: &str) -> Result<Listening> {
        super::listen(&text.parse().expect("an endpoint"), &ListenConfig::default())
    }

    fn port(endpoint: &Endpoint) -> u16 {
        match endpoint {
            Endpoint::Tcp { port, .. } | Endpoint::Tls { port, .. } => *port,
            Endpoint::Uds { .. } => panic!("{endpoint} has no port"),
        }
    }

    #[test]
    fn every_address_of_a_name_is_listened_on_with_one_port() {
        for text in ["tcp://*:0", "tcp://localhost:*", ":0"] {
            let listening = listen(text).unwrap();
            let port = port(&listening.endpoint);
            std::net::TcpStream::connect(("127.0.0.1", port)).expect(text);
            let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
            let means_ipv6 = text.contains('*') && !text.contains("localhost") || text.starts_with(':');
            if has_ipv6 && means_ipv6 {
                assert_eq!(listening.sockets.len(), 2, "{text}");
                std::net::TcpStream::connect(("::1", port)).expect(text);
            }
            assert_eq!(
                super::listen(&listening.endpoint, &ListenConfig::default()).unwrap_err().kind(),
                ErrorKind::AddressInUse
            );
        }
    }

    #[test]
    fn places_that_are_not_on_this_host_are_errors_that_say_so() {
        let error = listen("tcp://192.0.2.1:0").unwrap_err();
        let wanted =
            "cannot listen on tcp://192.0.2.1:0: it is no address of this host; write one that is, or * for";
        assert!(error.to_string().starts_with(wanted), "{error}");
        let dir = tempfile::tempdir().unwrap();
        for name in ["s".to_owned(), "f".repeat(150)] {
            let path = dir.path().join("none").join(name).join("s");
            let error = listen(&path.display().to_string()).unwrap_err().to_string();
            let folder = path.parent().unwrap().display();
            assert!(error.contains(&format!(": the folder {folder} is not there; make it first")), "{error}");
        }
    }

    #[test]
    fn a_socket_file_has_the_mode_and_the_group_that_were_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let own = std::fs::metadata(dir.path()).unwrap().gid();
        for (config, mode) in [
            (ListenConfig::default().file_mode(0o600), 0o600),
            (ListenConfig::default().file_mode(0o666).file_group(own), 0o666),
            (ListenConfig::default().file_group(own), 0o660),
        ] {
            let path = dir.path().join(format!("{mode:o}"));
            let _listening = super::listen(&Endpoint::Uds { path: path.clone() }, &config).unwrap();
            let metadata = std::fs::metadata(&path).unwrap();
            assert_eq!((metadata.mode() & 0o777, metadata.gid()), (mode, own));
        }
        let text = Endpoint::Uds { path: "@corecast-test-of-access".into() };
        let error = super::listen(&text, &ListenConfig::default().file_mode(0o600)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}
