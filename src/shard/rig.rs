//! Shards with clients that need no bytes in between, for the unit tests of this folder. What they hear is text.

use std::time::Duration;

use bytes::Bytes;
use corecast_executors::{MonotonicNs, TICK};

use super::config::ShardConfig;
use super::door::Door;
use super::flush::flush_all;
use super::state::Shard;
use crate::auth::Identity;
use crate::error::ErrorCode;
use crate::fanout::OverflowPolicy;
use crate::ids::{SessionId, ShardId};
use crate::limits::FRAME_BYTES_MAX_LIMIT;
use crate::registry::DOWN_REVOKED;
use crate::wire::greeting::GREETING_BYTES;
use crate::wire::{Features, Frame, Partial, encode, split, splitter};
use crate::zmtp::{self, Output, Sides};

/// Some shards, whose links never fill.
pub(super) struct Rig {
    pub(super) shards: Vec<Shard>,
    pub(super) now: MonotonicNs,
}

impl Rig {
    pub(super) fn new(config: &ShardConfig) -> Rig {
        let now = MonotonicNs(1);
        let shard = |id| Shard::new(ShardId(u16::try_from(id).unwrap()), config.clone(), now);
        Rig { shards: (0..config.shards).map(shard).collect(), now }
    }

    pub(super) fn with_shards(shards: usize) -> Rig {
        Rig::new(&ShardConfig { shards, ..ShardConfig::default() })
    }

    /// A client of this host that is open, and has read its welcome.
    pub(super) fn open(&mut self, shard: usize, policy: OverflowPolicy) -> SessionId {
        self.open_as(shard, policy, Identity::Anonymous(None))
    }

    /// The same of any client.
    pub(super) fn open_as(&mut self, shard: usize, policy: OverflowPolicy, identity: Identity) -> SessionId {
        self.open_with(shard, policy, (identity, Features::NONE))
    }

    /// The same of a client that offers these features.
    pub(super) fn open_with(
        &mut self,
        shard: usize,
        policy: OverflowPolicy,
        (identity, features): (Identity, Features),
    ) -> SessionId {
        let id = self.shards[shard].on_open(Door::Native, identity).unwrap();
        self.shards[shard].on_greeting(id, Ok(features));
        self.say(shard, id, &[Frame::Hello { name: "", overflow: policy.to_wire(), previous: 0, ticket: 0 }]);
        self.take(shard, id);
        id
    }

    /// A ZeroMQ socket of this type that is open, on the first shard.
    pub(super) fn open_zmtp(&mut self, socket_type: &[u8; 3]) -> SessionId {
        let opened = self.shards[0].on_open(Door::Zmtp(Sides::Both), Identity::Anonymous(None));
        let id = opened.expect("there is room");
        let ready = [b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03", &socket_type[..]].concat();
        self.say_zmtp(id, &[&zmtp::greeting::ours()[..], &ready].concat());
        let _ = self.take(0, id);
        id
    }

    /// A ZeroMQ socket says this, in one read of which only the first turn is done.
    pub(super) fn say_zmtp(&mut self, id: SessionId, bytes: &[u8]) {
        let shard = &mut self.shards[0];
        let done = shard.on_zmtp(id, 1, &mut Output::default(), |machine, out| {
            let read = machine.read(bytes, out);
            assert_eq!((read.whole_bytes, &read.error), (bytes.len(), &None));
            (read, Bytes::copy_from_slice(bytes), ())
        });
        done.expect("it is listened to");
    }

    /// A client says frames, in one read.
    pub(super) fn say(&mut self, shard: usize, id: SessionId, frames: &[Frame<'_>]) {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| encode(frame, &mut bytes));
        let bytes = Bytes::from(bytes);
        let mut spans = Vec::new();
        assert_eq!(split(&bytes, FRAME_BYTES_MAX_LIMIT, &mut spans).error, None);
        self.shards[shard].on_frames(id, &bytes, &spans);
        while self.shards[shard].sessions().is_behind(id) {
            self.shards[shard].go_on(id);
        }
        self.shards[shard].on_partial(id, Partial::default(), true);
        self.audit();
    }

    /// Carries link items from shard to shard, until there are none.
    pub(super) fn travel(&mut self) {
        let mut moves = true;
        while moves {
            moves = false;
            for from in 0..self.shards.len() {
                for to in 0..self.shards.len() {
                    moves |= self.travel_once(from, to);
                }
            }
        }
        self.audit();
    }

    /// One item goes from a shard to another; `false`: there was none.
    pub(super) fn travel_once(&mut self, from: usize, to: usize) -> bool {
        let id = |shard| ShardId(u16::try_from(shard).unwrap());
        let Some(item) = self.shards[from].links_mut().next(id(to)) else { return false };
        self.shards[to].go_on_with_link(id(from));
        self.shards[to].on_link(id(from), item);
        while self.shards[to].links().is_behind(id(from)) {
            self.shards[to].go_on_with_link(id(from));
        }
        self.shards[from].on_link_room(id(to));
        true
    }

    /// Time goes on, tick by tick.
    pub(super) fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now = self.now + TICK;
            self.shards.iter_mut().for_each(|shard| shard.on_tick(self.now));
        }
        self.audit();
    }

