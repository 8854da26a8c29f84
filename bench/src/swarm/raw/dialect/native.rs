//! Our own wire, as a client without the library speaks it: greeting, hello, subscribe, then frames.

use super::sink::{DialectError, Role, Sink};
use corecast::internals::limits::LENGTH_BYTES;
use corecast::internals::wire::greeting::{self, GREETING_BYTES, Greeting};
use corecast::internals::wire::{CheckedFrame, FRAME_BODY_BYTES_MIN, Frame, encode, run};
use std::io::{self, Read};

/// A filter is a pattern of levels.
const KIND_PATTERN: u8 = 1;
/// Longer than the frame in which a session says its name.
const HELLO_BYTES_MAX: usize = 256;
/// Longer than any frame that is sent here: a broker says what it takes, not what it sends.
const BODY_BYTES_MAX: usize = 1 << 30;

/// One session.
#[derive(Debug)]
pub struct Native {
    role: Role,
    /// The number of the session among those of its role: the floor that plays our broker has to know it.
    index: usize,
    greeted: bool,
    /// Subscriptions that the broker has not confirmed.
    unconfirmed: u32,
    publisher: u64,
    sequence: u64,
}

impl Native {
    /// A session that is about to open.
    pub fn new(role: Role, index: usize) -> Self {
        Native { role, index, greeted: false, unconfirmed: 0, publisher: fastrand::u64(..), sequence: 0 }
    }

