//! A ZeroMQ socket as a client of the table.

use std::net::SocketAddr;

use corecast::internals::zmtp::command;

use super::house::TOPIC;
use super::table::{Act, Outcome};
use super::zmtp_peer::{self, Said, ZmtpPeer};

pub(crate) struct ZeroMq(ZmtpPeer);

impl ZeroMq {
    /// Comes by NULL, as the socket for this.
    pub(crate) fn by_null(door: SocketAddr, act: Act) -> Result<ZeroMq, Outcome> {
        let mut peer = ZmtpPeer::connect_tcp(door).greeted(true);
        peer.send(&zmtp_peer::ready(if act == Act::Publish { "PUB" } else { "SUB" }));
        // READY comes unasked, and says nothing about whether it is let in.
        peer.send(&command::ping());
        loop {
            match peer.hear() {
                Said::Command(name, _) if name == "PONG" => return Ok(ZeroMq(peer)),
                Said::Command(name, _) if name == "ERROR" => return Err(Outcome::NotLetIn),
                Said::Command(..) => {}
                Said::End => return Err(Outcome::NotLetIn),
                other => panic!("{other:?} in the place of a pong"),
            }
        }
    }

    /// Does this once, with this payload if it publishes.
    pub(crate) fn act(&mut self, act: Act, payload: &[u8]) -> Outcome {
        match act {
            Act::Publish => self.0.publish(&[TOPIC.as_bytes(), payload]),
            Act::SubscribeExact => self.0.subscribe(TOPIC.as_bytes()),
            Act::SubscribeWildcard => self.0.subscribe(b"t."),
            // Of a word that it may not have, and the one that it may.
            Act::SubscribeWider => self.0.subscribe(b"t"),
            Act::Watch | Act::List | Act::Register => unreachable!("ZeroMQ has no such request"),
        }
        self.0.send(&command::ping());
        loop {
            match self.0.hear() {
                Said::Command(name, _) if name == "PONG" => return Outcome::Done,
                Said::Command(name, reason) if name == "ERROR" => {
                    let reason = String::from_utf8_lossy(&reason).into_owned();
                    assert!(reason.contains("you may not"), "{reason}");
                    return Outcome::NotPermitted;
                }
                Said::Command(..) => {}
                other => panic!("{other:?} in the place of a pong"),
            }
        }
    }

    /// The payloads of the messages that it has by now. One whose session has ended for its act has none.
    pub(crate) fn heard(&mut self) -> Vec<Vec<u8>> {
        self.0.send(&command::ping());
        let mut heard = Vec::new();
        loop {
            match self.0.hear() {
                Said::Message(mut parts) => heard.extend(parts.pop()),
                Said::Command(name, _) if name != "PONG" => {}
                Said::Command(..) | Said::End => return heard,
            }
        }
    }

    /// Waits for the end of the session, before which it may hear whatever was published, but not that.
    pub(crate) fn end(&mut self, forbidden: &[u8]) -> Outcome {
        loop {
            match self.0.hear() {
                Said::Message(parts) => assert_ne!(parts.last().map(Vec::as_slice), Some(forbidden)),
                Said::Command(..) => {}
                Said::End => return Outcome::NotLetIn,
            }
        }
    }
}
