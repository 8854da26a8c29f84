//! NaCl's boxes, of which CURVE is made: X25519 agrees on a key, XSalsa20 and Poly1305 close boxes with it. Keys are wiped
//! when they go, and compared in constant time.

use std::fmt;

use curve25519_dalek::MontgomeryPoint;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit as _;
use salsa20::Salsa20;
use salsa20::cipher::consts::U10;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};
use salsa20::hsalsa;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::public_key::PublicKey;
use super::{COUNT_BYTES, KEY_BYTES, NONCE_BYTES, Nonce, TAG_BYTES, Tag};

/// Bytes of a nonce before its count.
const PREFIX_BYTES: usize = NONCE_BYTES - COUNT_BYTES;

/// The secret key of a pair.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<[u8; KEY_BYTES]>);

impl SecretKey {
    /// A new key.
    pub fn generate() -> Self {
        SecretKey(Zeroizing::new(random()))
    }

    /// The key of these bytes.
    pub fn of(bytes: &[u8; KEY_BYTES]) -> Self {
        SecretKey(Zeroizing::new(*bytes))
    }

    /// The bytes, to be written where only their owner reads them.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// The public key of the pair.
    pub fn public(&self) -> PublicKey {
        PublicKey(MontgomeryPoint::mul_base_clamped(*self.0).to_bytes())
    }

    /// The key of the boxes between this key and that of a peer. `None`: the peer's key is a point of low order, with
    /// which everybody has the same.
    pub fn agree(&self, peer: &PublicKey) -> Option<BoxKey> {
        let shared = Zeroizing::new(MontgomeryPoint(peer.0).mul_clamped(*self.0).to_bytes());
        let is_low: bool = shared.ct_eq(&[0; KEY_BYTES]).into();
        let key = Zeroizing::new(hsalsa::<U10>((&*shared).into(), &[0; PREFIX_BYTES].into()).0);
        (!is_low).then_some(BoxKey(key))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// A key that closes and opens boxes.
#[derive(Clone)]
pub struct BoxKey(Zeroizing<[u8; KEY_BYTES]>);

impl BoxKey {
    /// A new key, shared with nobody.
    pub fn generate() -> Self {
        BoxKey(Zeroizing::new(random()))
    }

    /// Encrypts these bytes in place. No nonce may be used twice.
    pub fn seal(&self, nonce: &Nonce, bytes: &mut [u8]) -> Tag {
        let (key, count) = self.for_nonce(nonce);
        key.seal(count, bytes)
    }

    /// Decrypts these bytes in place. `false`: they are not what was sealed with this key and nonce, and stay as they are.
    #[must_use]
    pub fn open(&self, nonce: &Nonce, bytes: &mut [u8], tag: &Tag) -> bool {
        let (key, count) = self.for_nonce(nonce);
        key.open(count, bytes, tag)
    }

    /// The key of the boxes whose nonces begin with `prefix`.
    pub(super) fn with_prefix(&self, prefix: &[u8; PREFIX_BYTES]) -> PrefixKey {
        PrefixKey(Zeroizing::new(hsalsa::<U10>((&*self.0).into(), prefix.into()).0))
    }

    fn for_nonce(&self, nonce: &Nonce) -> (PrefixKey, [u8; COUNT_BYTES]) {
        let (prefix, count) = nonce.split_first_chunk().expect("a nonce is longer than its prefix");
        (self.with_prefix(prefix), count.try_into().expect("a nonce is a prefix and a count"))
    }
}

impl fmt::Debug for BoxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxKey(..)")
    }
}

/// A key for boxes whose nonces have one prefix and differ in their counts. Deriving it once saves a short box a third of its
/// work.
#[derive(Clone)]
pub(super) struct PrefixKey(Zeroizing<[u8; KEY_BYTES]>);

impl PrefixKey {
    /// Encrypts these bytes in place. No count may be used twice.
    pub(super) fn seal(&self, count: [u8; COUNT_BYTES], bytes: &mut [u8]) -> Tag {
        let (mut cipher, mac) = self.begin(count);
        cipher.apply_keystream(bytes);
        mac.compute_unpadded(bytes).0
    }

    /// Decrypts these bytes in place. `false`: they are not what was sealed with this key and count, and stay as they are.
    #[must_use]
    pub(super) fn open(&self, count: [u8; COUNT_BYTES], bytes: &mut [u8], tag: &Tag) -> bool {
        let (mut cipher, mac) = self.begin(count);
        let is_whole: bool = mac.compute_unpadded(bytes)[..].ct_eq(tag).into();
        if is_whole {
            cipher.apply_keystream(bytes);
        }
        is_whole
    }

    /// The first bytes of the key stream are the key of the tag.
    fn begin(&self, count: [u8; COUNT_BYTES]) -> (Salsa20, Poly1305) {
        let mut cipher = Salsa20::new((&*self.0).into(), &count.into());
        let mut mac_key = Zeroizing::new([0; 32]);
        cipher.apply_keystream(&mut *mac_key);
        (cipher, Poly1305::new((&*mac_key).into()))
    }
}

