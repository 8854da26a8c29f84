//! Owns the raw measurements of a run, delivery by delivery, for those who want more than a histogram. They are kept
//! only where asked for: a flood makes tens of millions a second.

use serde::{Deserialize, Serialize};

/// Deliveries that one executor keeps: 24 bytes each, so at most 96 MiB. What comes after is counted, not kept.
const SAMPLES_MAX: usize = 4 << 20;

/// One delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// The subscriber, numbered within its executor; within the swarm, once executors are put together.
    pub subscriber: u32,
    /// Whose message.
    pub publisher: u32,
    /// Its place among that publisher's messages, from 0.
    pub sequence: u64,
    /// Time from the intended send to this subscriber, in nanoseconds.
    pub latency_ns: u64,
}

/// The deliveries of one executor, or of several put together, in the order of arrival at each.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Samples {
    kept: Vec<Sample>,
    not_kept: u64,
}

impl Samples {
    /// Keeps one, or counts it if there are too many.
    #[inline]
    pub fn keep(&mut self, sample: Sample) {
        if self.kept.len() < SAMPLES_MAX {
            self.kept.push(sample);
        } else {
            self.not_kept += 1;
        }
    }

    /// Takes in those of another executor, whose subscribers come after the `subscribers` that there are already.
    pub fn append(&mut self, other: &Samples, subscribers: u32) {
        let renumbered =
            other.kept.iter().map(|sample| Sample { subscriber: sample.subscriber + subscribers, ..*sample });
        self.kept.extend(renumbered);
        self.not_kept += other.not_kept;
    }

    /// All latencies, longer by so much; shorter if it is negative, but never below 0.
    pub fn shift(&mut self, by_ns: i64) {
        for sample in &mut self.kept {
            sample.latency_ns = sample.latency_ns.saturating_add_signed(by_ns);
        }
    }

    /// All that were kept.
    pub fn kept(&self) -> &[Sample] {
        &self.kept
    }

    /// Number of samples that were not kept.
    pub fn not_kept(&self) -> u64 {
        self.not_kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(subscriber: u32) -> Sample {
        Sample { subscriber, publisher: 0, sequence: 7, latency_ns: 9 }
    }

    #[test]
    fn executors_are_put_together_one_behind_the_other() {
        let (mut one, mut other) = (Samples::default(), Samples::default());
        one.keep(sample(1));
        other.keep(sample(0));
        one.append(&other, 2);
        assert_eq!(one.kept(), [sample(1), sample(2)]);
        assert_eq!(one.not_kept(), 0);
    }
}
