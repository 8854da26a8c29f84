//! `flood`: which rate is delivered whole, by subscriber count and payload? It is measured in two ways:
//!
//! Queues are of a megabyte (or four messages): with the broker's usual 16 MiB for each of 512 subscribers a flood of
//! seconds would mostly measure how queues fill, and then how they are emptied.
//!
//! - **held back** (`overflow` `block`): publishers send as fast as they are let, and are held back by whoever has a
//!   full queue. Nothing is dropped, so deliveries over the time until the last one arrived are the highest rate that
//!   is delivered whole by the way that asks for it.
//! - **paced** (`drop-oldest`, what a broker does unless told otherwise): nobody is held back, so the rate has to be
//!   found. A search begins at the rate of the flood before it, and looks for the highest that is delivered *whole*: no
//!   gap, nothing lost, sent in time, and the last delivery no later than a tenth of the time of sending (and 100 ms)
//!   after its end; without this last condition a queue that grows all the time would pass for a rate that is kept.
//!   `extra.whole` of these runs is 1 where it was so, and 0 where not.

use super::entry::Experiment;
use crate::experiment::base::{Axes, Base, Choice, Point, with_broker, with_queues};
use crate::experiment::plan::Plan;
use crate::experiment::step::{Planned, Search, Step};
use crate::swarm::schedule::Rate;
use corecast::{Mode, OverflowPolicy};
use std::time::Duration;

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment::new(
    "flood",
    "Which rate is delivered whole, by subscriber count and payload?",
    "rate shards",
    steps,
);

/// The name of the figure in `extra`.
pub const WHOLE: &str = "whole";

const SUBSCRIBERS: Choice<&[usize]> = Choice { quick: &[1, 64, 512], full: &[1, 8, 64, 512] };
const DURATION: Choice<Duration> =
    Choice { quick: Duration::from_millis(1_500), full: Duration::from_secs(5) };
const EGRESS_BYTES: usize = 1 << 20;
const AXES: Axes = Axes {
    sizes_bytes: Choice { quick: &[64, 16 << 10], full: &[64, 1 << 10, 16 << 10, 256 << 10] },
    ..Axes::of(1, 3)
};
/// Runs of a search: a quick one tells the rate to a quarter or so, a whole one to a twentieth.
const SEARCH_RUNS: Choice<u32> = Choice { quick: 4, full: 8 };

fn steps(base: &Base) -> Vec<Step> {
    let modes = base.modes(&[Mode::Proxy, Mode::Direct]);
    base.each(&AXES, |&Point { round, sessions, size_bytes }| {
        let mut steps = Vec::new();
        for subscribers in base.subscribers(SUBSCRIBERS) {
            for &mode in &modes {
                let plan = Plan { sessions, size_bytes, ..base.plan(mode, subscribers, DURATION) };
                let plan = queues(plan);
                steps.push(Step::Run(held_back(&plan)));
                // Once, and of the mode that a broker has by default: a search is many runs.
                if round == 1 && mode == Mode::Proxy && size_bytes == 64 {
                    steps.push(Step::Search(paced(plan, base.choose(SEARCH_RUNS))));
                }
            }
        }
        steps
    })
}

/// A megabyte, or four messages; a queue takes a frame and 64 KiB at least.
fn queues(plan: Plan) -> Plan {
    let egress_bytes = EGRESS_BYTES.max(plan.size_bytes.next_power_of_two() * 4);
    with_queues(plan, egress_bytes, egress_bytes / 2)
}

fn held_back(plan: &Plan) -> Planned {
    let plan = with_broker(plan.clone(), |options| options.overflow = Some(OverflowPolicy::Block));
    Planned::new(Plan { rate: Rate::Flood, ..plan })
}

fn paced(plan: Plan, runs_max: u32) -> Search {
    Search {
        plan: with_broker(plan, |options| options.overflow = Some(OverflowPolicy::DropOldest)),
        runs_max,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::base::tests::base;
    use crate::experiment::plan::BrokerChoice;
    use crate::experiment::settings::Settings;

    fn overflow(plan: &Plan) -> Option<OverflowPolicy> {
        match &plan.broker {
            BrokerChoice::Started(options) => options.overflow,
            BrokerChoice::Running { overflow, .. } => *overflow,
        }
    }

    #[test]
    fn floods_are_held_back_and_searches_are_not() {
        let settings = Settings { subscribers: Some(vec![8]), quick: true, ..Settings::default() };
        let steps = steps(&base(settings, 2));
        assert!(matches!(steps[0], Step::Run(_)));
        assert_eq!(
            (steps[0].plan().rate, overflow(steps[0].plan())),
            (Rate::Flood, Some(OverflowPolicy::Block))
        );
        assert!(matches!(steps[1], Step::Search(_)), "it begins at the rate of the flood before it");
        assert_eq!(overflow(steps[1].plan()), Some(OverflowPolicy::DropOldest));
        assert_eq!(steps[2].plan().mode, Mode::Direct);
        assert_eq!(steps.len(), 5, "one search, for the small payload");
    }
}
