//! One address of an endpoint, in the form that the kernel takes.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::OFlag;
use socket2::SockAddr;

/// Bytes of a path in a socket address, including its NUL (`unix(7)`).
const SUN_PATH_BYTES: usize = 108;

/// The address to connect to or to listen on.
#[derive(Debug)]
pub(crate) struct Address {
    sock: SockAddr,
    /// The folder of a path that is too long for a socket address, which then leads through this descriptor.
    _folder: Option<File>,
}

impl Address {
    /// The address of a socket file, however long its path, or of a name in the abstract namespace, which begins with
    /// an `@` here and with a NUL in the kernel.
    pub(super) fn unix(path: &Path) -> io::Result<Self> {
        let bytes = path.as_os_str().as_bytes();
        if let Some(name) = bytes.strip_prefix(b"@") {
            if bytes.len() > SUN_PATH_BYTES - 1 {
                return Err(too_long("the name", SUN_PATH_BYTES - 2));
            }
            let sock = SockAddr::unix(OsStr::from_bytes(&[b"\0", name].concat()))?;
            return Ok(Address { sock, _folder: None });
        }
        if bytes.len() < SUN_PATH_BYTES {
            return Ok(Address { sock: SockAddr::unix(path)?, _folder: None });
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
        };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = OpenOptions::new().read(true).custom_flags(flags.bits()).open(folder)?;
        let through = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
        let name_bytes_max = SUN_PATH_BYTES - 1 - through.as_os_str().len() - 1;
        if name.len() > name_bytes_max {
            return Err(too_long("the file's name", name_bytes_max));
        }
        let through = through.join(name);
        Ok(Address { sock: SockAddr::unix(through)?, _folder: Some(folder) })
    }

    pub(super) fn sock(&self) -> &SockAddr {
        &self.sock
    }
}

fn too_long(what: &str, bytes_max: usize) -> io::Error {
    let text = format!("{what} is too long; write one of at most {bytes_max} bytes");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address { sock: address.into(), _folder: None }
    }
}
