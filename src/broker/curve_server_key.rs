//! The pair of keys of the ZeroMQ doors, from a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::auth::read_secret_file;
use crate::config::{Form, Literal};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::CURVE_KEY_FILE_BYTES_MAX;
use crate::printable::printable;
use crate::zmtp::curve::{KeyPair, parse};

/// The keys by which ZeroMQ sockets know a broker, and by which it encrypts what they say to each other (CURVE).
#[derive(Clone, Debug)]
pub struct CurveServerKey {
    path: PathBuf,
    pair: Arc<KeyPair>,
}

impl CurveServerKey {
    /// Reads the secret key in a file, as `corecast curve-keygen`, pyzmq's `zmq.auth` or libzmq's `curve_keygen` write it. Only its
    /// owner may write the file, and only its group may read it besides.
    ///
    /// # Errors
    /// `Io` if it cannot be read; `Invalid` if too many may read it, or if no secret key is in it.
    pub fn read(path: impl AsRef<Path>) -> Result<CurveServerKey> {
        let path = path.as_ref();
        Self::read_file(path).map_err(|error| match secret_beside(path) {
            Some(secret) => {
                let secret = secret.to_string_lossy();
                let text = format!("{error}; is {} meant, beside it?", printable(&*secret));
                Error::new(error.kind(), text)
            }
            None => error,
        })
    }

    fn read_file(path: &Path) -> Result<CurveServerKey> {
        let bytes = read_secret_file(path, "the file of the CURVE key", CURVE_KEY_FILE_BYTES_MAX)?;
        let shown = path.to_string_lossy();
        let invalid = |why: String| Error::new(ErrorKind::Invalid, format!("{} {why}", printable(&*shown)));
        let text = std::str::from_utf8(&bytes).map_err(|_| invalid("is no text".to_owned()))?;
        let pair = parse(text).map_err(|fault| invalid(fault.to_string()))?;
        Ok(CurveServerKey { path: path.to_owned(), pair: Arc::new(pair) })
    }

    /// The public key, in Z85: clients need it.
    pub fn public(&self) -> String {
        self.pair.public().to_string()
    }

    pub(super) fn pair(&self) -> Arc<KeyPair> {
        Arc::clone(&self.pair)
    }
}

/// The file of the secret key, if there is one and `path` is that of the public key, which everybody may read: what is wrong with
/// it would lead nobody to the right one.
fn secret_beside(path: &Path) -> Option<PathBuf> {
    let mut secret = path.as_os_str().to_owned();
    secret.push("_secret");
    Some(PathBuf::from(secret)).filter(|secret| secret.is_file())
}

/// The form of the path of such a file.
#[derive(Debug)]
pub(crate) struct CurveServerKeyFile;

impl Form<CurveServerKey> for CurveServerKeyFile {
    const LITERAL: Literal = Literal::Path;

    fn read(text: &str) -> Result<CurveServerKey, String> {
        CurveServerKey::read(text).map_err(|e| e.to_string())
    }

    fn write(key: &CurveServerKey) -> String {
        key.path.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::zmtp::curve::{public_text, secret_text};
    use crate::zmtp::z85;

    #[test]
    fn a_file_that_is_too_open_or_has_no_key_is_refused_and_not_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("broker.key_secret");
        let pair = KeyPair::generate();
        let secret = secret_text(&pair);
        let shown = z85::encode(pair.secret().expose());
        let read = |bytes: &[u8], mode: u32| {
            fs::write(&path, bytes).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            CurveServerKey::read(&path)
        };
        for mode in [0o600, 0o640] {
            assert_eq!(read(secret.as_bytes(), mode).expect("a key").public(), pair.public().to_string());
        }
        let cut = &secret.as_bytes()[..secret.len() - 10];
        let long = vec![b'#'; CURVE_KEY_FILE_BYTES_MAX + 1];
        for (bytes, mode) in
            [(secret.as_bytes(), 0o644), (cut, 0o600), (b"", 0o600), (b"\xff\xfe", 0o600), (&long, 0o600)]
        {
            let error = read(bytes, mode).expect_err("no key");
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            let text = error.to_string();
            assert!(text.contains("broker.key_secret") && !text.contains(&shown[..12]), "{text}");
        }
        let public = folder.path().join("broker.key");
        fs::write(&public, public_text(&pair)).expect("written");
        for mode in [0o644, 0o600] {
            fs::set_permissions(&public, fs::Permissions::from_mode(mode)).expect("a mode");
            let error = CurveServerKey::read(&public).expect_err("no secret key").to_string();
            assert!(error.contains("broker.key_secret meant, beside it?"), "{error}");
        }
        fs::remove_file(&path).expect("it is there");
        let alone = CurveServerKey::read(&public).expect_err("no secret key").to_string();
        assert!(!alone.contains("beside it"), "{alone}");
        assert_eq!(CurveServerKey::read(&path).expect_err("no file").kind(), ErrorKind::Io);
    }
}
