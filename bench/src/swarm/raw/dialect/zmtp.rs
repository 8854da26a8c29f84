//! ZMTP 3.1 with the NULL mechanism, from a SUB's and a PUB's side: <https://rfc.zeromq.org/spec/37/>.

use super::sink::{DialectError, Obeyed, Role, Sink, Taken};
use corecast::internals::wire::WireError;
use corecast::internals::zmtp::command::{self, ZmtpCommand};
use corecast::internals::zmtp::frame::{COMMAND, MORE, head_of, parse_head, put_frame};
use corecast::internals::zmtp::greeting::{self, GREETING_BYTES};

/// Length above all payloads that are sent.
const BODY_BYTES_MAX: u64 = 1 << 30;

/// The form of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parts {
    /// One part, the topic in front: filters match the front of the first part.
    One,
    /// A part each.
    Two,
}

/// One connection.
#[derive(Debug)]
pub struct Zmtp {
    role: Role,
    parts: Parts,
    stage: Stage,
    /// The frame before this one was of the same message.
    inside: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The peer has not greeted.
    Greeting,
    /// The peer has greeted with this minor version, and has not said what it is.
    Handshake(u8),
    /// Traffic.
    Open,
}

impl Zmtp {
    /// A connection that is about to open.
    pub fn new(role: Role, parts: Parts) -> Self {
        Zmtp { role, parts, stage: Stage::Greeting, inside: false }
    }

    /// See [`super::Dialect::read`].
    pub fn read(&mut self, bytes: &[u8], reply: &mut Vec<u8>, sink: &mut impl Sink) -> Taken {
        let mut at = 0;
        if self.stage == Stage::Greeting {
            let Some(greeting) = bytes.get(..GREETING_BYTES) else { return Ok(0) };
            self.greeted(greeting, reply)?;
            at = GREETING_BYTES;
        }
        while let Some(head) = parse_head(&bytes[at..]).map_err(malformed)? {
            if head.body_bytes > BODY_BYTES_MAX {
                return Err(DialectError::new(format!("a frame of {} bytes", head.body_bytes)));
            }
            let (start, body_bytes) = (at + head.head_bytes, head.body_bytes as usize);
            let Some(body) = bytes.get(start..start + body_bytes) else { break };
            if head.command {
                self.command(body, reply, sink)?;
            } else {
                self.part(head.more, body, sink);
            }
            at = start + body_bytes;
        }
        Ok(at)
    }

    fn greeted(&mut self, greeting: &[u8], reply: &mut Vec<u8>) -> Result<(), DialectError> {
        let is_zmtp_3 = greeting[0] == 0xff && greeting[9] == 0x7f && greeting[10] >= 3;
        if !is_zmtp_3 || !greeting[12..].starts_with(b"NULL\0") {
            return Err(DialectError::of("no greeting of ZMTP 3 without security", greeting));
        }
        self.stage = Stage::Handshake(greeting[11]);
        let socket: &[u8] = match &self.role {
            Role::Subscriber(_) => b"SUB",
            Role::Publisher => b"PUB",
        };
        put_frame(reply, COMMAND, &ready(socket));
        Ok(())
    }

    fn command(&mut self, body: &[u8], reply: &mut Vec<u8>, sink: &mut impl Sink) -> Obeyed {
        match (command::parse(body).map_err(malformed)?, self.stage, &self.role) {
            (ZmtpCommand::Ready(_), Stage::Handshake(minor), Role::Subscriber(wanted)) => {
                for filter in &wanted.filters {
                    let prefix = filter.written("");
                    // A 3.0 peer takes a subscription as a message.
                    reply.extend_from_slice(&command::subscription(true, prefix.as_bytes(), minor > 0));
                }
                self.stage = Stage::Open;
                sink.ready();
            }
            (ZmtpCommand::Ready(_), ..) => self.stage = Stage::Open,
            (ZmtpCommand::Subscribe(_), _, Role::Publisher) => sink.ready(),
            (ZmtpCommand::Error(reason), ..) => return Err(DialectError::of("the peer refuses", reason)),
            (ZmtpCommand::Ping { context, .. }, ..) => reply.extend_from_slice(&command::pong(context)),
            _ => {}
        }
        Ok(())
    }

