//! Files with secrets, or with what decides over others: read only if nobody else may change them, and not everybody may read
//! them.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::unistd::Uid;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::printable::printable;

/// Permission bits by which everybody reaches a file, or others than its owner change it.
const TOO_OPEN: u32 = 0o027;

/// Reads a file of at most so many bytes. It must belong to the user of this process or to root; only that user may write
/// it, and only its group may read it besides. `what` names it in errors: "the token file".
///
/// # Errors
/// `Io` if it cannot be read; `Invalid` if too many may, or if it is longer.
pub(crate) fn read_secret_file(path: &Path, what: &str, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>> {
    let own = Uid::effective().as_raw();
    read_file(path, what, bytes_max, |owner| owner == 0 || owner == own)
}

/// The same for a file that this process only looks after, and does not rely on: root may do that for every user.
///
/// # Errors
/// As [`read_secret_file`].
#[cfg(feature = "cli")]
pub(crate) fn read_managed_file(path: &Path, what: &str, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>> {
    let own = Uid::effective();
    read_file(path, what, bytes_max, |owner| own.is_root() || owner == 0 || owner == own.as_raw())
}

fn read_file(
    path: &Path,
    what: &str,
    bytes_max: usize,
    may_own: impl Fn(u32) -> bool,
) -> Result<Zeroizing<Vec<u8>>> {
    let shown = path.to_string_lossy();
    let shown = printable(&*shown);
    let failed = |e| Error::io(format!("cannot read {what} {shown}"), e);
    let invalid = |why: String| Error::new(ErrorKind::Invalid, format!("{what} {shown} {why}"));
    // A pipe that nobody writes to is no file, and is not waited for.
    let options = OFlag::O_NONBLOCK.bits();
    let file = File::options().read(true).custom_flags(options).open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(invalid("is no file".to_owned()));
    }
    let (owner, own) = (about.uid(), Uid::effective().as_raw());
    if !may_own(owner) {
        return Err(invalid(format!(
            "belongs to the uid {owner}, who may change it: run this command as that user, or chown the file to {own}"
        )));
    }
    if about.mode() & TOO_OPEN != 0 {
        let mode = about.mode() & 0o777;
        return Err(invalid(format!(
            "has mode {mode:04o}, so that too many may read or change it: chmod 0600 it"
        )));
    }
    // Room for all of it at once: a secret that moves would leave a copy behind.
    let room = usize::try_from(about.len()).unwrap_or(usize::MAX).min(bytes_max) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > bytes_max {
        return Err(invalid(format!("has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
        read_secret_file(path, "the test file", 8)
    }

    #[test]
    fn a_file_that_others_reach_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        fs::write(&path, "sesame").expect("written");
        for (mode, is_good) in
            [(0o600, true), (0o640, true), (0o400, true), (0o644, false), (0o660, false), (0o601, false)]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            match read(&path) {
                Ok(bytes) => assert!(is_good && **bytes == *b"sesame", "{mode:o}"),
                Err(error) => {
                    assert!(!is_good && error.to_string().contains("chmod 0600"), "{mode:o} {error}")
                }
            }
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        let error = |path: &Path| read(path).expect_err("it is wrong");
        assert_eq!(error(&path).kind(), ErrorKind::Io);
        assert!(error(&path).to_string().contains("the test file"));
        assert!(error(folder.path()).to_string().contains("is no file"));
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).expect("a pipe");
        assert!(error(&path).to_string().contains("is no file"), "and it is not waited for");
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "123456789").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        assert!(error(&path).to_string().contains("more than 8 bytes"));
    }
}