    /// Time goes on while no shard turns; then each hears it.
    pub(super) fn stop(&mut self, time: Duration) {
        self.now = self.now + time;
        self.shards.iter_mut().for_each(|shard| shard.on_tick(self.now));
        self.audit();
    }

    /// The bytes that a client is sent: it reads everything.
    pub(super) fn take(&mut self, shard: usize, id: SessionId) -> Vec<u8> {
        let shard = &mut self.shards[shard];
        let mut taken = Vec::new();
        flush_all(shard, id, |part| taken.extend_from_slice(part));
        shard.outbox().dirty.retain(|dirty| *dirty != id);
        taken
    }

    /// Reads everything that a client is sent, as text. `a=1` is the message 1 of the topic `a`, `a-2` a gap of two, `!3`
    /// an answer to request 3, `3:4` the count four for it. `+1.2` is the publisher 1 in its epoch 2 that is there,
    /// `-1.2` one that has left, `x1.2` one whose lease has run out. `~a.1` is the lost subscription of subscriber 1. Nothing
    /// stands for tickets.
    pub(super) fn hears(&mut self, shard: usize, id: SessionId) -> String {
        let taken = Bytes::from(self.take(shard, id));
        self.audit();
        let greeted = if taken.starts_with(b"CORECAST") { GREETING_BYTES } else { 0 };
        let frames = taken.slice(greeted..);
        let is_told = |frame: &Frame<'_>| !matches!(frame, Frame::Ticket { .. } | Frame::TicketRules { .. });
        let told = splitter::frames(&frames).map(|(_, frame)| frame).filter(is_told);
        let texts = told.map(|frame| match frame {
            Frame::Message { topic, sequence, .. } => {
                format!("{}={sequence}", String::from_utf8_lossy(topic))
            }
            Frame::Gap { topic, missed, .. } => format!("{}-{missed}", String::from_utf8_lossy(topic)),
            Frame::Done { request } => format!("!{request}"),
            Frame::SubscriberCount { request, count } => format!("{request}:{count}"),
            Frame::Registered { request, .. } => format!("!{request}"),
            Frame::PublisherUp { publisher, epoch, .. } => format!("+{publisher}.{epoch}"),
            Frame::PublisherDown { publisher, epoch, reason } => {
                format!(
                    "{}{publisher}.{epoch}",
                    match reason {
                        1 => '-',
                        DOWN_REVOKED => '#',
                        _ => 'x',
                    }
                )
            }
            Frame::Unsubscribe { filter, subscriber, .. } => {
                format!("~{}.{subscriber}", String::from_utf8_lossy(filter))
            }
            Frame::PublishRefused { topic, .. } => format!("?{}", String::from_utf8_lossy(topic)),
            Frame::Error { code, .. } => ErrorCode::from_number(code).to_string(),
            other => format!("{other:?}"),
        });
        texts.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn audit(&self) {
        self.shards.iter().for_each(Shard::audit);
    }
}

/// A message of a topic.
pub(super) fn message(topic: &str, sequence: u64) -> Frame<'_> {
    let topic = topic.as_bytes();
    Frame::Message { topic, payload: b"payload", publisher: 1, sequence, sent_at_ns: 0 }
}

/// A subscription to a filter, by the subscriber 1.
pub(super) fn subscribe(filter: &str, request: u32) -> Frame<'_> {
    Frame::Subscribe { filter: filter.as_bytes(), request, subscriber: 1, kind: 1 }
}

/// The end of such a subscription.
pub(super) fn unsubscribe(filter: &str, request: u32) -> Frame<'_> {
    Frame::Unsubscribe { filter: filter.as_bytes(), request, subscriber: 1, kind: 1 }
}