    fn part(&mut self, more: bool, body: &[u8], sink: &mut impl Sink) {
        let inside = std::mem::replace(&mut self.inside, more);
        match &self.role {
            Role::Publisher if body.first() == Some(&1) => sink.ready(),
            Role::Publisher => {}
            Role::Subscriber(_) if more => {}
            Role::Subscriber(_) if inside => sink.message(body),
            Role::Subscriber(wanted) => sink.message(body.get(wanted.topic_bytes..).unwrap_or(body)),
        }
    }

    /// See [`super::Dialect::publish`].
    pub fn publish(&mut self, topic: &str, payload: &[u8], out: &mut Vec<u8>) {
        match self.parts {
            Parts::One => {
                let (head, head_bytes) = head_of(0, topic.len() + payload.len());
                out.extend_from_slice(&head[..head_bytes]);
                out.extend_from_slice(topic.as_bytes());
                out.extend_from_slice(payload);
            }
            Parts::Two => {
                put_frame(out, MORE, topic.as_bytes());
                put_frame(out, 0, payload);
            }
        }
    }
}

fn malformed(error: WireError) -> DialectError {
    DialectError::new(error.text)
}

/// Appends our greeting.
pub fn greet(out: &mut Vec<u8>) {
    out.extend_from_slice(&greeting::ours());
}

/// The body of a READY command: without an identity, which a socket of libzmq need not have.
fn ready(socket: &[u8]) -> Vec<u8> {
    let length = u32::try_from(socket.len()).expect("a socket's type is short");
    [b"\x05READY\x0bSocket-Type", &length.to_be_bytes()[..], socket].concat()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Language;
    use super::super::tests::{hear_all, one, refuses, two};
    use super::*;

    /// The first words of a peer with such a socket.
    pub(crate) fn welcome(socket: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        greet(&mut bytes);
        put_frame(&mut bytes, COMMAND, &ready(socket));
        bytes
    }

    #[test]
    fn it_says_what_it_is_and_subscribes_as_the_peer_understands() {
        let said = hear_all(Language::ZmtpOnePart, one(), &welcome(b"XPUB")).replies;
        assert!(said.starts_with(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB"), "{said:?}");
        assert!(said.ends_with(b"\x04\x17\x09SUBSCRIBEbench.peers.0"), "{said:?}");
        let mut older = welcome(b"XPUB");
        older[11] = 0;
        let said = hear_all(Language::ZmtpOnePart, one(), &older).replies;
        assert!(said.ends_with(b"\0\x0e\x01bench.peers.0"), "{said:?}");
    }

    #[test]
    fn each_filter_is_a_beginning() {
        let said = hear_all(Language::ZmtpTwoParts, two(), &welcome(b"XPUB")).replies;
        assert!(
            said.ends_with(b"\x04\x17\x09SUBSCRIBEbench.peers.0\x04\x16\x09SUBSCRIBEbench.groups"),
            "{said:?}"
        );
    }

    #[test]
    fn a_publisher_waits_for_a_subscription_of_either_form() {
        let mut bytes = welcome(b"XSUB");
        assert_eq!(hear_all(Language::ZmtpOnePart, Role::Publisher, &bytes).ready, 0);
        bytes.extend_from_slice(b"\0\x02\x01b");
        bytes.extend_from_slice(b"\x04\x0b\x09SUBSCRIBEb");
        assert_eq!(hear_all(Language::ZmtpOnePart, Role::Publisher, &bytes).ready, 2);
    }

    #[test]
    fn pings_are_answered() {
        let mut bytes = welcome(b"PUB");
        bytes.extend_from_slice(b"\x04\x09\x04PING\0\x01ab");
        assert!(hear_all(Language::ZmtpTwoParts, one(), &bytes).replies.ends_with(b"\x04\x07\x04PONGab"));
    }

    #[test]
    fn strangers_are_named() {
        refuses(Language::ZmtpOnePart, &[b'x'; 64], "no greeting of ZMTP 3");
        let mut bytes = welcome(b"PUB");
        bytes.push(0x80);
        refuses(Language::ZmtpOnePart, &bytes, "flags 0x80");
    }
}
