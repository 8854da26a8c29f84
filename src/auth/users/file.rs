//! Files of users.

use std::path::Path;

#[cfg(feature = "cli")]
use super::super::secret_file::read_managed_file;
use super::super::secret_file::read_secret_file;
use super::Users;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::USERS_FILE_BYTES_MAX;

/// The name of such a file in errors.
const WHAT: &str = "the file of users";

impl Users {
    /// Reads a file of users. It must belong to the user of this process or to root, and only these may write it, and only
    /// its group may read it besides.
    ///
    /// # Errors
    /// `Io` if it cannot be read; `Invalid` if too many may, or for a fault, with the line.
    pub fn read(path: &Path) -> Result<Users> {
        let bytes = read_secret_file(path, WHAT, USERS_FILE_BYTES_MAX)?;
        Self::parse_file(path, &bytes).map(|(_, users)| users)
    }

    /// The same, with the text, for a command that changes the file: root may, whoever runs the broker.
    #[cfg(feature = "cli")]
    pub(crate) fn read_managed(path: &Path) -> Result<(String, Users)> {
        let bytes = read_managed_file(path, WHAT, USERS_FILE_BYTES_MAX)?;
        Self::parse_file(path, &bytes)
    }

    fn parse_file(path: &Path, bytes: &[u8]) -> Result<(String, Users)> {
        let shown = path.display();
        let invalid = |what: String| Error::new(ErrorKind::Invalid, what);
        let text = str::from_utf8(bytes).map_err(|_| invalid(format!("{shown} is not text in UTF-8")))?;
        let users =
            Users::parse(text).map_err(|fault| invalid(format!("{shown}:{}: {fault}", fault.line())))?;
        Ok((text.to_owned(), users))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_fault_has_the_path_and_the_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users.toml");
        let write = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        };
        write(b"[[user]]\nname = 'a'\n");
        assert_eq!(Users::read(&path).expect("good").iter().count(), 1);
        write(b"[[user]]\nname = 'a'\nsubscribe = ['a b']\n");
        let text = Users::read(&path).expect_err("a fault").to_string();
        assert!(text.contains("users.toml:3: user `a`: `subscribe`"), "{text}");
        write(b"[[user]]\nname = '\xff'\n");
        assert!(Users::read(&path).expect_err("no text").to_string().contains("UTF-8"));
        write(&vec![b'#'; USERS_FILE_BYTES_MAX + 1]);
        assert!(Users::read(&path).expect_err("too long").to_string().contains("more than"));
    }
}
