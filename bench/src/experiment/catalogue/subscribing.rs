//! `subscribing`: what does a filter cost the broker, and does it cost more the more there are? In each round one session
//! asks for very many filters, and then many sessions ask for some each: names of topics, drawn at random.
//! `subscribing.one.cpu_us` is the broker's CPU time for a filter of the one session, and `subscribing.one.growth` that of the last
//! thousand over that of the first; `subscribing.many.…` are those of the many sessions.

use super::entry::Experiment;
use crate::experiment::base::{Base, Choice};
use crate::experiment::plan::Plan;
use crate::experiment::rounds::{Rounds, whole};
use crate::experiment::step::{Planned, Step};
use crate::experiment::subscribing::{FILTER_US, GROWTH, subscribe_all};
use crate::measure::workload::{SharedTopics, TopicFilters, TopicSpread};
use crate::results::Entry;
use crate::swarm::schedule::Amount;
use corecast::Mode;
use std::time::Duration;

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment::new(
    "subscribing",
    "What does a filter cost, and does it cost more the more there are?",
    "mode subscribers publishers size rate sessions shards slow cores topics reactor",
    steps,
)
.with_figures(&[ONE_US, ONE_GROWTH, MANY_US, MANY_GROWTH], sum_up);

const ONE_US: &str = "subscribing.one.cpu_us";
const ONE_GROWTH: &str = "subscribing.one.growth";
const MANY_US: &str = "subscribing.many.cpu_us";
const MANY_GROWTH: &str = "subscribing.many.growth";
/// Filters of all sessions together.
const FILTERS: usize = 100_000;
/// Sessions of the one half of the runs, and of the other.
const SESSIONS: [usize; 2] = [1, 1_000];
const ROUNDS: Choice<u32> = Choice { quick: 5, full: 9 };
/// Nothing is sent. It stands for what a run takes, in the estimate.
const DURATION: Choice<Duration> = Choice { quick: Duration::from_secs(3), full: Duration::from_secs(3) };

fn steps(base: &Base) -> Vec<Step> {
    let mut steps = Vec::new();
    for round in base.rounds(ROUNDS) {
        for subscribers in SESSIONS {
            let topics = SharedTopics {
                topics: FILTERS,
                per_subscriber: FILTERS / subscribers,
                filters: TopicFilters::Exact,
                spread: TopicSpread::Uniform,
            };
            let amount = Amount::Duration(base.choose(DURATION));
            let plan = Plan { topics: Some(topics), amount, ..base.plan(Mode::Proxy, subscribers, DURATION) };
            let planned = Planned { make: subscribe_all, ..Planned::new(plan) };
            steps.push(Step::Run(planned).in_round(base.round_of(round, ROUNDS)));
        }
    }
    steps
}

fn sum_up(runs: &[Entry]) -> Rounds {
    let of = |one: bool, figure: &str| {
        let runs = whole(runs).filter(|run| (run.subscribers == 1) == one);
        runs.filter_map(|run| run.extra.get(figure).copied()).collect()
    };
    vec![
        (ONE_US, of(true, FILTER_US)),
        (ONE_GROWTH, of(true, GROWTH)),
        (MANY_US, of(false, FILTER_US)),
        (MANY_GROWTH, of(false, GROWTH)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::base::tests::base;
    use crate::experiment::settings::Settings;
    use crate::record::RunRecord;

    #[test]
    fn both_kinds_of_runs_ask_for_as_many_filters() {
        let steps = steps(&base(Settings { rounds: Some(2), ..Settings::default() }, 2));
        assert_eq!(steps.len(), 4);
        for plan in steps.iter().map(Step::plan) {
            assert_eq!(plan.subscribers * plan.topics.unwrap().per_subscriber, FILTERS);
        }
    }

    #[test]
    fn the_figures_of_one_session_and_of_many_are_kept_apart() {
        let run = |subscribers, cpu_us, growth| {
            let extra = [(FILTER_US, cpu_us), (GROWTH, growth)].map(|(name, value)| (name.to_owned(), value));
            Entry {
                id: String::new(),
                record: RunRecord { subscribers, extra: extra.into(), ..RunRecord::default() },
            }
        };
        let figures = sum_up(&[run(1, 2.0, 1.1), run(1_000, 4.0, 1.2), run(1, 3.0, 1.3)]);
        let wanted = [
            (ONE_US, vec![2.0, 3.0]),
            (ONE_GROWTH, vec![1.1, 1.3]),
            (MANY_US, vec![4.0]),
            (MANY_GROWTH, vec![1.2]),
        ];
        assert_eq!(figures, wanted);
    }
}
