//! Handshakes by every mechanism, and the boxes behind that of CURVE: the peer says what it should, what it should with bytes
//! changed, what it has said before, or anything, in pieces. Nobody is let in as anybody else, or before the verdict on a
//! password. In the end a good client still comes in.

#[path = "../../tests/zmtp_peer/curve.rs"]
mod curve;

use std::sync::{Arc, OnceLock};

use corecast::internals::zmtp::curve::KeyPair;
use corecast::internals::zmtp::greeting::{GREETING_BYTES, Mechanism, ours_for};
use corecast::internals::zmtp::{Machine, Offers, Output, PeerClaim, Sides, Step, command, frame};
use curve::{CurveClient, named};

/// Short, so that inputs reach it.
const MESSAGE_BYTES_MAX: usize = 600;

/// The door of a broker, and one of its peers.
struct Peer {
    machine: Machine,
    held: Vec<u8>,
    curve: CurveClient,
    cookie: Option<Vec<u8>>,
    /// All that it has said.
    said: Vec<Vec<u8>>,
    is_admitted: bool,
    claims: Vec<PeerClaim>,
    is_open: bool,
    has_ended: bool,
}

/// Runs one input. The first byte chooses the mechanism; operations follow, each with the input that it takes.
pub fn mechanisms(data: &[u8]) {
    let Some((first, mut rest)) = data.split_first() else { return };
    let mechanism = Mechanism::ALL[usize::from(*first) % Mechanism::ALL.len()];
    let mut peer = Peer::new();
    peer.say(&ours_for(mechanism), usize::MAX);
    while let Some((op, tail)) = rest.split_first() {
        if peer.has_ended {
            break;
        }
        rest = peer.operate(mechanism, *op, tail);
    }
    match mechanism {
        Mechanism::Null => assert!(peer.claims.iter().all(|claim| *claim == PeerClaim::Nothing)),
        Mechanism::Plain => assert!(!peer.is_open || peer.is_admitted, "open before it was let in"),
        Mechanism::Curve => {
            let own = PeerClaim::CurveKey(peer.curve.public().0);
            assert!(peer.claims.iter().all(|claim| *claim == own), "it has no other key");
            assert!(!peer.is_open || peer.claims.len() == 1);
        }
    }
    let mut good = Peer::new();
    good.say(&ours_for(Mechanism::Curve), 7);
    for _ in 0..2 {
        let next = good.next(Mechanism::Curve);
        good.say(&next, 7);
    }
    assert!(good.is_open && good.claims == [PeerClaim::CurveKey(good.curve.public().0)]);
}

fn pair() -> Arc<KeyPair> {
    static PAIR: OnceLock<Arc<KeyPair>> = OnceLock::new();
    Arc::clone(PAIR.get_or_init(|| Arc::new(KeyPair::generate())))
}

impl Peer {
    fn new() -> Self {
        let offers = Offers::default().plain(true).curve(Some(pair()));
        Peer {
            machine: Machine::new(Sides::Both, offers, MESSAGE_BYTES_MAX),
            held: Vec::new(),
            curve: CurveClient::unknown(pair().public()),
            cookie: None,
            said: Vec::new(),
            is_admitted: false,
            claims: Vec::new(),
            is_open: false,
            has_ended: false,
        }
    }

    fn operate<'d>(&mut self, mechanism: Mechanism, op: u8, data: &'d [u8]) -> &'d [u8] {
        let cut = usize::from(op >> 3) + 1;
        match op & 7 {
            0..=2 => {
                let next = self.next(mechanism);
                self.say(&next, cut);
            }
            3 => {
                // A byte of it is changed: which, and how, the next two say.
                let Some((change, data)) = data.split_first_chunk::<2>() else { return &[] };
                let mut next = self.next(mechanism);
                let at = usize::from(change[0]) % next.len();
                next[at] ^= change[1];
                self.say(&next, cut);
                return data;
            }
            4 => {
                if let Some(again) = self.said.get(cut % self.said.len().max(1)).cloned() {
                    self.say(&again, cut);
                }
            }
            5 => {
                // As many bytes as the next one says.
                let Some((length, data)) = data.split_first() else { return data };
                let (anything, data) = data.split_at(usize::from(*length).min(data.len()));
                self.say(anything, cut);
                return data;
            }
            6 => {
                // The same in a box.
                let Some((length, data)) = data.split_first() else { return data };
                let (anything, data) = data.split_at(usize::from(*length).min(data.len()));
                if self.is_open && mechanism == Mechanism::Curve {
                    let mut sealed = Vec::new();
                    self.curve.seal_frame(op >> 3 & 3, anything, &mut sealed);
                    self.say(&sealed, cut);
                }
                return data;
            }
            _ => self.is_admitted |= self.machine.admit().is_some(),
        }
        data
    }

    /// The next that it should say.
    fn next(&mut self, mechanism: Mechanism) -> Vec<u8> {
        let message = {
            let mut out = Vec::new();
            frame::put_frame(&mut out, 0, b"message");
            out
        };
        match (mechanism, &self.cookie) {
            (Mechanism::Null, _) if self.is_open => message,
            (Mechanism::Null, _) => command::ready("PUB"),
            (Mechanism::Plain, _) if self.is_open => message,
            (Mechanism::Plain, _) if self.claims.is_empty() => {
                command::command(b"HELLO", b"\x04name\x06secret")
            }
            (Mechanism::Plain, _) => command::command(b"INITIATE", &command::metadata("PUB")),
            (Mechanism::Curve, _) if self.is_open => self.curve.seal(&message),
            (Mechanism::Curve, Some(cookie)) => self.curve.initiate(&cookie.clone(), "PUB"),
            (Mechanism::Curve, None) => self.curve.hello(),
        }
    }

    fn say(&mut self, bytes: &[u8], piece: usize) {
        if self.said.len() < 32 {
            self.said.push(bytes.to_vec());
        }
        for piece in bytes.chunks(piece) {
            self.held.extend_from_slice(piece);
            let mut out = Output::default();
            let read = self.machine.read(&self.held, &mut out);
            assert!(read.whole_bytes <= self.held.len(), "bytes are used that have not come");
            let frames = read.opened.as_deref().unwrap_or(&self.held[..read.whole_bytes]);
            assert!(out.spans.iter().all(|span| span.end() <= frames.len()));
            for step in out.steps {
                match step {
                    Step::Claim(claim) => self.claims.push(claim),
                    Step::Send(bytes) => self.hear(&bytes),
                    Step::Seal => self.machine.seal(),
                    Step::Open(_) => self.is_open = true,
                    _ => {}
                }
            }
            self.held.drain(..read.whole_bytes);
            let partial = self.machine.partial(&self.held);
            assert!(
                partial.held_bytes >= self.held.len()
                    && partial.held_bytes < 8 * MESSAGE_BYTES_MAX + GREETING_BYTES
            );
            if read.error.is_some() {
                self.has_ended = true;
                return;
            }
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        if bytes.first() == Some(&frame::COMMAND) {
            let (name, data) = named(bytes);
            if name == b"WELCOME" && !data.is_empty() {
                self.cookie = self.curve.welcome(&data);
            }
        }
    }
}
