//! `idle`: what does it cost not to sleep, and what does it bring? A shard that has nothing to do parks, looks for work
//! for a while before it parks (`spin`), or never parks (`busy`). A parked one has to be woken, which takes time on every
//! hop of a message; one that is awake takes CPU time all the while. Few subscribers and few messages, so that every
//! message finds everybody idle: latency is then mostly wake-ups. `extra.cpu_cores` is what the broker takes, in cores.
//!
//! The broker has one core for itself, where there are several, so that a busy one does not keep the swarm from it; the
//! swarm always parks, so that what differs is the broker's.

use super::entry::Experiment;
use crate::experiment::base::{Axes, Base, Choice, Point, fanned_out_from, with_broker};
use crate::experiment::plan::Plan;
use crate::experiment::step::{Step, runs};
use crate::swarm::schedule::Rate;
use corecast::Mode;
use corecast_executors::Idle;
use std::time::Duration;

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment::new(
    "idle",
    "What does a broker that does not sleep cost, and how much sooner do messages arrive?",
    "mode shards",
    steps,
);

const SUBSCRIBERS: Choice<&[usize]> = Choice { quick: &[1, 16], full: &[1, 16, 128] };
/// Ten milliseconds between two messages: longer than any spin.
const RATE: Rate = Rate::Hz(100.0);
const DURATION: Choice<Duration> = Choice { quick: Duration::from_secs(4), full: Duration::from_secs(20) };
const AXES: Axes = Axes::of(2, 5);
/// The time that a spinning shard looks for work: longer than a hop takes, shorter than the pause between messages.
const SPIN: Duration = Duration::from_micros(100);

fn steps(base: &Base) -> Vec<Step> {
    let rate = base.settings.rate.unwrap_or(RATE);
    base.each(&AXES, |&Point { sessions, size_bytes, .. }| {
        let plan = |subscribers, idle| {
            let plan = base.plan(Mode::Proxy, subscribers, DURATION);
            let plan = apart(base, Plan { sessions, size_bytes, rate, ..plan });
            with_broker(plan, |options| options.idle = Some(idle))
        };
        let counts = base.subscribers(SUBSCRIBERS).into_iter();
        let idles = [Idle::Park, Idle::Spin(SPIN), Idle::Busy];
        runs(counts.flat_map(|count| idles.map(|idle| plan(count, idle))))
    })
}

/// The broker on the first core, the swarm on the others, unless its cores were said.
fn apart(base: &Base, plan: Plan) -> Plan {
    let [first, rest @ ..] = &base.cores[..] else { return plan };
    if rest.is_empty() {
        return plan;
    }
    let plan = fanned_out_from(plan, &[*first]);
    if base.settings.cores.is_some() {
        return plan;
    }
    Plan { subscriber_cores: rest.to_vec(), publisher_cores: rest.to_vec(), ..plan }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::base::tests::base;
    use crate::experiment::plan::BrokerChoice;
    use crate::experiment::settings::Settings;
    use corecast_executors::CoreId;

    #[test]
    fn the_broker_sleeps_in_three_ways_on_a_core_of_its_own() {
        let settings = Settings { subscribers: Some(vec![1]), rounds: Some(1), ..Settings::default() };
        let steps = steps(&base(settings, 3));
        let ways: Vec<_> = steps
            .iter()
            .map(|step| match &step.plan().broker {
                BrokerChoice::Started(options) => options.idle.unwrap().to_string(),
                BrokerChoice::Running { .. } => String::new(),
            })
            .collect();
        assert_eq!(ways, ["park", "spin:100", "busy"]);
        assert_eq!(steps[0].plan().fan_out_cores, [CoreId(0)]);
        assert_eq!(steps[0].plan().subscriber_cores, [CoreId(1), CoreId(2)]);
    }

    #[test]
    fn one_core_is_shared() {
        let settings = Settings { quick: true, ..Settings::default() };
        assert_eq!(steps(&base(settings, 1))[0].plan().subscriber_cores, [CoreId(0)]);
    }
}
