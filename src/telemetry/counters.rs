//! Owns the list of every counter, gauge and histogram of the broker. The logic of a shard counts in its own
//! [`ShardCounters`], plain integers without atomics or clock; its ticks pass changes on to [`Exported`].

use std::time::{SystemTime, UNIX_EPOCH};

use corecast_executors::{ShardId, open_files_max};
use metrics::{SharedString, Unit};

use super::exported::{Counter, Gauge, Histogram, Ratio};
use super::labels::{By, CloseReason, DropReason};
use super::log2::Log2Histogram;
use super::process;
use super::protection::{
    http_handshakes_failed, http_pushed_out, http_refusals, insecure_listeners, reloads,
};
use super::stderr::log_lines_dropped;

/// The kind of a metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricKind {
    /// A value that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// A value between 0 and 1 that goes up and down.
    Ratio,
    /// A distribution.
    Histogram,
}

/// One row of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metric {
    /// The name in Prometheus.
    pub name: &'static str,
    /// The kind.
    pub kind: MetricKind,
    /// The unit.
    pub unit: Unit,
    /// The description.
    pub help: &'static str,
}

/// The version of the build, as a label of a gauge that is always 1, which dashboards join with others. It has no
/// shard.
pub(super) const BUILD_INFO: Metric = Metric {
    name: "corecast_build_info",
    kind: MetricKind::Gauge,
    unit: Unit::Count,
    help: "Always 1; its label says the version of the broker.",
};

/// The end of the validity of a broker's certificate. It has no shard.
const CERTIFICATE_EXPIRY: Metric = Metric {
    name: "corecast_tls_certificate_expiry_timestamp_seconds",
    kind: MetricKind::Gauge,
    unit: Unit::Seconds,
    help: "End of the validity of the certificate of tls:// listeners, in Unix time; absent without one.",
};

