//! History: the messages that a shard keeps by rules, and sessions that start with them. Each shard keeps what its own
//! publishers say, so that nothing is kept twice; the first keeps what carriers bring, too.
//!
//! | file | owns |
//! |---|---|
//! | `rule` | the rules of what is kept, as people write them |
//! | `log` | what a shard keeps: bounded, by topic |
//! | `shelf` | of that, the topics of one rule |
//! | `kept_queue` | of these, the messages of one topic |
//! | `kept_stretch` | of these, those that came together, and their bytes |
//! | `records` | the order in which these give way |
//! | `forgotten` | of topics of which nothing is kept any more, the end |
//! | `replay` | the history of one session that starts, merged from all shards |
//! | `resume` | of that, what a client has had that comes back, and what it is told to have missed |
//! | `notices` | of that, the gaps that are kept among messages |
//! | `gathered` | history in the chunks in which it leaves |
//! | `kept` | the logs of a shard |
//! | `starts` | sessions on their way into force by way of history |

mod forgotten;
mod gathered;
mod kept;
mod kept_queue;
mod kept_stretch;
mod log;
mod notices;
mod records;
mod replay;
mod resume;
mod rule;
mod shelf;
mod starts;

pub(super) use log::Log;
pub use rule::{Keep, KeepList, KeepRule, Retention};
pub(super) use starts::Starts;
