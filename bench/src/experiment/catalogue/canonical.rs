//! `canonical`: how does the time from publisher to subscriber grow from 1 to 512 subscribers, through the broker and
//! past it? The experiment of this project's ancestor: 1 publisher, 4 messages a second, the latency of every message at
//! every subscriber. It has a session for each subscriber, as there, and also one for each executor, as applications
//! should have. The ancestor sent 1,000 messages in each run: `--messages 1000` does, and takes two and a half hours.
//!
//! Every delivery is kept, in a file for each subscriber.

use super::entry::Experiment;
use crate::experiment::base::{Axes, Base, Choice, Point};
use crate::experiment::plan::Plan;
use crate::experiment::step::{Step, runs};
use corecast::{Mode, Sessions};
use std::time::Duration;

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment::new(
    "canonical",
    "How does the time from publisher to subscriber grow from 1 to 512 subscribers, through the broker and directly?",
    "shards",
    steps,
);

const SUBSCRIBERS: Choice<&[usize]> =
    Choice { quick: &[1, 2, 8, 32, 128, 512], full: &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512] };
/// 9 messages, and 120.
const DURATION: Choice<Duration> =
    Choice { quick: Duration::from_millis(2_250), full: Duration::from_secs(30) };
const AXES: Axes = Axes { sessions: &[Sessions::PerSubscriber, Sessions::PerExecutor], ..Axes::of(1, 1) };

fn steps(base: &Base) -> Vec<Step> {
    let modes = base.modes(&[Mode::Proxy, Mode::Direct]);
    base.each(&AXES, |&Point { sessions, size_bytes, .. }| {
        let plan = |subscribers, mode| Plan {
            sessions,
            size_bytes,
            keep_samples: true,
            ..base.plan(mode, subscribers, DURATION)
        };
        let counts = base.subscribers(SUBSCRIBERS).into_iter();
        runs(counts.flat_map(|count| modes.iter().map(move |mode| plan(count, *mode))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::base::tests::base;
    use crate::experiment::settings::Settings;
    use crate::swarm::schedule::Rate;

    #[test]
    fn it_is_the_ancestors() {
        let steps = steps(&base(Settings::default(), 2));
        assert_eq!(steps.len(), 2 * 10 * 2);
        let first: Vec<_> =
            steps.iter().take(4).map(|step| (step.plan().subscribers, step.plan().mode)).collect();
        assert_eq!(first, [(1, Mode::Proxy), (1, Mode::Direct), (2, Mode::Proxy), (2, Mode::Direct)]);
        for step in &steps {
            let plan = step.plan();
            assert_eq!((plan.rate, plan.size_bytes, plan.publishers), (Rate::Hz(4.0), 64, 1));
            assert!(plan.keep_samples);
        }
    }

    #[test]
    fn rounds_repeat_all_of_it() {
        let settings = Settings { rounds: Some(3), subscribers: Some(vec![5]), ..Settings::default() };
        let steps = steps(&base(settings, 2));
        let rounds: Vec<_> = steps
            .iter()
            .map(|step| match step {
                Step::Run(planned) => planned.round,
                Step::Search(_) => None,
            })
            .collect();
        assert_eq!(rounds, [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3].map(Some));
    }
}
