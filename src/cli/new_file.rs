//! Owns how a command writes a file that is not there: whole or not at all, and never over another.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::{Exit, Failure};

/// Writes a file with these permission bits.
///
/// # Errors
/// One is there, or it cannot be written.
pub(super) fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::AlreadyExists => is_there(path),
        _ => Failure::new(Exit::Failed, format!("{}: {e}", path.display())),
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(|e| {
        // Half of it is of no use.
        let _ = fs::remove_file(path);
        failed(e)
    })
}

/// The failure where a file is in the way.
pub(super) fn is_there(path: &Path) -> Failure {
    Failure::new(Exit::Failed, format!("{} is there already, and is not overwritten", path.display()))
        .hint("move it away, or choose another name or folder")
}
