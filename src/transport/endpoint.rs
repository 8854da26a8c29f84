//! The address of a broker, `tcp://HOST:PORT`, `tls://HOST:PORT` or `uds://PATH`: its text, its socket addresses, and the
//! errors for one that cannot be reached.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use nix::errno::Errno;

use super::address::Address;
use super::tls::Fingerprint;
use super::{names, text};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::LOOK_UP_TIMEOUT;
use crate::printable::printable;

/// The default endpoint of a broker.
pub const DEFAULT_ENDPOINT: &str = "tcp://127.0.0.1:6680";

/// Its port: below 32768, so that no outgoing connection takes it.
pub(super) const DEFAULT_PORT: u16 = 6680;
pub(super) const DEFAULT_PORT_TEXT: &str = "6680";

/// The host that means every address of this host: for listening, and for its own processes to connect.
pub(super) const ANY_HOST: &str = "*";

/// An address of a broker. There may be more transports in later versions.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Endpoint {
    /// `tcp://HOST:PORT`; the host is a name, an IPv4 address, an IPv6 address in brackets, or `*` for every address of
    /// this host. `HOST:PORT` and `:PORT` are read, too.
    Tcp {
        /// Host as written.
        host: String,
        /// Port; 0 asks the kernel for a free one when listening.
        port: u16,
    },
    /// `tls://HOST:PORT`: the same, encrypted by TLS 1.3. Takes the feature `tls`.
    Tls {
        /// Host as written; the certificate has to be for it.
        host: String,
        /// Port; 0 asks the kernel for a free one when listening.
        port: u16,
        /// The fingerprint of the certificate that the other end must have, whoever has made it: `#sha256:HEX` behind the port.
        /// Direct publishers advertise their endpoint with it. Boxed, since few endpoints have one and many errors have an endpoint.
        pin: Option<Box<Fingerprint>>,
    },
    /// `uds://PATH`: a Unix stream socket; read as `ipc://PATH`, too, which is what ZeroMQ calls it, as `unix:PATH`, and
    /// as a bare path that begins with `/` or `.`.
    Uds {
        /// Path of the socket file; with an `@` before it, a name of the abstract namespace, which has no file.
        path: PathBuf,
    },
}

impl Default for Endpoint {
    fn default() -> Self {
        Endpoint::Tcp { host: "127.0.0.1".into(), port: DEFAULT_PORT }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Uds { path } => write!(f, "uds://{}", path.display()),
            Endpoint::Tcp { host, port } | Endpoint::Tls { host, port, .. } => {
                let scheme = self.scheme();
                if host.contains(':') {
                    write!(f, "{scheme}://[{host}]:{port}")?;
                } else {
                    write!(f, "{scheme}://{host}:{port}")?;
                }
                self.pin().map_or(Ok(()), |pin| write!(f, "#{pin}"))
            }
        }
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(written: &str) -> Result<Self> {
        text::parse(written).map_err(|why| {
            Error::new(ErrorKind::Invalid, format!("`{}` is no endpoint: {why}", printable(written)))
        })
    }
}

impl Endpoint {
    /// As ZeroMQ writes it.
    pub fn to_zmq(&self) -> String {
        match self {
            Endpoint::Uds { path } => format!("ipc://{}", path.display()),
            Endpoint::Tcp { .. } | Endpoint::Tls { .. } => self.to_string(),
        }
    }

    /// As readers of an HTTP server there write it.
    #[cfg(feature = "broker")]
    pub(crate) fn to_url(&self) -> String {
        match self {
            Endpoint::Tcp { .. } => self.to_string().replacen("tcp://", "http://", 1),
            Endpoint::Tls { .. } => self.to_string().replacen("tls://", "https://", 1),
            Endpoint::Uds { .. } => self.to_string(),
        }
    }

    /// The addresses to connect to, one after the other. A host name is looked up: drop the future to stop waiting.
    ///
    /// # Errors
    /// `Io` for an unknown host or a missing folder, `Invalid` for a path that is too long or port 0.
    pub(super) async fn connect_addresses(&self) -> Result<Vec<Address>> {
        self.check_port()?;
        match self.known_addresses(&LOOPBACK) {
            Some(known) => known,
            None => self.found(names::look_up(self.host()).await),
        }
    }

    /// The same for plain threads, which wait for a look-up until `deadline`.
    pub(super) fn connect_addresses_until(&self, deadline: Instant) -> Result<Vec<Address>> {
        self.check_port()?;
        self.known_addresses(&LOOPBACK)
            .unwrap_or_else(|| self.found(names::look_up_until(self.host(), deadline)))
    }

