//! A shard of two with clients that need no sockets, driven as the pumps of `corecast::broker` drive it.

use std::hint::black_box;

use corecast::internals::auth::Identity;
use corecast::internals::broker::ingest;
use corecast::internals::carrier::LinkItem;
use corecast::internals::ids::{SessionId, ShardId};
use corecast::internals::limits::{KEEP_AGE_DEFAULT, KEEP_BYTES_DEFAULT, READ_BYTES_PER_TURN};
use corecast::internals::shard::{Door, Retention, Shard, ShardConfig, flush_all};
use corecast::internals::wire::{Frame, Reader, Slab, Span, encode, greeting, split};
use corecast::{Filter, Permissions, QueueBounds};
use corecast_executors::MonotonicNs;

/// The shard of the publishers.
pub(crate) const NEAR: ShardId = ShardId(0);
/// The other shard: it hears of messages by batches alone.
pub(crate) const FAR: ShardId = ShardId(1);

/// One shard and what its executor has beside it.
pub(crate) struct Rig {
    pub(crate) shard: Shard,
    slab: Slab,
    spans: Vec<Span>,
    /// Changes of interest that the other shard has reported.
    changes: u64,
}

impl Rig {
    pub(crate) fn new(id: ShardId, bounds: QueueBounds) -> Self {
        Rig::with_permissions(id, bounds, Permissions::all())
    }

    pub(crate) fn with_permissions(id: ShardId, bounds: QueueBounds, permissions: Permissions) -> Self {
        Rig::with_config(id, ShardConfig { shards: 2, bounds, permissions, ..ShardConfig::default() })
    }

    /// One that keeps history by a rule.
    pub(crate) fn keeping(id: ShardId, rule: &str) -> Self {
        let rules = vec![rule.parse().expect("a rule")];
        let retention = Retention::new(rules, KEEP_BYTES_DEFAULT, KEEP_AGE_DEFAULT).expect("few rules");
        Rig::with_config(id, ShardConfig { shards: 2, retention, ..ShardConfig::default() })
    }

    fn with_config(id: ShardId, config: ShardConfig) -> Self {
        let shard = Shard::new(id, config, MonotonicNs(1));
        Rig { shard, slab: Slab::default(), spans: Vec::new(), changes: 0 }
    }

    /// A client that is open, and has read its welcome.
    pub(crate) fn open(&mut self) -> SessionId {
        self.open_with(&[])
    }

    /// The same, which says these frames before its hello.
    pub(crate) fn open_with(&mut self, before: &[Frame<'_>]) -> SessionId {
        let id = self.shard.on_open(Door::Native, Identity::Anonymous(None)).expect("there is room");
        let mut words = greeting::ours().to_vec();
        before.iter().for_each(|frame| encode(frame, &mut words));
        encode(&Frame::Hello { name: "", overflow: 0, previous: 0, ticket: 0 }, &mut words);
        self.say(id, &words);
        self.flush();
        id
    }

    /// A client with a subscription.
    pub(crate) fn open_subscriber(&mut self, filter: &str) {
        self.open_subscriber_of(&[filter]);
    }

    /// A client with a subscription to each of these.
    pub(crate) fn open_subscriber_of(&mut self, filters: &[impl AsRef<str>]) {
        let id = self.open();
        let mut words = Vec::new();
        for filter in filters {
            let filter = filter.as_ref().as_bytes();
            encode(&Frame::Subscribe { filter, request: 1, subscriber: 1, kind: 1 }, &mut words);
        }
        self.say(id, &words);
        self.take_links();
        self.flush();
    }

    /// The other shard has, or no longer has, subscribers with this filter.
    pub(crate) fn interest(&mut self, from: ShardId, filter: &Filter, wanted: bool) {
        self.changes += 1;
        let item = LinkItem::Interest { seq: self.changes, filter: filter.clone(), wanted };
        self.shard.go_on_with_link(from);
        self.shard.on_link(from, item);
        self.take_links();
    }

    /// A client says these bytes, in one read.
    pub(crate) fn say(&mut self, id: SessionId, bytes: &[u8]) {
        let mut reader = received(&mut self.slab, bytes);
        ingest(&mut self.shard, id, &mut reader, &mut self.slab, &mut self.spans);
        while self.shard.sessions().is_behind(id) {
            self.shard.go_on(id);
        }
    }

    /// A client says these whole frames, in as many reads as they take. The other shard confirms what it is told.
    pub(crate) fn say_all(&mut self, id: SessionId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let read = &bytes[..bytes.len().min(READ_BYTES_PER_TURN)];
            self.spans.clear();
            let whole = split(read, usize::MAX, &mut self.spans).whole_bytes;
            self.say(id, &read[..whole]);
            self.confirm();
            bytes = &bytes[whole..];
        }
    }

