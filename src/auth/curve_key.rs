//! Public keys of CURVE, as ZeroMQ writes them.

use std::fmt;

/// The alphabet of Z85 (ZeroMQ RFC 32), in order.
const ALPHABET: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// A public key of CURVE: it names a peer, and is no secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CurveKey(pub [u8; KEY_BYTES]);

impl CurveKey {
    /// Reads the 40 characters of a key in Z85. `None`: the text is no key.
    pub fn parse(text: &str) -> Option<Self> {
        let (groups, rest) = text.as_bytes().as_chunks::<5>();
        let mut key = [0; KEY_BYTES];
        if !rest.is_empty() || groups.len() != KEY_BYTES / 4 {
            return None;
        }
        for (bytes, group) in key.chunks_exact_mut(4).zip(groups) {
            let mut value: u32 = 0;
            for char in group {
                let digit = ALPHABET.iter().position(|known| known == char)?;
                value = value.checked_mul(85)?.checked_add(u32::try_from(digit).ok()?)?;
            }
            bytes.copy_from_slice(&value.to_be_bytes());
        }
        Some(CurveKey(key))
    }
}

/// The form that [`CurveKey::parse`] reads.
impl fmt::Display for CurveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in self.0.as_chunks::<4>().0 {
            let value = u32::from_be_bytes(*group);
            for power in [85 * 85 * 85 * 85, 85 * 85 * 85, 85 * 85, 85, 1] {
                write!(f, "{}", char::from(ALPHABET[(value / power % 85) as usize]))?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for CurveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CurveKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back() {
        // The client's public key of ZeroMQ RFC 26's test vectors in libzmq's documentation of zmq_curve.
        let text = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";
        let key = CurveKey::parse(text).expect("a key");
        assert_eq!(key.to_string(), text);
        assert_eq!(key.0[..4], [0xbb, 0x88, 0x47, 0x1d]);
    }

    #[test]
    fn other_texts_are_no_keys() {
        let good = CurveKey([0xff; KEY_BYTES]).to_string();
        assert_eq!(CurveKey::parse(&good), Some(CurveKey([0xff; KEY_BYTES])));
        // One more than the most that four bytes hold.
        let over = format!("{}{}", "%nSc1", &good[5..]);
        assert_eq!(&good[..5], "%nSc0");
        for wrong in ["", &good[..39], &format!("{good}0"), &over, &good.replacen('%', " ", 1)] {
            assert_eq!(CurveKey::parse(wrong), None, "{wrong}");
        }
    }
}
