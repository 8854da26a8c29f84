//! The broker's reports about itself: every counter in one list, the page for Prometheus, the logs. The shards count in
//! plain integers; only ticks, the control thread and the commands reach further.
//!
//! | file | owns |
//! |---|---|
//! | `counters` | every counter, gauge and histogram |
//! | `engine` | figures of the engine, for the whole process |
//! | `labels` | the labels that they may have |
//! | `log2` | a histogram of powers of two |
//! | `exported` | a row of the list, to the recorder |
//! | `metrics_page` | the page that Prometheus reads |
//! | `open_metrics` | the same page in OpenMetrics |
//! | `logs` | how a command logs |
//! | `once_per_second` | the limit on repeated log lines |
//! | `process` | figures that the kernel counts for the process |
//! | `pulse` | the time of a shard's last turn |
//! | `session_tally` | the counts of one session |
//! | `stderr` | the one thread that writes it |

mod counters;
#[cfg(feature = "nats")]
mod engine;
mod exported;
mod labels;
mod log2;
#[cfg(feature = "cli")]
mod logs;
#[cfg(feature = "broker")]
mod metrics_page;
mod once_per_second;
#[cfg(feature = "broker")]
mod open_metrics;
mod process;
mod protection;
mod pulse;
mod session_tally;
mod stderr;

#[cfg(feature = "broker")]
pub use counters::export_certificate;
pub use counters::{
    Exported, METRICS, Metric, MetricKind, PROCESS_METRICS, ShardCounters, count_slow_sessions,
};
#[cfg(feature = "nats")]
pub(crate) use engine::EngineFigures;
pub use labels::{By, CloseReason, DropReason, Label};
pub use log2::Log2Histogram;
#[cfg(feature = "cli")]
pub use logs::{LogFormat, install_logs};
#[cfg(feature = "cli")]
pub(crate) use logs::{check_log_level, set_log_level};
#[cfg(feature = "broker")]
pub use metrics_page::{MetricsFormat, MetricsPage};
pub use once_per_second::OncePerSecond;
pub(crate) use protection::{
    InsecureListeners, count_reload, note_http_handshake_failed, note_http_pushed_out, note_http_refusal,
};
pub use pulse::Pulse;
pub use session_tally::SessionTally;
pub use stderr::{StderrData, flush_log, say};
