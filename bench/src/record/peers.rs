//! Owns what a comparison with peers adds to the record `corecast-bench/1`: an entry for each peer, over all rounds.
//! As with runs: fields may be added, never renamed or given another meaning.

use crate::measure::latency::Summary;
use crate::order::median;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// One peer, over all its rounds.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct PeerRecord {
    /// Its name, such as `libzmq` or `floor-tcp`.
    pub peer: String,
    /// Its version, if it says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `tcp`, `tls` or `uds`.
    pub transport: String,
    /// `per-subscriber` or `per-executor`.
    pub sessions: String,
    /// `raw`: the same bare sockets for every peer; else whose clients they were: `native`, `pyzmq`, `zenoh`.
    pub clients: String,
    /// Reactor that these clients wait with, if they are of our own library: `io_uring`, `epoll`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reactor: Option<String>,
    /// Rounds that were measured whole.
    pub rounds: u32,
    /// In the flood: median of the rounds.
    pub deliveries_per_s: Option<f64>,
    /// At the rate: to every subscriber, all rounds together.
    pub latency_us: Option<Summary>,
    /// At the rate: of each message, to its first subscriber.
    pub first_subscriber_us: Option<Summary>,
    /// At the rate: of each message, to its last subscriber.
    pub last_subscriber_us: Option<Summary>,
    /// At the rate: user and system time of its process over deliveries, median of the rounds.
    pub cpu_ns_per_delivery: Option<f64>,
    /// The same in the flood.
    pub cpu_ns_per_delivery_flood: Option<f64>,
    /// Memory of its process for each idle subscriber, median of the rounds.
    pub rss_per_subscriber_bytes: Option<f64>,
    /// All its runs together: deliveries that there should have been.
    pub deliveries_expected: u64,
    /// Deliveries that there were.
    pub deliveries: u64,
    /// Messages that subscribers were told they missed.
    pub gaps_reported: u64,
    /// Messages that neither arrived nor were reported as missed.
    pub lost: u64,
    /// Messages that came again, after a later one, damaged, or on a topic that was not wanted.
    pub wrong: u64,
    /// Sessions that our broker has moved from shard to shard, all rounds together; absent for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions_moved: Option<u64>,
    /// Ours over this peer's, by the name of the figure; absent for ours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ratio: BTreeMap<String, RatioRecord>,
}

/// Ours over another's, round by round.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct RatioRecord {
    /// The median of the rounds' ratios.
    pub median: f64,
    /// The least of them.
    pub min: f64,
    /// The greatest of them.
    pub max: f64,
}

impl RatioRecord {
    /// The record of these ratios; nothing if there is none.
    pub fn over(mut values: Vec<f64>) -> Option<Self> {
        values.retain(|value| value.is_finite());
        let rounded = |value: f64| (value * 1e5).round() / 1e5;
        let (min, max) = (values.iter().copied().reduce(f64::min)?, values.iter().copied().reduce(f64::max)?);
        let median = rounded(median(values)?);
        Some(RatioRecord { median, min: rounded(min), max: rounded(max) })
    }
}

/// Ours over the best of several.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct BestRecord {
    /// The ratios, round by round.
    #[serde(flatten)]
    pub ratio: RatioRecord,
    /// The peers that were the best of a round, the one that was it most often first.
    #[serde(default)]
    pub over: Vec<String>,
}

impl fmt::Display for RatioRecord {
    /// `1.43 (1.4–1.51)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}–{})", self.median, self.min, self.max)
    }
}

/// A peer that was not measured, or not in every round.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SkippedRecord {
    /// Its name.
    pub peer: String,
    /// Number of the round, from 1; absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<u32>,
    /// The reason, and the remedy.
    pub why: String,
}
