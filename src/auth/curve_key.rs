//! Public keys of CURVE, as ZeroMQ writes them.

use std::fmt;

use crate::zmtp::z85::{self, KEY_BYTES};

/// A public key of CURVE: it names a peer, and is no secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CurveKey(pub [u8; KEY_BYTES]);

impl CurveKey {
    /// Reads the 40 characters of a key in Z85. `None`: the text is no key.
    pub fn parse(text: &str) -> Option<Self> {
        z85::decode(text).map(CurveKey)
    }
}

/// The form that [`CurveKey::parse`] reads.
impl fmt::Display for CurveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&z85::encode(&self.0))
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
