//! Tokens, the files that they are in, and the hashes that stand for them in a file of users.

use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::io;
use std::path::Path;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::random::random_bytes;
use super::{Secret, read_secret_file};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::TOKEN_BYTES_MAX;

/// The start of a hash as text.
const PREFIX: &str = "sha256:";

/// The start of a token, by which scanners find those that were published by mistake.
const TOKEN_PREFIX: &str = "corecast_";

/// Bytes of a hash.
const HASH_BYTES: usize = 32;

/// SHA-256 of a token. A token is too random to be guessed, so its hash needs no salt and need not be slow; and as the key of
/// a table it makes the look-up of a token cost the same with any number of users. Two hashes are compared in constant time.
#[derive(Clone, Copy, Eq)]
pub struct TokenHash([u8; HASH_BYTES]);

impl TokenHash {
    /// The hash of a token.
    #[cfg(feature = "broker")]
    pub fn of(token: &Secret) -> Self {
        use sha2::Digest as _;
        TokenHash(sha2::Sha256::digest(token.expose()).into())
    }

    /// Reads `sha256:` and 64 hexadecimal digits. `None`: the text is no hash.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?.as_bytes();
        let mut hash = [0; HASH_BYTES];
        if digits.len() != 2 * HASH_BYTES {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
        }
        Some(TokenHash(hash))
    }
}

/// A new token: 256 random bits.
///
/// # Errors
/// When the kernel gives no random bytes.
pub(crate) fn fresh_token() -> io::Result<Secret> {
    let random = Zeroizing::new(random_bytes::<32>()?);
    let mut text = Zeroizing::new(String::with_capacity(TOKEN_PREFIX.len() + 2 * random.len()));
    text.push_str(TOKEN_PREFIX);
    for byte in *random {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(Secret::new(text.as_bytes()))
}

/// The token that these bytes are, without the white space around it.
///
/// # Errors
/// `Invalid` if it is empty, too long, or has other characters than visible ones of ASCII.
pub(crate) fn checked_token(bytes: &[u8]) -> Result<Secret> {
    let text = bytes.trim_ascii();
    if text.is_empty() || text.len() > TOKEN_BYTES_MAX || !text.iter().all(u8::is_ascii_graphic) {
        let what = format!("a token is 1 to {TOKEN_BYTES_MAX} visible characters of ASCII, without spaces");
        return Err(Error::new(ErrorKind::Invalid, what));
    }
    Ok(Secret::new(text))
}

/// The token in a file, which only its owner may write, and only its group may read besides.
///
/// # Errors
/// `Io` if it cannot be read; `Invalid` if too many may, or if it has no token.
pub fn read_token_file(path: &Path) -> Result<Secret> {
    // Some white space around it.
    let text = read_secret_file(path, "the token file", 2 * TOKEN_BYTES_MAX)?;
    checked_token(&text).map_err(|e| {
        Error::new(ErrorKind::Invalid, format!("the token file {} has no token: {e}", path.display()))
    })
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for TokenHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// The form that [`TokenHash::parse`] reads.
impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The first digits, which tell hashes apart in a log.
impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, ..] = self.0;
        write!(f, "TokenHash({first:02x}{second:02x}..)")
    }
}

#[cfg(all(test, feature = "broker"))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_hash_is_that_of_the_standard_and_reads_back() {
        // From FIPS 180-2, appendix B.1.
        let golden = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let hash = TokenHash::of(&Secret::new(b"abc"));
        assert_eq!(hash.to_string(), golden);
        assert_eq!(TokenHash::parse(golden), Some(hash));
        assert_eq!(TokenHash::parse(&golden.to_uppercase().replace("SHA256", "sha256")), Some(hash));
        assert_ne!(TokenHash::of(&Secret::new(b"abd")), hash);
    }

    #[test]
    fn a_fresh_token_is_like_no_other() {
        let [one, other] = [(); 2].map(|()| fresh_token().expect("random bytes"));
        assert_ne!(one, other);
        assert!(one.expose().starts_with(b"corecast_") && one.expose().len() == 73);
    }

    #[test]
    fn other_texts_are_no_hashes() {
        let good = TokenHash::of(&Secret::new(b"abc")).to_string();
        let digits = good.trim_start_matches(PREFIX);
        for wrong in ["", "sha256:", "abc", digits, &good[..good.len() - 1], &format!("{good}0")] {
            assert_eq!(TokenHash::parse(wrong), None, "{wrong}");
        }
        assert_eq!(TokenHash::parse(&good.replace("ad", "xy")), None);
        assert_eq!(TokenHash::parse(&good.replace("ba", "é")), None);
    }

    #[test]
    fn a_file_has_a_token_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let write = |text: &str| {
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        };
        write("cc_sesame\n");
        assert_eq!(read_token_file(&path).expect("a token"), Secret::new(b"cc_sesame"));
        write("\n");
        assert!(read_token_file(&path).expect_err("it is empty").to_string().contains("has no token"));
    }
}
