//! Thread-per-core publish/subscribe for Linux: a slow subscriber costs only itself, and drops are reported in-band.
//!
//! [`Publisher`] and [`Subscriber`] work from any thread and any async runtime; [`LocalClient`] is the same inside an
//! executor, without a channel in between. They connect to a broker: `corecast broker`, or a `Broker` in the same
//! program (feature `broker`).
//!
#![cfg_attr(feature = "client", doc = "```no_run")]
#![cfg_attr(not(feature = "client"), doc = "```ignore")]
//! use corecast::{Event, Filter, Publisher, Subscriber};
//!
//! let mut subscriber = Subscriber::connect("tcp://127.0.0.1:6680", &[Filter::parse("prices.>")?])?;
//! let mut publisher = Publisher::connect("tcp://127.0.0.1:6680")?;
//! publisher.publish("prices.eur.usd", b"1.0842")?;
//! if let Event::Message(message) = subscriber.recv()? {
//!     assert_eq!(message.payload, b"1.0842"[..]);
//! }
//! # Ok::<(), corecast::Error>(())
//! ```
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `client` (default) | publishers and subscribers |
//! | `stream` | subscribers as a `futures_core::Stream`: `Subscriber::into_stream` |
//! | `broker` | `Broker`, its metrics, and the thread that serves them over HTTP |
//! | `nats` | an engine for the broker, which joins those of several hosts over NATS |
//! | `tls` | `tls://` endpoints, with the cryptography of rustls and ring |
//! | `cli` | the `corecast` command |
//! | `jemalloc` | the allocator of the command |
//! | `internals` | the private modules, for tests and benchmarks; nothing in them is promised |
//!
//! # Map of the source
//!
//! | module | owns |
//! |---|---|
//! | `limits` | every bound, with its reason |
//! | `ids` | a newtype for every index |
//! | `error` | the errors of operations, and the codes that travel on the wire |
//! | `config` | how options are declared: each once, with its name, default, check and help |
//! | `printable` | how text of peers is shown to people |
//! | `slack` | how tables give the room back that they do not need any more |
//! | `transport` | endpoints, look-ups of names, listeners, connections: the only place that names sockets |
//! | `wire` | greeting, splitter, checked frames, rkyv bodies |
//! | `zmtp` | ZeroMQ's wire: greeting, frames, commands, one connection's machine |
//! | `topic` | names, filters, and the index that turns a topic into a route |
//! | `auth` | identities of sessions, their rights, and the one question that their actions must pass |
//! | `fanout` | the hot path: router, egress groups, egress queues and their overflow policies |
//! | `registry` | direct publishers and their leases; which topics go direct |
//! | `carrier` | what takes messages elsewhere: interest first on and last off, queues, confirmations, pauses |
//! | `shard` | one shard: sessions, their subscriptions, and what shards tell each other |
//! | `broker` | the pumps that move bytes for a shard, and a whole broker |
//! | `client` | sessions, publishers, subscribers |
//! | `telemetry` | every counter in one list, the page for Prometheus, the logs |
//! | `control` | the control thread: HTTP, and whatever else is not message flow |
//! | `cli` | the `corecast` command |
//!
//! `limits, ids <- wire <- zmtp <- topic <- auth, fanout <- control, registry <- carrier <- shard <- broker <- client <- cli`, never the
//! other way.

// Clients, brokers and the command share one core, and each leaves a part of it unused. Built together they must not.
#![cfg_attr(
    not(all(
        feature = "client",
        feature = "broker",
        feature = "nats",
        feature = "tls",
        feature = "cli",
        feature = "internals"
    )),
    allow(dead_code, unreachable_code, unreachable_pub, unused_imports)
)]

// Its macro is for the modules below.
#[macro_use]
mod config;

mod auth;
mod broker;
mod carrier;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "broker")]
pub mod control;
mod error;
mod fanout;
mod ids;
#[cfg(feature = "internals")]
pub mod internals;
mod limits;
mod printable;
mod registry;
mod shard;
mod slack;
mod telemetry;
mod topic;
mod transport;
mod wire;
mod zmtp;

pub use auth::{Permissions, Rights, Users};
#[cfg(feature = "broker")]
pub use broker::{Broker, BrokerConfig, CurveServerKey, EngineCredentials, EngineUrl};
#[cfg(feature = "client")]
pub use client::{
    Brokers, ClientConfig, ConnectionEvent, ConnectionEvents, DirectConfig, DownReason, Event, EventRef, Gap,
    GapReason, GapRef, Listed, LocalClient, LocalPublisher, LocalRegistryView, LocalSubscriber, Message,
    MessageRef, Publisher, PublisherChange, RegistryView, Sessions, Subscriber, Subscription, Token,
};
pub use error::{Error, ErrorCode, ErrorKind, Result};
pub use fanout::{OverflowPolicy, QueueBounds};
pub use ids::PublisherId;
pub use registry::Mode;
#[cfg(feature = "broker")]
pub use shard::{Keep, KeepRule};
#[cfg(feature = "broker")]
pub use telemetry::{MetricsPage, Pulse};
pub use topic::{Filter, FilterError, Topic, TopicError};
pub use transport::{
    ClientCertificates, ConnectConfig, Endpoint, Fingerprint, InheritedSockets, ListenConfig, TlsClient,
    TlsClientFiles, TlsServer, TlsServerFiles,
};
#[cfg(feature = "client")]
pub use wire::Start;

pub use corecast_executors::{CoreSet, Idle, Reactor};

/// The command: `main.rs` is the only caller.
#[cfg(feature = "cli")]
#[doc(hidden)]
pub use cli::main;
