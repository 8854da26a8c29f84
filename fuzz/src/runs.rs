//! Frames of several messages, whatever is in them: one that is taken reaches peers that take runs, peers that do not, and
//! ZeroMQ peers with the same messages, or they are told how many they have missed.

use corecast::internals::auth::Identity;
use corecast::internals::broker::{ZmtpScratch, ingest, ingest_zmtp};
use corecast::internals::ids::{SessionId, ShardId};
use corecast::internals::limits::{READ_BYTES_PER_TURN, RUN_MESSAGES_MAX};
use corecast::internals::shard::{Door, Shard, ShardConfig, flush_all};
use corecast::internals::wire::{
    CheckedFrame, Features, Frame, Reader, Slab, Span, encode, encode_to_vec, greeting, run,
};
use corecast::internals::zmtp::{Decoder, Found, Sides, command, greeting as zmtp_greeting};
use corecast::{OverflowPolicy, QueueBounds};
use corecast_executors::MonotonicNs;

use super::frames::ready;

struct World {
    shard: Shard,
    slab: Slab,
    spans: Vec<Span>,
    scratch: ZmtpScratch,
}

/// Runs one input. The first byte is the overflow policy, and the number of times that the run is sent; the messages of the run
/// follow.
pub fn runs(data: &[u8]) {
    let Some((first, messages)) = data.split_first() else { return };
    let overflow = OverflowPolicy::from_wire(first % 5 + 1).expect("there are five");
    let times = usize::from(first >> 6) + 1;
    let frame =
        encode_to_vec(&Frame::Run { topic: b"t", messages, publisher: 1, sequence: u64::MAX, sent_at_ns: 2 });
    let is_whole = CheckedFrame::check(&frame[4..]).is_some();
    let payloads: Vec<&[u8]> = run::iter(messages).map(|message| message.payload).collect();
    if is_whole {
        assert!((2..=RUN_MESSAGES_MAX).contains(&payloads.len()));
        let bytes = 4 + payloads.iter().map(|payload| 8 + payload.len()).sum::<usize>();
        assert_eq!(bytes, messages.len(), "a whole run has nothing else");
    }
    let mut world = World::new(overflow);
    let takes_runs = world.native(Features::RUNS, true);
    let plain = world.native(Features::NONE, true);
    let zmtp = world.zmtp();
    let publisher = world.native(Features::NONE, false);
    for _ in 0..times {
        world.say(publisher, &frame);
        world.shard.audit();
    }
    let said = if is_whole { payloads.repeat(times) } else { Vec::new() };
    let ends = overflow == OverflowPolicy::Disconnect;
    for id in [takes_runs, plain] {
        let (heard, missed) = world.hear(id);
        let all_told = heard.len() as u64 + missed == said.len() as u64;
        assert!(all_told || ends, "{} heard, {missed} told of {}", heard.len(), said.len());
        assert!(missed > 0 || ends || heard.iter().eq(&said), "the messages have changed");
    }
    let heard = world.hear_zmtp(zmtp);
    assert!(heard.iter().all(|payload| said.contains(&&payload[..])));
    assert!(times > 1 || heard.iter().eq(&said), "a queue without others takes any batch");
}

impl World {
    fn new(overflow: OverflowPolicy) -> World {
        let config = ShardConfig {
            bounds: QueueBounds { bytes_max: 4_000, frames_max: 50 },
            overflow,
            zmtp_publishers: true,
            zmtp_subscribers: true,
            ..ShardConfig::default()
        };
        World {
            shard: Shard::new(ShardId(0), config, MonotonicNs(1)),
            slab: Slab::default(),
            spans: Vec::new(),
            scratch: ZmtpScratch::default(),
        }
    }

    /// A native client that is open, and subscribes to `t` or does not.
    fn native(&mut self, features: Features, subscribes: bool) -> SessionId {
        let id = self.shard.on_open(Door::Native, Identity::Anonymous(None)).expect("there is room");
        let mut said = greeting::offering(features).to_vec();
        encode(&Frame::Hello { name: "", overflow: 0, previous: 0, ticket: 0 }, &mut said);
        if subscribes {
            encode(&Frame::Subscribe { filter: b"t", request: 1, subscriber: 1, kind: 1 }, &mut said);
        }
        self.say(id, &said);
        self.flush(id);
        id
    }

    /// A ZeroMQ subscriber of everything.
    fn zmtp(&mut self) -> SessionId {
        let door = Door::Zmtp(Sides::Both);
        let id = self.shard.on_open(door, Identity::Anonymous(None)).expect("there is room");
        let subscription = command::subscription(true, b"", true);
        let said = [&zmtp_greeting::ours()[..], &ready("SUB"), &subscription].concat();
        let mut reader = received(&mut self.slab, &said);
        ingest_zmtp(&mut self.shard, id, &mut reader, &mut self.slab, &mut self.scratch, 1);
        self.flush(id);
        id
    }

    /// Everything that waits leaves: nothing does but for this client.
    fn flush(&mut self, id: SessionId) {
        flush_all(&mut self.shard, id, |_| {});
        self.shard.outbox().dirty.clear();
    }

    /// A native client says these bytes, in turns of whole frames or not.
    fn say(&mut self, id: SessionId, bytes: &[u8]) {
        let mut reader = Reader::default();
        for turn in bytes.chunks(READ_BYTES_PER_TURN) {
            let space = reader.space(&mut self.slab);
            space[..turn.len()].copy_from_slice(turn);
            reader.received(turn.len());
            ingest(&mut self.shard, id, &mut reader, &mut self.slab, &mut self.spans);
            while self.shard.sessions().is_behind(id) {
                self.shard.go_on(id);
            }
        }
    }

    /// The payloads that a client gets, and the number of messages that it is told to have missed.
    fn hear(&mut self, id: SessionId) -> (Vec<Vec<u8>>, u64) {
        let (mut bytes, mut heard, mut missed) = (Vec::new(), Vec::new(), 0);
        flush_all(&mut self.shard, id, |part| bytes.extend_from_slice(part));
        let mut rest = &bytes[..];
        while let Some((length, behind)) = rest.split_first_chunk() {
            let (body, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
            let frame = CheckedFrame::check(body).expect("a broker sends frames").frame();
            for single in frame.singles() {
                match single {
                    Frame::Message { payload, .. } => heard.push(payload.to_vec()),
                    Frame::Gap { missed: more, .. } => missed += more,
                    _ => {}
                }
            }
            rest = behind;
        }
        (heard, missed)
    }

    fn hear_zmtp(&mut self, id: SessionId) -> Vec<Vec<u8>> {
        let mut bytes = Vec::new();
        flush_all(&mut self.shard, id, |part| bytes.extend_from_slice(part));
        let (mut decoder, mut at, mut heard) = (Decoder::new(usize::MAX), 0, Vec::new());
        while at < bytes.len() {
            let Ok(Found::Message(span)) = decoder.next(&bytes[at..]) else { break };
            heard.extend(span.parts(&bytes[at..]).nth(1).map(<[u8]>::to_vec));
            at += span.end();
        }
        heard
    }
}

/// A connection whose read has brought these bytes.
fn received(slab: &mut Slab, bytes: &[u8]) -> Reader {
    let mut reader = Reader::default();
    reader.space(slab)[..bytes.len()].copy_from_slice(bytes);
    reader.received(bytes.len());
    reader
}
