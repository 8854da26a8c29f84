//! The control thread: one plain thread for everything but message flow, with an async runtime of its own. It runs
//! beside the shards if the host has a CPU to spare, and no shard ever waits for it: if it is held up, no message is
//! late.
//!
//! | file | owns |
//! |---|---|
//! | `http` | the HTTP server: listeners, connections and their bounds |
//! | `pages` | the answers to its requests: metrics and health |

mod http;
mod pages;

use corecast_executors::{CoreId, spawn_beside};

pub use http::HttpServer;
pub use pages::Pages;

use crate::error::{Error, Result};

/// Runs `work` on a control thread, beside the CPUs of the shards if this process may use others. It ends with its
/// work, or with the process.
///
/// # Errors
/// `Io`: no descriptor is left for its runtime, or no room for a thread.
pub fn start<W: Future<Output = ()> + Send + 'static>(shards: &[CoreId], work: W) -> Result<()> {
    let failed = |e| Error::io("cannot start the control thread", e);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    // Nobody joins it: a process that ends does not wait for its readers.
    spawn_beside("control", shards, move || runtime.block_on(work)).map(drop).map_err(failed)
}
