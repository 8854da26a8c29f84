//! The handshake of a server: HELLO and WELCOME agree on keys of this connection alone, INITIATE shows who the peer is, READY
//! ends it. Until INITIATE a connection holds one key: what else the server has to know then is in the cookie, which comes
//! back. That key is no other connection's, so a handshake that is sent again opens nothing.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::channel::CurveChannel;
use super::keys::KeyPair;
use super::nacl::{BoxKey, SecretKey, random};
use super::public_key::PublicKey;
use super::{COUNT_BYTES, KEY_BYTES, Nonce, TAG_BYTES, bad_box, malformed, nonce};
use crate::error::ErrorCode;
use crate::wire::WireError;
use crate::zmtp::claim::{PeerClaim, Progress};
use crate::zmtp::command::{command, metadata};

/// The handshake of one connection.
#[derive(Debug)]
pub struct CurveHandshake {
    server: Arc<KeyPair>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// HELLO comes next.
    Hello,
    /// WELCOME was sent, with a cookie that this key opens.
    Initiate(BoxKey),
    /// The peer has shown its key, and all boxes are closed with this one.
    Ended { key: BoxKey, peer_count: u64 },
}

/// Positions in the body of HELLO.
mod hello {
    use std::ops::Range;

    pub(super) const NAME: &[u8; 6] = b"\x05HELLO";
    pub(super) const VERSION: Range<usize> = 6..8;
    pub(super) const TRANSIENT: Range<usize> = 80..112;
    pub(super) const COUNT: Range<usize> = 112..120;
    pub(super) const SIGNATURE: Range<usize> = 120..BYTES;
    pub(super) const BYTES: usize = 200;
}

/// Positions in the body of INITIATE, and in what its box holds.
mod initiate {
    use std::ops::{Range, RangeFrom};

    pub(super) const NAME: &[u8; 9] = b"\x08INITIATE";
    pub(super) const COOKIE_RANDOM: Range<usize> = 9..25;
    pub(super) const COOKIE: Range<usize> = 25..105;
    pub(super) const COUNT: Range<usize> = 105..113;
    pub(super) const BOX: RangeFrom<usize> = 113..;

    pub(super) const KEY: Range<usize> = 0..32;
    pub(super) const VOUCH_RANDOM: Range<usize> = 32..48;
    pub(super) const VOUCH: Range<usize> = 48..128;
    pub(super) const METADATA: RangeFrom<usize> = 128..;

    /// Bytes without any metadata.
    pub(super) const BYTES_MIN: usize = BOX.start + super::TAG_BYTES + METADATA.start;
}

impl CurveHandshake {
    /// A connection to the server of this pair.
    pub fn new(server: Arc<KeyPair>) -> Self {
        CurveHandshake { server, stage: Stage::Hello }
    }

    /// Takes the body of a command.
    ///
    /// # Errors
    /// `Unexpected`, `Malformed`, `Version`; `BadBox` for a box that is not for this server, or not of this connection.
    pub(in crate::zmtp) fn take(&mut self, body: &[u8]) -> Result<Progress, WireError> {
        match &self.stage {
            Stage::Hello if body.starts_with(hello::NAME) => self.on_hello(body),
            Stage::Initiate(cookie_key) if body.starts_with(initiate::NAME) => {
                let cookie_key = cookie_key.clone();
                self.on_initiate(&cookie_key, body)
            }
            _ => {
                Err(WireError::new(ErrorCode::Unexpected, "a command that CURVE does not have at this point"))
            }
        }
    }

    /// The READY that ends the handshake, as a socket of this type, and the channel that begins behind it. The peer has shown
    /// its key.
    pub fn end(&self, socket_type: &str) -> (Vec<u8>, CurveChannel) {
        let Stage::Ended { key, peer_count } = &self.stage else { unreachable!("INITIATE was taken") };
        let count = 1_u64;
        let sealed =
            seal(key, &nonce::short(b"CurveZMQREADY---", count.to_be_bytes()), &metadata(socket_type));
        let ready = command(b"READY", &[&count.to_be_bytes()[..], &sealed].concat());
        let channel = CurveChannel::new(key, *peer_count, count + 1, ready.len());
        (ready, channel)
    }

