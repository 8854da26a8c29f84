//! Owns the measurements of a run that its record sums up.

use crate::measure::latency::Latencies;
use crate::measure::samples::Samples;

/// Measurements of one run.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    /// Times from the intended send to every subscriber.
    pub latency: Latencies,
    /// Times from the intended send of a message to its first subscriber.
    pub first_subscriber: Latencies,
    /// Times from the intended send of a message to its last subscriber.
    pub last_subscriber: Latencies,
    /// Every delivery by itself, where that was asked for.
    pub samples: Option<Samples>,
}
