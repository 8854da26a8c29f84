//! Owns the listening sockets that the process was started with: systemd, and whatever else speaks its protocol of
//! `LISTEN_FDS`, opens them once and keeps them while the broker restarts, so that clients that connect meanwhile wait
//! rather than fail.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "cli")]
use nix::libc::{AF_INET, AF_INET6, AF_UNIX, SOCK_STREAM};
use socket2::{SockAddr, SockRef};

use super::address::Address;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::LISTEN_BACKLOG;

/// The sockets that the process was started with. Clones are the same sockets. Two values are equal if they are clones.
#[derive(Clone, Default)]
pub struct InheritedSockets(Arc<[Passed]>);

struct Passed {
    socket: OwnedFd,
    address: SockAddr,
    is_ipv6_only: bool,
    /// True once an endpoint has claimed it.
    is_taken: AtomicBool,
}

impl InheritedSockets {
    /// These sockets, which must be listening: it prepares them for executors.
    ///
    /// # Errors
    /// `Invalid`: one of them is no listening stream socket.
    pub fn of(sockets: impl IntoIterator<Item = OwnedFd>) -> Result<Self> {
        let passed: Result<Vec<Passed>> = sockets.into_iter().map(Passed::prepare).collect();
        Ok(InheritedSockets(passed?.into()))
    }

    /// Takes the sockets that `LISTEN_FDS` names, if the process was started with any, and removes that variable. To be called
    /// before there are threads, and once: a second call finds none.
    ///
    /// # Errors
    /// `Invalid`: one of the descriptors is no listening stream socket.
    #[cfg(feature = "cli")]
    pub fn from_environment() -> Result<Self> {
        let mut descriptors = listenfd::ListenFd::from_env();
        let count = descriptors.len();
        let take = |n| {
            let families = [AF_INET, AF_INET6, AF_UNIX];
            let taken = families.iter().find_map(|family| {
                descriptors.take_custom::<OwnedFd>(n, *family, SOCK_STREAM, "stream socket").ok().flatten()
            });
            taken.ok_or_else(|| not_listening("it is none"))
        };
        let sockets: Result<Vec<OwnedFd>> = (0..count).map(take).collect();
        Self::of(sockets?)
    }

    /// Takes those that listen at these addresses of one endpoint, each at that port unless it has no port; none, if there is
    /// no socket for any of them. A socket for `[::]` that is not for IPv6 alone covers IPv4 as well.
    ///
    /// # Errors
    /// When some of the addresses have a socket and others have none, or there is no free descriptor.
    pub(super) fn take(&self, addresses: &[Address], port: Option<u16>) -> io::Result<Vec<OwnedFd>> {
        let wanted: Vec<SockAddr> = addresses.iter().map(|address| at_port(address.sock(), port)).collect();
        let covering = |address: &SockAddr| self.0.iter().position(|passed| passed.covers(address));
        let mut found: Vec<usize> = wanted.iter().filter_map(covering).collect();
        if let Some(bare) = wanted.iter().find(|address| covering(address).is_none())
            && !found.is_empty()
        {
            let text = format!(
                "the process was started with a socket for one of its addresses and with none for {}",
                text(bare)
            );
            return Err(io::Error::other(text));
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|n| self.0[n].hand_out()).collect()
    }

    /// Checks that each of them has been claimed.
    ///
    /// # Errors
    /// `Invalid`, with the addresses at which clients would wait for ever.
    pub fn check_all_taken(&self) -> Result<()> {
        let left: Vec<String> = self
            .0
            .iter()
            .filter(|passed| !passed.is_taken.load(Ordering::Relaxed))
            .map(Passed::text)
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        let text = format!(
            "the process was started with sockets that listen at {}, and no option names them: add --listen, --zmtp or \
             --metrics with each of these addresses, or leave them out of the socket unit",
            left.join(", ")
        );
        Err(Error::new(ErrorKind::Invalid, text))
    }
}

fn not_listening(why: impl fmt::Display) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format!("a descriptor that was passed on is no listening stream socket: {why}"),
    )
}

impl Passed {
    fn prepare(socket: OwnedFd) -> Result<Self> {
        let prepare = || {
            let of = SockRef::from(&socket);
            if !of.is_listener()? {
                return Err(io::Error::other("it does not listen"));
            }
            of.set_nonblocking(true)?;
            // Whoever opened it may have chosen a shorter queue.
            of.listen(LISTEN_BACKLOG)?;
            let address = of.local_addr()?;
            Ok((address.is_ipv6() && of.only_v6()?, address))
        };
        let (is_ipv6_only, address) = prepare().map_err(not_listening)?;
        Ok(Passed { socket, address, is_ipv6_only, is_taken: AtomicBool::new(false) })
    }

    fn covers(&self, wanted: &SockAddr) -> bool {
        if let (Some(own), Some(wanted)) = (self.address.as_socket(), wanted.as_socket()) {
            let covers_ipv4 = own.is_ipv6() && !self.is_ipv6_only && own.ip().is_unspecified();
            let is_at = own.ip() == wanted.ip() || covers_ipv4 && wanted.ip().is_unspecified();
            return is_at && own.port() == wanted.port();
        }
        let names = [&self.address, wanted].map(|address| {
            let path = address.as_pathname().map(|path| path.as_os_str().as_encoded_bytes());
            path.or_else(|| address.as_abstract_namespace())
        });
        names[0].is_some() && names[0] == names[1]
    }

    /// Returns a descriptor of its own for the same socket, once: two options with one socket would each get some of its clients.
    fn hand_out(&self) -> io::Result<OwnedFd> {
        let own = self.socket.try_clone()?;
        if self.is_taken.swap(true, Ordering::Relaxed) {
            let text = format!(
                "another option has the socket that the process was started with for {}",
                self.text()
            );
            return Err(io::Error::other(text));
        }
        Ok(own)
    }

    fn text(&self) -> String {
        text(&self.address)
    }
}

fn text(address: &SockAddr) -> String {
    match (address.as_socket(), address.as_pathname()) {
        (Some(address), _) => address.to_string(),
        (None, Some(path)) => path.display().to_string(),
        (None, None) => "a name in the abstract namespace".to_owned(),
    }
}

/// The same address at that port.
fn at_port(address: &SockAddr, port: Option<u16>) -> SockAddr {
    match (address.as_socket(), port) {
        (Some(mut at), Some(port)) => {
            at.set_port(port);
            at.into()
        }
        _ => address.clone(),
    }
}

impl PartialEq for InheritedSockets {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.is_empty() && other.0.is_empty()
    }
}

impl Eq for InheritedSockets {}

impl std::hash::Hash for InheritedSockets {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|passed| passed.socket.as_raw_fd().hash(state));
    }
}

impl fmt::Debug for InheritedSockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(Passed::text)).finish()
    }
}
