//! Owns the listening sockets that the process was started with: systemd, and whatever else speaks its protocol of
//! `LISTEN_FDS`, opens them once and keeps them while the broker restarts, so that clients that connect meanwhile wait
//! rather than fail.

#[cfg(feature = "cli")]
use std::ffi::OsStr;
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
#[cfg(feature = "cli")]
use crate::limits::INHERITED_SOCKETS_MAX;
use crate::limits::LISTEN_BACKLOG;
#[cfg(feature = "cli")]
use crate::printable::printable;

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
    /// before there are threads, and once: a second call finds none. Sockets for another process, by `LISTEN_PID`, stay
    /// where they are, and the log says so.
    ///
    /// # Errors
    /// `Invalid`: one of these variables is no number that could be, or one of the descriptors is no listening stream socket.
    #[cfg(feature = "cli")]
    pub fn from_environment() -> Result<Self> {
        let [fds, pid, first] = [FDS, PID, FIRST_FD].map(std::env::var_os);
        match PassedOn::read([fds.as_deref(), pid.as_deref(), first.as_deref()], std::process::id())? {
            PassedOn::Nothing => return Ok(Self::default()),
            PassedOn::ToAnother(pid) => {
                let own = std::process::id();
                tracing::warn!(
                    "{FDS} is for the process {pid}, by {PID}, and this one is {own}: none of those sockets is used"
                );
                return Ok(Self::default());
            }
            PassedOn::Here => {}
        }
        let mut descriptors = listenfd::ListenFd::from_env();
        let count = descriptors.len();
        let take = |n| {
            let families = [AF_INET, AF_INET6, AF_UNIX];
            let taken = families.iter().find_map(|family| {
                descriptors.take_custom::<OwnedFd>(n, *family, SOCK_STREAM, "stream socket").ok().flatten()
            });
            taken.ok_or_else(|| {
                not_listening(format_args!("number {} of the {count} in {FDS} is none", n + 1))
            })
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

#[cfg(feature = "cli")]
const FDS: &str = "LISTEN_FDS";
#[cfg(feature = "cli")]
const PID: &str = "LISTEN_PID";
#[cfg(feature = "cli")]
const FIRST_FD: &str = "LISTEN_FDS_FIRST_FD";

/// The first descriptor that may have been passed on: those before are stdin, stdout and stderr.
#[cfg(feature = "cli")]
const FIRST_FD_MIN: u32 = 3;

/// The word of the environment on sockets that were passed on.
#[cfg(feature = "cli")]
#[derive(PartialEq, Eq, Debug)]
enum PassedOn {
    Nothing,
    Here,
    /// To the process with this number, whose environment this one has.
    ToAnother(u32),
}

#[cfg(feature = "cli")]
impl PassedOn {
    /// Reads the three variables. Nothing is a guess: with a number that is wrong, clients would wait at a socket that nobody
    /// serves, or the process would take descriptors that are something else.
    fn read([fds, pid, first]: [Option<&OsStr>; 3], own: u32) -> Result<PassedOn> {
        let number = |name: &str, text: Option<&OsStr>, range: std::ops::RangeInclusive<u32>| {
            let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
            let number =
                text.to_str().and_then(|text| text.parse::<u32>().ok()).filter(|n| range.contains(n));
            number.map(Some).ok_or_else(|| {
                let (shown, least, most) = (text.to_string_lossy(), range.start(), range.end());
                let shown = printable(&*shown);
                Error::new(
                    ErrorKind::Invalid,
                    format!(
                        "{name} is `{shown}`, and has to be a number from {least} to {most}; whoever passes sockets on sets \
                         it, and without them it is unset"
                    ),
                )
            })
        };
        let Some(count) = number(FDS, fds, 0..=INHERITED_SOCKETS_MAX)? else { return Ok(PassedOn::Nothing) };
        let pid = number(PID, pid, 1..=i32::MAX.unsigned_abs())?;
        number(FIRST_FD, first, FIRST_FD_MIN..=i32::MAX.unsigned_abs() - INHERITED_SOCKETS_MAX)?;
        Ok(match pid {
            _ if count == 0 => PassedOn::Nothing,
            Some(pid) if pid != own => PassedOn::ToAnother(pid),
            _ => PassedOn::Here,
        })
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

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_passed_on_by_numbers_that_can_be_or_not_at_all() {
        let read = |variables: [&str; 3]| {
            PassedOn::read(variables.map(|text| (text != "-").then_some(OsStr::new(text))), 42)
        };
        for (variables, wanted) in [
            (["-", "-", "-"], PassedOn::Nothing),
            (["", "junk", "junk"], PassedOn::Nothing),
            (["0", "42", "-"], PassedOn::Nothing),
            (["1", "42", "-"], PassedOn::Here),
            (["2", "-", "-"], PassedOn::Here),
            (["2", "", "7"], PassedOn::Here),
            (["1", "41", "-"], PassedOn::ToAnother(41)),
        ] {
            assert_eq!(read(variables).expect("numbers"), wanted, "{variables:?}");
        }
        for (variables, name) in [
            (["junk", "42", "-"], FDS),
            (["-1", "42", "-"], FDS),
            (["1 ", "42", "-"], FDS),
            (["1025", "42", "-"], FDS),
            (["99999999999999999999", "42", "-"], FDS),
            (["1", "junk", "-"], PID),
            (["1", "0", "-"], PID),
            (["1", "4294967338", "-"], PID),
            (["1", "42", "2"], FIRST_FD),
            (["1", "42", "2147483647"], FIRST_FD),
            (["1", "42", "x\n"], FIRST_FD),
        ] {
            let error = read(variables).expect_err("no such number").to_string();
            assert!(error.starts_with(&format!("{name} is `")) && !error.contains('\n'), "{error}");
        }
    }
}
