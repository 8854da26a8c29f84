//! The broker in proxy mode: pinned executors, each with a [`Shard`](crate::shard::Shard) and the pumps that move
//! bytes for it. A direct publisher runs the same pumps inside a client, so only `config`, `process` and `rules` need the
//! feature `broker`.
//!
//! | file | owns |
//! |---|---|
//! | `config` | what a broker is started with, checked |
//! | `engine_config` | of this, the options of an engine: addresses, credentials |
//! | `curve_server_key` | the keys of its ZeroMQ doors, from a file |
//! | `process` | a whole broker: its listeners and its pool, from start to stop |
//! | `engine`, `engine_log` | the engine as a task of the control thread: links of shards, state, connection; what it logs |
//! | `jetstream` | of this, the words of stores of history |
//! | `engine_start` | its start and end; `no_engine` is in its place in programs without the feature `nats` |
//! | `engine_check` | a look at its servers, for `corecast doctor` |
//! | `nats` | one connection to a server of NATS |
//! | `exposure` | the rule that a listener which other hosts reach needs users and encryption |
//! | `rules` | rules of what sessions may do, to every shard when they change |
//! | `operators` | looks of operators, to every shard |
//! | `body` | the life of an executor of the pool: its pumps, from start to drain |
//! | `looks` | looks of operators into its shard |
//! | `listener` | pump: accepting and placing connections |
//! | `links` | pump: items from neighbours, which are other shards and carriers |
//! | `dial` | pump: connecting to direct publishers, for ZeroMQ subscribers |
//! | `arrivals` | pump: taking over sessions that come from other shards |
//! | `ingress` | pump: reading a session's bytes, turn by turn |
//! | `passwords` | checks of passwords, on a thread of their own |
//! | `ingest`, `zmtp_ingest` | these bytes, after a read: whole frames and messages to the shard |
//! | `flush` | the end of each turn: egress queues to the kernel, pending items to links |
//! | `local` | the other way in: messages from the local API of a direct publisher |
//! | `runtime` | one executor's shard, with the parts that its pumps share: |
//! | `read_ahead` | its reads since the last flush |
//! | `connection` | its connections |
//! | `hand_over` | those on their way to other shards, and from them |
//! | `placement` | the numbers of sessions by which connections are placed |
//! | `timekeeper` | its clock, and its rest |
//! | `core_time` | the time that it runs, and waits for its core |
//! | `journal` | its log lines |
//! | `drain` | its end |
//! | `local_port` | the session of a direct publisher's local API |
//!
//! Pumps use those below them in this table, and none of them knows a pump above: it leaves work, or raises a
//! [`Wake`](corecast_executors::Wake).

mod arrivals;
mod body;
#[cfg(feature = "broker")]
mod config;
mod connection;
mod core_time;
#[cfg(feature = "broker")]
mod curve_server_key;
mod dial;
mod drain;
#[cfg(feature = "nats")]
mod engine;
#[cfg(all(feature = "nats", feature = "cli"))]
mod engine_check;
#[cfg(feature = "broker")]
mod engine_config;
#[cfg(feature = "nats")]
mod engine_log;
#[cfg(feature = "nats")]
mod engine_start;
#[cfg(feature = "broker")]
mod exposure;
mod flush;
mod hand_over;
mod ingest;
mod ingress;
#[cfg(feature = "nats")]
mod jetstream;
mod journal;
mod links;
mod listener;
mod local;
mod local_port;
#[cfg(feature = "broker")]
mod looks;
#[cfg(feature = "nats")]
mod nats;
#[cfg(all(feature = "broker", not(feature = "nats")))]
mod no_engine;
#[cfg(feature = "broker")]
mod operators;
mod passwords;
mod placement;
#[cfg(feature = "broker")]
mod process;
mod read_ahead;
#[cfg(feature = "broker")]
mod rules;
mod runtime;
mod timekeeper;
mod zmtp_ingest;

use std::pin::Pin;
use std::time::Duration;

use corecast_executors::{Inbox, Link, ShardContext};

pub(crate) use body::{ExecutorConfig, run as run_shard};
#[cfg(feature = "broker")]
pub use config::BrokerConfig;
#[cfg(feature = "broker")]
pub use curve_server_key::CurveServerKey;
#[cfg(all(feature = "nats", feature = "cli"))]
pub(crate) use engine_check::{EngineFacts, EngineReport, check_engine};
#[cfg(feature = "broker")]
pub use engine_config::{EngineCredentials, EngineUrl};
pub use ingest::ingest;
pub(crate) use local::LocalHost;
#[cfg(feature = "broker")]
pub use process::Broker;
pub use zmtp_ingest::{ZmtpScratch, ingest_zmtp};

use self::hand_over::Arrival;
use crate::auth::Permissions;
use crate::carrier::LinkItem;
#[cfg(feature = "broker")]
use crate::control::Look;
use crate::ids::ShardId;
use crate::shard::Door;
use crate::transport::{Accepted, Endpoint, ListeningSocket, TlsServer};

/// An item on a link between the executors of a broker, or on the commands link of one.
pub(crate) enum Item {
    /// From neighbour to neighbour.
    Link(LinkItem),
    /// From the acceptor: this connection is yours.
    Adopt {
        /// The connection, on which nothing was said.
        accepted: Accepted,
        /// The protocol that it speaks.
        door: Door,
    },
    /// From a shard that a session has left: its connection.
    Connection(Box<Arrival>),
    /// To the acceptor: a session has moved from one shard to another.
    Moved {
        /// The shard that it has left.
        from: ShardId,
        /// The shard that it has come to.
        to: ShardId,
    },
    /// To the acceptor: a session of this shard has ended.
    Left(ShardId),
    /// To the first shard: accept on these.
    Listen {
        /// The listeners, with what they are for.
        listeners: Vec<Listener>,
    },
    /// To an executor of a direct publisher: run this there.
    Begin(Begin),
    /// To every shard: these are the rules of what sessions may do.
    Permissions {
        /// The rules.
        permissions: Permissions,
        /// The link for the answer, when nobody has or gets anything that they forbid.
        followed: Link<()>,
    },
    /// To the first shard: connections that come over TLS from now on get this certificate.
    Certificate(TlsServer),
    /// An operator looks at the shard, or gives an order.
    #[cfg(feature = "broker")]
    Look(Look),
    /// Stop: drain for so long, then end.
    Drain {
        /// The drain timeout.
        time: Duration,
        /// The link for the report at the end, unless nobody listens.
        report: Link<CutOff>,
    },
}

/// A carrier's ends of the links between it and a shard, which the shard makes.
#[derive(Debug)]
pub(crate) struct CarrierEnd {
    pub(crate) shard: ShardId,
    /// To the shard.
    pub(crate) to: Link<Item>,
    /// From the shard.
    pub(crate) from: Inbox<Item>,
}

/// The sessions and messages that a drain has cut off when it ran out of time.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct CutOff {
    /// Sessions that had not ended.
    pub(crate) sessions: u64,
    /// Messages that waited for them or for other shards, which are lost.
    pub(crate) messages: u64,
    /// The memory that they held, in bytes.
    pub(crate) bytes: u64,
}

/// An open listener, and what it is for.
pub(crate) struct Listener {
    pub(crate) socket: ListeningSocket,
    pub(crate) endpoint: Endpoint,
    pub(crate) door: Door,
}

/// The body that an executor of a direct publisher is to run.
pub(crate) type Begin = Box<dyn FnOnce(ShardContext<Item>) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
