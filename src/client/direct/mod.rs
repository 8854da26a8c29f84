//! Direct publishers, from their own side: shards like a broker's, with its messages put in by hand.
//!
//! | file | owns |
//! |---|---|
//! | `host` | a direct publisher's own shards, and who must be there before it begins |
//! | `doors` | where it listens, and with which certificate |
//! | `executors` | which executors those run on |
//! | `counts` | counts of a topic's subscribers that somebody waits for |

mod counts;
mod doors;
mod executors;
mod host;

pub(super) use doors::Doors;
pub use executors::DIRECT_POOL;
pub(super) use executors::{cores_of, executor_gone, place, start_executors};
pub(super) use host::DirectHost;
