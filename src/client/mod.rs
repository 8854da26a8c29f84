//! The client library. [`Publisher`] and [`Subscriber`] work from any thread and any async runtime;
//! [`LocalClient`] is the same inside an executor, without a channel in between.
//!
//! | file | owns |
//! |---|---|
//! | `config` | what a client is started with |
//! | `message` | what a subscriber receives |
//! | `state` | a session's logic, without I/O: what is asked, what is in force, what is unsent |
//! | `subscriptions`, `unacked` | its subscribers; its messages not known to be taken |
//! | `out` | bytes on their way to the broker |
//! | `sinks` | who receives which topic |
//! | `session` | who uses a session, and one connection after another |
//! | `connection` | one connection and its pumps |
//! | `connection_events` | what becomes of a connection, for those that watch it |
//! | `runtime` | what all sessions of one executor share |
//! | `introductions` | sessions to the direct publishers that the broker names |
//! | `dials` | turns at connecting to them |
//! | `heard` | which of them it has heard of |
//! | `announcement` | what a direct publisher says of itself to the broker |
//! | `direct_host` | a direct publisher's own shards, and who must be there before it begins |
//! | `counts` | counts of a topic's subscribers that somebody waits for |
//! | `direct_shards` | which executors those run on |
//! | `local` | a client inside an executor, with `local_publisher`, `local_subscriber` and `local_registry` |
//! | `queue` | what waits for a subscriber in its own process |
//! | `holds` | which of those have no room, so that nothing is read |
//! | `shared` | the executor that serves publishers and subscribers of other threads, and what they ask of it |
//! | `served` | its tasks, one for each of them |
//! | `offer` | a message that a publisher offers to such a task, and may withdraw |
//! | `question` | a question to such a task, its time, and the end of either side |
//! | `publisher`, `subscriber` | their handles |
//! | `registry_view`, `registry_feed` | looking at the registry: the handle, and what it has not been told |

mod announcement;
mod config;
mod connection;
mod connection_events;
mod counts;
mod dials;
mod direct_host;
mod direct_shards;
mod heard;
mod holds;
mod introductions;
mod local;
mod local_publisher;
mod local_registry;
mod local_subscriber;
mod message;
mod offer;
mod out;
mod publisher;
mod question;
mod queue;
mod registry_feed;
mod registry_view;
mod runtime;
mod served;
mod session;
mod shared;
mod sinks;
mod state;
mod subscriber;
mod subscriptions;
mod unacked;
mod waiters;

pub use config::{ClientConfig, DirectConfig, Sessions};
pub use connection_events::{ConnectionEvent, ConnectionEvents};
pub use direct_shards::DIRECT_POOL;
pub use local::LocalClient;
pub use local_publisher::LocalPublisher;
pub use local_registry::LocalRegistryView;
pub use local_subscriber::{LocalSubscriber, Subscription};
pub use message::{Event, EventRef, Gap, GapReason, GapRef, Message, MessageRef};
pub use publisher::Publisher;
pub use registry_view::{DownReason, Listed, PublisherChange, RegistryView};
pub use subscriber::Subscriber;
