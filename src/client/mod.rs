//! The client library. [`Publisher`] and [`Subscriber`] work from any thread and any async runtime;
//! [`LocalClient`] is the same inside an executor, without a channel in between.
//!
//! | file | owns |
//! |---|---|
//! | `brokers` | the addresses at which it finds its broker |
//! | `config` | what a client is started with |
//! | `token` | the token by which a client logs in |
//! | `message` | what a subscriber receives |
//! | `listed` | what a view of the registry shows |
//! | `connection_events` | what becomes of a connection, for those that watch it |
//! | `deadline`, `waiters` | the time for something; tasks that wait until something is so |
//! | `session/` | sessions: their state without I/O, and their pumps |
//! | `direct/` | a direct publisher's own shards |
//! | `local/` | a client inside an executor |
//! | `handle/` | handles for any thread and any async runtime |
//!
//! Each layer uses those above it in this table, and none below.

mod brokers;
mod config;
mod connection_events;
mod deadline;
mod direct;
mod handle;
mod listed;
mod local;
mod message;
mod session;
mod token;
mod waiters;

pub use brokers::Brokers;
pub use config::{ClientConfig, DirectConfig, Sessions};
pub use connection_events::{ConnectionEvent, ConnectionEvents};
pub use direct::DIRECT_POOL;
pub use handle::{Publisher, RegistryView, Subscriber};
pub use listed::{DownReason, Listed, PublisherChange};
pub use local::{LocalClient, LocalPublisher, LocalRegistryView, LocalSubscriber, Subscription};
pub use message::{Event, EventRef, Gap, GapReason, GapRef, Message, MessageRef};
pub use token::Token;
