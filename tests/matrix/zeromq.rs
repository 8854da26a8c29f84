//! A ZeroMQ socket as a client of the table.

use std::net::SocketAddr;

use corecast::internals::zmtp::greeting::Mechanism;
use corecast::internals::zmtp::{command, frame};

use super::house::{DIRECT_TOPIC, TOPIC};
use super::table::{Act, Outcome};
use super::zmtp_peer::curve::CurveClient;
use super::zmtp_peer::{self, Said, ZmtpPeer, command_of};

pub(crate) struct ZeroMq {
    peer: ZmtpPeer,
    /// The end of CURVE, by which all is in boxes.
    curve: Option<CurveClient>,
}

/// The type of the socket for this.
fn kind_for(act: Act) -> &'static str {
    if act == Act::Publish { "PUB" } else { "SUB" }
}

impl ZeroMq {
    /// Comes by NULL, as the socket for this.
    pub(crate) fn by_null(door: SocketAddr, act: Act) -> Result<ZeroMq, Outcome> {
        let mut peer = ZmtpPeer::connect_tcp(door).greeted(true);
        peer.send(&zmtp_peer::ready(kind_for(act)));
        let mut socket = ZeroMq { peer, curve: None };
        socket.expect("READY")?;
        // READY says nothing about whether it is let in.
        socket.send(&command::ping());
        loop {
            match socket.hear() {
                Said::Command(name, _) if name == "PONG" => return Ok(socket),
                Said::Command(name, _) if name == "ERROR" => return Err(Outcome::NotLetIn),
                Said::End => return Err(Outcome::NotLetIn),
                _ => {}
            }
        }
    }

    /// The same, by PLAIN as the user `client`.
    pub(crate) fn by_plain(door: SocketAddr, act: Act, password: &str) -> Result<ZeroMq, Outcome> {
        let peer = ZmtpPeer::connect_tcp(door).greeted_by(Mechanism::Plain);
        let mut socket = ZeroMq { peer, curve: None };
        let short = |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
        socket.peer.send(&command_of(b"HELLO", &[short("client"), short(password)].concat()));
        socket.expect("WELCOME")?;
        socket.peer.send(&command_of(b"INITIATE", &command::metadata(kind_for(act))));
        socket.expect("READY").map(|_| socket)
    }

    /// The same, by CURVE.
    pub(crate) fn by_curve(door: SocketAddr, act: Act, mut client: CurveClient) -> Result<ZeroMq, Outcome> {
        let mut peer = ZmtpPeer::connect_tcp(door).greeted_by(Mechanism::Curve);
        peer.send(&client.hello());
        let mut socket = ZeroMq { peer, curve: None };
        let cookie = client.welcome(&socket.expect("WELCOME")?).expect("it is the broker's");
        socket.peer.send(&client.initiate(&cookie, kind_for(act)));
        client.ready(&socket.expect("READY")?).expect("it is the broker's");
        Ok(ZeroMq { curve: Some(client), ..socket })
    }

    /// Waits for this command of the handshake, and gives its data.
    fn expect(&mut self, wanted: &str) -> Result<Vec<u8>, Outcome> {
        match self.peer.hear() {
            Said::Command(name, data) if name == wanted => Ok(data),
            Said::Command(name, _) if name == "ERROR" => Err(Outcome::NotLetIn),
            Said::End => Err(Outcome::NotLetIn),
            other => panic!("{other:?} in the place of {wanted}"),
        }
    }

    fn send(&mut self, frames: &[u8]) {
        match &mut self.curve {
            Some(curve) => self.peer.send(&curve.seal(frames)),
            None => self.peer.send(frames),
        }
    }

    /// The next that it hears, out of its box.
    fn hear(&mut self) -> Said {
        let Some(curve) = &mut self.curve else { return self.peer.hear() };
        let mut parts = Vec::new();
        loop {
            let boxed = match self.peer.hear() {
                Said::Message(boxed) => boxed.concat(),
                other => return other,
            };
            let opened = curve.open(&boxed).expect("it is the broker's");
            let head = frame::parse_head(&opened).expect("a frame").expect("its head");
            let body = &opened[head.head_bytes..];
            if head.command {
                let (name, data) = body[1..].split_at(usize::from(body[0]));
                return Said::Command(String::from_utf8_lossy(name).into_owned(), data.to_vec());
            }
            parts.push(body.to_vec());
            if !head.more {
                return Said::Message(parts);
            }
        }
    }

    /// Does this once, with this payload if it publishes.
    pub(crate) fn act(&mut self, act: Act, payload: &[u8]) -> Outcome {
        let subscribe = |prefix| command::subscription(true, prefix, true);
        let asked = match act {
            Act::Publish => zmtp_peer::message(&[TOPIC.as_bytes(), payload]),
            Act::SubscribeExact => subscribe(TOPIC.as_bytes()),
            Act::SubscribeWildcard => subscribe(b"t."),
            // A word that it may have begins with it, and others do.
            Act::SubscribeWider => subscribe(b"t"),
            Act::Direct => subscribe(DIRECT_TOPIC.as_bytes()),
            Act::Watch | Act::List | Act::Register => unreachable!("ZeroMQ has no such request"),
        };
        self.send(&asked);
        self.send(&command::ping());
        loop {
            match self.hear() {
                Said::Command(name, _) if name == "PONG" => return Outcome::Done,
                Said::Command(name, reason) if name == "ERROR" => {
                    let reason = String::from_utf8_lossy(&reason).into_owned();
                    assert!(reason.contains("you may not"), "{reason}");
                    return Outcome::NotPermitted;
                }
                // Of subscriptions, if it publishes.
                Said::Command(..) | Said::Message(_) if act == Act::Publish => {}
                other => panic!("{other:?} in the place of a pong"),
            }
        }
    }

    /// The payloads of the messages that it has by now. One whose session has ended for its act has none.
    pub(crate) fn heard(&mut self) -> Vec<Vec<u8>> {
        self.send(&command::ping());
        let mut heard = Vec::new();
        loop {
            match self.hear() {
                Said::Message(mut parts) => heard.extend(parts.pop()),
                Said::Command(name, _) if name != "PONG" => {}
                Said::Command(..) | Said::End => return heard,
            }
        }
    }

    /// Waits for the end of the session, before which it may hear whatever was published, but not that.
    pub(crate) fn end(&mut self, forbidden: &[u8]) -> Outcome {
        loop {
            match self.hear() {
                Said::Message(parts) => assert_ne!(parts.last().map(Vec::as_slice), Some(forbidden)),
                Said::Command(..) => {}
                Said::End => return Outcome::NotLetIn,
            }
        }
    }
}
