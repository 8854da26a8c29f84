//! `scaling`: what does a delivery cost, and what does a subscriber, and how do both grow with subscribers and shards?
//! CPU time of whoever fans out in user and system mode, system calls, memory, and how evenly shards share the work. From
//! 512 subscribers to as many as descriptors allow, each with a session; from one shard to one on each core.
//! `ratio.scaling.cpu_ns_per_delivery` is the CPU time of a delivery with the most subscribers over that with the fewest.
//!
//! System calls are counted by `perf stat` in a short run before each, since counting them costs time; where there is no
//! `perf`, or it may not count, the figure is absent and a note says why.

use super::entry::Experiment;
use crate::experiment::base::{Axes, Base, Choice, Point, fanned_out_from};
use crate::experiment::descriptors;
use crate::experiment::plan::Plan;
use crate::experiment::rounds::{Rounds, whole};
use crate::experiment::step::{Planned, Step};
use crate::record::RunRecord;
use crate::results::Entry;
use crate::swarm::schedule::Rate;
use corecast::Mode;
use std::time::Duration;

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment::new(
    "scaling",
    "What do a delivery and a subscriber cost, and how does that grow with subscribers and shards?",
    "",
    steps,
)
.with_figures(&[CPU], sum_up);

/// CPU time of a delivery with the most subscribers over that with the fewest, on the most shards: 1 is flat.
const CPU: &str = "ratio.scaling.cpu_ns_per_delivery";

/// The whole one goes on in doubles, up to what descriptors allow.
const SUBSCRIBERS: Choice<&[usize]> =
    Choice { quick: &[512, 2_048, 8_192], full: &[512, 1_024, 2_048, 4_096, 8_192, 16_384] };
/// The same with every count (2 messages to 8,192 subscribers, or 32 to 512): what a broker costs when nothing
/// happens is then the same part of a delivery's cost in every run.
const DELIVERIES_PER_S: f64 = 16_384.0;
const DURATION: Choice<Duration> = Choice { quick: Duration::from_secs(3), full: Duration::from_secs(15) };
const AXES: Axes = Axes::of(1, 3);

fn steps(base: &Base) -> Vec<Step> {
    let modes = base.modes(&[Mode::Proxy]);
    base.each(&AXES, |&Point { round, sessions, size_bytes }| {
        let mut steps = Vec::new();
        for &mode in &modes {
            for shards in shards(base) {
                let plan = |subscribers: usize| {
                    let even = Rate::Hz(DELIVERIES_PER_S / subscribers as f64);
                    let rate = base.settings.rate.unwrap_or(even);
                    let plan = base.plan(mode, subscribers, DURATION);
                    fanned_out_from(Plan { sessions, size_bytes, rate, ..plan }, &base.cores[..shards])
                };
                steps.extend(counts(base, &plan(1)).into_iter().map(|subscribers| {
                    Step::Run(Planned { counts_syscalls: round == 1, ..Planned::new(plan(subscribers)) })
                }));
            }
        }
        steps
    })
}

/// 1, 2, 4… and one for each core; the quick version only the two ends.
fn shards(base: &Base) -> Vec<usize> {
    let cores = base.cores.len();
    let doubles =
        std::iter::successors(Some(1), |shards| Some(shards * 2)).take_while(|shards| *shards < cores);
    let mut shards: Vec<usize> = match &base.settings.shards {
        // More than there are cores is for the command to refuse.
        Some(shards) => shards.iter().copied().map(|shards| shards.min(cores)).collect(),
        None if base.settings.quick => vec![1, cores],
        None => doubles.chain([cores]).collect(),
    };
    shards.dedup();
    shards
}

/// The counts that were said, or those that descriptors allow, and the most that they do.
fn counts(base: &Base, plan: &Plan) -> Vec<usize> {
    if let Some(counts) = &base.settings.subscribers {
        return counts.clone();
    }
    let most = descriptors::subscribers_max(plan);
    let mut counts: Vec<usize> = base.choose(SUBSCRIBERS).to_vec();
    counts.retain(|count| *count <= most);
    if counts.is_empty() {
        counts.push(most.max(1));
    }
    counts
}

