//! Owns the record `corecast-bench/1`: what `--json` writes, `--assert` asks about, and the tables show. The names of
//! its fields are a promise to whoever reads the files: fields may be added, never renamed or given another meaning.

use super::peers::{BestRecord, PeerRecord, SkippedRecord};
use crate::measure::environment::Environment;
use crate::measure::latency::Summary;
use crate::measure::workload::SharedTopics;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The schema that this version writes.
pub const SCHEMA: &str = "corecast-bench/1";

/// One call of the command: where, and what each run gave.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// The schema: always [`SCHEMA`].
    pub schema: String,
    /// The machine, the build, the call.
    pub environment: Environment,
    /// The runs in the order in which they were made.
    pub runs: Vec<RunRecord>,
    /// In a comparison: each peer over all its rounds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<PeerRecord>,
    /// In a comparison: ours over the best of the systems that others would use, figure by figure.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ratio_to_best: BTreeMap<String, BestRecord>,
    /// In a comparison: ours over the best of each family of these systems, by the family's name, figure by figure.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ratio_to_best_of: BTreeMap<String, BTreeMap<String, BestRecord>>,
    /// In a comparison: peers that were not measured, and the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedRecord>,
}

impl Record {
    /// A record of these runs, made here.
    pub fn new(environment: Environment, runs: Vec<RunRecord>) -> Self {
        Record { schema: SCHEMA.to_owned(), environment, runs, ..Record::default() }
    }
}

/// One run.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct RunRecord {
    /// `proxy` or `direct`.
    pub mode: String,
    /// `tcp` or `uds`.
    pub transport: String,
    /// `per-subscriber` or `per-executor`.
    pub sessions: String,
    /// Number of subscribers, slow ones included.
    pub subscribers: u64,
    /// Number of publishers.
    pub publishers: u64,
    /// Payload, in bytes.
    pub size_bytes: u64,
    /// Number of topics that the publishers share; absent if each has one of its own, which everybody wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<u64>,
    /// Number of filters of each subscriber, where publishers share topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics_per_subscriber: Option<u64>,
    /// The distribution of messages over these topics: `uniform` or `zipf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_spread: Option<String>,
    /// The kind of the filters: `exact`, or `wildcard:N`, each of which matches so many topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_filters: Option<String>,
    /// Messages a second of each publisher, as asked; `null` for a flood.
    pub rate_hz: Option<f64>,
    /// Time from the start to the last arrival, in seconds.
    pub duration_s: f64,
    /// Messages sent by all publishers together.
    pub messages_sent: u64,
    /// Messages sent, each times the subscribers that want its topic and are not slow on purpose.
    pub deliveries_expected: u64,
    /// Messages that arrived intact, each counted once at each subscriber.
    pub deliveries: u64,
    /// Messages that subscribers were told they missed.
    pub gaps_reported: u64,
    /// Messages that neither arrived nor were reported as missed.
    pub lost: u64,
    /// Messages that arrived again.
    pub duplicated: u64,
    /// Messages that arrived after a later one.
    pub reordered: u64,
    /// Messages that arrived damaged.
    pub corrupted: u64,
    /// Messages that arrived at a subscriber that does not want their topic; absent where everybody wants all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub misdelivered: Option<u64>,
    /// Time from the intended send to every subscriber; `null` if nothing arrived.
    pub latency_us: Option<Summary>,
    /// Time from the intended send of a message to its first subscriber.
    pub first_subscriber_us: Option<Summary>,
    /// Time from the intended send of a message to its last subscriber.
    pub last_subscriber_us: Option<Summary>,
    /// Deliveries over the duration.
    pub deliveries_per_s: f64,
    /// Cost of the broker. In direct mode that only introduces: `publisher_executors` fan out.
    pub broker: BrokerRecord,
    /// Cost of the publishers' executors, which fan out in direct mode.
    #[serde(default)]
    pub publisher_executors: ExecutorsRecord,
    /// The system that fanned out: `corecast` if absent, else the name of a peer, such as `libzmq` or `floor-tcp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The version that this system states, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_version: Option<String>,
    /// Number of the round, from 1; absent where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<u32>,
    /// The kind of the subscribers: `native` (the client library; if absent too), `raw` (bare sockets, the same for
    /// every peer), or a peer's own clients: `pyzmq`, `zenoh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients: Option<String>,
    /// Reactor that these clients wait with: `io_uring`, `epoll`; absent if they are not of our own library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reactor: Option<String>,
    /// User and system time of whoever fans out (broker, or direct publishers) over deliveries, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ns_per_delivery: Option<f64>,
    /// Resident memory of whoever fans out: with every subscriber there and idle, less that before the first one
    /// came, over subscribers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rss_per_subscriber_bytes: Option<f64>,
    /// Number of subscribers that were slow on purpose. Their deliveries are in none of the figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_subscribers: Option<u64>,
    /// Idle policy of the shards that fan out: `park`, `spin:100`, `busy`; absent if it was left to the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<String>,
    /// Policy for a subscriber whose queue is full: `drop-oldest`, `block`, …; absent if it was left to the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow: Option<String>,
    /// In a comparison: sessions that our broker has moved from shard to shard since it started; in the last run of its round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions_moved: Option<u64>,
    /// The work of each shard that fanned out, in the order of the shards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardRecord>,
    /// The error of one-way latencies because sender and receiver read different clocks, in microseconds; absent
    /// where they read the same one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_error_us: Option<f64>,
    /// The hosts that subscribers ran on; none if it was this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostRecord>,
    /// Figures that one experiment has and others have not, by name with unit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, f64>,
    /// Present if the run was not finished: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
    /// Present if there is something to know about the figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl RunRecord {
    /// The topics that its publishers shared.
    pub fn shared_topics(&self) -> Option<SharedTopics> {
        Some(SharedTopics {
            topics: usize::try_from(self.topics?).ok()?,
            per_subscriber: usize::try_from(self.topics_per_subscriber?).ok()?,
            filters: self.topic_filters.as_ref()?.parse().ok()?,
            spread: self.topic_spread.as_ref()?.parse().ok()?,
        })
    }
}

