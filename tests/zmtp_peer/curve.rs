//! A CURVE client without a library, on the ciphers of the broker: it says what a test wants, right or wrong.
#![allow(dead_code, reason = "not every test file asks for all of it")]

use corecast::internals::zmtp::curve::{BoxKey, PublicKey, SecretKey};
use corecast::internals::zmtp::{command, frame};

/// The client of one connection.
#[derive(Clone, Debug)]
pub(crate) struct CurveClient {
    secret: SecretKey,
    transient: SecretKey,
    server: PublicKey,
    /// The server's key of this connection, once it is known.
    server_transient: Option<PublicKey>,
    /// The count of the next box.
    pub(crate) count: u64,
    /// The count of the last box of the server.
    heard: u64,
}

impl CurveClient {
    /// A client that has this secret key, and believes that the server has this public one.
    pub(crate) fn new(secret: SecretKey, server: PublicKey) -> Self {
        let transient = SecretKey::generate();
        CurveClient { secret, transient, server, server_transient: None, count: 1, heard: 0 }
    }

    /// A client whose key nobody knows.
    pub(crate) fn unknown(server: PublicKey) -> Self {
        CurveClient::new(SecretKey::generate(), server)
    }

    pub(crate) fn secret(&self) -> SecretKey {
        self.secret.clone()
    }

    pub(crate) fn public(&self) -> PublicKey {
        self.secret.public()
    }

    /// The public key of this connection.
    pub(crate) fn transient(&self) -> PublicKey {
        self.transient.public()
    }

    /// The HELLO, as a frame.
    pub(crate) fn hello(&mut self) -> Vec<u8> {
        let count = self.next_count();
        let key = self.transient.agree(&self.server).expect("a proper key");
        let signature = sealed(&key, &nonce(b"CurveZMQHELLO---", &count), &[0; 64]);
        let version = [1, 0];
        let data = [&version[..], &[0; 72], &self.transient.public().0, &count, &signature].concat();
        command::command(b"HELLO", &data)
    }

    /// Takes the data of the WELCOME, and gives the cookie; `None` if it does not open.
    pub(crate) fn welcome(&mut self, data: &[u8]) -> Option<Vec<u8>> {
        let (random, sealed) = data.split_at(16);
        let key = self.transient.agree(&self.server)?;
        let content = opened(&key, &nonce(b"WELCOME-", random), sealed)?;
        let (server_transient, cookie) = content.split_at(32);
        self.server_transient = Some(PublicKey(server_transient.try_into().expect("32 bytes")));
        Some(cookie.to_vec())
    }

    /// The INITIATE of a socket of this type, as a frame.
    pub(crate) fn initiate(&mut self, cookie: &[u8], kind: &str) -> Vec<u8> {
        let vouched = [self.transient.public().0, self.server.0].concat();
        self.initiate_with(cookie, kind, &vouched)
    }

    /// The same with this in the vouch.
    pub(crate) fn initiate_with(&mut self, cookie: &[u8], kind: &str, vouched: &[u8]) -> Vec<u8> {
        let count = self.next_count();
        let server_transient = self.server_transient.expect("WELCOME was taken");
        let vouch_key = self.secret.agree(&server_transient).expect("a proper key");
        let vouch_random = [7; 16];
        let vouch = sealed(&vouch_key, &nonce(b"VOUCH---", &vouch_random), vouched);
        let metadata = command::metadata(kind);
        let content = [&self.public().0[..], &vouch_random, &vouch, &metadata].concat();
        let closed = sealed(&self.key(), &nonce(b"CurveZMQINITIATE", &count), &content);
        command::command(b"INITIATE", &[cookie, &count, &closed].concat())
    }

    /// The metadata in the data of a READY; `None` if it does not open.
    pub(crate) fn ready(&mut self, data: &[u8]) -> Option<Vec<u8>> {
        let (count, closed) = data.split_at(8);
        self.heard = u64::from_be_bytes(count.try_into().expect("eight bytes"));
        opened(&self.key(), &nonce(b"CurveZMQREADY---", count), closed)
    }

    /// Frames of ZMTP in boxes.
    pub(crate) fn seal(&mut self, mut frames: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(head) = frame::parse_head(frames).expect("a frame") {
            let end = head.head_bytes + usize::try_from(head.body_bytes).expect("it is here");
            let flags = u8::from(head.more) | u8::from(head.command) << 1;
            self.seal_frame(flags, &frames[head.head_bytes..end], &mut out);
            frames = &frames[end..];
        }
        assert!(frames.is_empty(), "whole frames");
        out
    }

    /// A box of a frame with these flags, as they are sealed.
    pub(crate) fn seal_frame(&mut self, flags: u8, body: &[u8], out: &mut Vec<u8>) {
        let count = self.next_count();
        let closed = sealed(&self.key(), &nonce(b"CurveZMQMESSAGEC", &count), &[&[flags], body].concat());
        frame::put_frame(out, 0, &[b"\x07MESSAGE", &count[..], &closed].concat());
    }

    /// The frame in the body of a box, as a frame of ZMTP; `None` if it does not open. Its count must be greater than those before.
    pub(crate) fn open(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let rest = body.strip_prefix(b"\x07MESSAGE")?;
        let (count, closed) = rest.split_at(8);
        let number = u64::from_be_bytes(count.try_into().expect("eight bytes"));
        assert!(number > self.heard, "{number} comes behind {}", self.heard);
        self.heard = number;
        let content = opened(&self.key(), &nonce(b"CurveZMQMESSAGES", count), closed)?;
        let flags = content[0] & 1 | (content[0] & 2) << 1;
        let mut out = Vec::new();
        frame::put_frame(&mut out, flags, &content[1..]);
        Some(out)
    }

    fn key(&self) -> BoxKey {
        let server = self.server_transient.expect("WELCOME was taken");
        self.transient.agree(&server).expect("a proper key")
    }

    fn next_count(&mut self) -> [u8; 8] {
        self.count += 1;
        (self.count - 1).to_be_bytes()
    }
}

/// The name and the data of a command's frame.
pub(crate) fn named(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let head = frame::parse_head(bytes).expect("a frame").expect("its head");
    assert!(head.command);
    let body = &bytes[head.head_bytes..];
    let (name, data) = body[1..].split_at(usize::from(body[0]));
    (name.to_vec(), data.to_vec())
}

/// The frames in boxes on the wire, which may begin with the READY.
pub(crate) fn opened_frames(client: &mut CurveClient, mut wire: &[u8]) -> Vec<u8> {
    let mut frames = Vec::new();
    while let Some(head) = frame::parse_head(wire).expect("a frame") {
        let end = head.head_bytes + usize::try_from(head.body_bytes).expect("it is here");
        if head.command {
            // libzmq marks no box as a command.
            let (name, data) = named(&wire[..end]);
            assert_eq!(name, b"READY");
            client.ready(&data).expect("it opens");
        } else {
            frames.extend(client.open(&wire[head.head_bytes..end]).expect("it opens"));
        }
        wire = &wire[end..];
    }
    frames
}

fn nonce(prefix: &[u8], rest: &[u8]) -> [u8; 24] {
    [prefix, rest].concat().try_into().expect("24 bytes")
}

fn sealed(key: &BoxKey, nonce: &[u8; 24], content: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    let tag = key.seal(nonce, &mut content);
    [&tag[..], &content].concat()
}

fn opened(key: &BoxKey, nonce: &[u8; 24], closed: &[u8]) -> Option<Vec<u8>> {
    let (tag, content) = closed.split_first_chunk::<16>()?;
    let mut content = content.to_vec();
    key.open(nonce, &mut content, tag).then_some(content)
}
