//! `topics`: what does a delivery cost where each subscriber wants its own part of many topics, which is how market data,
//! games and telemetry are? Each round has some workloads, from a fifth of a hundred topics to a twentieth of ten thousand,
//! by names and by wildcards. Each goes through our broker, through others, and through bare sockets, all with the
//! same raw clients: at a rate, for the time to the last subscriber of a message, and as a flood. Systems take
//! turns in going first. `corecast-bench peers` makes the same of any one workload.

use super::entry::Experiment;
use crate::experiment::base::{Base, Choice};
use crate::experiment::plan::Plan;
use crate::experiment::step::{Make, Planned, Step};
use crate::measure::workload::{SharedTopics, TopicFilters, TopicSpread};
use crate::peer::name::System;
use crate::peer::session::run_alone;
use crate::swarm::schedule::{Amount, Rate};
use corecast::Mode;
use std::time::Duration;

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment::new(
    "topics",
    "What does a delivery cost where each subscriber wants its own part of many topics?",
    "mode subscribers publishers sessions shards slow cores size topics engine reactor",
    steps,
);

/// The systems: those that are not there are left out, and named.
const SYSTEMS: [Make; 10] = [
    |plan, surroundings| run_alone(System::Corecast, plan, surroundings),
    |plan, surroundings| run_alone(System::CorecastZmtp, plan, surroundings),
    |plan, surroundings| run_alone(System::Libzmq, plan, surroundings),
    |plan, surroundings| run_alone(System::Nats, plan, surroundings),
    |plan, surroundings| run_alone(System::NatsPinned, plan, surroundings),
    |plan, surroundings| run_alone(System::Redis, plan, surroundings),
    |plan, surroundings| run_alone(System::RedisPinned, plan, surroundings),
    |plan, surroundings| run_alone(System::Mosquitto, plan, surroundings),
    |plan, surroundings| run_alone(System::Floor, plan, surroundings),
    |plan, surroundings| run_alone(System::FloorBlocks, plan, surroundings),
];

/// Subscribers, filters of each, topics, kind of the filters.
type Case = (usize, usize, usize, TopicFilters);
const CASES: Choice<&[Case]> = Choice {
    quick: &[(64, 20, 100, TopicFilters::Exact), (64, 10, 1_000, TopicFilters::Exact)],
    full: &[
        (256, 20, 100, TopicFilters::Exact),
        (256, 5, 100, TopicFilters::Wildcard(4)),
        (256, 10, 1_000, TopicFilters::Exact),
        (16, 500, 10_000, TopicFilters::Exact),
        (16, 500, 10_000, TopicFilters::Wildcard(1)),
    ],
};
const ROUNDS: Choice<u32> = Choice { quick: 1, full: 5 };
const RATE: Rate = Rate::Hz(200.0);
const DURATION: Choice<Duration> =
    Choice { quick: Duration::from_millis(1_500), full: Duration::from_secs(5) };

fn steps(base: &Base) -> Vec<Step> {
    let rate = base.settings.rate.unwrap_or(RATE);
    let amount = Amount::Duration(base.settings.duration.unwrap_or(base.choose(DURATION)));
    let mut steps = Vec::new();
    for round in base.rounds(ROUNDS) {
        for (subscribers, per_subscriber, topics, filters) in base.choose(CASES).iter().copied() {
            let spread = TopicSpread::Uniform;
            let topics = Some(SharedTopics { topics, per_subscriber, filters, spread });
            let paced = Plan { topics, rate, amount, ..base.plan(Mode::Proxy, subscribers, DURATION) };
            let flood = Plan { rate: Rate::Flood, ..paced.clone() };
            let mut systems = SYSTEMS;
            systems.rotate_left((round as usize - 1) % SYSTEMS.len());
            for make in systems {
                let planned = |plan: &Plan| Step::Run(Planned { make, ..Planned::new(plan.clone()) });
                let in_record = base.round_of(round, ROUNDS);
                steps.extend([&paced, &flood].map(|plan| planned(plan).in_round(in_record)));
            }
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::base::tests::base;
    use crate::experiment::settings::Settings;

    #[test]
    fn every_system_meets_every_workload_at_a_rate_and_as_a_flood() {
        let steps = steps(&base(Settings { rounds: Some(2), ..Settings::default() }, 2));
        assert_eq!(steps.len(), 2 * 5 * SYSTEMS.len() * 2);
        let count = |so: fn(&Plan) -> bool| steps.iter().filter(|step| so(step.plan())).count();
        assert_eq!(count(|plan| plan.rate == Rate::Flood), steps.len() / 2);
        let is_wildcard =
            |plan: &Plan| plan.topics.is_some_and(|topics| topics.filters != TopicFilters::Exact);
        assert_eq!(count(is_wildcard), steps.len() * 2 / 5);
    }
}