macro_rules! list {
    ($( #[doc = $help:literal] $kind:ident $field:ident: $value:ty, $name:literal, $unit:ident; )*) => {
        /// The counts of one shard.
        #[derive(Clone, Default, PartialEq, Eq, Debug)]
        pub struct ShardCounters { $( #[doc = $help] pub $field: $value, )* }

        /// The handles of one shard at the process's recorder, and the last exported values.
        pub struct Exported {
            $( $field: $kind, )*
            last: ShardCounters,
        }

        /// Every metric of a shard, in the order of [`ShardCounters`]. Each has the label `shard`.
        pub const METRICS: &[Metric] = &[$(
            Metric { name: $name, kind: MetricKind::$kind, unit: Unit::$unit, help: $help.trim_ascii() },
        )*];

        impl Exported {
            /// Registers this shard's metrics with the installed recorder; without one they go nowhere, at no cost. So
            /// [`MetricsPage::install`](super::MetricsPage::install) comes first.
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

            /// Exports the changes since the last flush: on ticks, never per message.
            pub fn flush(&mut self, now: &ShardCounters) {
                $( self.$field.flush(&now.$field, &self.last.$field); )*
                self.last.clone_from(now);
            }
        }
    };
}

list! {
    /// Sessions open now.
    Gauge sessions: u64, "corecast_sessions", Count;
    /// Sessions for which something has waited for over a second now.
    Gauge sessions_slow: u64, "corecast_sessions_slow", Count;
    /// Subscriptions in force now, over all sessions.
    Gauge subscriptions: u64, "corecast_subscriptions", Count;
    /// Bytes of the filters of open sessions; long ones take two to three times as much memory.
    Gauge filter_bytes: u64, "corecast_filter_bytes", Bytes;
    /// Connections accepted and handed to this shard.
    Counter accepts: u64, "corecast_accepts_total", Count;
    /// Connections open now whose peers have not said hello.
    Gauge strangers: u64, "corecast_strangers", Count;
    /// Connections closed because too many peers had not said hello.
    Counter turned_away: u64, "corecast_turned_away_total", Count;
    /// Peers that could not show who they are.
    Counter logins_failed: u64, "corecast_logins_failed_total", Count;
    /// Connections read late because many logins of their host had failed.
    Counter logins_slowed: u64, "corecast_logins_slowed_total", Count;
    /// Connections closed because too many passwords waited to be checked.
    Counter passwords_turned_away: u64, "corecast_passwords_turned_away_total", Count;
    /// Accepts that failed, mostly for want of file descriptors.
    Counter accept_errors: u64, "corecast_accept_errors_total", Count;
    /// Sessions ended, by reason.
    Counter closes: By<CloseReason>, "corecast_closes_total", Count;
    /// Whole frames received.
    Counter frames_in: u64, "corecast_frames_in_total", Count;
    /// Whole frames handed to the kernel.
    Counter frames_out: u64, "corecast_frames_out_total", Count;
    /// Bytes received.
    Counter bytes_in: u64, "corecast_bytes_in_total", Bytes;
    /// Bytes handed to the kernel.
    Counter bytes_out: u64, "corecast_bytes_out_total", Bytes;
    /// Messages received from publishers.
    Counter messages_in: u64, "corecast_messages_in_total", Count;
    /// Messages handed to the kernel, one for each session.
    Counter deliveries: u64, "corecast_deliveries_total", Count;
    /// Messages not delivered to a subscribed session, by reason.
    Counter drops: By<DropReason>, "corecast_drops_total", Count;
    /// Gap notices sent to sessions.
    Counter gaps_told: u64, "corecast_gaps_told_total", Count;
    /// Messages missed by ZeroMQ subscribers, which cannot get a gap notice.
    Counter gaps_untold: u64, "corecast_gaps_untold_total", Count;
    /// Messages of ZeroMQ publishers that were skipped because they were longer than the limit.
    Counter messages_too_long: u64, "corecast_messages_too_long_total", Count;
    /// Subscriptions and topics to publish that were refused for want of a right, to sessions that went on.
    Counter refusals: u64, "corecast_refusals_total", Count;
    /// Times that a publisher waited because its user was ahead of its rate.
    Counter quota_waits: u64, "corecast_quota_waits_total", Count;
    /// Messages of history that are kept now.
    Gauge history_messages: u64, "corecast_history_messages", Count;
    /// Bytes of memory that they take.
    Gauge history_bytes: u64, "corecast_history_bytes", Bytes;
    /// Messages of history that were given up, too old or for want of room; not those that later ones of their topic have replaced.
    Counter history_given_up: u64, "corecast_history_given_up_total", Count;
    /// Sessions that have started with history.
    Counter history_starts: u64, "corecast_history_starts_total", Count;
    /// Messages of history sent to sessions.
    Counter history_sent: u64, "corecast_history_sent_total", Count;
    /// Bytes waiting in egress queues now.
    Gauge egress_bytes: u64, "corecast_egress_bytes", Bytes;
    /// Frames waiting in egress queues now.
    Gauge egress_frames: u64, "corecast_egress_frames", Count;
    /// Bytes received of long frames that are not whole yet.
    Gauge unfinished_bytes: u64, "corecast_unfinished_bytes", Bytes;
    /// Items waiting on this shard's links to others now.
    Gauge link_depth: u64, "corecast_link_depth", Count;
    /// Messages for a carrier that were given up, since it took none for too long; its far end gets gap notices.
    Counter carrier_given_up: u64, "corecast_carrier_given_up_total", Count;
    /// Times that a full link or a blocking egress queue held a publisher.
    Counter link_held: u64, "corecast_link_held_total", Count;
    /// Duration of a turn of reading and routing; shards count it in microseconds.
    Histogram turn_us: Log2Histogram, "corecast_turn_seconds", Seconds;
    /// Share of the last ten seconds for which the shard ran or waited for its core; shards count it in thousandths.
    Ratio busy: u64, "corecast_busy_ratio", Count;
    /// 1 while something else has this shard's core for most of the time that it could run, else 0.
    Gauge starved: u64, "corecast_starved", Count;
    /// Sessions that came from a shard that did not get its core, or returned to it.
    Counter sessions_moved: u64, "corecast_sessions_moved_total", Count;
    /// Ticks received: about 100 a second for a busy shard, 12 for one that rests.
    Counter ticks: u64, "corecast_ticks_total", Count;
}

/// Log lines dropped because nobody read them.
const LOG_LINES_DROPPED: Metric = Metric {
    name: "corecast_log_lines_dropped_total",
    kind: MetricKind::Counter,
    unit: Unit::Count,
    help: "Log lines dropped because nobody read stderr.",
};

/// Listeners that other hosts reach without users or encryption.
const INSECURE_LISTENERS: Metric = Metric {
    name: "corecast_insecure_listeners",
    kind: MetricKind::Gauge,
    unit: Unit::Count,
    help: "Listeners that other hosts reach without users, or without encryption.",
};

/// Requests to the HTTP server that were refused.
const HTTP_REFUSALS: Metric = Metric {
    name: "corecast_http_refusals_total",
    kind: MetricKind::Counter,
    unit: Unit::Count,
    help: "Requests to the HTTP server that showed no token, or a wrong one.",
};

/// Connections to the HTTP server that gave way.
const HTTP_PUSHED_OUT: Metric = Metric {
    name: "corecast_http_pushed_out_total",
    kind: MetricKind::Counter,
    unit: Unit::Count,
    help: "Connections to the HTTP server that were ended for newer ones, since too many were open.",
};

/// Handshakes at the HTTP server that failed.
const HTTP_HANDSHAKES_FAILED: Metric = Metric {
    name: "corecast_http_handshakes_failed_total",
    kind: MetricKind::Counter,
    unit: Unit::Count,
    help: "TLS handshakes with the HTTP server that failed.",
};

/// Reloads of files.
const RELOADS: Metric = Metric {
    name: "corecast_reloads_total",
    kind: MetricKind::Counter,
    unit: Unit::Count,
    help: "Times that the files of users, certificate and token were read again and are followed.",
};

/// Reloads that changed nothing.
const RELOADS_FAILED: Metric = Metric {
    name: "corecast_reloads_failed_total",
    kind: MetricKind::Counter,
    unit: Unit::Count,
    help: "Times that one of these files could not be read or was at fault, so that nothing changed.",
};

/// Times that a session became slow, by shard and user.
const SLOW_SESSIONS: Metric = Metric {
    name: "corecast_slow_sessions_total",
    kind: MetricKind::Counter,
    unit: Unit::Count,
    help: "Times that something has waited for a session for over a second, by user.",
};

/// Open descriptors, by the name that Prometheus' own clients have for it, as for the next five.
const OPEN_FILES: Metric = Metric {
    name: "process_open_fds",
    kind: MetricKind::Gauge,
    unit: Unit::Count,
    help: "Open file descriptors.",
};

/// The limit of open descriptors.
const OPEN_FILES_MAX: Metric = Metric {
    name: "process_max_fds",
    kind: MetricKind::Gauge,
    unit: Unit::Count,
    help: "Most file descriptors that the process may have open.",
};

/// Memory that is really there.
const RESIDENT_MEMORY: Metric = Metric {
    name: "process_resident_memory_bytes",
    kind: MetricKind::Gauge,
    unit: Unit::Bytes,
    help: "Resident memory.",
};

/// Memory that the process has asked for.
const VIRTUAL_MEMORY: Metric = Metric {
    name: "process_virtual_memory_bytes",
    kind: MetricKind::Gauge,
    unit: Unit::Bytes,
    help: "Virtual memory.",
};

/// The CPU time of the process. The recorder does not have it, since it is no whole number.
pub(super) const PROCESS_CPU: Metric = Metric {
    name: "process_cpu_seconds_total",
    kind: MetricKind::Counter,
    unit: Unit::Seconds,
    help: "CPU time of all threads, in user mode and in the kernel.",
};

/// The start of the process.
const START_TIME: Metric = Metric {
    name: "process_start_time_seconds",
    kind: MetricKind::Gauge,
    unit: Unit::Seconds,
    help: "Start of the process, in Unix time.",
};

macro_rules! engine_metrics {
    ($( #[doc = $help:literal] $kind:ident $constant:ident: $name:literal, $unit:ident; )*) => {
        $(
            #[doc = $help]
            pub(super) const $constant: Metric = Metric {
                name: $name,
                kind: MetricKind::$kind,
                unit: Unit::$unit,
                help: $help.trim_ascii(),
            };
        )*
    };
}

engine_metrics! {
    /// 1 while the engine answers, else 0; absent without an engine, as all of these.
    Gauge ENGINE_CONNECTED: "corecast_engine_connected", Count;
    /// Connections to servers of the engine, each after its first round trip.
    Counter ENGINE_CONNECTS: "corecast_engine_connects_total", Count;
    /// Connections to the engine that were lost.
    Counter ENGINE_LOSSES: "corecast_engine_losses_total", Count;
    /// Time of the first round trip of the last connection to the engine.
    Gauge ENGINE_ROUND_TRIP: "corecast_engine_round_trip_seconds", Seconds;
    /// Other brokers of the cluster that are heard now.
    Gauge ENGINE_PEERS: "corecast_engine_peers", Count;
    /// Bytes held for the engine: messages that wait to leave, and those that wait for shards.
    Gauge ENGINE_BUFFER_BYTES: "corecast_engine_buffer_bytes", Bytes;
    /// Messages given to the connection to the engine.
    Counter ENGINE_SENT: "corecast_engine_sent_total", Count;
    /// Messages taken from other brokers.
    Counter ENGINE_RECEIVED: "corecast_engine_received_total", Count;
    /// Messages of other brokers that did not come: subscribers got gap notices.
    Counter ENGINE_MISSING: "corecast_engine_missing_total", Count;
    /// Gaps of unknown size, perhaps of none, that subscribers got.
    Counter ENGINE_UNKNOWN_GAPS: "corecast_engine_unknown_gaps_total", Count;
    /// Messages that were dropped, since they came twice, after they were told as missing, or before their subscription was in force.
    Counter ENGINE_BEHIND: "corecast_engine_behind_total", Count;
    /// Messages dropped on their way in, since shards took nothing; they are among those missing.
    Counter ENGINE_OVERRUN: "corecast_engine_overrun_total", Count;
    /// Messages dropped on their way out, since the buffer was full; other hosts get gap notices.
    Counter ENGINE_GIVEN_UP: "corecast_engine_given_up_total", Count;
    /// Messages longer than the server of the engine takes; other hosts get gap notices.
    Counter ENGINE_TOO_LARGE: "corecast_engine_too_large_total", Count;
    /// Payloads that no broker of this version has made, which were dropped.
    Counter ENGINE_JUNK: "corecast_engine_junk_total", Count;
    /// Words between brokers that found no room; they are repeated.
    Counter ENGINE_WORDS_DROPPED: "corecast_engine_words_dropped_total", Count;
    /// Times that the client of the engine had no room for what had arrived; it is told as missing.
    Counter ENGINE_OVERFLOWS: "corecast_engine_overflows_total", Count;
    /// Messages of publishers of this broker that the engine has confirmed to have stored.
    Counter ENGINE_STORED: "corecast_engine_stored_total", Count;
    /// Messages of publishers of this broker that were to be stored and will not be: for want of room, or too long.
    Counter ENGINE_UNSTORED: "corecast_engine_unstored_total", Count;
    /// Messages that the engine has refused to store, each time; they are tried again.
    Counter ENGINE_STORE_REFUSED: "corecast_engine_store_refused_total", Count;
    /// Messages that were loaded from the engine as this broker started.
    Counter ENGINE_LOADED: "corecast_engine_loaded_total", Count;
    /// 1 when all history that was stored is here, 0 before that, and for good if it could not be loaded.
    Gauge ENGINE_HAS_HISTORY: "corecast_engine_has_history", Count;
}

/// Metrics of the whole process, and those with labels that are not known beforehand.
pub const PROCESS_METRICS: &[Metric] = &[
    SLOW_SESSIONS,
    ENGINE_CONNECTED,
    ENGINE_CONNECTS,
    ENGINE_LOSSES,
    ENGINE_ROUND_TRIP,
    ENGINE_PEERS,
    ENGINE_BUFFER_BYTES,
    ENGINE_SENT,
    ENGINE_RECEIVED,
    ENGINE_MISSING,
    ENGINE_UNKNOWN_GAPS,
    ENGINE_BEHIND,
    ENGINE_OVERRUN,
    ENGINE_GIVEN_UP,
    ENGINE_TOO_LARGE,
    ENGINE_JUNK,
    ENGINE_WORDS_DROPPED,
    ENGINE_OVERFLOWS,
    ENGINE_STORED,
    ENGINE_UNSTORED,
    ENGINE_STORE_REFUSED,
    ENGINE_LOADED,
    ENGINE_HAS_HISTORY,
    LOG_LINES_DROPPED,
    OPEN_FILES,
    OPEN_FILES_MAX,
    RESIDENT_MEMORY,
    VIRTUAL_MEMORY,
    PROCESS_CPU,
    START_TIME,
    BUILD_INFO,
    CERTIFICATE_EXPIRY,
    INSECURE_LISTENERS,
    RELOADS,
    RELOADS_FAILED,
    HTTP_REFUSALS,
    HTTP_PUSHED_OUT,
    HTTP_HANDSHAKES_FAILED,
];

/// Exports the figures of the process to the installed recorder, just before somebody reads them.
pub(super) fn flush_process() {
    metrics::counter!(LOG_LINES_DROPPED.name).absolute(log_lines_dropped());
    metrics::gauge!(INSECURE_LISTENERS.name).set(insecure_listeners() as f64);
    let (done, failed) = reloads();
    metrics::counter!(RELOADS.name).absolute(done);
    metrics::counter!(RELOADS_FAILED.name).absolute(failed);
    metrics::counter!(HTTP_REFUSALS.name).absolute(http_refusals());
    metrics::counter!(HTTP_PUSHED_OUT.name).absolute(http_pushed_out());
    metrics::counter!(HTTP_HANDSHAKES_FAILED.name).absolute(http_handshakes_failed());
    metrics::gauge!(BUILD_INFO.name, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    flush_process_figures();
}

/// Exports what the kernel counts for the process. A figure that it does not give stays as it was.
fn flush_process_figures() {
    metrics::gauge!(OPEN_FILES_MAX.name).set(open_files_max() as f64);
    for (metric, value) in [
        (OPEN_FILES, process::open_files().map(|files| files as f64)),
        (RESIDENT_MEMORY, process::resident_bytes().map(|bytes| bytes as f64)),
        (VIRTUAL_MEMORY, process::virtual_bytes().map(|bytes| bytes as f64)),
        (START_TIME, process::started_at_unix_s()),
    ] {
        if let Some(value) = value {
            metrics::gauge!(metric.name).set(value);
        }
    }
}

/// Counts sessions of a user that have become slow. A shard bounds the number of users.
pub fn count_slow_sessions(shard: ShardId, user: &str, sessions: u64) {
    let labels = [("shard", shard.to_string()), ("user", user.to_owned())];
    metrics::counter!(SLOW_SESSIONS.name, &labels).increment(sessions);
}

/// Exports the end of the validity of a certificate to the installed recorder.
pub fn export_certificate(expires_at: SystemTime) {
    let unix_s = expires_at.duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
    metrics::gauge!(CERTIFICATE_EXPIRY.name).set(unix_s);
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
            assert!(metric.name.starts_with("corecast_") || metric.name.starts_with("process_"));
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
        // In OpenMetrics a counter's family lacks the ending, and has no name of another.
        let mut families: Vec<_> =
            names.iter().map(|name| name.trim_end_matches("_total").trim_end_matches("_info")).collect();
        families.sort_unstable();
        assert!(families.is_sorted_by(|a, b| a < b), "{families:?}");
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
            counters.busy = 250;
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
            "corecast_busy_ratio{shard=\"3\"} 0.25",
            "corecast_turn_seconds_sum{shard=\"3\"} 0.000005",
            "corecast_turn_seconds_count{shard=\"3\"} 1",
        ] {
            assert!(page.lines().any(|there| there == line), "{line} is missing in\n{page}");
        }
    }
}
