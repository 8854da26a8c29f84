//! Our own wire, as a client without the library speaks it: greeting, hello, subscribe, then frames.

use super::sink::{DialectError, Obeyed, Role, Sink, Taken, Wanted};
use crate::swarm::topics::FilterName;
use corecast::internals::limits::LENGTH_BYTES;
use corecast::internals::wire::greeting::{self, GREETING_BYTES, Greeting};
use corecast::internals::wire::{
    CheckedFrame, FRAME_BODY_BYTES_MIN, Features, Frame, RunWriter, encode, run,
};
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
    /// The features that it offers.
    offered: Features,
    greeted: bool,
    /// True if the other end takes runs, and this one makes them.
    takes_runs: bool,
    /// Messages that the next may join.
    run: RunWriter,
    /// Subscriptions that the broker has not confirmed.
    unconfirmed: u32,
    publisher: u64,
    sequence: u64,
}

impl Native {
    /// A session that is about to open, and offers these features.
    pub fn new(role: Role, index: usize, offered: Features) -> Self {
        Native {
            role,
            index,
            offered,
            greeted: false,
            takes_runs: false,
            run: RunWriter::default(),
            unconfirmed: 0,
            publisher: fastrand::u64(..),
            sequence: 0,
        }
    }

    /// See [`super::Dialect::open`].
    pub fn open(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&greeting::offering(self.offered));
        let name = self.index.to_string();
        encode(&Frame::Hello { name: &name, overflow: 0, previous: 0, ticket: 0 }, out);
    }

    /// See [`super::Dialect::read`].
    pub fn read(&mut self, bytes: &[u8], reply: &mut Vec<u8>, sink: &mut impl Sink) -> Taken {
        let mut at = 0;
        if !self.greeted {
            match greeting::parse(bytes) {
                Ok(Greeting::NeedMore) => return Ok(0),
                Ok(Greeting::Version(_, features)) => {
                    self.takes_runs = self.offered.has(Features::RUNS) && features.has(Features::RUNS);
                    at = GREETING_BYTES;
                }
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

    fn control(&mut self, frame: &Frame<'_>, reply: &mut Vec<u8>, sink: &mut impl Sink) -> Obeyed {
        match *frame {
            Frame::Gap { topic, missed, .. } => sink.gap(topic, (missed > 0).then_some(missed)),
            Frame::Welcome { frame_bytes_max, .. } => match &self.role {
                Role::Publisher => {
                    if self.takes_runs {
                        self.gather_runs(frame_bytes_max as usize);
                    }
                    sink.ready();
                }
                Role::Subscriber(wanted) if wanted.filters.is_empty() => sink.ready(),
                Role::Subscriber(wanted) => {
                    let Wanted { subscribers, filters, .. } = wanted.clone();
                    self.ask(subscribers, &filters, reply);
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

    /// Appends subscriptions of the session's first subscriber. The sink is told once when all are in force.
    pub fn subscribe(&mut self, filters: &[FilterName], out: &mut Vec<u8>) {
        self.ask(1, filters, out);
    }

    fn ask(&mut self, subscribers: u32, filters: &[FilterName], out: &mut Vec<u8>) {
        for subscriber in 1..=subscribers {
            for filter in filters {
                self.unconfirmed += 1;
                let (filter, request) = (filter.written("*"), self.unconfirmed);
                let (filter, kind) = (filter.as_bytes(), KIND_PATTERN);
                encode(&Frame::Subscribe { filter, request, subscriber, kind }, out);
            }
        }
    }

    /// See [`super::Dialect::publish`].
    pub fn publish(&mut self, topic: &str, payload: &[u8], out: &mut Vec<u8>) {
        self.sequence += 1;
        let (publisher, sequence) = (self.publisher, self.sequence);
        // The payload has the time that is measured; nobody here reads this one.
        let topic = topic.as_bytes();
        self.run.push(&Frame::Message { topic, payload, publisher, sequence, sent_at_ns: 0 }, out);
    }

    /// From now on consecutive messages of one topic share frames, with bodies of so many bytes at the most.
    pub fn gather_runs(&mut self, frame_bytes_max: usize) {
        self.run = RunWriter::for_bodies_of(frame_bytes_max);
    }

    /// See [`super::Dialect::finish`].
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.run.write(out);
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
    use super::super::tests::{Heard, hear_all, one, refuses, two};
    use super::*;
    use corecast::internals::wire::{Span, split};

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
        Native::new(one(), 311, Features::OURS).open(&mut bytes);
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

    /// The frames in which three messages leave, of which the last is on another topic.
    fn frames(offered: Features, broker: Features) -> Vec<u32> {
        let mut welcome = welcome(0);
        welcome[..GREETING_BYTES].copy_from_slice(&greeting::offering(broker));
        let mut publisher = Native::new(Role::Publisher, 0, offered);
        let (mut replies, mut heard) = (Vec::new(), Heard::default());
        assert_eq!(publisher.read(&welcome, &mut replies, &mut heard), Ok(welcome.len()));
        let mut out = Vec::new();
        ["a", "a", "b"].iter().for_each(|topic| publisher.publish(topic, b"payload", &mut out));
        publisher.finish(&mut out);
        let mut spans = Vec::new();
        assert_eq!(split(&out, BODY_BYTES_MAX, &mut spans).error, None);
        let body = |span: &Span| CheckedFrame::check(&out[span.start() + LENGTH_BYTES..span.end()]);
        spans.iter().map(|span| body(span).unwrap().frame().messages()).collect()
    }

    #[test]
    fn messages_of_one_topic_share_a_frame_if_both_ends_offer_it() {
        assert_eq!(frames(Features::OURS, Features::OURS), [2, 1]);
        assert_eq!(frames(Features::OURS, Features::NONE), [1, 1, 1], "an older broker");
        assert_eq!(frames(Features::NONE, Features::OURS), [1, 1, 1], "a client without runs");
    }

    #[test]
    fn refusals_and_strangers_are_named() {
        let mut bytes = greeting::ours().to_vec();
        encode(&Frame::Error { text: "too many", request: 0, code: 4 }, &mut bytes);
        refuses(Language::Native, &bytes, "the broker says `too many` (code 4)");
        refuses(Language::Native, b"HTTP/1.1 400", "HTTP/1.1 400");
    }
}
