//! `quiet`: what does a broker cost while nothing is sent? All subscribers are there, shards park, and nothing happens
//! but time: `extra.quiet_cpu_cores` of a run is the part of a core that the broker then takes, `quiet.cpu_cores` the same
//! over the rounds with the most subscribers, and `quiet.rss_per_subscriber_bytes` what each of these takes in memory. One
//! message follows, which must reach them all: they were there.
//!
//! `--duration` is how long it is quiet.

use super::entry::Experiment;
use crate::experiment::base::{Axes, Base, Choice, Point, with_broker};
use crate::experiment::descriptors;
use crate::experiment::plan::Plan;
use crate::experiment::rounds::{Rounds, whole};
use crate::experiment::run::QUIET_CORES;
use crate::experiment::step::{Planned, Step};
use crate::record::RunRecord;
use crate::results::Entry;
use crate::swarm::schedule::Amount;
use corecast::Mode;
use corecast::internals::limits::HEARTBEAT_DEFAULT;
use corecast_executors::Idle;
use std::time::Duration;

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment::new(
    "quiet",
    "What does a broker cost while nothing is sent?",
    "mode rate shards slow",
    steps,
)
.with_figures(&[CORES, MEMORY], sum_up);

const CORES: &str = "quiet.cpu_cores";
const MEMORY: &str = "quiet.rss_per_subscriber_bytes";
/// The number that usual hard limits of open files allow, with both ends on one host.
const SUBSCRIBERS_MAX: usize = 9_000;
const SUBSCRIBERS: Choice<&[usize]> =
    Choice { quick: &[1, SUBSCRIBERS_MAX], full: &[1, 512, SUBSCRIBERS_MAX] };
/// One and two of the intervals at which an idle client says that it lives: less would leave out most of the cost.
const DURATION: Choice<Duration> =
    Choice { quick: HEARTBEAT_DEFAULT, full: Duration::from_secs(2 * HEARTBEAT_DEFAULT.as_secs()) };
const AXES: Axes = Axes::of(2, 5);

fn steps(base: &Base) -> Vec<Step> {
    base.each(&AXES, |&Point { sessions, size_bytes, .. }| {
        let plan = |subscribers| {
            let plan = base.plan(Mode::Proxy, subscribers, DURATION);
            let quiet = match plan.amount {
                Amount::Duration(duration) => duration,
                Amount::Messages(_) => base.choose(DURATION),
            };
            let plan = with_broker(plan, |options| options.idle = Some(Idle::Park));
            Plan { sessions, size_bytes, amount: Amount::Messages(1), quiet: Some(quiet), ..plan }
        };
        let step = |(subscribers, fewer): (usize, bool)| {
            let complete = fewer.then_some(say_fewer as fn(&[Entry], &mut RunRecord));
            Step::Run(Planned { complete, ..Planned::new(plan(subscribers)) })
        };
        counts(base, &plan(1)).into_iter().map(step).collect()
    })
}

/// The counts that were said; or those of the experiment, no more than descriptors allow, and whether that is fewer.
fn counts(base: &Base, plan: &Plan) -> Vec<(usize, bool)> {
    if let Some(counts) = &base.settings.subscribers {
        return counts.iter().map(|count| (*count, false)).collect();
    }
    let most = descriptors::subscribers_max(plan).max(1);
    let mut counts: Vec<(usize, bool)> =
        base.choose(SUBSCRIBERS).iter().map(|count| (*count.min(&most), *count > most)).collect();
    counts.dedup_by_key(|(count, _)| *count);
    counts
}

fn say_fewer(_: &[Entry], record: &mut RunRecord) {
    record.notes.push(format!(
        "{} subscribers and not {SUBSCRIBERS_MAX}: the hard limit of open files allows no more (ulimit -Hn)",
        record.subscribers
    ));
}

fn sum_up(runs: &[Entry]) -> Rounds {
    let most = whole(runs).map(|run| run.subscribers).max();
    let of_most = || whole(runs).filter(move |run| Some(run.subscribers) == most);
    let cores = of_most().filter_map(|run| run.extra.get(QUIET_CORES).copied());
    let memory = of_most().filter_map(|run| run.rss_per_subscriber_bytes);
    vec![(CORES, cores.collect()), (MEMORY, memory.collect())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::base::tests::base;
    use crate::experiment::settings::Settings;

    #[test]
    fn it_is_quiet_for_the_duration_and_then_one_message_follows() {
        let settings = Settings {
            duration: Some(Duration::from_secs(3)),
            subscribers: Some(vec![7]),
            rounds: Some(1),
            ..Settings::default()
        };
        let steps = steps(&base(settings, 2));
        let plan = steps[0].plan();
        assert_eq!((plan.quiet, plan.amount), (Some(Duration::from_secs(3)), Amount::Messages(1)));
        assert_eq!((steps.len(), plan.subscribers), (1, 7));
    }

    #[test]
    fn no_more_subscribers_than_descriptors_allow_and_it_is_said() {
        let base = base(Settings { quick: true, ..Settings::default() }, 2);
        let plan = steps(&base)[0].plan().clone();
        let most = descriptors::subscribers_max(&plan);
        let (count, fewer) = *counts(&base, &plan).last().unwrap();
        assert_eq!((count, fewer), (most.min(SUBSCRIBERS_MAX), most < SUBSCRIBERS_MAX));
        let mut record = RunRecord { subscribers: 3, ..RunRecord::default() };
        say_fewer(&[], &mut record);
        assert!(record.notes[0].contains("3 subscribers and not 9000"), "{:?}", record.notes);
    }

    #[test]
    fn the_figures_are_those_of_the_most_subscribers() {
        let run = |subscribers, cores: f64, bytes| RunRecord {
            subscribers,
            rss_per_subscriber_bytes: Some(bytes),
            extra: [(QUIET_CORES.to_owned(), cores)].into(),
            ..RunRecord::default()
        };
        let runs = [run(1, 0.5, 9.0), run(9_000, 0.01, 7.0), run(9_000, 0.02, 8.0)]
            .map(|record| Entry { id: String::new(), record });
        assert_eq!(sum_up(&runs), [(CORES, vec![0.01, 0.02]), (MEMORY, vec![7.0, 8.0])]);
    }
}
