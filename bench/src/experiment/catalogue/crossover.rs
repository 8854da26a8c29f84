//! `crossover`: at how many subscribers, and at which payload, does which mode reach the last subscriber first? Proxy
//! pays one more hop and has the broker's shards to share the sends; direct saves the hop, and the publisher's own
//! process sends to everybody. Where the two curves of the time to the last subscriber meet is the count at which an
//! application should change its mode.

use super::entry::Experiment;
use crate::experiment::base::{Axes, Base, Choice, Point};
use crate::experiment::plan::Plan;
use crate::experiment::step::{Step, runs};
use corecast::Mode;
use std::time::Duration;

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment::new(
    "crossover",
    "At how many subscribers, and at which payload, does which mode reach the last subscriber first?",
    "mode shards",
    steps,
);

const SUBSCRIBERS: Choice<&[usize]> =
    Choice { quick: &[1, 16, 128], full: &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512] };
/// Sizes that fit a packet, about a page, a read of the broker, and many reads.
const SIZES_BYTES: [usize; 4] = [64, 1 << 10, 16 << 10, 256 << 10];
const DURATION: Choice<Duration> = Choice { quick: Duration::from_secs(2), full: Duration::from_secs(10) };
const AXES: Axes = Axes { sizes_bytes: Choice { quick: &SIZES_BYTES, full: &SIZES_BYTES }, ..Axes::of(1, 3) };

fn steps(base: &Base) -> Vec<Step> {
    base.each(&AXES, |&Point { sessions, size_bytes, .. }| {
        let plan =
            |subscribers, mode| Plan { sessions, size_bytes, ..base.plan(mode, subscribers, DURATION) };
        let counts = base.subscribers(SUBSCRIBERS).into_iter();
        runs(counts.flat_map(|count| [Mode::Proxy, Mode::Direct].map(|mode| plan(count, mode))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::base::tests::base;
    use crate::experiment::settings::Settings;

    #[test]
    fn every_payload_and_count_is_run_in_both_modes_one_after_the_other() {
        let settings = Settings { subscribers: Some(vec![1, 8]), rounds: Some(1), ..Settings::default() };
        let steps = steps(&base(settings, 2));
        let runs: Vec<_> = steps
            .iter()
            .map(|step| (step.plan().size_bytes, step.plan().subscribers, step.plan().mode))
            .collect();
        assert_eq!(runs.len(), 4 * 2 * 2);
        let wanted =
            [(64, 1, Mode::Proxy), (64, 1, Mode::Direct), (64, 8, Mode::Proxy), (64, 8, Mode::Direct)];
        assert_eq!(runs[..4], wanted);
        assert_eq!(runs[15], (256 << 10, 8, Mode::Direct));
    }
}
