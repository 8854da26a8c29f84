//! ZMTP 3.1 with the NULL mechanism, from a SUB's and a PUB's side: <https://rfc.zeromq.org/spec/37/>.

use super::sink::{DialectError, Role, Sink, TOPIC};

const GREETING_BYTES: usize = 64;
const FLAG_MORE: u8 = 1;
const FLAG_LONG: u8 = 2;
const FLAG_COMMAND: u8 = 4;
/// More than any payload that is sent.
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
    /// It has, and has not said what it is. Speaks this minor version.
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
    pub fn read(
        &mut self,
        bytes: &[u8],
        reply: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<usize, DialectError> {
        let mut at = 0;
        if self.stage == Stage::Greeting {
            let Some(greeting) = bytes.get(..GREETING_BYTES) else { return Ok(0) };
            self.greeted(greeting, reply)?;
            at = GREETING_BYTES;
        }
        while let Some(head) = Head::of(&bytes[at..])? {
            let start = at + head.bytes;
            let Some(body) = bytes.get(start..start + head.body_bytes) else { break };
            if head.flags & FLAG_COMMAND != 0 {
                self.command(body, reply, sink)?;
            } else {
                self.part(head.flags & FLAG_MORE != 0, body, sink);
            }
            at = start + head.body_bytes;
        }
        Ok(at)
    }

    fn greeted(&mut self, greeting: &[u8], reply: &mut Vec<u8>) -> Result<(), DialectError> {
        let is_zmtp_3 = greeting[0] == 0xff && greeting[9] == 0x7f && greeting[10] >= 3;
        if !is_zmtp_3 || !greeting[12..].starts_with(b"NULL\0") {
            return Err(DialectError::of("no greeting of ZMTP 3 without security", greeting));
        }
        self.stage = Stage::Handshake(greeting[11]);
        let socket: &[u8] = match self.role {
            Role::Subscriber { .. } => b"SUB",
            Role::Publisher => b"PUB",
        };
        command(&ready(socket), reply);
        Ok(())
    }

    fn command(
        &mut self,
        body: &[u8],
        reply: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<(), DialectError> {
        let (name, data) = name_of(body).ok_or_else(|| DialectError::of("a command without a name", body))?;
        match (name, self.stage, self.role) {
            (b"READY", Stage::Handshake(minor), Role::Subscriber { .. }) => {
                subscribe(minor, reply);
                self.stage = Stage::Open;
                sink.ready();
            }
            (b"READY", _, _) => self.stage = Stage::Open,
            // What ZMTP 3.0 says as a message, 3.1 says as a command.
            (b"SUBSCRIBE", _, Role::Publisher) => sink.ready(),
            (b"ERROR", ..) => return Err(DialectError::of("the peer refuses", data)),
            (b"PING", ..) => {
                let context = data.get(2..).unwrap_or_default();
                command(&[b"\x04PONG", context].concat(), reply);
            }
            _ => {}
        }
        Ok(())
    }

    fn part(&mut self, more: bool, body: &[u8], sink: &mut impl Sink) {
        let inside = std::mem::replace(&mut self.inside, more);
        match self.role {
            Role::Publisher if body.first() == Some(&1) => sink.ready(),
            Role::Publisher => {}
            Role::Subscriber { .. } if more => {}
            Role::Subscriber { .. } if inside => sink.message(body),
            Role::Subscriber { .. } => sink.message(body.strip_prefix(TOPIC.as_bytes()).unwrap_or(body)),
        }
    }

    /// See [`super::Dialect::publish`].
    pub fn publish(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        match self.parts {
            Parts::One => {
                frame(0, TOPIC.len() + payload.len(), out);
                out.extend_from_slice(TOPIC.as_bytes());
            }
            Parts::Two => {
                frame(FLAG_MORE, TOPIC.len(), out);
                out.extend_from_slice(TOPIC.as_bytes());
                frame(0, payload.len(), out);
            }
        }
        out.extend_from_slice(payload);
    }
}

/// The header of a frame.
struct Head {
    flags: u8,
    bytes: usize,
    body_bytes: usize,
}

impl Head {
    fn of(bytes: &[u8]) -> Result<Option<Head>, DialectError> {
        let Some(flags) = bytes.first().copied() else { return Ok(None) };
        if flags > FLAG_MORE + FLAG_LONG + FLAG_COMMAND {
            return Err(DialectError::new(format!("a frame with the flags {flags:#x}")));
        }
        if flags & FLAG_LONG == 0 {
            let short = bytes.get(1).map(|length| Head { flags, bytes: 2, body_bytes: usize::from(*length) });
            return Ok(short);
        }
        let Some(length) = bytes.get(1..9) else { return Ok(None) };
        let length = u64::from_be_bytes(length.try_into().expect("eight bytes"));
        if length > BODY_BYTES_MAX {
            return Err(DialectError::new(format!("a frame of {length} bytes")));
        }
        Ok(Some(Head { flags, bytes: 9, body_bytes: length as usize }))
    }
}

/// Appends our greeting.
pub fn greet(out: &mut Vec<u8>) {
    let mut greeting = [0; GREETING_BYTES];
    (greeting[0], greeting[9], greeting[10], greeting[11]) = (0xff, 0x7f, 3, 1);
    greeting[12..16].copy_from_slice(b"NULL");
    out.extend_from_slice(&greeting);
}

/// Appends what stands before a body of so many bytes.
fn frame(flags: u8, body_bytes: usize, out: &mut Vec<u8>) {
    match u8::try_from(body_bytes) {
        Ok(length) => out.extend_from_slice(&[flags, length]),
        Err(_) => {
            out.push(flags | FLAG_LONG);
            out.extend_from_slice(&(body_bytes as u64).to_be_bytes());
        }
    }
}

fn command(body: &[u8], out: &mut Vec<u8>) {
    frame(FLAG_COMMAND, body.len(), out);
    out.extend_from_slice(body);
}

/// A command's name, and what follows it.
fn name_of(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = body.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// The READY command of such a socket.
fn ready(socket: &[u8]) -> Vec<u8> {
    let length = u32::try_from(socket.len()).expect("a socket's type is short");
    [b"\x05READY\x0bSocket-Type", &length.to_be_bytes()[..], socket].concat()
}

fn subscribe(minor: u8, out: &mut Vec<u8>) {
    match minor {
        0 => {
            frame(0, 1 + TOPIC.len(), out);
            out.push(1);
            out.extend_from_slice(TOPIC.as_bytes());
        }
        _ => command(&[b"\x09SUBSCRIBE", TOPIC.as_bytes()].concat(), out),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Language;
    use super::super::tests::{hear_all, one, refuses};
    use super::*;

    /// The first words of a peer with such a socket.
    pub(crate) fn welcome(socket: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        greet(&mut bytes);
        command(&ready(socket), &mut bytes);
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
