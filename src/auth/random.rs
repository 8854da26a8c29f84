//! Random bytes that nobody can guess.

use std::fs::File;
use std::io::{self, Read as _};

/// Bytes of the kernel's generator.
///
/// # Errors
/// When it cannot be read: no descriptor is left, or there is no `/dev`.
pub(super) fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
