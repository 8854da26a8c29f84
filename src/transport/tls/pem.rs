//! PEM files: certificates, and keys that not everybody may read. What was read of a key is wiped.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::limits::PEM_FILE_BYTES_MAX;

/// Permission bits that let everybody on a host read or write a file.
const EVERYBODY: u32 = 0o006;

/// The certificates of a file, at least one, in their order.
///
/// # Errors
/// `Invalid`, with the field.
pub(super) fn certificates(field: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = contents(field, &open(field, path)?, path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| wrong(field, path, format_args!("it is no PEM file of certificates: {e}")))?;
    if certificates.is_empty() {
        return Err(wrong(
            field,
            path,
            "it has no certificate, which begins with -----BEGIN CERTIFICATE-----",
        ));
    }
    Ok(certificates)
}

/// The first private key of a file that not everybody may read.
///
/// # Errors
/// `Invalid`, with the field.
pub(super) fn private_key(field: &'static str, path: &Path) -> Result<PrivateKeyDer<'static>> {
    let file = open(field, path)?;
    let metadata = file.metadata().map_err(|e| wrong(field, path, e))?;
    if metadata.is_file() && metadata.mode() & EVERYBODY != 0 {
        let shown = path.display();
        let text = format!("everybody on this host may read this key; run: chmod 600 {shown}");
        return Err(wrong(field, path, text));
    }
    let bytes = contents(field, &file, path)?;
    let is_encrypted = bytes.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED);
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        let text = match is_encrypted {
            true => {
                "the key is encrypted with a password, which nobody could type here; write it without one"
            }
            false => "it has no private key, which begins with -----BEGIN PRIVATE KEY-----",
        };
        wrong(field, path, text)
    })
}

const ENCRYPTED: &[u8] = b"ENCRYPTED";

fn open(field: &'static str, path: &Path) -> Result<File> {
    File::open(path).map_err(|e| wrong(field, path, e))
}

fn contents(field: &'static str, file: &File, path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(PEM_FILE_BYTES_MAX / 64));
    let most = PEM_FILE_BYTES_MAX as u64 + 1;
    file.take(most).read_to_end(&mut bytes).map_err(|e| wrong(field, path, e))?;
    if bytes.len() > PEM_FILE_BYTES_MAX {
        return Err(wrong(field, path, format_args!("it is longer than {PEM_FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// The error of a file.
pub(super) fn wrong(field: &'static str, path: &Path, why: impl std::fmt::Display) -> Error {
    Error::of_field(field, format!("{}: {why}", path.display()))
}
