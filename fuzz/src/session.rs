//! A whole shard with users, ZeroMQ peers and native ones that show a token or none, send anything, read or do not, come and go,
//! while time passes. In the end a good pair still works.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use corecast::internals::auth::Identity;
use corecast::internals::broker::{ZmtpScratch, ingest, ingest_zmtp};
use corecast::internals::ids::{SessionId, ShardId};
use corecast::internals::limits::READ_BYTES_PER_TURN;
use corecast::internals::shard::{Door, Shard, ShardConfig};
use corecast::internals::wire::{Frame, Reader, Slab, Span, encode_to_vec, greeting as native_greeting};
use corecast::internals::zmtp::{Sides, command, frame, greeting};
use corecast::{OverflowPolicy, Permissions, QueueBounds, Users};
use corecast_executors::MonotonicNs;

use super::frames::ready;

/// Short, so that inputs reach it.
const MESSAGE_BYTES_MAX: usize = 600;
const BOUNDS: QueueBounds = QueueBounds { bytes_max: 4_000, frames_max: 50 };

/// Peers that show nothing may do everything; those that show the token `abc`, little.
const USERS: &str = "
[[user]]
name = 'anonymous'
publish = [{ prefix = '' }]
subscribe = [{ prefix = '' }]
register = [{ prefix = '' }]

[[user]]
name = 'known'
tokens = ['sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad']
publish = ['good']
subscribe = ['a.*']
";

struct Peer {
    id: SessionId,
    reader: Reader,
    is_native: bool,
    /// Bytes that it has sent and that were sent to it.
    sent: usize,
    read: Vec<u8>,
}

struct World {
    shard: Shard,
    slab: Slab,
    spans: Vec<Span>,
    scratch: ZmtpScratch,
    now: MonotonicNs,
    peers: Vec<Peer>,
}

/// Runs one input. The first byte is the overflow policy; operations follow, each with the input that it takes.
pub fn session(data: &[u8]) {
    let Some((first, mut rest)) = data.split_first() else { return };
    let overflow = OverflowPolicy::from_wire(first % 5 + 1).expect("there are five");
    let config = ShardConfig {
        bounds: BOUNDS,
        frame_bytes_max: MESSAGE_BYTES_MAX,
        overflow,
        permissions: Permissions::of_users(Users::parse(USERS).expect("a file of users")),
        zmtp_publishers: true,
        zmtp_subscribers: true,
        ..ShardConfig::default()
    };
    let now = MonotonicNs(1);
    let mut world = World {
        shard: Shard::new(ShardId(0), config, now),
        slab: Slab::default(),
        spans: Vec::new(),
        scratch: ZmtpScratch::default(),
        now,
        peers: Vec::new(),
    };
    while let Some((op, tail)) = rest.split_first() {
        rest = world.operate(*op, tail);
        world.shard.audit();
    }
    world.a_good_pair_works();
}

