//! The config file of a command: read from disk, whole or not at all.
//!
//! | file | owns |
//! |---|---|
//! | `grammar` | what a file may have: the options of brokers and of clients |

mod grammar;

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::unistd::Uid;

pub(super) use self::grammar::{CLIENT, grammar};
use super::settings::FromFile;
use super::{Exit, Failure};
use crate::config::file::{FileValues, read_config};
use crate::limits::CONFIG_FILE_BYTES_MAX;
use crate::printable::printable;

/// A config file that is well.
#[derive(Clone, Debug)]
pub(super) struct ConfigFile {
    /// For people.
    path: String,
    values: FileValues,
}

impl ConfigFile {
    /// Reads a file, and checks all of it.
    ///
    /// # Errors
    /// It cannot be read: exit code 1. Something in it is wrong: exit code 2, with a line for each fault.
    pub(super) fn read(path: &Path) -> Result<ConfigFile, Failure> {
        let text = read_bytes(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let values = read_config(&text, &grammar(), folder).map_err(|faults| {
            let lines = faults.iter().map(|fault| format!("{}:{fault}", path.display())).collect();
            Failure::of_many(Exit::Usage, lines)
        })?;
        Ok(ConfigFile { path: path.display().to_string(), values })
    }

    /// The same for a file that an option names, which a failure to read it points to.
    pub(super) fn read_named(path: &Path) -> Result<ConfigFile, Failure> {
        ConfigFile::read(path).map_err(|failure| match failure.exit() {
            // Faults in it have places of their own.
            Exit::Usage => failure,
            _ => failure.of_field("file"),
        })
    }

    /// The same file, as if it said this.
    pub(super) fn with_values(&self, values: FileValues) -> ConfigFile {
        ConfigFile { path: self.path.clone(), values }
    }

    /// Its path, for people.
    pub(super) fn shown(&self) -> &str {
        &self.path
    }

    pub(super) fn values(&self) -> &FileValues {
        &self.values
    }

    /// The part that is about brokers.
    pub(super) fn of_broker(&self) -> FromFile<'_> {
        FromFile { path: &self.path, table: None, values: &self.values }
    }

    /// The part that is about clients.
    pub(super) fn of_clients(&self) -> FromFile<'_> {
        FromFile { path: &self.path, table: Some(CLIENT), values: &self.values }
    }

    /// The same file, as if it named no token of clients.
    pub(super) fn without_token(&self) -> ConfigFile {
        self.with_values(self.values.without(Some(CLIENT), "token-file"))
    }
}

/// The permission bit by which everybody changes a file.
const WRITTEN_BY_ALL: u32 = 0o002;

/// The bytes of a file that not everybody may write: it says who may use a broker.
fn read_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let shown = path.to_string_lossy();
    let shown = printable(&*shown).to_string();
    let failed = |why: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, format!("cannot read the config file {shown}: {why}"))
    };
    let own = Uid::effective().as_raw();
    // A pipe that nobody writes to is no file, and is not waited for.
    let options = OFlag::O_NONBLOCK.bits();
    let file = File::options().read(true).custom_flags(options).open(path).map_err(|e| match e.kind() {
        ErrorKind::PermissionDenied => failed(&format!(
            "the uid {own} may not: run this command as the user of the broker, or give that uid the right to read the file and to get \
             through the folders above it"
        )),
        _ => failed(&e),
    })?;
    let about = file.metadata().map_err(|e| failed(&e))?;
    if about.is_dir() {
        return Err(failed(&"it is a folder"));
    }
    if !about.is_file() {
        return Err(failed(&"it is no file"));
    }
    let owner = about.uid();
    if owner != 0 && owner != own {
        return Err(failed(&format!(
            "it belongs to the uid {owner}, who may change it: run this command as that user, or chown the file to {own}"
        )));
    }
    if about.mode() & WRITTEN_BY_ALL != 0 {
        return Err(failed(&"everybody may write it: chmod o-w it"));
    }
    let mut bytes = Vec::new();
    file.take(CONFIG_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
    if bytes.len() > CONFIG_FILE_BYTES_MAX {
        return Err(failed(&format!("it has more than {CONFIG_FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_a_failure_with_its_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("broker.toml");
        let failure = |path: &Path| ConfigFile::read(path).expect_err("it is wrong");
        let says = |path: &Path, part: &str| {
            let failure = failure(path);
            assert_eq!(failure.exit(), Exit::Failed);
            let text = failure.to_string();
            assert!(text.contains(&path.display().to_string()) && text.contains(part), "{text}");
        };
        says(&path, "No such file");
        says(folder.path(), "it is a folder");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).expect("a pipe");
        says(&path, "it is no file");
        fs::remove_file(&path).expect("removed");
        fs::write(&path, vec![b'#'; CONFIG_FILE_BYTES_MAX + 1]).expect("written");
        says(&path, "it has more than");
        fs::write(&path, "").expect("written");
        ConfigFile::read(&path).expect("an empty file is well");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("a mode");
        says(&path, "chmod o-w");
    }

    #[test]
    fn every_fault_is_a_line_that_begins_with_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("broker.toml");
        fs::write(&path, "egres-bytes = 5\n\nlease = 'soon'\n").expect("written");
        let failure = ConfigFile::read(&path).expect_err("it is wrong");
        assert_eq!(failure.exit(), Exit::Usage);
        let path = path.display();
        let wanted = format!(
            "error: {path}:1:1: `egres-bytes`: no such option; did you mean `egress-bytes`?\n\
             error: {path}:3:9: `lease`: write seconds, or a time such as 250ms or 5m\n"
        );
        assert_eq!(failure.to_string(), wanted);
    }
}
