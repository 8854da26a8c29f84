//! Several shards with ZeroMQ and native clients, driven by a seed, which draws the next client to send, read, come or
//! go, and the link that moves; nothing is real but the shards, and the ciphers of those that come by CURVE. Each message
//! reaches exactly its subscribers, once and in order.

#[path = "zmtp_peer/curve.rs"]
mod curve;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use corecast::internals::auth::Identity;
use corecast::internals::broker::{ZmtpScratch, ingest, ingest_zmtp};
use corecast::internals::ids::{SessionId, ShardId};
use corecast::internals::limits::{LENGTH_BYTES, TURN_STEPS_MAX};
use corecast::internals::shard::{Door, Shard, ShardConfig};
use corecast::internals::wire::{
    CheckedFrame, Frame, Reader, Slab, Span, encode, encode_to_vec, greeting as native_greeting, parts,
};
use corecast::internals::zmtp::curve::{KeyPair, PublicKey};
use corecast::internals::zmtp::greeting::Mechanism;
use corecast::internals::zmtp::{Decoder, Found, Offers, Sides, command, greeting, put_message};
use corecast_executors::{MonotonicNs, TICK};
use curve::{CurveClient, named, opened_frames};
use fastrand::Rng;

/// Worlds, each with another seed.
const SEEDS: u64 = 150;
const STEPS: usize = 400;

/// The levels before the first part of every topic: short, so that filters and topics meet.
const LEVELS: [&str; 4] = ["a", "b", "ab", ""];

/// A message, whatever its sender and encoding: topic first.
type Parts = Vec<Vec<u8>>;

struct Client {
    shard: usize,
    id: SessionId,
    is_native: bool,
    /// Those of it that come by CURVE.
    curve: Option<CurveClient>,
    reader: Reader,
    /// Bytes that were sent to it and are not read yet.
    waiting: BytesMut,
    /// Prefixes that it wants.
    prefixes: Vec<Vec<u8>>,
    /// A ZeroMQ publisher: it may only publish.
    is_publisher: bool,
    got: Vec<Parts>,
    /// The messages that it must get, in order for each sender.
    expected: BTreeMap<usize, Vec<Parts>>,
}

