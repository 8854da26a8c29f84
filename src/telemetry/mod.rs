//! The broker's reports about itself: every counter in one list, the page for Prometheus, the logs. The shards count in
//! plain integers; only ticks, the control thread and the commands reach further.

mod counters;
mod exported;
mod labels;
mod log2;
#[cfg(feature = "cli")]
mod logs;
#[cfg(feature = "broker")]
mod metrics_page;
mod once_per_second;
mod pulse;
mod stderr;

pub use counters::{Exported, METRICS, Metric, MetricKind, PROCESS_METRICS, ShardCounters};
pub use labels::{By, CloseReason, DropReason, Label};
pub use log2::Log2Histogram;
#[cfg(feature = "cli")]
pub use logs::{LogFormat, install_logs};
#[cfg(feature = "broker")]
pub use metrics_page::MetricsPage;
pub use once_per_second::OncePerSecond;
pub use pulse::Pulse;
pub use stderr::{StderrData, flush_log, say};
