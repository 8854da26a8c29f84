//! The control thread: one plain thread of each broker for everything but message flow, with an async runtime of its own. It
//! runs beside the shards if the host has a CPU to spare, and no shard ever waits for it: if it is held up, no message is
//! late.
//!
//! | file | owns |
//! |---|---|
//! | `thread` | the thread, its tasks and its end |
//! | `http` | the HTTP server: listeners, connections and their bounds |
//! | `access` | the token that readers show, and who may do without |
//! | `engine_view` | the state of an engine, for those who ask |
//! | `pages` | the answers to its requests: metrics, health, reload |

mod access;
#[cfg(feature = "nats")]
mod engine_view;
mod http;
mod pages;
mod thread;

pub use access::HttpToken;
#[cfg(feature = "nats")]
pub(crate) use engine_view::{EnginePeer, EngineQuestion, EngineQuestions, EngineServer, EngineView};
pub use http::{HttpRenewal, HttpServer};
pub use pages::{Pages, ReloadRequest};
pub use thread::ControlThread;
