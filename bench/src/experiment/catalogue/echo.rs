//! `echo`: what is left between one message and the kernel? A publisher and a subscriber in one executor, which never
//! sleeps, on one core, the broker on another; one message is under way at a time. The same bytes go to and fro between
//! two threads on the same cores, which spin on a bare connection: `ratio.echo.busy` is our median over theirs, round by
//! round, with a broker that never sleeps either; `ratio.echo.spin_100` and `ratio.echo.park` with one that does.

use super::entry::Experiment;
use crate::experiment::base::{Axes, Base, Choice, Point, fanned_out_from, with_broker};
use crate::experiment::echo::{self, FLOOR};
use crate::experiment::plan::Plan;
use crate::experiment::rounds::{Rounds, whole};
use crate::experiment::step::{Make, Planned, Step};
use crate::record::RunRecord;
use crate::results::Entry;
use crate::swarm::schedule::Rate;
use corecast::{Mode, Sessions};
use corecast_executors::Idle;
use std::time::Duration;

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    cores_min: 2,
    ..Experiment::new(
        "echo",
        "How long does one message take through a broker that never sleeps, beside the same bytes between two threads?",
        "mode rate shards slow subscribers publishers cores topics engine reactor",
        steps,
    )
    .with_figures(&[BUSY, SPIN, PARK], sum_up)
};

const BUSY: &str = "ratio.echo.busy";
const SPIN: &str = "ratio.echo.spin_100";
const PARK: &str = "ratio.echo.park";
/// The time that a spinning shard looks for work: longer than a message is away.
const SPIN_FOR: Duration = Duration::from_micros(100);
const DURATION: Choice<Duration> = Choice { quick: Duration::from_secs(1), full: Duration::from_secs(5) };
const AXES: Axes = Axes { sessions: &[Sessions::PerExecutor], ..Axes::of(5, 10) };

fn steps(base: &Base) -> Vec<Step> {
    // With one core it is refused before.
    let [answers, asks, ..] = base.cores[..] else { return Vec::new() };
    base.each(&AXES, |&Point { sessions, size_bytes, .. }| {
        let plan = Plan {
            sessions,
            size_bytes,
            rate: Rate::Flood,
            idle: Idle::Busy,
            subscriber_cores: vec![asks],
            publisher_cores: vec![asks],
            ..fanned_out_from(base.plan(Mode::Proxy, 1, DURATION), &[answers])
        };
        let step = |idle, make: Make| {
            let plan = with_broker(plan.clone(), |options| options.idle = idle);
            Step::Run(Planned { make, ..Planned::new(plan) })
        };
        let idles = [Idle::Busy, Idle::Spin(SPIN_FOR), Idle::Park];
        let ours = idles.map(|idle| step(Some(idle), echo::through_broker));
        std::iter::once(step(None, echo::bare)).chain(ours).collect()
    })
}

fn sum_up(runs: &[Entry]) -> Rounds {
    let ratios = |idle: &str| {
        let ours = whole(runs).filter(|run| run.idle.as_deref() == Some(idle));
        ours.filter_map(|run| Some(median_us(run)? / floor_us(runs, run)?)).collect()
    };
    vec![(BUSY, ratios("busy")), (SPIN, ratios("spin:100")), (PARK, ratios("park"))]
}

/// The floor of the same round.
fn floor_us(runs: &[Entry], ours: &RunRecord) -> Option<f64> {
    let like = |run: &&RunRecord| {
        run.peer.as_deref() == Some(FLOOR)
            && (run.round, run.size_bytes, &run.sessions) == (ours.round, ours.size_bytes, &ours.sessions)
    };
    whole(runs).find(like).and_then(median_us)
}

fn median_us(run: &RunRecord) -> Option<f64> {
    run.latency_us.map(|summary| summary.median).filter(|median| *median > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::base::tests::base;
    use crate::experiment::settings::Settings;
    use crate::measure::latency::Summary;
    use corecast_executors::CoreId;

    #[test]
    fn a_round_is_the_floor_and_then_three_brokers_on_the_same_cores() {
        let steps = steps(&base(Settings { rounds: Some(2), ..Settings::default() }, 4));
        assert_eq!(steps.len(), 2 * 4);
        for step in &steps {
            let plan = step.plan();
            assert_eq!(
                (&plan.fan_out_cores[..], &plan.subscriber_cores[..]),
                (&[CoreId(0)][..], &[CoreId(1)][..])
            );
            assert_eq!(plan.idle, Idle::Busy);
        }
    }

    #[test]
    fn a_ratio_is_that_of_the_same_round() {
        let run = |round, median, idle: Option<&str>| RunRecord {
            round: Some(round),
            idle: idle.map(ToOwned::to_owned),
            peer: idle.is_none().then(|| FLOOR.to_owned()),
            latency_us: Some(Summary { median, ..Summary::default() }),
            ..RunRecord::default()
        };
        let runs = [
            run(1, 10.0, None),
            run(1, 15.0, Some("busy")),
            run(2, 20.0, None),
            run(2, 22.0, Some("busy")),
            run(2, 60.0, Some("park")),
            run(3, 9.0, Some("busy")),
        ]
        .map(|record| Entry { id: String::new(), record });
        assert_eq!(sum_up(&runs), [(BUSY, vec![1.5, 1.1]), (SPIN, vec![]), (PARK, vec![3.0])]);
    }
}