/// One shard of whoever fans out.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ShardRecord {
    /// Sessions of subscribers that it owned when all were there.
    pub sessions: u64,
    /// Messages that it put into sessions' queues or sockets during the run.
    pub deliveries: u64,
}

/// One host that subscribers ran on.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct HostRecord {
    /// Its name in the file of hosts.
    pub name: String,
    /// Number of its subscribers.
    pub subscribers: u64,
    /// Its clock less this host's, in microseconds; 0 if it is the same clock.
    pub clock_offset_us: f64,
    /// The error of that; absent if it is the same clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_error_us: Option<f64>,
    /// The machine.
    pub environment: Environment,
}

/// Cost of a run for the broker's process; absent if it is not known which process that is.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct BrokerRecord {
    /// User and system time during the run over deliveries, in nanoseconds.
    pub cpu_ns_per_delivery: Option<f64>,
    /// Resident memory at the end of the run, with every subscriber still there.
    pub rss_bytes: Option<u64>,
}

/// Cost of a run for some executors of the measuring process; absent if nothing was delivered.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ExecutorsRecord {
    /// User and system time of their threads during the run over deliveries, in nanoseconds.
    pub cpu_ns_per_delivery: Option<f64>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::Value;

    /// A run in which everything was measured.
    pub(crate) fn sample_run() -> RunRecord {
        let summary = Summary { min: 1.0, median: 5.5, max: 1234.567, ..Summary::default() };
        RunRecord {
            mode: "proxy".into(),
            transport: "tcp".into(),
            sessions: "per-subscriber".into(),
            subscribers: 512,
            publishers: 1,
            size_bytes: 64,
            rate_hz: Some(20.0),
            duration_s: 5.003,
            messages_sent: 100,
            deliveries_expected: 51_200,
            deliveries: 51_200,
            latency_us: Some(summary),
            first_subscriber_us: Some(summary),
            last_subscriber_us: Some(summary),
            deliveries_per_s: 10_240.5,
            broker: BrokerRecord { cpu_ns_per_delivery: Some(4_000.25), rss_bytes: Some(20_000_000) },
            publisher_executors: ExecutorsRecord { cpu_ns_per_delivery: Some(250.0) },
            ..RunRecord::default()
        }
    }

    fn keys(value: &Value) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn the_names_are_the_promised_ones() {
        let record = Record::new(Environment::default(), vec![sample_run()]);
        let value = serde_json::to_value(&record).unwrap();
        assert_eq!(keys(&value), ["environment", "runs", "schema"]);
        assert_eq!(value["schema"], "corecast-bench/1");
        let run = &value["runs"][0];
        let mut wanted = [
            "mode",
            "transport",
            "sessions",
            "subscribers",
            "publishers",
            "size_bytes",
            "rate_hz",
            "duration_s",
            "messages_sent",
            "deliveries_expected",
            "deliveries",
            "gaps_reported",
            "lost",
            "duplicated",
            "reordered",
            "corrupted",
            "latency_us",
            "first_subscriber_us",
            "last_subscriber_us",
            "deliveries_per_s",
            "broker",
            "publisher_executors",
        ];
        wanted.sort_unstable();
        assert_eq!(keys(run), wanted);
        assert_eq!(keys(&run["broker"]), ["cpu_ns_per_delivery", "rss_bytes"]);
        assert_eq!(keys(&run["publisher_executors"]), ["cpu_ns_per_delivery"]);
        for distribution in ["latency_us", "first_subscriber_us", "last_subscriber_us"] {
            let wanted = ["max", "mean", "median", "min", "p99", "p99_9", "q1", "q3", "stddev"];
            assert_eq!(keys(&run[distribution]), wanted);
        }
    }

    #[test]
    fn a_record_is_read_back() {
        let mut interrupted = sample_run();
        interrupted.incomplete = Some("interrupted".into());
        interrupted.latency_us = None;
        let record = Record::new(Environment::default(), vec![sample_run(), interrupted]);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}