    /// The other shard has seen all changes of interest, and clients have their answers.
    pub(crate) fn confirm(&mut self) {
        let other = if self.shard.links().me() == NEAR { FAR } else { NEAR };
        let changes = self.take_links().into_iter().filter_map(|item| match item {
            LinkItem::Interest { seq, .. } => Some(seq),
            _ => None,
        });
        if let Some(seq) = changes.max() {
            self.shard.go_on_with_link(other);
            self.shard.on_link(other, LinkItem::InterestSeen { seq });
        }
        self.flush();
    }

    /// A client's connection ends.
    pub(crate) fn close(&mut self, id: SessionId) {
        let closed = self.shard.on_closed(id, None);
        assert!(closed.is_some(), "it was open");
        // What is withdrawn in a tick has to leave by the link before there is room for more.
        while self.shard.wants_tick() {
            self.shard.on_tick(MonotonicNs(1));
            self.confirm();
        }
    }

    /// All that waits for the other shard, which confirms nothing: it is not there.
    pub(crate) fn take_links(&mut self) -> Vec<LinkItem> {
        let mut taken = Vec::new();
        while let Some(to) = self.shard.outbox().links.pop() {
            taken.extend(std::iter::from_fn(|| self.shard.links_mut().next(to)));
            self.shard.on_link_room(to);
        }
        taken
    }

    /// Flushes each session that has something, to a kernel that takes all.
    pub(crate) fn flush(&mut self) {
        while let Some(id) = self.shard.outbox().dirty.pop_front() {
            flush_all(&mut self.shard, id, |part| {
                black_box(part);
            });
        }
    }
}

/// A connection whose read has brought these bytes.
pub(crate) fn received(slab: &mut Slab, bytes: &[u8]) -> Reader {
    let mut reader = Reader::default();
    reader.space(slab)[..bytes.len()].copy_from_slice(bytes);
    reader.received(bytes.len());
    reader
}

/// A message.
pub(crate) fn message<'a>(topic: &'a str, payload: &'a [u8], sequence: u64) -> Frame<'a> {
    Frame::Message { topic: topic.as_bytes(), payload, publisher: 1, sequence, sent_at_ns: 0 }
}

/// Appends a message.
pub(crate) fn push_message(topic: &str, payload: &[u8], sequence: u64, out: &mut Vec<u8>) {
    encode(&message(topic, payload, sequence), out);
}

/// `count` messages of one topic.
pub(crate) fn messages(count: u64, payload_bytes: usize) -> Vec<u8> {
    let payload = vec![7; payload_bytes];
    let mut out = Vec::new();
    (1..=count).for_each(|sequence| push_message("prices.eur.usd", &payload, sequence, &mut out));
    out
}

/// One read of a publisher at the near shard, as it goes to the far one.
pub(crate) fn batch_of(bytes: &[u8]) -> LinkItem {
    let mut near = Rig::new(NEAR, QueueBounds::default());
    near.interest(FAR, &filter(">"), true);
    let publisher = near.open();
    near.say(publisher, bytes);
    let mut items = near.take_links().into_iter();
    items.find(|item| matches!(item, LinkItem::Batch { .. })).expect("the far shard wants everything")
}

/// A pattern that is one.
pub(crate) fn filter(text: &str) -> Filter {
    Filter::parse(text).expect("a pattern of this benchmark")
}
