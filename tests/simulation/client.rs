//! Owns the other end of one connection: bytes sent and not yet read by the broker, bytes received and not yet read
//! here. It speaks the wire's bytes and nothing else, like a real client.

use std::collections::VecDeque;

use corecast::internals::wire::greeting::{self, GREETING_BYTES, Greeting};
use corecast::internals::wire::{CheckedFrame, Features, Frame, encode};
use corecast::{ErrorCode, Filter, OverflowPolicy};

use crate::violation::{Checked, Kind, Violation};

/// A message as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) topic: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) publisher: u64,
    pub(crate) sequence: u64,
    pub(crate) sent_at_ns: u64,
}

/// A frame that came.
#[derive(Clone, Debug)]
pub(crate) enum Incoming {
    Welcome(OverflowPolicy),
    Message(Arrived),
    Gap {
        topic: Vec<u8>,
        missed: u64,
        reason: u8,
    },
    Done(u32),
    Error {
        request: u32,
        code: ErrorCode,
    },
    Count {
        request: u32,
        count: u32,
    },
    /// A subscription has ended.
    Ended {
        filter: Filter,
        subscriber: u32,
    },
    /// Messages of this topic were not taken.
    Refused(Vec<u8>),
    Pong(u64),
}

/// One client and its connection's bytes.
#[derive(Default)]
pub(crate) struct Client {
    /// Said, and not yet read by the shard.
    pub(crate) to_broker: VecDeque<u8>,
    /// Bytes sent since it connected.
    pub(crate) said: u64,
    /// Sent by the shard, and not yet read: what the kernel holds.
    pub(crate) from_broker: VecDeque<u8>,
    /// Read, and not yet a whole frame.
    begun: Vec<u8>,
    greeted: bool,
    /// It does not read for now.
    pub(crate) stalled: bool,
    /// True if it sends nothing more; the bytes sent before are still read.
    pub(crate) has_left: bool,
    /// It publishes.
    pub(crate) publishes: bool,
    /// The features that its greeting offers.
    features: Features,
    /// The token that it shows.
    token: Option<String>,
    /// Frames that the shard has not read, each by the end of its bytes; with the topic by which it is routed, if it is.
    pub(crate) unread: VecDeque<(u64, Option<Vec<u8>>)>,
    /// Messages that it has received in frames of several.
    pub(crate) shared: u64,
    /// The policy that its hello asks for, as the wire has it.
    pub(crate) overflow: u8,
    last_sequence: u64,
    last_request: u32,
}

impl Client {
    /// A client whose greeting offers these features.
    pub(crate) fn offering(features: Features) -> Client {
        Client { features, ..Client::default() }
    }

    /// The same, which shows this token.
    pub(crate) fn showing(self, token: Option<String>) -> Client {
        Client { token, ..self }
    }

    /// True if its session goes on after a refusal.
    pub(crate) fn takes_refusals(&self) -> bool {
        self.features.has(Features::REFUSALS)
    }

    /// Says greeting and hello.
    pub(crate) fn greet(&mut self, overflow: u8) {
        self.overflow = overflow;
        self.say_bytes(&greeting::offering(self.features));
        if let Some(token) = self.token.take() {
            self.say(&Frame::Login { token: token.as_bytes() });
        }
        self.say(&Frame::Hello { name: "simulated", overflow, previous: 0, ticket: 0 });
    }

    /// Says a frame.
    pub(crate) fn say(&mut self, frame: &Frame<'_>) {
        let mut bytes = Vec::new();
        encode(frame, &mut bytes);
        self.say_bytes(&bytes);
        self.unread.push_back((self.said, frame.routed_topic().map(<[u8]>::to_vec)));
    }

    /// Says any bytes.
    pub(crate) fn say_bytes(&mut self, bytes: &[u8]) {
        assert!(!self.has_left, "who has left says nothing");
        self.to_broker.extend(bytes);
        self.said += bytes.len() as u64;
    }

    /// A number for its next message.
    pub(crate) fn next_sequence(&mut self) -> u64 {
        self.last_sequence += 1;
        self.last_sequence
    }

    /// A number for its next request.
    pub(crate) fn next_request(&mut self) -> u32 {
        self.last_request += 1;
        self.last_request
    }

    /// Reads up to `bytes` of what the kernel holds, and gives the frames that are whole with it.
    pub(crate) fn read(&mut self, bytes: usize) -> Checked<Vec<Incoming>> {
        let bytes = bytes.min(self.from_broker.len());
        self.begun.extend(self.from_broker.drain(..bytes));
        let mut at = 0;
        if !self.greeted {
            match greeting::parse(&self.begun) {
                Ok(Greeting::NeedMore) => return Ok(Vec::new()),
                Ok(Greeting::Version(..)) => (self.greeted, at) = (true, GREETING_BYTES),
                Err(code) => {
                    return Err(Violation::new(Kind::Corrupted, format!("the broker's greeting: {code}")));
                }
            }
        }
        let mut came = Vec::new();
        while let Some(length) = self.begun.get(at..at + 4) {
            let body = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
            let Some(body) = self.begun.get(at + 4..at + 4 + body) else { break };
            let frame = CheckedFrame::check(body)
                .ok_or_else(|| Violation::new(Kind::Corrupted, format!("no archive: {body:?}")))?;
            let frame = frame.frame();
            if frame.messages() > 1 && !self.features.has(Features::RUNS) {
                return Err(Violation::new(Kind::Corrupted, "a run for a client that takes none"));
            }
            let is_refusal = matches!(frame, Frame::PublishRefused { .. } | Frame::Unsubscribe { .. });
            if is_refusal && !self.takes_refusals() {
                return Err(Violation::new(Kind::Corrupted, "a refusal for a client that takes none"));
            }
            self.shared += u64::from(frame.messages() > 1) * u64::from(frame.messages());
            for single in frame.singles() {
                came.push(incoming(&single)?);
            }
            at += 4 + body.len();
        }
        self.begun.drain(..at);
        Ok(came)
    }
}

fn incoming(frame: &Frame<'_>) -> Checked<Incoming> {
    Ok(match *frame {
        Frame::Message { topic, payload, publisher, sequence, sent_at_ns } => {
            let (topic, payload) = (topic.to_vec(), payload.to_vec());
            Incoming::Message(Arrived { topic, payload, publisher, sequence, sent_at_ns })
        }
        Frame::Gap { topic, missed, reason } => Incoming::Gap { topic: topic.to_vec(), missed, reason },
        Frame::Welcome { overflow, .. } => {
            let policy = OverflowPolicy::from_wire(overflow);
            Incoming::Welcome(policy.ok_or_else(|| Violation::new(Kind::Corrupted, "an unknown policy"))?)
        }
        Frame::Done { request } => Incoming::Done(request),
        Frame::Error { request, code, .. } => Incoming::Error { request, code: ErrorCode::from_number(code) },
        Frame::SubscriberCount { request, count } => Incoming::Count { request, count },
        Frame::Pong { token } => Incoming::Pong(token),
        Frame::Unsubscribe { filter, subscriber, kind, request: 0 } => {
            let filter = Filter::from_wire(kind, filter);
            let filter = filter.map_err(|error| Violation::new(Kind::Corrupted, error.to_string()))?;
            Incoming::Ended { filter, subscriber }
        }
        Frame::PublishRefused { topic, .. } => Incoming::Refused(topic.to_vec()),
        other => return Err(Violation::new(Kind::Corrupted, format!("a broker never sends {other:?}"))),
    })
}