struct World {
    rng: Rng,
    now: MonotonicNs,
    shards: Vec<Shard>,
    slabs: Vec<Slab>,
    clients: Vec<Client>,
    /// The public key of the door.
    public: PublicKey,
    sent: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = Rng::with_seed(seed);
        let shards = rng.usize(1..4);
        // In half of the worlds a read is cut wherever something new comes.
        let turn_steps_max = if rng.bool() { TURN_STEPS_MAX } else { rng.usize(1..60) };
        let pair = Arc::new(KeyPair::generate());
        let public = pair.public();
        let config = ShardConfig {
            shards,
            turn_steps_max,
            zmtp_offers: Offers::default().curve(Some(pair)),
            zmtp_publishers: true,
            zmtp_subscribers: true,
            ..ShardConfig::default()
        };
        let now = MonotonicNs(1);
        let shard = |id| Shard::new(ShardId(u16::try_from(id).expect("few")), config.clone(), now);
        World {
            rng,
            now,
            slabs: (0..shards).map(|_| Slab::default()).collect(),
            shards: (0..shards).map(shard).collect(),
            clients: Vec::new(),
            public,
            sent: 0,
        }
    }

    fn run(&mut self) {
        for _ in 0..6 {
            self.come();
        }
        for _ in 0..STEPS {
            match self.rng.u32(..100) {
                0..=1 => self.come(),
                2..=15 => self.change_subscriptions(),
                16..=60 => self.publish(),
                61..=80 => self.travel_some(),
                81..=97 => {
                    let client = self.rng.usize(..self.clients.len());
                    let most = self.rng.usize(1..400);
                    self.read(client, most);
                }
                _ => self.tick(),
            }
            self.shards.iter().for_each(Shard::audit);
        }
        self.rest();
        self.check();
    }

    fn come(&mut self) {
        let shard = self.rng.usize(..self.shards.len());
        let kind = self.rng.usize(..4);
        let is_native = kind == 0;
        let door = if is_native { Door::Native } else { Door::Zmtp(Sides::Both) };
        let opened = self.shards[shard].on_open(door, Identity::Anonymous(None));
        let id = opened.expect("there is room");
        let is_publisher = kind == 1;
        self.clients.push(Client {
            shard,
            id,
            is_native,
            curve: None,
            reader: Reader::default(),
            waiting: BytesMut::new(),
            prefixes: Vec::new(),
            is_publisher,
            got: Vec::new(),
            expected: BTreeMap::new(),
        });
        let begin = if is_native {
            [
                &native_greeting::ours()[..],
                &encode_to_vec(&Frame::Hello { name: "", overflow: 0, previous: 0, ticket: 0 }),
            ]
            .concat()
        } else {
            let kind = if is_publisher { "XPUB" } else { "XSUB" };
            // Half of them know no commands.
            let minor = u8::from(self.rng.bool());
            if self.rng.bool() {
                return self.come_by_curve(kind, minor);
            }
            let mut greeting = greeting::ours();
            greeting[11] = minor;
            [&greeting[..], &command::ready(kind)].concat()
        };
        self.say(self.clients.len() - 1, &begin);
        // Its greeting, and what it hears of it, is no message.
        self.rest();
    }

    /// The last client greets, and shakes hands.
    fn come_by_curve(&mut self, kind: &str, minor: u8) {
        let client = self.clients.len() - 1;
        let mut curve = CurveClient::unknown(self.public);
        let mut greeting = greeting::ours_for(Mechanism::Curve);
        greeting[11] = minor;
        self.say(client, &[&greeting[..], &curve.hello()].concat());
        while self.read(client, usize::MAX) {}
        let heard = self.clients[client].waiting.split();
        let (_, welcome) = named(&heard[greeting::GREETING_BYTES..]);
        let cookie = curve.welcome(&welcome).expect("it opens");
        self.say(client, &curve.initiate(&cookie, kind));
        self.clients[client].curve = Some(curve);
        self.rest();
    }

    /// Says bytes in reads that are cut anywhere; in boxes, once a client that comes by CURVE is open.
    fn say(&mut self, client: usize, said: &[u8]) {
        let sealed = self.clients[client].curve.as_mut().map(|curve| curve.seal(said));
        let mut rest = sealed.as_deref().unwrap_or(said);
        while !rest.is_empty() {
            let (turn, tail) = rest.split_at(self.rng.usize(1..=rest.len()));
            rest = tail;
            let Client { shard, id, is_native, reader, .. } = &mut self.clients[client];
            let (shard, slab) = (&mut self.shards[*shard], &mut self.slabs[*shard]);
            reader.space(slab)[..turn.len()].copy_from_slice(turn);
            reader.received(turn.len());
            if *is_native {
                ingest(shard, *id, reader, slab, &mut Vec::<Span>::new());
            } else {
                ingest_zmtp(shard, *id, reader, slab, &mut ZmtpScratch::default(), 1);
            }
            while shard.sessions().is_behind(*id) {
                shard.go_on(*id);
            }
        }
    }

    fn topic(&mut self) -> Vec<u8> {
        let levels: Vec<&str> = (0..self.rng.usize(1..4)).map(|_| LEVELS[self.rng.usize(..4)]).collect();
        levels.join(".").into_bytes()
    }

    /// Changes several subscriptions at once. They come into force everywhere before anybody publishes again, so that
    /// the expected receivers are certain.
    fn change_subscriptions(&mut self) {
        let client = self.rng.usize(..self.clients.len());
        if self.clients[client].is_publisher {
            return;
        }
        let mut said = Vec::new();
        for _ in 0..self.rng.usize(1..6) {
            said.extend(self.change_subscription(client));
        }
        self.rest();
        self.say(client, &said);
        self.rest();
    }

    fn change_subscription(&mut self, client: usize) -> Vec<u8> {
        let drop_one = self.rng.bool() && !self.clients[client].prefixes.is_empty();
        let prefix = if drop_one {
            let at = self.rng.usize(..self.clients[client].prefixes.len());
            self.clients[client].prefixes.swap_remove(at)
        } else {
            let topic = self.topic();
            topic[..self.rng.usize(..=topic.len())].to_vec()
        };
        if !drop_one && !self.clients[client].prefixes.contains(&prefix) {
            self.clients[client].prefixes.push(prefix.clone());
        }
        if self.clients[client].is_native {
            let (filter, request, subscriber, kind) = (&prefix[..], 1, 1, 2);
            encode_to_vec(&if drop_one {
                Frame::Unsubscribe { filter, request, subscriber, kind }
            } else {
                Frame::Subscribe { filter, request, subscriber, kind }
            })
        } else {
            command::subscription(!drop_one, &prefix, self.rng.bool())
        }
    }

    fn publish(&mut self) {
        let may: Vec<usize> = (0..self.clients.len())
            .filter(|c| self.clients[*c].is_native || self.clients[*c].is_publisher)
            .collect();
        if may.is_empty() {
            return;
        }
        let from = may[self.rng.usize(..may.len())];
        let mut said = Vec::new();
        for _ in 0..self.rng.usize(1..5) {
            let mut topic = self.topic();
            if self.clients[from].is_native && topic.is_empty() {
                topic = b"a".to_vec();
            }
            self.sent += 1;
            let number = self.sent.to_string().into_bytes();
            let mut message = vec![topic, number];
            // The number is in any case the second part, so that messages are told apart.
            for _ in 0..self.rng.usize(..3) {
                message.push(vec![b'x'; self.rng.usize(..300)]);
            }
            self.write(from, &message, &mut said);
            for client in &mut self.clients {
                if client.prefixes.iter().any(|prefix| message[0].starts_with(prefix)) {
                    client.expected.entry(from).or_default().push(message.clone());
                }
            }
        }
        self.say(from, &said);
    }

    fn write(&mut self, from: usize, message: &Parts, out: &mut Vec<u8>) {
        if !self.clients[from].is_native {
            let mut bytes = BytesMut::new();
            put_message(&mut bytes, &message[0], message[1..].iter().map(Vec::as_slice));
            if self.rng.u32(..4) == 0 {
                out.extend(command::ping());
            }
            return out.extend_from_slice(&bytes);
        }
        let (topic, publisher, sequence, sent_at_ns) = (&message[0][..], 1, self.sent, 0);
        if let [_, payload] = &message[..] {
            return encode(&Frame::Message { topic, payload, publisher, sequence, sent_at_ns }, out);
        }
        let mut payload = Vec::new();
        message[1..].iter().for_each(|part| parts::push(&mut payload, part));
        encode(&Frame::Parts { topic, payload: &payload, publisher, sequence, sent_at_ns }, out);
    }

    fn travel_some(&mut self) {
        for _ in 0..self.rng.usize(1..10) {
            let (from, to) = (self.rng.usize(..self.shards.len()), self.rng.usize(..self.shards.len()));
            self.travel(from, to);
        }
    }

    fn travel(&mut self, from: usize, to: usize) -> bool {
        let id = |shard| ShardId(u16::try_from(shard).expect("few"));
        if from == to {
            return false;
        }
        let Some(item) = self.shards[from].links_mut().next(id(to)) else { return false };
        self.shards[to].go_on_with_link(id(from));
        self.shards[to].on_link(id(from), item);
        while self.shards[to].links().is_behind(id(from)) {
            self.shards[to].go_on_with_link(id(from));
        }
        self.shards[from].on_link_room(id(to));
        true
    }

    fn tick(&mut self) {
        self.now = self.now + TICK;
        self.shards.iter_mut().for_each(|shard| shard.on_tick(self.now));
    }

    /// A client reads so many bytes at the most. `false`: there were none.
    fn read(&mut self, client: usize, most: usize) -> bool {
        let Client { shard, id, waiting, .. } = &mut self.clients[client];
        let shard = &mut self.shards[*shard];
        assert!(shard.sessions().phase(*id).is_some(), "nobody is closed");
        let before = waiting.len();
        let flushed = shard.flush(*id, |parts| {
            let left = most - (waiting.len() - before);
            let from = waiting.len();
            waiting.extend(parts.iter().flat_map(|part| part.iter().copied()).take(left));
            Ok::<_, Infallible>(Some(waiting.len() - from))
        });
        assert!(flushed.is_ok(), "nothing fails");
        shard.outbox().dirty.retain(|dirty| dirty != id);
        waiting.len() > before
    }

    /// Everything travels and everybody reads, until nothing does.
    fn rest(&mut self) {
        let mut moves = true;
        while moves {
            moves = false;
            for from in 0..self.shards.len() {
                for to in 0..self.shards.len() {
                    while self.travel(from, to) {
                        moves = true;
                    }
                }
            }
            for client in 0..self.clients.len() {
                while self.read(client, usize::MAX) {
                    moves = true;
                }
            }
        }
        for client in &mut self.clients {
            let said = client.waiting.split().freeze();
            let said =
                client.curve.as_mut().map_or(said.clone(), |curve| Bytes::from(opened_frames(curve, &said)));
            let messages = if client.is_native { native_messages(&said) } else { zmtp_messages(&said) };
            client.got.extend(messages);
        }
    }

    fn check(&self) {
        for (at, client) in self.clients.iter().enumerate() {
            let all: usize = client.expected.values().map(Vec::len).sum();
            let got: Vec<&Parts> = client.got.iter().filter(|parts| parts.len() > 1).collect();
            assert_eq!(got.len(), all, "client {at}: each message once");
            for (from, expected) in &client.expected {
                let theirs: Vec<&Parts> =
                    got.iter().copied().filter(|parts| expected.contains(parts)).collect();
                assert!(theirs.iter().copied().eq(expected), "client {at}: those of client {from} in order");
            }
        }
    }
}

