//! The file that `corecast user` reads and replaces.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use crate::auth::Users;
use crate::cli::{Exit, Failure};

/// Mode of a new file: nobody else reads it.
const NEW_FILE_MODE: u32 = 0o600;

/// A file of users, as it was read; or none yet.
pub(super) struct UsersFile {
    path: PathBuf,
    text: String,
    users: Option<Users>,
}

impl UsersFile {
    /// Reads a file, which need not be there.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        match fs::exists(path) {
            Ok(false) => Ok(UsersFile { path: path.to_owned(), text: String::new(), users: None }),
            _ => Self::open_existing(path),
        }
    }

    /// Reads a file that is there, and checks it.
    pub(super) fn open_existing(path: &Path) -> Result<Self, Failure> {
        let (text, users) = Users::read_text(path)?;
        Ok(UsersFile { path: path.to_owned(), text, users: Some(users) })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn users(&self) -> Option<&Users> {
        self.users.as_ref()
    }

    /// Puts another text in its place: all of it or nothing, and only one that is good.
    pub(super) fn replace(&self, text: Option<String>) -> Result<(), Failure> {
        let failed = |text: String| Failure::new(Exit::Failed, text);
        let shown = self.path.display();
        let text = text.ok_or_else(|| {
            failed(format!("{shown} is written in a way that is not understood: change it by hand"))
        })?;
        Users::parse(&text).map_err(|fault| failed(format!("nothing is changed: {fault}")))?;
        self.write(&text).map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => {
                let new = self.beside().display().to_string();
                failed(format!("{new} is there: another change is under way, or was cut off; then remove it"))
            }
            _ => failed(format!("cannot write {shown}: {e}")),
        })
    }

    /// The file that is written, and then renamed. It stands for a lock as well.
    fn beside(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        name.into()
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let beside = self.beside();
        let mut file = File::options().write(true).create_new(true).mode(NEW_FILE_MODE).open(&beside)?;
        let written = (|| {
            if let Ok(before) = fs::metadata(&self.path) {
                // Whoever may read it now may afterwards.
                chown(&beside, Some(before.uid()), Some(before.gid()))?;
                file.set_permissions(Permissions::from_mode(before.mode() & 0o777))?;
            }
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &self.path)
        })();
        if written.is_err() {
            // It is ours, and useless.
            let _ = fs::remove_file(&beside);
        }
        written
    }
}
