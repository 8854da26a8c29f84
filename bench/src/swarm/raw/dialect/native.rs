//! Our own wire, as a client without the library speaks it: greeting, hello, subscribe, then frames.

use super::sink::{DialectError, Role, Sink, TOPIC};
use corecast::internals::limits::LENGTH_BYTES;
use corecast::internals::wire::greeting::{self, GREETING_BYTES, Greeting};
use corecast::internals::wire::{CheckedFrame, FRAME_BODY_BYTES_MIN, Frame, encode, run};

/// A filter is a pattern of levels.
const KIND_PATTERN: u8 = 1;
/// Longer than any frame that is sent here: a broker says what it takes, not what it sends.
const BODY_BYTES_MAX: usize = 1 << 30;

/// One session.
#[derive(Debug)]
pub struct Native {
    role: Role,
    greeted: bool,
    /// Subscriptions that the broker has not confirmed.
    unconfirmed: u32,
    publisher: u64,
    sequence: u64,
}

impl Native {
    /// A session that is about to open.
    pub fn new(role: Role) -> Self {
        Native { role, greeted: false, unconfirmed: 0, publisher: fastrand::u64(..), sequence: 0 }
    }

    /// See [`super::Dialect::open`].
    pub fn open(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&greeting::ours());
        encode(&Frame::Hello { name: "bench", overflow: 0, previous: 0, ticket: 0 }, out);
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
            Frame::Gap { missed, .. } => sink.gap((missed > 0).then_some(missed)),
            Frame::Welcome { .. } => match self.role {
                Role::Publisher => sink.ready(),
                Role::Subscriber { subscribers } => {
                    self.unconfirmed = subscribers;
                    for subscriber in 1..=subscribers {
                        let filter = TOPIC.as_bytes();
                        let subscribe =
                            Frame::Subscribe { filter, request: subscriber, subscriber, kind: KIND_PATTERN };
                        encode(&subscribe, reply);
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
    pub fn publish(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        self.sequence += 1;
        let (publisher, sequence) = (self.publisher, self.sequence);
        // The payload has the time that is measured; nobody here reads this one.
        encode(&Frame::Message { topic: TOPIC.as_bytes(), payload, publisher, sequence, sent_at_ns: 0 }, out);
    }
}

/// The bytes that a subscriber of one filter waits for before it is ready: sent by the floor that plays our broker.
pub fn welcome() -> Vec<u8> {
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
    encode(&Frame::Done { request: 1 }, &mut bytes);
    bytes
}

/// Says that this end lives.
pub fn ping(out: &mut Vec<u8>) {
    encode(&Frame::Ping { token: 0 }, out);
}

#[cfg(test)]
mod tests {
    use super::super::Language;
    use super::super::tests::{hear_all, one, refuses};
    use super::*;

    #[test]
    fn it_subscribes_when_it_is_welcome_and_answers_pings() {
        let mut bytes = welcome();
        encode(&Frame::Ping { token: 7 }, &mut bytes);
        encode(&Frame::Gap { topic: b"", missed: 0, reason: 1 }, &mut bytes);
        encode(&Frame::Gap { topic: b"", missed: 3, reason: 1 }, &mut bytes);
        let heard = hear_all(Language::Native, one(), &bytes);
        let mut wanted = Vec::new();
        let filter = TOPIC.as_bytes();
        encode(&Frame::Subscribe { filter, request: 1, subscriber: 1, kind: 1 }, &mut wanted);
        encode(&Frame::Pong { token: 7 }, &mut wanted);
        assert_eq!((heard.replies, heard.gaps), (wanted, vec![None, Some(3)]));
    }

    #[test]
    fn a_shared_session_is_ready_when_each_of_its_subscribers_is() {
        let shared = Role::Subscriber { subscribers: 2 };
        let mut bytes = welcome();
        assert_eq!(hear_all(Language::Native, shared, &bytes).ready, 0);
        encode(&Frame::Done { request: 2 }, &mut bytes);
        assert_eq!(hear_all(Language::Native, shared, &bytes).ready, 1);
        assert_eq!(hear_all(Language::Native, Role::Publisher, &welcome()).ready, 1);
    }

    #[test]
    fn refusals_and_strangers_are_named() {
        let mut bytes = greeting::ours().to_vec();
        encode(&Frame::Error { text: "too many", request: 0, code: 4 }, &mut bytes);
        refuses(Language::Native, &bytes, "the broker says `too many` (code 4)");
        refuses(Language::Native, b"HTTP/1.1 400", "HTTP/1.1 400");
    }
}