impl fmt::Debug for PrefixKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrefixKey(..)")
    }
}

/// Random bytes of the kernel.
pub(super) fn random<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes to everybody");
    bytes
}

const _: () = assert!(TAG_BYTES == poly1305::BLOCK_SIZE && KEY_BYTES == poly1305::KEY_SIZE);

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that count up.
    fn counting<const BYTES: usize>(from: u8) -> [u8; BYTES] {
        std::array::from_fn(|at| from + u8::try_from(at).expect("few"))
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Pairs with the secret keys 0, 1, .. 31 and 100, 101, .. 131.
    fn pairs() -> [(SecretKey, PublicKey); 2] {
        [0, 100].map(|from| {
            let secret = SecretKey::of(&counting(from));
            (secret.clone(), secret.public())
        })
    }

    const NONCE: &Nonce = b"CurveZMQMESSAGES\0\0\0\0\0\0\0\x07";

    /// All figures are of libsodium 1.0.18: `crypto_scalarmult_base`, `crypto_box_beforenm`, `crypto_box_easy`. The byte at `i` of
    /// a message of `n` bytes is `7 i + n`.
    #[test]
    fn keys_and_boxes_are_those_of_libsodium() {
        let [(a, public_a), (b, public_b)] = pairs();
        assert_eq!(hex(&public_a.0), "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f");
        assert_eq!(hex(&public_b.0), "7d9c24316539825c1896e57f28197746793ce60cbee3ad47da9d07b85fa55e2a");
        let (one, other) = (a.agree(&public_b).expect("a key"), b.agree(&public_a).expect("a key"));
        assert_eq!(hex(&*one.0), "20c410df7f451bbb8784e165024d5b80c4095d74a33c9fa41bacf4a54a43d5f1");
        assert_eq!(one.0, other.0);
        let boxes = [
            (0, "7b07edad21af2f36f67db69de73f7490", ""),
            (1, "c889178104e5ee9e038d85f03a53a686", "c3"),
            (31, "ab231bd61d1bc8138a252fa4cf6fa505", "ddf56e7910cdcf02"),
            (32, "b5f71250cb578d951a2aad3f60dac531", "e2f46d7817cccc03"),
            (33, "eb080222e84429f8b5f844e80de7d877", "e3fb6c7b16cbcd00"),
            (63, "dc47182af766c9f4a8e198e9eec5289b", ""),
            (64, "aad99a0b0c1a3c574911d4b2383c35f5", ""),
            (65, "84e2eb041a5e017e3677c39b8b51cce7", "839b0c1b76ebed20"),
            (300, "88d16b04615b08b1afadcc83ec03c681", ""),
        ];
        for (bytes, tag, begin) in boxes {
            let message: Vec<u8> = (0..bytes).map(|at: usize| (at * 7 + bytes) as u8).collect();
            let mut sealed = message.clone();
            let found = one.seal(NONCE, &mut sealed);
            assert_eq!(hex(&found), tag, "{bytes} bytes");
            assert!(hex(&sealed).starts_with(begin), "{bytes} bytes");
            assert!(other.open(NONCE, &mut sealed, &found));
            assert_eq!(sealed, message);
        }
    }

    #[test]
    fn a_box_that_was_changed_stays_closed() {
        let [(a, _), (_, public_b)] = pairs();
        let key = a.agree(&public_b).expect("a key");
        let mut sealed = *b"message";
        let tag = key.seal(NONCE, &mut sealed);
        for bit in 0..8 * (TAG_BYTES + sealed.len()) {
            let (mut changed, mut changed_tag) = (sealed, tag);
            match bit / 8 {
                byte if byte < TAG_BYTES => changed_tag[byte] ^= 1 << (bit % 8),
                byte => changed[byte - TAG_BYTES] ^= 1 << (bit % 8),
            }
            let before = changed;
            assert!(!key.open(NONCE, &mut changed, &changed_tag), "bit {bit}");
            assert_eq!(changed, before);
        }
        let mut other_nonce = *NONCE;
        other_nonce[23] ^= 1;
        assert!(!key.open(&other_nonce, &mut sealed, &tag));
        assert!(!BoxKey::generate().open(NONCE, &mut sealed, &tag));
        assert!(key.open(NONCE, &mut sealed, &tag));
    }

    #[test]
    fn nobody_agrees_with_a_point_of_low_order() {
        let [(a, _), _] = pairs();
        let mut one = [0; KEY_BYTES];
        one[0] = 1;
        for low in [[0; KEY_BYTES], one] {
            assert!(a.agree(&PublicKey(low)).is_none());
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let [(a, public), _] = pairs();
        let key = a.agree(&public).expect("a key");
        let prefix_key = key.with_prefix(&[0; PREFIX_BYTES]);
        assert_eq!(format!("{a:?} {key:?} {prefix_key:?}"), "SecretKey(..) BoxKey(..) PrefixKey(..)");
    }
}
