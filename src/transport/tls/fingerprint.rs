//! Fingerprints of certificates, as they are written: `sha256:` and 64 hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// The SHA-256 of a certificate in DER: what `openssl x509 -noout -fingerprint -sha256` prints.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fingerprint(pub(super) [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Digits in either case; colons between them, as OpenSSL writes them, are passed over.
impl FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            let text =
                "a fingerprint is sha256: and 64 hexadecimal digits, which `corecast cert show FILE` prints";
            Error::new(ErrorKind::Invalid, text)
        };
        let digits = text.trim().strip_prefix("sha256:").ok_or_else(wrong)?.replace(':', "");
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Fingerprint(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_openssl_writes_them_and_as_we_do() {
        let ours = format!("sha256:{}", "0a".repeat(32));
        let parsed: Fingerprint = ours.parse().expect("a fingerprint");
        assert_eq!(parsed.to_string(), ours);
        let openssl = format!("sha256:{}", vec!["0A"; 32].join(":"));
        assert_eq!(openssl.parse::<Fingerprint>().expect("a fingerprint"), parsed);
        for text in ["", "sha256:", "sha256:0a", &ours[7..], &format!("{ours}0"), &ours.replace("0a", "0g")] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }
}
