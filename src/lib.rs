//! Thread-per-core publish/subscribe for Linux.
//!
//! Every core runs one pinned executor that owns a *shard* of the subscriber sockets; frames cross shards as
//! refcounted batches over bounded links. A slow subscriber costs only itself, what is dropped is told, and
//! nothing starts before everyone is there.
//!
//! # Map
//!
//! | module | owns |
//! |---|---|
//! | [`limits`] | every bound, with its reason |
//! | [`ids`] | a newtype for every index |
//! | [`error`] | what an operation can fail with, and the codes that travel on the wire |
//! | [`printable`] | how text of peers is shown to people |
//! | [`endpoint`] | `tcp://HOST:PORT` and `uds://PATH`: parsing, listening, connecting |
//! | [`wire`] | greeting, splitter, checked frames, rkyv bodies |
//! | [`zmtp`] | ZeroMQ's wire: greeting, frames, commands, one connection's machine |
//! | [`topic`] | names, filters, and the index that turns a topic into a route |
//! | [`fanout`] | the hot path: router, egress groups, egress queues and their overflow policies |
//! | [`registry`] | who publishes what where, under leases; which topics go direct |
//! | [`shard`] | one shard: sessions, their subscriptions, and what shards tell each other |
//! | [`broker`] | the pumps that move bytes for a shard |
//! | [`client`] | sessions, publishers, subscribers |
//! | [`telemetry`] | every counter in one list, the exporter, the logs |
//! | [`control`] | the control thread: HTTP, and whatever else is not message flow |
//! | [`cli`] | the `corecast` command |
//!
//! `limits, ids <- {wire, zmtp} <- topic <- fanout <- shard <- {broker, client} <- cli`, never the other way.

// Clients, brokers and the command share one core, and each leaves a part of it unused. Built together they must not.
#![cfg_attr(
    not(all(feature = "client", feature = "broker", feature = "cli")),
    allow(dead_code, unused_imports)
)]

pub mod broker;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "broker")]
pub mod control;
pub mod endpoint;
pub mod error;
pub mod fanout;
pub mod ids;
pub mod limits;
pub mod printable;
pub mod registry;
pub mod shard;
pub mod telemetry;
pub mod topic;
pub mod wire;
pub mod zmtp;

#[cfg(feature = "client")]
pub use client::{
    ClientConfig, ConnectionEvent, ConnectionEvents, DownReason, Event, EventRef, Gap, GapReason, GapRef,
    Listed, LocalClient, LocalPublisher, LocalRegistryView, LocalSubscriber, Message, MessageRef, Publisher,
    PublisherChange, RegistryView, Sessions, Subscriber, Subscription,
};
pub use endpoint::Endpoint;
pub use error::{Error, ErrorKind, Result};
pub use fanout::OverflowPolicy;
pub use topic::{Filter, Topic};
