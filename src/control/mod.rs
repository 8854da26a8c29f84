//! The control thread: one plain thread of each broker for everything but message flow, with an async runtime of its own. It
//! runs beside the shards if the host has a CPU to spare, and no shard ever waits for it: if it is held up, no message is
//! late.
//!
//! | file | owns |
//! |---|---|
//! | `thread` | the thread, its tasks and its end |
//! | `http` | the HTTP server: listeners, and the life of a connection |
//! | `conversations` | the open connections, and which of them gives way |
//! | `access` | the token that readers show, and who may do without |
//! | `engine_view` | the state of an engine, for those who ask |
//! | `exposition` | the format of metrics that a reader accepts |
//! | `pages` | the answers to its requests: metrics, health, reload |
//! | `api`, `query`, `json_rows`, `api_answer` | those under `/api/v1`: what is asked, the rows that answer it, and their form |
//! | `history_page` | of those, history: its topics, and the order to give it up |
//! | `send_off` | the clients of a broker that is about to end, on their way to others |
//! | `page_body` | bodies of answers, and streams of events |
//! | `live_page` | the page that shows them |
//! | `census` | the count of all shards, sessions and topics, and their rates |
//! | `look`, `figures` | questions to shards, and the plain rows in which they answer |

mod access;
mod api;
mod api_answer;
mod census;
mod conversations;
#[cfg(feature = "nats")]
mod engine_view;
mod exposition;
mod figures;
mod history_page;
mod http;
mod json_rows;
mod live_page;
mod look;
mod page_body;
mod pages;
mod query;
mod send_off;
mod thread;

pub use access::HttpToken;
pub use census::Operations;
#[cfg(feature = "nats")]
pub(crate) use engine_view::{
    EnginePeer, EngineQuestion, EngineQuestions, EngineServer, EngineView, StoredClear,
};
pub(crate) use figures::{
    HistoryFigures, KeptFigures, PublisherFigures, RegistryPage, SessionDetails, SessionFigures, ShardCensus,
    ShardFigures,
};
#[cfg(feature = "cli")]
pub(crate) use http::check_http_exposure;
pub use http::{HttpRenewal, HttpServer};
pub(crate) use look::{HistoryQuestion, Look, SendOffShare, Whom};
pub use pages::{Pages, ReloadRequest};
pub use send_off::{DrainRequest, SendOff};
pub use thread::ControlThread;