impl World {
    fn operate<'d>(&mut self, op: u8, data: &'d [u8]) -> &'d [u8] {
        let which = usize::from(op >> 4);
        match op & 7 {
            0 => self.open(Sides::Both, b""),
            1 => self.open(Sides::Publishers, &[&greeting::ours()[..], &ready("PUB")].concat()),
            2 => self.open(Sides::Subscribers, &[&greeting::ours()[..], &ready("SUB")].concat()),
            3 => {
                let hello = encode_to_vec(&Frame::Hello { name: "", overflow: 0, previous: 0, ticket: 0 });
                let login = match which & 3 {
                    1 => encode_to_vec(&Frame::Login { token: b"abc" }),
                    2 => encode_to_vec(&Frame::Login { token: b"of nobody" }),
                    _ => Vec::new(),
                };
                self.open_native(&[&native_greeting::ours()[..], &login, &hello].concat());
            }
            4 => {
                // As many bytes as the next one says.
                let Some((length, data)) = data.split_first() else { return data };
                let (said, data) = data.split_at(usize::from(*length).min(data.len()));
                self.say(which, said);
                return data;
            }
            5 => self.read(which, 100),
            6 => {
                let Some((tenths, data)) = data.split_first() else { return data };
                for _ in 0..u32::from(*tenths) % 64 {
                    self.now = self.now + Duration::from_millis(10 * u64::from(op >> 4) + 10);
                    self.shard.on_tick(self.now);
                }
                self.apply();
                return data;
            }
            _ => self.close(which),
        }
        data
    }

    fn open(&mut self, sides: Sides, said: &[u8]) {
        if self.peers.len() < 16
            && let Some(id) = self.shard.on_open(Door::Zmtp(sides), Identity::Anonymous(None))
        {
            self.file(id, false, said);
        }
    }

    fn open_native(&mut self, said: &[u8]) {
        if self.peers.len() < 16
            && let Some(id) = self.shard.on_open(Door::Native, Identity::Anonymous(None))
        {
            self.file(id, true, said);
        }
    }

    fn file(&mut self, id: SessionId, is_native: bool, said: &[u8]) {
        self.peers.push(Peer { id, reader: Reader::default(), is_native, sent: 0, read: Vec::new() });
        self.say(self.peers.len() - 1, said);
    }

    fn say(&mut self, which: usize, said: &[u8]) {
        let Some(peer) = self.peers.get_mut(which) else { return };
        if self.shard.sessions().is_held(peer.id) {
            return;
        }
        for turn in said.chunks(READ_BYTES_PER_TURN) {
            let space = peer.reader.space(&mut self.slab);
            space[..turn.len()].copy_from_slice(turn);
            peer.reader.received(turn.len());
            peer.sent += turn.len();
            if peer.is_native {
                ingest(&mut self.shard, peer.id, &mut peer.reader, &mut self.slab, &mut self.spans);
            } else {
                let (slab, scratch) = (&mut self.slab, &mut self.scratch);
                ingest_zmtp(&mut self.shard, peer.id, &mut peer.reader, slab, scratch, 1);
            }
            while self.shard.sessions().is_behind(peer.id) {
                self.shard.go_on(peer.id);
            }
            let memory = peer.reader.memory_bytes();
            assert!(memory <= 8 * peer.sent.max(64), "{memory} bytes are held of {}", peer.sent);
        }
        self.apply();
    }

    /// Lets a peer read that much of its queue.
    fn read(&mut self, which: usize, most: usize) {
        let Some(peer) = self.peers.get_mut(which) else { return };
        let mut left = most;
        let flushed = self.shard.flush(peer.id, |parts| {
            let before = peer.read.len();
            peer.read.extend(parts.iter().flat_map(|part| part.iter().copied()).take(left));
            let took = peer.read.len() - before;
            left -= took;
            Ok::<_, Infallible>(Some(took))
        });
        assert!(flushed.is_ok(), "nothing fails");
        self.apply();
    }

    fn close(&mut self, which: usize) {
        if which < self.peers.len() {
            let peer = self.peers.remove(which);
            let _ = self.shard.on_closed(peer.id, None);
        }
    }

    /// Carries out what the shard has left to do; nobody is connected to anything here.
    fn apply(&mut self) {
        self.shard.outbox().dirty.clear();
        self.shard.outbox().resumed.clear();
        self.shard.outbox().dials.clear();
        let ended = std::mem::take(&mut self.shard.outbox().abort);
        let shut = std::mem::take(&mut self.shard.outbox().shut);
        for id in ended.into_iter().chain(shut) {
            let _ = self.shard.on_closed(id, None);
            self.peers.retain(|peer| peer.id != id);
        }
    }

    fn a_good_pair_works(&mut self) {
        while self.peers.len() > 14 {
            self.close(0);
        }
        self.open(
            Sides::Both,
            &[&greeting::ours()[..], &ready("SUB"), &command::subscription(true, b"good", true)].concat(),
        );
        self.open(Sides::Both, &[&greeting::ours()[..], &ready("PUB")].concat());
        let (subscriber, publisher) = (self.peers.len() - 2, self.peers.len() - 1);
        let mut message = Vec::new();
        frame::put_frame(&mut message, frame::MORE, b"good");
        frame::put_frame(&mut message, 0, b"as gold");
        self.say(publisher, &message);
        self.read(subscriber, usize::MAX);
        let read = Bytes::from(std::mem::take(&mut self.peers[subscriber].read));
        assert!(read.ends_with(&message), "a good pair is cut off: {}", read.escape_ascii());
        self.shard.audit();
    }
}
