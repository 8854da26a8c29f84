//! `isolation`: what do slow subscribers cost the others? A hundredth of the subscribers reads nothing at all, or takes
//! 50 ms for each message, which is less than it is sent; the figures are those of the others alone. Each round runs
//! without them, with stalled ones and with slow ones, in turns, so that whatever the machine does meanwhile meets all
//! three. `extra.isolation_ratio` is the p99 of the healthy subscribers over that of the run of the same round in which
//! all are healthy: 1 is a broker that does not let anyone feel them. `ratio.isolation.stalled` and `ratio.isolation.slow` are
//! the same over the rounds.
//!
//! Queues are short (1 MiB, a second's messages) and messages long (16 KiB), so that they do fill within seconds: it is the
//! full queue that may cost others. `extra.slow_dropped` says how much was dropped for the slow ones; 0 would say that nothing filled.

use super::entry::Experiment;
use crate::experiment::base::{Axes, Base, Choice, Point, with_queues};
use crate::experiment::outcome::SLOW_DELAY_MS;
use crate::experiment::plan::{Plan, Slow};
use crate::experiment::rounds::{Rounds, whole};
use crate::experiment::settings::SlowShare;
use crate::experiment::step::{Planned, Step};
use crate::record::{RunRecord, thousandths};
use crate::results::Entry;
use crate::swarm::schedule::Rate;
use corecast::Mode;
use std::time::Duration;

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment::new(
    "isolation",
    "What do a few slow or stalled subscribers cost all the others?",
    "shards",
    steps,
)
.with_figures(&[STALLED, SLOWED], sum_up);

/// The name of the figure in `extra`.
pub const RATIO: &str = "isolation_ratio";
/// The same over the rounds: with subscribers that read nothing, and with those that take their time.
const STALLED: &str = "ratio.isolation.stalled";
const SLOWED: &str = "ratio.isolation.slow";

const SUBSCRIBERS: Choice<&[usize]> = Choice { quick: &[200], full: &[200, 400] };
const RATE: Rate = Rate::Hz(64.0);
const DURATION: Choice<Duration> = Choice { quick: Duration::from_secs(10), full: Duration::from_secs(30) };
/// The payload makes a megabyte a second for each subscriber: the kernel's buffers for one that does not read (up to
/// 4 MiB and the window) are full within the first half of a quick run.
const AXES: Axes = Axes { sizes_bytes: Choice { quick: &[16 << 10], full: &[16 << 10] }, ..Axes::of(2, 5) };
const SLOW: SlowShare = SlowShare::Percent(1.0);
/// Three times what there is between two messages: a slow subscriber gets ever further behind.
const SLOW_DELAY: Duration = Duration::from_millis(50);
const EGRESS_BYTES: usize = 1 << 20;
/// A queue takes a frame and 64 KiB, at least.
const FRAME_BYTES_MAX: usize = 512 << 10;

fn steps(base: &Base) -> Vec<Step> {
    let modes = base.modes(&[Mode::Proxy]);
    let rate = base.settings.rate.unwrap_or(RATE);
    base.each(&AXES, |&Point { sessions, size_bytes, .. }| {
        let runs = |mode: &Mode, subscribers| {
            let plan = base.plan(*mode, subscribers, DURATION);
            round_of(base, &queues(Plan { sessions, size_bytes, rate, ..plan }))
        };
        let counts = base.subscribers(SUBSCRIBERS);
        let of_mode = |mode| counts.iter().flat_map(move |count| runs(mode, *count));
        modes.iter().flat_map(of_mode).collect()
    })
}

/// Short queues; longer where a frame would not fit.
fn queues(plan: Plan) -> Plan {
    let frame = FRAME_BYTES_MAX.max(plan.size_bytes.next_power_of_two() * 2);
    with_queues(plan, EGRESS_BYTES.max(frame * 2), frame)
}

/// The runs of a round: without slow subscribers, then with them.
fn round_of(base: &Base, plan: &Plan) -> impl Iterator<Item = Step> + use<> {
    let slow = base.settings.slow.unwrap_or(SLOW).of(plan.subscribers);
    let delays = match base.settings.slow_delay {
        Some(delay) => vec![Some(delay)],
        None => vec![None, Some(SLOW_DELAY)],
    };
    let kinds = delays.into_iter().map(move |delay| Some(Slow { subscribers: slow, delay }));
    let plan = plan.clone();
    std::iter::once(None).chain(kinds).map(move |slow| {
        let planned = Planned::new(Plan { slow, ..plan.clone() });
        Step::Run(Planned { complete: slow.map(|_| ratio as fn(&[Entry], &mut RunRecord)), ..planned })
    })
}

