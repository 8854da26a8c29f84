//! Owns the parts of random frames. The tests of the wire draw parts, and borrow frames from them.

use corecast::internals::wire::Frame;
use corecast::internals::wire::run::{RunBytes, RunMessage};
use proptest::prelude::*;

/// The number of variants of a frame; `tests/golden.rs` fails when that changes.
pub(crate) const VARIANTS: u8 = 34;

/// The parts of any frame.
#[derive(Clone, Default, Debug)]
pub(crate) struct Parts {
    /// Which frame.
    pub(crate) variant: u8,
    /// Its topic or filter.
    pub(crate) bytes: Vec<u8>,
    /// Its payload.
    pub(crate) payload: Vec<u8>,
    /// The messages of a run.
    pub(crate) messages: Vec<u8>,
    /// Its name or text.
    pub(crate) text: String,
    /// Its numbers, cut to the size of their fields.
    pub(crate) numbers: [u64; 4],
}

impl Parts {
    /// Parts that any value can be in.
    pub(crate) fn any(payload_bytes_max: usize) -> impl Strategy<Value = Parts> {
        let bytes = prop::collection::vec(any::<u8>(), 0..40);
        let payload = prop::collection::vec(any::<u8>(), 0..payload_bytes_max);
        (0..VARIANTS, bytes, payload, "\\PC{0,20}", any::<[u64; 4]>()).prop_map(
            |(variant, bytes, payload, text, numbers)| {
                let messages = run_of(&payload, numbers);
                Parts { variant, bytes, payload, messages, text, numbers }
            },
        )
    }

    /// Parts drawn from a seeded generator, for tests that count in millions.
    pub(crate) fn random(rng: &mut fastrand::Rng, payload_bytes_max: usize) -> Parts {
        let some = |rng: &mut fastrand::Rng, max: usize| -> Vec<u8> {
            let bytes = rng.usize(0..=max);
            std::iter::repeat_with(|| rng.u8(..)).take(bytes).collect()
        };
        let letters = rng.usize(0..20);
        let (variant, bytes) = (rng.u8(0..VARIANTS), some(rng, 30));
        let payload = some(rng, payload_bytes_max);
        let text = std::iter::repeat_with(|| rng.char(..)).take(letters).collect();
        let numbers = [rng.u64(..), rng.u64(..), rng.u64(..), rng.u64(..)];
        let messages = run_of(&payload, numbers);
        Parts { variant, bytes, payload, messages, text, numbers }
    }

    /// The frame of these parts.
    pub(crate) fn frame(&self) -> Frame<'_> {
        let [a, b, c, d] = self.numbers;
        let (bytes, text) = (&self.bytes[..], &self.text[..]);
        match self.variant {
            0 => {
                let payload = &self.payload;
                Frame::Message { topic: bytes, payload, publisher: a, sequence: b, sent_at_ns: c }
            }
            1 => Frame::Gap { topic: bytes, missed: a, reason: b as u8 },
            2 => Frame::Hello { name: text, overflow: a as u8, previous: b, ticket: c },
            3 => Frame::Welcome {
                session: a,
                epoch: b,
                frame_bytes_max: c as u32,
                heartbeat_ms: d as u32,
                overflow: d as u8,
                ticket: a ^ b,
            },
            4 => Frame::Subscribe { filter: bytes, request: a as u32, subscriber: b as u32, kind: c as u8 },
            5 => Frame::Unsubscribe { filter: bytes, request: a as u32, subscriber: b as u32, kind: c as u8 },
            6 => Frame::Done { request: a as u32 },
            7 => Frame::Error { text, request: a as u32, code: b as u16 },
            8 => Frame::WatchSubscribers { topic: bytes, request: a as u32 },
            9 => Frame::UnwatchSubscribers { request: a as u32 },
            10 => Frame::SubscriberCount { request: a as u32, count: b as u32 },
            11 => Frame::Flush { request: a as u32 },
            12 => Frame::Ping { token: a },
            13 => Frame::Pong { token: a },
            14 => Frame::Modes { rules: text },
            15 => Frame::Identity { publisher: a },
            16 => {
                Frame::Register { endpoints: text, topics: text, publisher: a, epoch: b, request: c as u32 }
            }
            17 => Frame::Registered { request: a as u32, lease_ms: b as u32 },
            18 => Frame::Renew { publisher: a, epoch: b, request: c as u32 },
            19 => Frame::Unregister { publisher: a, epoch: b },
            20 => Frame::WatchPublishers { filter: bytes, request: a as u32, kind: b as u8 },
            21 => Frame::UnwatchPublishers { request: a as u32 },
            22 => {
                let lease_left_ms = c as u32;
                Frame::PublisherUp { endpoints: text, topics: text, publisher: a, epoch: b, lease_left_ms }
            }
            23 => Frame::PublisherDown { publisher: a, epoch: b, reason: c as u8 },
            24 => Frame::ListPublishers { request: a as u32 },
            25 => {
                let payload = &self.payload;
                Frame::Parts { topic: bytes, payload, publisher: a, sequence: b, sent_at_ns: c }
            }
            26 => {
                let messages = &self.messages;
                Frame::Run { topic: bytes, messages, publisher: a, sequence: b, sent_at_ns: c }
            }
            27 => Frame::Login { token: bytes },
            28 => Frame::PublishRefused { topic: bytes, text, publisher: a, code: b as u16 },
            29 => Frame::Ticket { ticket: bytes, publisher: a },
            30 => Frame::TicketRules { key: bytes, epoch: a, now_ms: b },
            31 => Frame::Start { value: a, request: b as u32, subscriptions: c as u32, kind: d as u8 },
            32 => Frame::Position { topic: bytes, publisher: a, sequence: b },
            _ => Frame::Drain { endpoints: text, joined: bytes, ends: d as u8 },
        }
    }
}

/// The messages of a run with these bytes in them, in pieces that the numbers decide.
fn run_of(bytes: &[u8], numbers: [u64; 4]) -> Vec<u8> {
    let mut run = RunBytes::default();
    let mut rest = bytes;
    for number in numbers {
        let (payload, others) = rest.split_at(number as usize % (rest.len() + 1));
        run.push(RunMessage { payload, after_ns: number as u32 });
        rest = others;
    }
    run.push(RunMessage { payload: rest, after_ns: 0 });
    run.messages().to_vec()
}
