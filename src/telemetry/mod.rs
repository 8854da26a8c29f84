//! What the broker tells about itself: every counter in one list, the page for Prometheus, the logs. The shards
//! count in plain integers; only ticks, the exporter's thread and the commands reach further.

mod counters;
mod exported;
mod exporter;
mod labels;
mod log2;
mod logs;
mod once_per_second;
mod stderr;

pub use counters::{Exported, METRICS, Metric, MetricKind, PROCESS_METRICS, ShardCounters};
pub use exporter::serve;
pub use labels::{By, CloseReason, DropReason, Label};
pub use log2::Log2Histogram;
pub use logs::{LogFormat, install_logs};
pub use once_per_second::OncePerSecond;
pub use stderr::{StderrLines, flush_log, say};
