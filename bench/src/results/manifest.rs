//! Owns what stands in `results.json`, schema `corecast-bench-results/1`: fields may be added, never renamed or given
//! another meaning.

use crate::measure::environment::Environment;
use crate::record::{RatioRecord, RunRecord, SkippedRecord};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The schema that this version writes and reads.
pub const SCHEMA: &str = "corecast-bench-results/1";

/// All that an experiment, or a comparison with peers, gave.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// The schema: always [`SCHEMA`].
    pub schema: String,
    /// The kind of call that made it.
    pub kind: Kind,
    /// The experiment's name, such as `canonical`; `peers` for a comparison with peers.
    pub name: String,
    /// The question that it answers, in a sentence.
    pub question: String,
    /// Set for the quick version.
    pub quick: bool,
    /// Time of the beginning, RFC 3339 in UTC.
    pub started_at: String,
    /// The machine, the build, the call.
    pub environment: Environment,
    /// Number of runs that were planned, at the most; as many as were made, once all is done.
    pub runs_planned: u64,
    /// Present if it was not finished: why. `running` while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
    /// In a comparison with peers: those that were not measured, or not in every round.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedRecord>,
    /// Figures of an experiment as a whole: over its rounds, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, RatioRecord>,
    /// The runs in the order in which they were made.
    pub runs: Vec<Entry>,
}

/// The kind of call that made results.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `corecast-bench experiment`.
    #[default]
    Experiment,
    /// `corecast-bench peers`.
    Peers,
}

/// One run, and where its raw measurements are.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The name of its folder under `runs/`, unique here, such as `0003-proxy-per-subscriber-512x64`.
    pub id: String,
    /// Its record.
    pub record: RunRecord,
}

impl Results {
    /// Results without a run.
    pub fn new(kind: Kind, name: &str, question: &str, environment: Environment) -> Self {
        Results {
            schema: SCHEMA.to_owned(),
            kind,
            name: name.to_owned(),
            question: question.to_owned(),
            environment,
            ..Results::default()
        }
    }
}