/// The ratio of the two ends, for each round.
fn sum_up(runs: &[Entry]) -> Rounds {
    let shards = whole(runs).map(|run| run.shards.len()).max();
    let alike = whole(runs).filter(move |run| Some(run.shards.len()) == shards);
    let counts = alike.clone().map(|run| run.subscribers);
    let (Some(fewest), Some(most)) = (counts.clone().min(), counts.max()) else { return Vec::new() };
    let of = |like: &RunRecord, subscribers: u64| {
        let same = |run: &&RunRecord| {
            run.subscribers == subscribers
                && (run.round, &run.sessions, &run.mode) == (like.round, &like.sessions, &like.mode)
                && run.size_bytes == like.size_bytes
        };
        alike.clone().find(same).and_then(|run| run.cpu_ns_per_delivery)
    };
    let with_most = alike.clone().filter(|run| fewest < most && run.subscribers == most);
    vec![(CPU, with_most.filter_map(|run| Some(of(run, most)? / of(run, fewest)?)).collect())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::base::tests::base;
    use crate::experiment::settings::Settings;
    use corecast_executors::CoreId;

    #[test]
    fn shards_double_up_to_the_cores() {
        let of = |quick, cores| shards(&base(Settings { quick, ..Settings::default() }, cores));
        assert_eq!(of(false, 1), [1]);
        assert_eq!(of(false, 2), [1, 2]);
        assert_eq!(of(false, 6), [1, 2, 4, 6]);
        assert_eq!(of(true, 16), [1, 16]);
    }

    #[test]
    fn a_run_is_fanned_out_from_as_many_cores_as_it_has_shards() {
        let settings = Settings { subscribers: Some(vec![10, 20]), rounds: Some(1), ..Settings::default() };
        let steps = steps(&base(settings, 2));
        let runs: Vec<_> =
            steps.iter().map(|step| (step.plan().fan_out_cores.len(), step.plan().subscribers)).collect();
        assert_eq!(runs, [(1, 10), (1, 20), (2, 10), (2, 20)]);
        assert_eq!(steps[0].plan().fan_out_cores, [CoreId(0)]);
        for step in &steps {
            let Rate::Hz(rate_hz) = step.plan().rate else { panic!("it is no flood") };
            assert_eq!(rate_hz * step.plan().subscribers as f64, DELIVERIES_PER_S);
        }
    }

    #[test]
    fn flat_is_the_most_subscribers_over_the_fewest_of_a_round_on_all_shards() {
        let run = |round, shards, subscribers, cpu| RunRecord {
            round: Some(round),
            subscribers,
            cpu_ns_per_delivery: Some(cpu),
            shards: vec![crate::record::ShardRecord::default(); shards],
            ..RunRecord::default()
        };
        let runs = [
            run(1, 1, 512, 1.0),
            run(1, 1, 9_000, 9.0),
            run(1, 2, 512, 4.0),
            run(1, 2, 2_048, 4.5),
            run(1, 2, 9_000, 5.0),
            run(2, 2, 512, 10.0),
            run(2, 2, 9_000, 11.0),
        ]
        .map(|record| Entry { id: String::new(), record });
        assert_eq!(sum_up(&runs), [(CPU, vec![1.25, 1.1])]);
        assert_eq!(sum_up(&runs[..1]), [(CPU, vec![])], "one count says nothing");
    }

    #[test]
    fn no_more_subscribers_than_descriptors_allow() {
        let plan = steps(&base(Settings { quick: true, ..Settings::default() }, 2))[0].plan().clone();
        let most = descriptors::subscribers_max(&plan);
        for count in counts(&base(Settings::default(), 2), &plan) {
            assert!(count <= most, "{count} of {most}");
        }
    }
}
