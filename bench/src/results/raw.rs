//! Owns the measurements of a run that its record sums up.

use crate::measure::latency::Latencies;
use crate::measure::samples::Samples;

/// What was measured in one run.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    /// From the intended send to every subscriber.
    pub latency: Latencies,
    /// Of each message: to its first subscriber.
    pub first_subscriber: Latencies,
    /// Of each message: to its last subscriber.
    pub last_subscriber: Latencies,
    /// Every delivery by itself, where that was asked for.
    pub samples: Option<Samples>,
}
