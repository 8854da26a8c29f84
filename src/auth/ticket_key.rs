//! The keys of tickets: that by which a broker signs them, drawn at each of its starts, and that by which its direct publishers
//! know its signature. Ed25519, of ring; a program without the feature `tls` signs nothing, and accepts no signature.

#[cfg(not(feature = "tls"))]
use std::convert::Infallible as KeyPair;
use std::fmt;
use std::io;

#[cfg(feature = "tls")]
use ring::signature::Ed25519KeyPair as KeyPair;

/// Bytes of a signature.
pub(super) const SIGNATURE_BYTES: usize = 64;

/// The text before what is signed, so that a signature is of nothing else.
const CONTEXT: &[u8] = b"corecast ticket\0";

/// The key that a broker tells its direct publishers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TicketKey([u8; TicketKey::BYTES]);

impl TicketKey {
    /// Its length.
    pub const BYTES: usize = 32;

    /// The key of these bytes. `None`: it has another length.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(TicketKey)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes that its owner has sealed. `None`: somebody else has, or has changed them since.
    pub(super) fn open<'a>(&self, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (body, signature) = sealed.split_last_chunk::<SIGNATURE_BYTES>()?;
        self.has_signed(&[CONTEXT, body].concat(), signature).then_some(body)
    }

    #[cfg(feature = "tls")]
    fn has_signed(&self, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        use ring::signature::{ED25519, UnparsedPublicKey};
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }

    #[cfg(not(feature = "tls"))]
    fn has_signed(&self, _: &[u8], _: &[u8; SIGNATURE_BYTES]) -> bool {
        false
    }
}

/// The first digits, which tell keys apart in a log.
impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, ..] = self.0;
        write!(f, "TicketKey({first:02x}{second:02x}..)")
    }
}

/// The key by which a broker signs.
pub struct TicketSigner(KeyPair);

impl TicketSigner {
    /// These bytes with a signature behind them.
    pub fn seal(&self, mut body: Vec<u8>) -> Vec<u8> {
        let signature = self.sign(&[CONTEXT, &body].concat());
        body.extend_from_slice(&signature);
        body
    }
}

#[cfg(feature = "tls")]
impl TicketSigner {
    /// A new key; `None` in a program that cannot sign.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn fresh() -> io::Result<Option<Self>> {
        let seed = zeroize::Zeroizing::new(super::random::random_bytes::<32>()?);
        let pair = KeyPair::from_seed_unchecked(&*seed).expect("a seed has 32 bytes");
        Ok(Some(TicketSigner(pair)))
    }

    /// The key that publishers are told.
    pub fn key(&self) -> TicketKey {
        let key = ring::signature::KeyPair::public_key(&self.0);
        TicketKey::read(key.as_ref()).expect("a key of Ed25519 has 32 bytes")
    }

    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(message).as_ref().try_into().expect("a signature of Ed25519 has 64 bytes")
    }
}

#[cfg(not(feature = "tls"))]
impl TicketSigner {
    /// A new key; `None` in a program that cannot sign.
    ///
    /// # Errors
    /// None here.
    pub fn fresh() -> io::Result<Option<Self>> {
        Ok(None)
    }

    /// The key that publishers are told.
    pub fn key(&self) -> TicketKey {
        match self.0 {}
    }

    fn sign(&self, _: &[u8]) -> [u8; SIGNATURE_BYTES] {
        match self.0 {}
    }
}

/// Nothing of the key.
impl fmt::Debug for TicketSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TicketSigner").field(&self.key()).finish()
    }
}