    fn check_port(&self) -> Result<()> {
        if self.port() == Some(0) {
            let text = format!(
                "{self} has the port 0, which is for listening alone; write the port that is listened on"
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        Ok(())
    }

    /// The addresses to listen on, like [`Endpoint::connect_addresses`] for connecting.
    pub(crate) async fn listen_addresses(&self) -> Result<Vec<Address>> {
        match self.known_addresses(&UNSPECIFIED) {
            Some(known) => known,
            None => self.found(names::look_up(self.host()).await),
        }
    }

    /// The same for plain threads, which wait for [`LOOK_UP_TIMEOUT`] at most.
    pub(super) fn listen_addresses_blocking(&self) -> Result<Vec<Address>> {
        let deadline = Instant::now() + LOOK_UP_TIMEOUT;
        self.known_addresses(&UNSPECIFIED)
            .unwrap_or_else(|| self.found(names::look_up_until(self.host(), deadline)))
    }

    pub(super) fn host(&self) -> &str {
        match self {
            Endpoint::Tcp { host, .. } | Endpoint::Tls { host, .. } => host,
            Endpoint::Uds { .. } => "",
        }
    }

    /// The port; none for a Unix socket.
    pub(super) fn port(&self) -> Option<u16> {
        match self {
            Endpoint::Tcp { port, .. } | Endpoint::Tls { port, .. } => Some(*port),
            Endpoint::Uds { .. } => None,
        }
    }

    /// The fingerprint of the certificate that the other end must have.
    pub(crate) fn pin(&self) -> Option<Fingerprint> {
        match self {
            Endpoint::Tls { pin, .. } => pin.as_deref().copied(),
            Endpoint::Tcp { .. } | Endpoint::Uds { .. } => None,
        }
    }

    /// The same endpoint, where the other end must have this certificate, or any.
    pub(crate) fn pinned(mut self, to: Option<Fingerprint>) -> Self {
        if let Endpoint::Tls { pin, .. } = &mut self {
            *pin = to.map(Box::new);
        }
        self
    }

    fn scheme(&self) -> &'static str {
        match self {
            Endpoint::Tcp { .. } => "tcp",
            Endpoint::Tls { .. } => "tls",
            Endpoint::Uds { .. } => "uds",
        }
    }

    /// The same endpoint with this port; a Unix socket has none.
    pub(super) fn with_port(mut self, new: u16) -> Self {
        if let Endpoint::Tcp { port, .. } | Endpoint::Tls { port, .. } = &mut self {
            *port = new;
        }
        self
    }

    /// The addresses, if they are known without a look-up: those of `any` for [`ANY_HOST`].
    fn known_addresses(&self, any: &[IpAddr]) -> Option<Result<Vec<Address>>> {
        let at = |ip: &IpAddr, port: u16| Address::from(SocketAddr::new(*ip, port));
        match self {
            Endpoint::Uds { path } => {
                let address = Address::unix(path).map_err(|e| match e.kind() {
                    io::ErrorKind::InvalidInput => {
                        Error::new(ErrorKind::Invalid, format!("{self} cannot be a socket: {e}"))
                    }
                    // The folder of a long path.
                    _ => Error::io(format!("{self} cannot be a socket{}", self.missing_folder()), e),
                });
                Some(address.map(|address| vec![address]))
            }
            Endpoint::Tcp { host, port } | Endpoint::Tls { host, port, .. } if host == ANY_HOST => {
                Some(Ok(any.iter().map(|ip| at(ip, *port)).collect()))
            }
            Endpoint::Tcp { host, port } | Endpoint::Tls { host, port, .. } => {
                host.parse().ok().map(|ip| Ok(vec![at(&ip, *port)]))
            }
        }
    }

    /// The result of a look-up, with the port, each address once.
    fn found(&self, found: names::LookUp) -> Result<Vec<Address>> {
        let (host, Some(port)) = (self.host(), self.port()) else { return Ok(Vec::new()) };
        let found = found.map_err(|why| {
            let is_interface = Path::new("/sys/class/net").join(host).exists();
            let hint = if is_interface {
                "; it is a network interface: write one of its addresses, or * for all of this host"
            } else {
                ""
            };
            Error::new(ErrorKind::Io, format!("the host of {self} is not known: {why}{hint}"))
        })?;
        let mut addresses: Vec<SocketAddr> = Vec::with_capacity(found.len());
        for mut address in found {
            address.set_port(port);
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(addresses.into_iter().map(Address::from).collect())
    }

    /// The endpoint for an error or a log line, with the address of it that was tried: `tcp://localhost:6680
    /// (127.0.0.1:6680)`. One that is written as an address stands alone.
    pub(crate) fn at(&self, address: Option<SocketAddr>) -> String {
        let is_name = self.host().parse::<IpAddr>().is_err();
        match address.filter(|_| is_name) {
            Some(address) => format!("{self} ({address})"),
            None => self.to_string(),
        }
    }

    /// The error for a connection to `address` that failed with `source`.
    pub(super) fn unreachable(&self, address: Option<SocketAddr>, source: &io::Error) -> Error {
        self.barred(address, source).unwrap_or_else(|| {
            let (here, (place, listen)) = (self.at(address), self.where_to_start());
            let text = format!(
                "no broker answers at {here}: {source}; start one{place} with `corecast broker --listen {listen}`"
            );
            Error::new(ErrorKind::Unreachable, text)
        })
    }

    /// The same, if `source` is a reason of this host, whether or not anybody listens at the other end.
    pub(super) fn barred(&self, address: Option<SocketAddr>, source: &io::Error) -> Option<Error> {
        let is_used_up =
            [Errno::EMFILE, Errno::ENFILE].iter().any(|e| source.raw_os_error() == Some(*e as i32));
        let here = self.at(address);
        let text = match (self, source.kind()) {
            _ if is_used_up => format!(
                "no descriptor is left to connect to {here}: {source}; raise the limit of open files (ulimit -n)"
            ),
            (Endpoint::Uds { .. }, io::ErrorKind::PermissionDenied) => format!(
                "this user may not connect to {here}: {source}; the broker says who may, with --socket-mode and \
                 --socket-group, and so do the folders above"
            ),
            (_, io::ErrorKind::PermissionDenied) => format!(
                "this host does not let this process connect to {here}: {source}; look at its firewall and sandboxes"
            ),
            _ => return None,
        };
        Some(Error::new(ErrorKind::Unreachable, text))
    }

    /// A part of an error, if it is a socket file whose folder does not exist; otherwise empty.
    pub(super) fn missing_folder(&self) -> String {
        let Endpoint::Uds { path } = self else { return String::new() };
        let folder = path.parent().filter(|folder| !self.is_abstract() && !folder.as_os_str().is_empty());
        match folder.filter(|folder| !folder.exists()) {
            Some(folder) => format!(": the folder {} is not there; make it first", folder.display()),
            None => String::new(),
        }
    }

    /// The place where a broker for this endpoint would have to run, for an error, and the endpoint to listen on.
    fn where_to_start(&self) -> (&'static str, Endpoint) {
        match self {
            // No advice to open a port to the network.
            _ if self.is_any_host() => {
                let mut here = self.clone();
                if let Endpoint::Tcp { host, .. } | Endpoint::Tls { host, .. } = &mut here {
                    *host = "localhost".into();
                }
                ("", here)
            }
            Endpoint::Tcp { host, .. } | Endpoint::Tls { host, .. } if !is_this_host(host) => {
                (" on that host", self.clone())
            }
            _ => ("", self.clone()),
        }
    }

    /// True if it means every address of a host: for listening, and of no use elsewhere.
    pub(crate) fn is_any_host(&self) -> bool {
        let host = self.host();
        host == ANY_HOST || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_unspecified())
    }

    /// True if other hosts reach a listener there, as far as the address tells: a name tells nothing before it is looked up.
    #[cfg(feature = "broker")]
    pub(crate) fn is_plainly_remote(&self) -> bool {
        let (Endpoint::Tcp { host, .. } | Endpoint::Tls { host, .. }) = self else { return false };
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        self.is_any_host() || address.is_ok_and(|address| !address.to_canonical().is_loopback())
    }

    /// True for `tls://`.
    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self, Endpoint::Tls { .. })
    }

    /// True if only clients on the same host can connect there.
    pub(crate) fn is_of_one_host(&self) -> bool {
        match self {
            Endpoint::Tcp { host, .. } | Endpoint::Tls { host, .. } => is_this_host(host),
            Endpoint::Uds { .. } => true,
        }
    }

    /// True for what anybody on the way could read: TCP without encryption, and not within this host.
    pub(crate) fn is_open_to_readers(&self) -> bool {
        matches!(self, Endpoint::Tcp { host, .. } if !is_this_host(host))
    }

    /// True if a client that reaches a broker here may follow it there, where it shows its credentials: over connections that are as
    /// well protected, and to its own host only if it was there before.
    pub(crate) fn may_lead_to(&self, other: &Endpoint) -> bool {
        let is_here = |endpoint: &Endpoint| match endpoint {
            Endpoint::Uds { .. } => true,
            Endpoint::Tcp { host, .. } | Endpoint::Tls { host, .. } => is_this_host(host),
        };
        let is_protected = match self {
            Endpoint::Tls { .. } => other.is_encrypted(),
            Endpoint::Uds { .. } => !other.is_open_to_readers(),
            Endpoint::Tcp { .. } => !matches!(other, Endpoint::Uds { .. }),
        };
        is_protected && (is_here(self) || !is_here(other)) && other.can_be_reached()
    }

    /// True unless it is an address to listen on alone.
    pub(crate) fn can_be_reached(&self) -> bool {
        self.port() != Some(0) && !self.is_any_host()
    }

    /// The error for a host whose look-up took too long.
    pub(crate) fn not_looked_up(&self) -> Error {
        let is_name = self.port().is_some() && self.host().parse::<IpAddr>().is_err();
        let text = match is_name {
            true => format!("the host of {self} is not known: no name server has answered in time"),
            false => format!("the time was over before {self} could be tried"),
        };
        Error::new(ErrorKind::Unreachable, text)
    }

    /// True if it is a name in the abstract namespace, which has no file.
    pub(crate) fn is_abstract(&self) -> bool {
        matches!(self, Endpoint::Uds { path } if path.as_os_str().as_bytes().starts_with(b"@"))
    }
}

