//! Measurements of a run: payloads that prove what arrived, the oracle that accounts for every delivery, latency,
//! the broker's cost, and the machine it all happened on. Nothing here names a socket or a thread.

pub mod environment;
pub mod interest;
pub mod latency;
pub mod messages;
pub mod oracle;
pub mod payload;
pub mod process;
pub mod samples;
pub mod spread;
pub mod stream;
pub mod tally;
pub mod workload;