fn native_messages(said: &Bytes) -> Vec<Parts> {
    let greeted = if said.starts_with(b"CORECAST") { native_greeting::GREETING_BYTES } else { 0 };
    let frames = said.slice(greeted..);
    let (mut rest, mut messages) = (&frames[..], Vec::new());
    while let Some((length, tail)) = rest.split_first_chunk::<LENGTH_BYTES>() {
        let (body, tail) = tail.split_at(u32::from_le_bytes(*length) as usize);
        rest = tail;
        let checked = CheckedFrame::check(body).expect("the broker writes what is right");
        match checked.frame() {
            Frame::Message { topic, payload, .. } => messages.push(vec![topic.to_vec(), payload.to_vec()]),
            Frame::Parts { topic, payload, .. } => {
                messages
                    .push(std::iter::once(topic).chain(parts::iter(payload)).map(<[u8]>::to_vec).collect());
            }
            Frame::Error { text, .. } => unreachable!("nobody breaks a rule: {text}"),
            _ => {}
        }
    }
    messages
}

fn zmtp_messages(said: &Bytes) -> Vec<Parts> {
    let (mut decoder, mut messages) = (Decoder::new(1 << 20), Vec::new());
    let mut rest = if said.starts_with(b"\xff") { &said[greeting::GREETING_BYTES..] } else { &said[..] };
    while !rest.is_empty() {
        match decoder.next(rest).expect("the broker writes what is right") {
            Found::Message(span) => {
                messages.push(span.parts(rest).map(<[u8]>::to_vec).collect());
                rest = &rest[span.end()..];
            }
            Found::Command { body, .. } => {
                let parsed = command::parse(&rest[body.clone()]).expect("a command");
                assert!(
                    !matches!(parsed, command::ZmtpCommand::Error(_)),
                    "nobody breaks a rule: {parsed:?}"
                );
                rest = &rest[body.end..];
            }
            found => unreachable!("whole messages, not {found:?}"),
        }
    }
    messages
}

#[test]
fn each_message_reaches_exactly_those_who_want_it_once_and_in_order() {
    let (mut sent, mut got) = (0, 0);
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
        assert!(run.is_ok(), "seed {seed}");
        sent += world.sent;
        got += world.clients.iter().map(|client| client.got.len()).sum::<usize>();
    }
    assert!(sent > 20_000 && got > 20_000, "{sent} sent, {got} received");
}