/// Records the p99 of the healthy subscribers over that of the same run of the same round without slow ones.
fn ratio(before: &[Entry], record: &mut RunRecord) {
    let same = |other: &&Entry| {
        let other = &other.record;
        other.slow_subscribers.is_none()
            && (&other.mode, &other.sessions) == (&record.mode, &record.sessions)
            && (other.subscribers, other.size_bytes) == (record.subscribers, record.size_bytes)
            && (other.round, &other.incomplete) == (record.round, &None)
    };
    let without = before.iter().rev().find(same).and_then(|entry| entry.record.latency_us);
    match (without, record.latency_us) {
        (Some(without), Some(with)) if without.p99 > 0.0 => {
            record.extra.insert(RATIO.to_owned(), thousandths(with.p99 / without.p99));
        }
        _ => record.notes.push("no run without slow subscribers to compare with".into()),
    }
}

fn sum_up(runs: &[Entry]) -> Rounds {
    let ratios = |stalled: bool| {
        let alike =
            move |run: &&RunRecord| run.extra.get(SLOW_DELAY_MS).is_some_and(|ms| (*ms == 0.0) == stalled);
        whole(runs).filter(alike).filter_map(|run| run.extra.get(RATIO).copied()).collect()
    };
    vec![(STALLED, ratios(true)), (SLOWED, ratios(false))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::base::tests::base;
    use crate::experiment::settings::Settings;
    use crate::measure::latency::Summary;

    #[test]
    fn each_round_is_without_then_stalled_then_slow() {
        let settings = Settings { subscribers: Some(vec![200]), rounds: Some(2), ..Settings::default() };
        let steps = steps(&base(settings, 2));
        let slow: Vec<_> =
            steps.iter().map(|step| step.plan().slow.map(|slow| (slow.subscribers, slow.delay))).collect();
        let round = [None, Some((2, None)), Some((2, Some(SLOW_DELAY)))];
        assert_eq!(slow, [round, round].concat());
    }

    #[test]
    fn a_delay_that_is_said_is_the_only_one() {
        let settings = Settings {
            slow: Some(SlowShare::Count(3)),
            slow_delay: Some(Duration::from_millis(7)),
            rounds: Some(1),
            quick: true,
            ..Settings::default()
        };
        let steps = steps(&base(settings, 2));
        let wanted = Some(Slow { subscribers: 3, delay: Some(Duration::from_millis(7)) });
        assert_eq!(steps.iter().map(|step| step.plan().slow).collect::<Vec<_>>(), [None, wanted]);
    }

    #[test]
    fn stalled_and_slow_are_summed_up_apart() {
        let run = |delay_ms: f64, ratio: f64| {
            let extra =
                [(SLOW_DELAY_MS, delay_ms), (RATIO, ratio)].map(|(name, value)| (name.to_owned(), value));
            Entry { id: String::new(), record: RunRecord { extra: extra.into(), ..RunRecord::default() } }
        };
        let healthy = Entry { id: String::new(), record: RunRecord::default() };
        let runs = [healthy, run(0.0, 1.0), run(50.0, 1.2), run(0.0, 1.1)];
        assert_eq!(sum_up(&runs), [(STALLED, vec![1.0, 1.1]), (SLOWED, vec![1.2])]);
    }

    #[test]
    fn the_ratio_is_that_of_the_same_round() {
        let run = |round, p99, slow| RunRecord {
            round: Some(round),
            slow_subscribers: slow,
            latency_us: Some(Summary { p99, ..Summary::default() }),
            ..RunRecord::default()
        };
        let entry = |record| Entry { id: String::new(), record };
        let before = [entry(run(1, 100.0, None)), entry(run(1, 120.0, Some(2))), entry(run(2, 50.0, None))];
        let mut second = run(2, 75.0, Some(2));
        ratio(&before, &mut second);
        assert_eq!(second.extra[RATIO], 1.5);
        let mut third = run(3, 75.0, Some(2));
        ratio(&before, &mut third);
        assert!(third.extra.is_empty() && third.notes[0].contains("to compare with"));
    }
}
