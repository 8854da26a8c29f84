//! Owns the list of every counter, gauge and histogram of the broker. The logic of a shard counts in its own
//! [`ShardCounters`], plain integers without atomics or clock; its ticks hand what has changed to [`Exported`].

use corecast_executors::ShardId;
use metrics::{SharedString, Unit};

use super::exported::{Counter, Gauge, Histogram};
use super::labels::{By, CloseReason, DropReason};
use super::log2::Log2Histogram;
use super::stderr::log_lines_dropped;

/// How a metric moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It is a distribution.
    Histogram,
}

/// One row of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metric {
    /// Its name at Prometheus.
    pub name: &'static str,
    /// How it moves.
    pub kind: MetricKind,
    /// What it counts in.
    pub unit: Unit,
    /// What it counts.
    pub help: &'static str,
}

/// Which build this is, as a label of a gauge that is always 1: what dashboards join others with. It has no shard.
const BUILD_INFO: Metric = Metric {
    name: "corecast_build_info",
    kind: MetricKind::Gauge,
    unit: Unit::Count,
    help: "Always 1; its label says the version of the broker.",
};

macro_rules! list {
    ($( #[doc = $help:literal] $kind:ident $field:ident: $value:ty, $name:literal, $unit:ident; )*) => {
        /// What one shard counts.
        #[derive(Clone, Default, PartialEq, Eq, Debug)]
        pub struct ShardCounters { $( #[doc = $help] pub $field: $value, )* }

        /// The handles of one shard at the recorder that the process has, and what they were told last.
        pub struct Exported {
            $( $field: $kind, )*
            last: ShardCounters,
        }

        /// Every metric of a shard, in the order of [`ShardCounters`]. Each has the label `shard`.
        pub const METRICS: &[Metric] = &[$(
            Metric { name: $name, kind: MetricKind::$kind, unit: Unit::$unit, help: $help.trim_ascii() },
        )*];

        impl Exported {
            /// Registers this shard's metrics with the recorder that is installed; without one they go nowhere,
            /// at no cost. So [`MetricsPage::install`](super::MetricsPage::install) comes first.
            pub fn new(shard: ShardId) -> Self {
                let shard = SharedString::from(shard.to_string());
                let last = ShardCounters::default();
                let mut metrics = METRICS.iter();
                $( let $field = {
                    let metric = metrics.next().expect("the list and the fields come from one macro");
                    $kind::register(metric, &shard, &last.$field)
                }; )*
                Exported { $( $field, )* last }
            }

            /// Hands on what has changed since the last flush: on ticks, never for a message.
            pub fn flush(&mut self, now: &ShardCounters) {
                $( self.$field.flush(&now.$field, &self.last.$field); )*
                self.last.clone_from(now);
            }
        }
    };
}

list! {
    /// Sessions that are open now.
    Gauge sessions: u64, "corecast_sessions", Count;
    /// Subscriptions in force now, over all sessions.
    Gauge subscriptions: u64, "corecast_subscriptions", Count;
    /// Bytes of the filters that sessions have now; what is kept of long ones is two to three times as much.
    Gauge filter_bytes: u64, "corecast_filter_bytes", Bytes;
    /// Connections accepted and handed to this shard.
    Counter accepts: u64, "corecast_accepts_total", Count;
    /// Accepts that failed, mostly for want of file descriptors.
    Counter accept_errors: u64, "corecast_accept_errors_total", Count;
    /// Sessions ended, by why.
    Counter closes: By<CloseReason>, "corecast_closes_total", Count;
    /// Whole frames received.
    Counter frames_in: u64, "corecast_frames_in_total", Count;
    /// Frames handed to the kernel, whole.
    Counter frames_out: u64, "corecast_frames_out_total", Count;
    /// Bytes received.
    Counter bytes_in: u64, "corecast_bytes_in_total", Bytes;
    /// Bytes handed to the kernel.
    Counter bytes_out: u64, "corecast_bytes_out_total", Bytes;
    /// Messages received from publishers.
    Counter messages_in: u64, "corecast_messages_in_total", Count;
    /// Messages that the kernel took, one for each session.
    Counter deliveries: u64, "corecast_deliveries_total", Count;
    /// Messages not delivered to a session that asked for them, by why.
    Counter drops: By<DropReason>, "corecast_drops_total", Count;
    /// Gap notices given to sessions.
    Counter gaps_told: u64, "corecast_gaps_told_total", Count;
    /// Messages that ZeroMQ subscribers missed, and cannot be told of.
    Counter gaps_untold: u64, "corecast_gaps_untold_total", Count;
    /// Messages of ZeroMQ publishers that were passed over, since they were longer than is taken.
    Counter messages_too_long: u64, "corecast_messages_too_long_total", Count;
    /// Bytes waiting in egress queues now.
    Gauge egress_bytes: u64, "corecast_egress_bytes", Bytes;
    /// Frames waiting in egress queues now.
    Gauge egress_frames: u64, "corecast_egress_frames", Count;
    /// Bytes of long frames that have begun and are not whole now.
    Gauge unfinished_bytes: u64, "corecast_unfinished_bytes", Bytes;
    /// Items waiting on this shard's links to others now.
    Gauge link_depth: u64, "corecast_link_depth", Count;
    /// Times that a publisher was held because a link or a blocking egress queue was full.
    Counter link_held: u64, "corecast_link_held_total", Count;
    /// Time that a turn of reading and routing took; shards count it in microseconds.
    Histogram turn_us: Log2Histogram, "corecast_turn_seconds", Seconds;
    /// Ticks received: about 100 a second from a shard that is well and busy, 12 from one that rests.
    Counter ticks: u64, "corecast_ticks_total", Count;
}

/// Log lines that nobody could be given.
const LOG_LINES_DROPPED: Metric = Metric {
    name: "corecast_log_lines_dropped_total",
    kind: MetricKind::Counter,
    unit: Unit::Count,
    help: "Log lines dropped because nobody read stderr.",
};

/// Every metric that there is once in a process, not for each shard.
pub const PROCESS_METRICS: &[Metric] = &[LOG_LINES_DROPPED, BUILD_INFO];

/// Hands the figures of the process on to the recorder that is installed: whenever somebody is about to read them.
pub(super) fn flush_process() {
    metrics::counter!(LOG_LINES_DROPPED.name).absolute(log_lines_dropped());
    metrics::gauge!(BUILD_INFO.name, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

impl std::fmt::Debug for Exported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exported").field("last", &self.last).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn names_are_of_one_form() {
        let all = || METRICS.iter().chain(PROCESS_METRICS);
        let mut names: Vec<_> = all().map(|metric| metric.name).collect();
        for metric in all() {
            assert!(metric.name.starts_with("corecast_"));
            assert_eq!(
                metric.name.ends_with("_total"),
                metric.kind == MetricKind::Counter,
                "{}",
                metric.name
            );
            assert!(metric.help.ends_with('.') && !metric.help.starts_with(' '));
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().count());
    }

    #[test]
    fn differences_reach_the_recorder() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let page = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let mut counters = ShardCounters::default();
            let mut exported = Exported::new(ShardId(3));
            counters.sessions = 7;
            counters.frames_in = 10;
            counters.drops[DropReason::Latest] = 4;
            counters.closes[CloseReason::Code(ErrorCode::TooLarge)] = 2;
            counters.turn_us.record(5);
            exported.flush(&counters);
            counters.sessions = 6;
            counters.frames_in = 15;
            exported.flush(&counters);
            exported.flush(&counters);
        });
        let page = page.render();
        for line in [
            "corecast_sessions{shard=\"3\"} 6",
            "corecast_frames_in_total{shard=\"3\"} 15",
            "corecast_drops_total{shard=\"3\",reason=\"latest\"} 4",
            "corecast_drops_total{shard=\"3\",reason=\"drop_oldest\"} 0",
            "corecast_closes_total{shard=\"3\",reason=\"too_large\"} 2",
            "corecast_turn_seconds_sum{shard=\"3\"} 0.000005",
            "corecast_turn_seconds_count{shard=\"3\"} 1",
        ] {
            assert!(page.lines().any(|there| there == line), "{line} is missing in\n{page}");
        }
    }
}
