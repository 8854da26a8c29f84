//! A client inside an executor: no channel lies between a frame and its sink.
//!
//! | file | owns |
//! |---|---|
//! | `client` | a client of one broker in one executor |
//! | `used` | a use of its session |
//! | `publisher`, `subscriber`, `registry` | publishers, subscribers and views of the registry |
//! | `queue` | what waits for a subscriber, and what gives way when that is full |

mod client;
mod publisher;
mod queue;
mod registry;
mod subscriber;
mod used;

pub use client::LocalClient;
pub use publisher::LocalPublisher;
pub(super) use publisher::{check_length, fresh_id};
pub use registry::LocalRegistryView;
pub use subscriber::{LocalSubscriber, Subscription};