    /// See [`super::Dialect::open`].
    pub fn open(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&greeting::ours());
        let name = self.index.to_string();
        encode(&Frame::Hello { name: &name, overflow: 0, previous: 0, ticket: 0 }, out);
    }

    /// See [`super::Dialect::read`].
    pub fn read(
        &mut self,
        bytes: &[u8],
        reply: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<usize, DialectError> {
        let mut at = 0;
        if !self.greeted {
            match greeting::parse(bytes) {
                Ok(Greeting::NeedMore) => return Ok(0),
                Ok(Greeting::Version(..)) => at = GREETING_BYTES,
                Err(code) => return Err(DialectError::of(&format!("no greeting ({code:?})"), bytes)),
            }
            self.greeted = true;
        }
        while let Some(length) = bytes.get(at..at + LENGTH_BYTES) {
            let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
            if !(FRAME_BODY_BYTES_MIN..=BODY_BYTES_MAX).contains(&length) {
                return Err(DialectError::new(format!("a frame of {length} bytes")));
            }
            let start = at + LENGTH_BYTES;
            let Some(body) = bytes.get(start..start + length) else { break };
            let Some(frame) = CheckedFrame::check(body) else {
                return Err(DialectError::new("a frame body is not a version 1 archive"));
            };
            match frame.frame() {
                Frame::Message { payload, .. } => sink.message(payload),
                Frame::Run { messages, .. } => run::iter(messages).for_each(|one| sink.message(one.payload)),
                other => self.control(&other, reply, sink)?,
            }
            at = start + length;
        }
        Ok(at)
    }

    fn control(
        &mut self,
        frame: &Frame<'_>,
        reply: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<(), DialectError> {
        match *frame {
            Frame::Gap { topic, missed, .. } => sink.gap(topic, (missed > 0).then_some(missed)),
            Frame::Welcome { .. } => match &self.role {
                Role::Publisher => sink.ready(),
                Role::Subscriber(wanted) => {
                    for subscriber in 1..=wanted.subscribers {
                        for filter in &wanted.filters {
                            self.unconfirmed += 1;
                            let (filter, request) = (filter.written("*"), self.unconfirmed);
                            let filter = filter.as_bytes();
                            let kind = KIND_PATTERN;
                            encode(&Frame::Subscribe { filter, request, subscriber, kind }, reply);
                        }
                    }
                }
            },
            Frame::Done { .. } if self.unconfirmed > 0 => {
                self.unconfirmed -= 1;
                if self.unconfirmed == 0 {
                    sink.ready();
                }
            }
            Frame::Error { text, code, .. } => {
                return Err(DialectError::new(format!("the broker says `{text}` (code {code})")));
            }
            Frame::Ping { token } => encode(&Frame::Pong { token }, reply),
            _ => {}
        }
        Ok(())
    }

    /// See [`super::Dialect::publish`].
    pub fn publish(&mut self, topic: &str, payload: &[u8], out: &mut Vec<u8>) {
        self.sequence += 1;
        let (publisher, sequence) = (self.publisher, self.sequence);
        // The payload has the time that is measured; nobody here reads this one.
        let topic = topic.as_bytes();
        encode(&Frame::Message { topic, payload, publisher, sequence, sent_at_ns: 0 }, out);
    }
}

/// The number of the subscriber that has connected: what it says first, as far as it matters to the floor.
pub fn accept(stream: &mut impl Read) -> io::Result<usize> {
    let mut head = [0; GREETING_BYTES + LENGTH_BYTES];
    stream.read_exact(&mut head)?;
    let (_, length) = head.split_last_chunk::<LENGTH_BYTES>().expect("the head ends with a length");
    let mut body = vec![0; (u32::from_le_bytes(*length) as usize).min(HELLO_BYTES_MAX)];
    stream.read_exact(&mut body)?;
    let number = match CheckedFrame::check(&body).map(|frame| frame.frame()) {
        Some(Frame::Hello { name, .. }) => name.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| io::Error::other("a subscriber does not say its number"))
}

/// The bytes that a subscriber of so many filters waits for before it is ready: sent by the floor that plays our broker.
pub fn welcome(filters: u32) -> Vec<u8> {
    let mut bytes = greeting::ours().to_vec();
    encode(&Frame::Modes { rules: "" }, &mut bytes);
    let frame_bytes_max = BODY_BYTES_MAX as u32;
    encode(
        &Frame::Welcome {
            session: 1,
            epoch: 1,
            frame_bytes_max,
            heartbeat_ms: 15_000,
            overflow: 1,
            ticket: 0,
        },
        &mut bytes,
    );
    (1..=filters).for_each(|request| encode(&Frame::Done { request }, &mut bytes));
    bytes
}

/// Says that this end lives.
pub fn ping(out: &mut Vec<u8>) {
    encode(&Frame::Ping { token: 0 }, out);
}

#[cfg(test)]
mod tests {
    use super::super::Language;
    use super::super::sink::Wanted;
    use super::super::tests::{hear_all, one, refuses, two};
    use super::*;

    #[test]
    fn it_subscribes_when_it_is_welcome_and_answers_pings() {
        let mut bytes = welcome(2);
        encode(&Frame::Ping { token: 7 }, &mut bytes);
        encode(&Frame::Gap { topic: b"", missed: 0, reason: 1 }, &mut bytes);
        encode(&Frame::Gap { topic: b"t", missed: 3, reason: 1 }, &mut bytes);
        let heard = hear_all(Language::Native, two(), &bytes);
        let mut replies = Vec::new();
        for (request, filter) in [(1, b"bench.peers.0"), (2, b"bench.groups*")] {
            encode(&Frame::Subscribe { filter, request, subscriber: 1, kind: 1 }, &mut replies);
        }
        encode(&Frame::Pong { token: 7 }, &mut replies);
        let gaps = vec![(Vec::new(), None), (b"t".to_vec(), Some(3))];
        assert_eq!((heard.ready, heard.replies, heard.gaps), (1, replies, gaps));
    }

    #[test]
    fn the_floor_hears_which_subscriber_has_connected() {
        let mut bytes = Vec::new();
        Native::new(one(), 311).open(&mut bytes);
        assert_eq!(accept(&mut &bytes[..]).unwrap(), 311);
        bytes.truncate(bytes.len() - 1);
        assert!(accept(&mut &bytes[..]).is_err());
    }

    #[test]
    fn a_shared_session_is_ready_when_each_of_its_subscribers_is() {
        let Role::Subscriber(wanted) = one() else { unreachable!("it is a subscriber") };
        let shared = Role::Subscriber(Wanted { subscribers: 2, ..wanted });
        assert_eq!(hear_all(Language::Native, shared.clone(), &welcome(1)).ready, 0);
        assert_eq!(hear_all(Language::Native, shared, &welcome(2)).ready, 1);
        assert_eq!(hear_all(Language::Native, Role::Publisher, &welcome(1)).ready, 1);
    }

    #[test]
    fn refusals_and_strangers_are_named() {
        let mut bytes = greeting::ours().to_vec();
        encode(&Frame::Error { text: "too many", request: 0, code: 4 }, &mut bytes);
        refuses(Language::Native, &bytes, "the broker says `too many` (code 4)");
        refuses(Language::Native, b"HTTP/1.1 400", "HTTP/1.1 400");
    }
}
