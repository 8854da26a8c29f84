//! The file that `corecast user` reads, and how it is replaced: by one command at a time.

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
        let (text, users) = Users::read_managed(path)?;
        Ok(UsersFile { path: path.to_owned(), text, users: Some(users) })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn users(&self) -> Option<&Users> {
        self.users.as_ref()
    }
}

/// A change to a file of users, which nobody else changes meanwhile. If it is dropped, nothing is changed.
pub(super) struct FileChange {
    file: UsersFile,
    /// The file that is written beside the other, and renamed at the end. It stands for a lock as well.
    beside: PathBuf,
    new: File,
    is_done: bool,
}

impl FileChange {
    /// Begins with a file that need not be there: first it is locked, then read.
    pub(super) fn begin(path: &Path) -> Result<Self, Failure> {
        // A link stays one: what it leads to is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let mut beside = path.clone().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let new = File::options().write(true).create_new(true).mode(NEW_FILE_MODE).open(&beside);
        let new = new.map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => failed(format!(
                "{} is there: another change is under way, or was cut off; then remove it",
                beside.display()
            )),
            _ => failed(format!("cannot write {}: {e}", path.display())),
        })?;
        let file = UsersFile { path: path.clone(), text: String::new(), users: None };
        let mut change = FileChange { file, beside, new, is_done: false };
        change.file = UsersFile::open(&path)?;
        Ok(change)
    }

    /// The file as it was.
    pub(super) fn file(&self) -> &UsersFile {
        &self.file
    }

    /// Writes the text that is to take its place, if that is a good one. It is in force after [`Self::commit`].
    pub(super) fn prepare(&mut self, text: Option<String>) -> Result<(), Failure> {
        let shown = self.file.path.display().to_string();
        let text = text.ok_or_else(|| {
            failed(format!("{shown} is written in a way that is not understood: change it by hand"))
        })?;
        Users::parse(&text).map_err(|fault| failed(format!("nothing is changed: {fault}")))?;
        self.write(&text).map_err(|e| failed(format!("cannot write {shown}: {e}")))
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        if let Ok(before) = fs::metadata(&self.file.path) {
            // Whoever may read it now may afterwards.
            chown(&self.beside, Some(before.uid()), Some(before.gid()))?;
            self.new.set_permissions(Permissions::from_mode(before.mode() & 0o777))?;
        }
        self.new.write_all(text.as_bytes())?;
        self.new.sync_all()
    }

    /// Puts the prepared text in the place of the other: all of it or nothing.
    pub(super) fn commit(mut self) -> Result<(), Failure> {
        let renamed = fs::rename(&self.beside, &self.file.path);
        self.is_done = renamed.is_ok();
        renamed.map_err(|e| failed(format!("cannot write {}: {e}", self.file.path.display())))
    }
}

impl Drop for FileChange {
    fn drop(&mut self) {
        if !self.is_done {
            // It is ours, and useless.
            let _ = fs::remove_file(&self.beside);
        }
    }
}

fn failed(text: String) -> Failure {
    Failure::new(Exit::Failed, text)
}
