//! The figures that shards give of themselves, their sessions, topics and direct publishers, as plain rows. Shards fill them,
//! in turns and without formatting anything; the control thread makes text of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_executors::{MonotonicNs, ShardId};

use crate::auth::Identity;
use crate::fanout::OverflowPolicy;
use crate::ids::{PublisherId, SessionId, SessionNumber};
use crate::registry::Registration;
use crate::telemetry::SessionTally;
use crate::topic::Filter;

/// The figures of one shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShardFigures {
    /// The shard.
    pub(crate) shard: ShardId,
    /// Connections whose peers have not said hello.
    pub(crate) strangers: u64,
    /// Subscriptions in force.
    pub(crate) subscriptions: u64,
    /// Messages received from publishers since the start.
    pub(crate) messages_in: u64,
    /// Messages that the kernel has taken since the start, one for each session.
    pub(crate) messages_out: u64,
    /// Bytes received since the start.
    pub(crate) bytes_in: u64,
    /// Bytes that the kernel has taken since the start.
    pub(crate) bytes_out: u64,
    /// Messages not delivered since the start.
    pub(crate) drops: u64,
    /// Gap notices that the kernel has taken since the start.
    pub(crate) gaps_told: u64,
    /// Items waiting on its links to others.
    pub(crate) link_items: u64,
    /// Something else has its core for most of the time.
    pub(crate) is_starved: bool,
    /// The time that its thread has run, and the time that it has waited for its core. `None`: the kernel does not count them.
    pub(crate) thread_times: Option<(Duration, Duration)>,
}

/// The figures of one session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionFigures {
    /// Its shard now, and its place there.
    pub(crate) place: (ShardId, SessionId),
    /// Its number, by which its client and the log know it.
    pub(crate) number: SessionNumber,
    /// The kind of it: `native`, `zmtp`, `relay`.
    pub(crate) kind: &'static str,
    /// `greeting`, `hello`, `open` or `closing`.
    pub(crate) phase: &'static str,
    /// Its counts.
    pub(crate) tally: SessionTally,
    /// Filters that it has.
    pub(crate) filters: usize,
    /// Memory of all that waits for it, in bytes.
    pub(crate) waiting_bytes: u64,
    /// Messages that wait for it.
    pub(crate) waiting_messages: u64,
    /// The time at which the oldest message that waits was published, by its publisher's clock in Unix time.
    pub(crate) oldest_sent_ns: Option<u64>,
    /// The time when its connection first had no room for what still waits.
    pub(crate) stalled_at: Option<MonotonicNs>,
    /// It is not read now, because somebody has no room for what it publishes.
    pub(crate) is_held: bool,
}

/// All figures of one shard, of one moment each.
#[derive(Debug)]
pub(crate) struct ShardCensus {
    pub(crate) shard: ShardFigures,
    pub(crate) sessions: Vec<SessionFigures>,
    /// Topics on which publishers here have published lately, each with its messages since somebody asked for it first. A topic
    /// may be there twice; the later one counts.
    pub(crate) topics: Vec<(Bytes, u64)>,
}

/// The part of a session that is more than figures.
#[derive(Clone, Debug)]
pub(crate) struct SessionDetails {
    pub(crate) number: SessionNumber,
    /// The name that its client gives itself.
    pub(crate) client: Option<Box<str>>,
    pub(crate) identity: Identity,
    pub(crate) policy: OverflowPolicy,
    /// The first of its filters.
    pub(crate) filters: Vec<Filter>,
}

/// One direct publisher in the registry.
#[derive(Clone, Debug)]
pub(crate) struct PublisherFigures {
    pub(crate) registration: Arc<Registration>,
    /// The peer that has registered it.
    pub(crate) registrant: Option<Arc<Identity>>,
    /// The rest of its lease.
    pub(crate) lease_left: Duration,
}

/// A page of the registry.
#[derive(Debug)]
pub(crate) struct RegistryPage {
    pub(crate) publishers: Vec<PublisherFigures>,
    /// Publishers in the whole registry.
    pub(crate) total: usize,
    /// The last one of the page, if there are more behind it.
    pub(crate) last: Option<PublisherId>,
}

/// The history of one topic, in one log or in several.
#[derive(Clone, Debug)]
pub(crate) struct KeptFigures {
    pub(crate) topic: Bytes,
    pub(crate) messages: u64,
    /// Bytes of memory, with what is around each message.
    pub(crate) bytes: u64,
    /// The times when the oldest and the newest of these messages were taken, by the monotonic clock.
    pub(crate) oldest: MonotonicNs,
    pub(crate) newest: MonotonicNs,
}

impl KeptFigures {
    /// The history of the same topic in two logs.
    pub(crate) fn and(self, other: Self) -> Self {
        KeptFigures {
            topic: self.topic,
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
            oldest: self.oldest.min(other.oldest),
            newest: self.newest.max(other.newest),
        }
    }
}

/// The history of one shard: all of it as sums, and a page of its topics.
#[derive(Default, Debug)]
pub(crate) struct HistoryFigures {
    /// In the order of their names.
    pub(crate) topics: Vec<KeptFigures>,
    /// There are more topics behind these.
    pub(crate) has_more: bool,
    /// Messages and bytes of all topics.
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Most bytes that it may take.
    pub(crate) bytes_max: u64,
    /// Messages that were given up since the start.
    pub(crate) given_up: u64,
}