/// The addresses of a TCP endpoint to connect to, for plain threads, which wait for a look-up until `deadline`.
///
/// # Errors
/// The host is not known, or not in time.
pub fn tcp_addresses_until(endpoint: &Endpoint, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
    let found =
        endpoint.connect_addresses_until(deadline).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(found.iter().filter_map(|address| address.sock().as_socket()).collect())
}

/// True for the names and addresses by which a host calls itself.
fn is_this_host(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Every address of this host: to listen, and to connect from here.
const UNSPECIFIED: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

#[cfg(test)]
mod tests {
    use super::super::connect;
    use super::super::{ListenConfig, Listening, listen};
    use super::*;

    #[test]
    fn endpoints_read_as_they_are_written() {
        for text in ["tcp://127.0.0.1:6680", "tcp://[::1]:1", "tcp://localhost:0", "uds:///run/corecast.sock"]
        {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for text in ["", "tcp://a", "tcp://a:70000", "tcp://::1:1", "uds://", "udp://a:1"] {
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
    fn a_broker_leads_its_clients_only_to_where_they_are_as_safe() {
        for (from, to, may) in [
            ("tcp://a:1", "tcp://b:1", true),
            ("tcp://a:1", "tls://b:1", true),
            ("tls://a:1", "tls://b:1", true),
            ("tls://a:1", "tcp://b:1", false),
            ("tls://a:1", "uds:///run/x", false),
            ("tls://a:1", "tls://127.0.0.1:1", false),
            ("tcp://a:1", "tcp://localhost:1", false),
            ("tcp://a:1", "uds:///run/x", false),
            ("tcp://127.0.0.1:1", "tcp://127.0.0.1:2", true),
            ("tcp://127.0.0.1:1", "tcp://b:1", true),
            ("uds:///run/x", "uds:///run/y", true),
            ("uds:///run/x", "tcp://127.0.0.1:1", true),
            ("uds:///run/x", "tls://b:1", true),
            ("uds:///run/x", "tcp://b:1", false),
            ("tcp://a:1", "tcp://b:0", false),
            ("tcp://127.0.0.1:1", "tcp://*:1", false),
        ] {
            let [here, there]: [Endpoint; 2] = [from, to].map(|text| text.parse().expect(text));
            assert_eq!(here.may_lead_to(&there), may, "{from} to {to}");
        }
    }

    #[test]
    fn a_second_listener_is_an_error_that_names_the_address() {
        let listen = |at: &Endpoint| listen(at, &ListenConfig::default());
        let at = listen(&"tcp://127.0.0.1:0".parse().unwrap()).unwrap();
        let error = listen(&at.endpoint).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddressInUse);
        assert!(error.to_string().contains(&at.endpoint.to_string()), "{error}");
    }

    #[test]
    fn a_stale_socket_file_goes_a_live_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let listen = |at: &Endpoint| listen(at, &ListenConfig::default());
        let endpoint = Endpoint::Uds { path: dir.path().join("s") };
        let listening = listen(&endpoint).unwrap();
        assert_eq!(listen(&endpoint).unwrap_err().kind(), ErrorKind::AddressInUse);
        let Listening { file, sockets, .. } = listening;
        // As one that is killed leaves it.
        std::mem::forget(file);
        drop(sockets);
        listen(&endpoint).unwrap();
        let file = Endpoint::Uds { path: dir.path().join("f") };
        std::fs::write(dir.path().join("f"), "x").unwrap();
        assert!(listen(&file).is_err());
    }

    #[test]
    fn a_path_that_is_too_long_for_a_socket_address_leads_through_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("f".repeat(150));
        std::fs::create_dir(&folder).unwrap();
        let endpoint = Endpoint::Uds { path: folder.join("broker.sock.0123456789abcdef") };
        let listening = listen(&endpoint, &ListenConfig::default().file_mode(0o600)).unwrap();
        let addresses = futures_lite::future::block_on(endpoint.connect_addresses()).unwrap();
        connect::begin(&addresses[0]).unwrap();
        assert_eq!(listen(&endpoint, &ListenConfig::default()).unwrap_err().kind(), ErrorKind::AddressInUse);
        drop(listening);
        listen(&endpoint, &ListenConfig::default()).unwrap();
        assert!(std::fs::read_dir(&folder).unwrap().next().is_none());
    }

    #[test]
    fn port_0_is_for_listening_alone() {
        let endpoint: Endpoint = "tcp://localhost:0".parse().unwrap();
        let error = futures_lite::future::block_on(endpoint.connect_addresses()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("write the port"), "{error}");
    }

    #[test]
    fn names_that_no_socket_address_holds_say_how_long_they_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let name = format!("@{}", "n".repeat(107));
        for path in [PathBuf::from(name), dir.path().join("n".repeat(150))] {
            let endpoint = Endpoint::Uds { path };
            let error = listen(&endpoint, &ListenConfig::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains("too long; write one of at most "), "{error}");
        }
        let longest = format!("@corecast-{}-", std::process::id());
        let longest = Endpoint::Uds { path: format!("{longest:n<107}").into() };
        listen(&longest, &ListenConfig::default()).unwrap();
    }

    #[test]
    fn an_error_names_the_address_that_was_tried_unless_it_is_what_was_written() {
        let tried = Some("127.0.0.1:1".parse().unwrap());
        for (text, place) in [
            ("tcp://localhost:1", "tcp://localhost:1 (127.0.0.1:1)"),
            ("tcp://*:1", "tcp://*:1 (127.0.0.1:1)"),
            ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            let error = endpoint.unreachable(tried, &io::ErrorKind::ConnectionRefused.into()).to_string();
            let wanted = format!("no broker answers at {place}: connection refused; start one");
            assert!(error.starts_with(&wanted), "{error}");
        }
        let file: Endpoint = "uds:///run/x".parse().unwrap();
        assert_eq!(file.at(None).to_string(), "uds:///run/x");
    }

    #[test]
    fn no_right_to_a_socket_file_does_not_read_as_no_broker() {
        let endpoint = Endpoint::Uds { path: "/run/corecast.sock".into() };
        let denied = endpoint.unreachable(None, &io::ErrorKind::PermissionDenied.into()).to_string();
        assert!(denied.contains("may not connect") && denied.contains("--socket-mode"), "{denied}");
        assert!(!denied.contains("start one"), "{denied}");
        let filtered =
            Endpoint::default().unreachable(None, &io::ErrorKind::PermissionDenied.into()).to_string();
        assert!(filtered.contains("firewall") && !filtered.contains("start one"), "{filtered}");
        let used_up = endpoint.unreachable(None, &Errno::EMFILE.into()).to_string();
        assert!(used_up.contains("raise the limit of open files") && !used_up.contains("start one"));
        let elsewhere: Endpoint = "tcp://10.0.0.5:1".parse().unwrap();
        let elsewhere = elsewhere.unreachable(None, &io::ErrorKind::ConnectionRefused.into()).to_string();
        assert!(
            elsewhere.contains("start one on that host with `corecast broker --listen tcp://10.0.0.5:1`")
        );
        let any: Endpoint = "*:1".parse().unwrap();
        let any = any.unreachable(None, &io::ErrorKind::ConnectionRefused.into()).to_string();
        assert!(any.contains("start one with `corecast broker --listen tcp://localhost:1`"), "{any}");
        let absent = endpoint.unreachable(None, &io::ErrorKind::NotFound.into()).to_string();
        assert!(
            absent.contains("start one with `corecast broker --listen uds:///run/corecast.sock`"),
            "{absent}"
        );
    }
}
