//! The file of a Unix socket: bound by one process at a time, taken over when nobody listens on it, and removed by the
//! one that bound it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use socket2::{Domain, Socket, Type};

use super::address::Address;

/// The socket file of a listener. When it is dropped, it is removed, unless another process has put its own in that
/// place. Drop it while the listener still listens: nobody takes the file over until then, and its inode number is not
/// reused.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and number in the file system.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another process starts or ends there just now. A file that stays is taken over by the next.
        let Ok(_turn) = Turn::take(&self.path) else { return };
        if identity(&self.path) == Some(self.identity) {
            // Gone already is as good.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Runs `listen`, which binds to `path` and listens, after removing a file on which nobody listens. Processes that
/// start at the same time do so one after the other: a socket that is bound but does not listen yet looks like a stale
/// one.
///
/// # Errors
/// `AddrInUse` if somebody listens there or begins to, `AlreadyExists` for a file that is not a socket, those of
/// `listen`.
pub(super) fn listen_at(
    path: &Path,
    address: &Address,
    listen: impl FnOnce() -> io::Result<Socket>,
) -> io::Result<(Socket, SocketFile)> {
    let _turn = Turn::take(path)?;
    remove_stale(path, address)?;
    let socket = listen()?;
    let identity = identity(path).ok_or(io::ErrorKind::NotFound)?;
    Ok((socket, SocketFile { path: path.to_owned(), identity }))
}

/// Removes a socket file on which nobody listens, left by a broker that was killed. One that answers, or a file that is
/// not a socket, stays.
fn remove_stale(path: &Path, address: &Address) -> io::Result<()> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    if !meta.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path is there, and is no socket"));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM.cloexec().nonblocking(), None)?;
    match probe.connect(address.sock()) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(io::Error::from(io::ErrorKind::AddrInUse)),
    }
}

/// The right to change the file at a path: a locked file beside it, which exists as long as this lives. The kernel
/// unlocks the file of a process that was killed.
struct Turn {
    lock_path: PathBuf,
    _file: File,
}

impl Turn {
    /// `AddrInUse` when another process has it.
    fn take(path: &Path) -> io::Result<Turn> {
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock_path = PathBuf::from(lock_path);
        let file = open_lock(&lock_path)?;
        let in_use = || {
            let text = format!("another process starts or stops there: it holds {}", lock_path.display());
            io::Error::new(io::ErrorKind::AddrInUse, text)
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Locked, but perhaps removed just before by its last owner: another process may have made the next one
        // already.
        let meta = file.metadata()?;
        if identity(&lock_path) != Some((meta.dev(), meta.ino())) {
            return Err(in_use());
        }
        Ok(Turn { lock_path, _file: file })
    }
}

/// Opens a lock file, or makes it. Anything else in that place is an error: a pipe would be waited for, and a link
/// followed to a file of somebody else's choice.
fn open_lock(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut options = File::options();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags.bits());
    let text = || format!("its lock {} is no regular file: remove it", path.display());
    match options.open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(file),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, text())),
        // Without a folder it is the socket that is missing one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Err(error) if fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_file()) => {
            Err(io::Error::new(error.kind(), text()))
        }
        Err(error) => Err(io::Error::new(error.kind(), format!("its lock {}: {error}", path.display()))),
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Before it is unlocked: a process that locks it later finds that it is not the one at that path.
        let _ = fs::remove_file(&self.lock_path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::{Arc, Barrier};

    use corecast_executors::spawn_plain;

    use super::super::{Endpoint, ListenConfig, Listening, listen as listen_on};
    use super::*;
    use crate::error::{ErrorKind, Result};

    fn listen(path: &Path) -> Result<Listening> {
        listen_on(&Endpoint::Uds { path: path.to_owned() }, &ListenConfig::default())
    }

    /// Leaves a file as a process does that was killed.
    fn leave_stale(path: &Path) {
        drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    }

    #[test]
    fn of_those_that_find_a_stale_file_at_once_one_listens() {
        const BROKERS: usize = 8;
        const ROUNDS: usize = 50;
        let dir = tempfile::tempdir().unwrap();
        for round in 0..ROUNDS {
            let path = dir.path().join(format!("{round}"));
            leave_stale(&path);
            let start = Arc::new(Barrier::new(BROKERS));
            let brokers: Vec<_> = (0..BROKERS)
                .map(|_| {
                    let (path, start) = (path.clone(), Arc::clone(&start));
                    let begin = move || {
                        start.wait();
                        listen(&path)
                    };
                    spawn_plain("broker", begin).unwrap()
                })
                .collect();
            let listening: Vec<_> = brokers.into_iter().map(|broker| broker.join().unwrap()).collect();
            let refused = listening.iter().filter_map(|result| result.as_ref().err());
            assert!(refused.clone().all(|error| error.kind() == ErrorKind::AddressInUse));
            // Those that came during another's turn are told to try again, so there may be none.
            assert!(refused.count() >= BROKERS - 1, "two listen in round {round}");
            drop(listening);
            listen(&path).unwrap();
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "no file and no lock is left");
    }

    #[test]
    fn a_lock_that_is_no_regular_file_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        nix::unistd::mkfifo(&path("pipe.lock"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink(path("target"), path("link.lock")).unwrap();
        fs::create_dir(path("folder.lock")).unwrap();
        for name in ["pipe", "link", "folder"] {
            let text = listen(&path(name)).unwrap_err().to_string();
            assert!(text.contains(&format!("{name}.lock is no regular file: remove it")), "{text}");
        }
        assert!(!path("target").exists(), "a link is not followed");
        let held = File::create(path("held.lock")).unwrap();
        held.lock().unwrap();
        let error = listen(&path("held")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddressInUse);
        assert!(error.to_string().contains("held.lock"), "{error}");
    }

    #[test]
    fn a_file_goes_with_its_listener_and_that_of_a_successor_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let first = listen(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let second = listen(&path).unwrap();
        drop(first);
        UnixStream::connect(&path).unwrap();
        drop(second);
        assert!(!path.exists());
    }
}