    fn on_hello(&mut self, body: &[u8]) -> Result<Progress, WireError> {
        if body.len() != hello::BYTES {
            return Err(malformed("a HELLO of CURVE has 200 bytes"));
        }
        if body[hello::VERSION] != [1, 0] {
            return Err(WireError::new(ErrorCode::Version, "this end speaks CURVE 1.0"));
        }
        let transient = PublicKey(part(body, hello::TRANSIENT));
        let not_for_us = || bad_box("HELLO is not for the key of this server");
        let key = self.server.secret().agree(&transient).ok_or_else(not_for_us)?;
        let count = nonce::short(b"CurveZMQHELLO---", part(body, hello::COUNT));
        let signature = open(&key, &count, &body[hello::SIGNATURE]).ok_or_else(not_for_us)?;
        if *signature != [0; 64] {
            return Err(malformed("a HELLO of CURVE signs 64 zeros"));
        }
        let cookie_key = BoxKey::generate();
        let welcome = welcome(&key, &transient, &cookie_key);
        self.stage = Stage::Initiate(cookie_key);
        Ok(Progress::Answer(welcome))
    }

    fn on_initiate(&mut self, cookie_key: &BoxKey, body: &[u8]) -> Result<Progress, WireError> {
        if body.len() < initiate::BYTES_MIN {
            return Err(malformed("an INITIATE of CURVE is not whole"));
        }
        let cookie_nonce = nonce::long(b"COOKIE--", &part(body, initiate::COOKIE_RANDOM));
        let cookie = open(cookie_key, &cookie_nonce, &body[initiate::COOKIE])
            .ok_or_else(|| bad_box("the cookie of INITIATE is not that of this connection"))?;
        let (transient, secret) = cookie.split_first_chunk().expect("a cookie has two keys");
        let transient = PublicKey(*transient);
        let secret = SecretKey::of(secret.try_into().expect("a cookie has two keys"));
        let closed = || bad_box("INITIATE does not open");
        let key = secret.agree(&transient).ok_or_else(closed)?;
        let count = part(body, initiate::COUNT);
        let content =
            open(&key, &nonce::short(b"CurveZMQINITIATE", count), &body[initiate::BOX]).ok_or_else(closed)?;
        // The vouch: the owner of this public key confirms that the transient key is its own, and meant for this server.
        let peer = PublicKey(part(&content, initiate::KEY));
        let vouch_nonce = nonce::long(b"VOUCH---", &part(&content, initiate::VOUCH_RANDOM));
        let wrong_vouch = || bad_box("the vouch of INITIATE is not that of its key");
        let vouch_key = secret.agree(&peer).ok_or_else(wrong_vouch)?;
        let vouch = open(&vouch_key, &vouch_nonce, &content[initiate::VOUCH]).ok_or_else(wrong_vouch)?;
        if *vouch != [transient.0, self.server.public().0].concat() {
            return Err(wrong_vouch());
        }
        self.stage = Stage::Ended { key, peer_count: u64::from_be_bytes(count) };
        let metadata = content[initiate::METADATA].to_vec();
        Ok(Progress::Ended { claim: Some(PeerClaim::CurveKey(peer.0)), metadata })
    }
}

/// The WELCOME for this transient key of a peer, with a cookie of that and of a new secret key of this connection.
fn welcome(key: &BoxKey, transient: &PublicKey, cookie_key: &BoxKey) -> Vec<u8> {
    let secret = SecretKey::generate();
    let cookie_random = random();
    // No copy of the secret key is left behind.
    let content = Zeroizing::new([&transient.0[..], secret.expose()].concat());
    let cookie = seal(cookie_key, &nonce::long(b"COOKIE--", &cookie_random), &content);
    let content = [&secret.public().0[..], &cookie_random, &cookie].concat();
    let welcome_random = random();
    let sealed = seal(key, &nonce::long(b"WELCOME-", &welcome_random), &content);
    command(b"WELCOME", &[&welcome_random[..], &sealed].concat())
}

/// A box of these bytes: the tag, then the bytes.
fn seal(key: &BoxKey, nonce: &Nonce, content: &[u8]) -> Vec<u8> {
    let mut sealed = vec![0; TAG_BYTES];
    sealed.extend_from_slice(content);
    let tag = key.seal(nonce, &mut sealed[TAG_BYTES..]);
    sealed[..TAG_BYTES].copy_from_slice(&tag);
    sealed
}

/// The bytes of a box. `None`: it is none of this key and nonce.
fn open(key: &BoxKey, nonce: &Nonce, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (tag, content) = sealed.split_first_chunk::<TAG_BYTES>()?;
    let mut content = Zeroizing::new(content.to_vec());
    key.open(nonce, &mut content, tag).then_some(content)
}

/// A part of a command whose length was checked.
fn part<const BYTES: usize>(body: &[u8], range: std::ops::Range<usize>) -> [u8; BYTES] {
    body[range].try_into().expect("the length was checked")
}

const _: () = assert!(KEY_BYTES == 32 && COUNT_BYTES == 8);
