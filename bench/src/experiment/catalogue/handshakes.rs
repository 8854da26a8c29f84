//! `handshakes`: what do clients that come and go over TLS cost those that stay? Each round runs without them and then with
//! 5,000, which come in even steps while it sends: each connects, shakes hands, is welcomed, and closes.
//! `ratio.handshakes.p99` is the p99 of the others with them over that without, over the rounds, and `handshakes.made` the
//! number of those that came. Their own half of the handshakes is done on the same cores, and is in the figure.
//!
//! With `--transport tcp` it is what clients that come and go cost without TLS.

use super::entry::Experiment;
use crate::experiment::base::{Axes, Base, Choice, Point, with_broker};
use crate::experiment::plan::Plan;
use crate::experiment::rounds::{Rounds, whole};
use crate::experiment::run::VISITS;
use crate::experiment::step::{Planned, Step};
use crate::process::transport::Transport;
use crate::record::RunRecord;
use crate::results::Entry;
use crate::swarm::schedule::Rate;
use corecast::Mode;
use std::time::Duration;

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment::new(
    "handshakes",
    "What do clients that come and go over TLS cost those that stay?",
    "mode shards slow",
    steps,
)
.with_figures(&[RATIO, MADE], sum_up);

const RATIO: &str = "ratio.handshakes.p99";
const MADE: &str = "handshakes.made";
const HANDSHAKES: u64 = 5_000;
const SUBSCRIBERS: Choice<&[usize]> = Choice { quick: &[16], full: &[16] };
const RATE: Rate = Rate::Hz(100.0);
const DURATION: Choice<Duration> = Choice { quick: Duration::from_secs(10), full: Duration::from_secs(10) };
const AXES: Axes = Axes::of(2, 5);

fn steps(base: &Base) -> Vec<Step> {
    let rate = base.settings.rate.unwrap_or(RATE);
    let transport = base.settings.transport.unwrap_or(Transport::Tls);
    base.each(&AXES, |&Point { sessions, size_bytes, .. }| {
        let counts = base.subscribers(SUBSCRIBERS);
        let pair = |subscribers| {
            let plan = base.plan(Mode::Proxy, subscribers, DURATION);
            let plan = with_broker(plan, |options| options.transport = transport);
            let plan = Plan { sessions, size_bytes, rate, ..plan };
            [None, Some(HANDSHAKES)].map(|visits| Step::Run(Planned::new(Plan { visits, ..plan.clone() })))
        };
        counts.into_iter().flat_map(pair).collect()
    })
}

/// The runs with visitors, each with the run of the same round without.
fn pairs(runs: &[Entry]) -> impl Iterator<Item = (&RunRecord, &RunRecord)> {
    let without = whole(runs).filter(|run| !run.extra.contains_key(VISITS));
    whole(runs).filter(|run| run.extra.contains_key(VISITS)).filter_map(move |with| {
        let same = |other: &&RunRecord| {
            (other.round, other.subscribers, &other.sessions, other.size_bytes)
                == (with.round, with.subscribers, &with.sessions, with.size_bytes)
        };
        Some((with, without.clone().find(same)?))
    })
}

fn sum_up(runs: &[Entry]) -> Rounds {
    let p99 = |run: &RunRecord| run.latency_us.map(|summary| summary.p99).filter(|p99| *p99 > 0.0);
    let ratios = pairs(runs).filter_map(|(with, without)| Some(p99(with)? / p99(without)?));
    let made = pairs(runs).filter_map(|(with, _)| with.extra.get(VISITS).copied());
    vec![(RATIO, ratios.collect()), (MADE, made.collect())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::base::tests::base;
    use crate::experiment::settings::Settings;
    use crate::measure::latency::Summary;

    #[test]
    fn each_round_is_without_visitors_and_then_with_them() {
        let of = |transport| {
            let steps = steps(&base(Settings { rounds: Some(2), transport, ..Settings::default() }, 2));
            let plans = steps.iter().map(|step| (step.plan().transport(), step.plan().visits));
            plans.collect::<Vec<_>>()
        };
        let round = |transport| [(transport, None), (transport, Some(HANDSHAKES))];
        assert_eq!(of(None), [round(Transport::Tls), round(Transport::Tls)].concat());
        assert_eq!(of(Some(Transport::Tcp)), [round(Transport::Tcp), round(Transport::Tcp)].concat());
    }

    #[test]
    fn a_round_is_held_against_itself() {
        let run = |round, p99, visits: Option<f64>| Entry {
            id: String::new(),
            record: RunRecord {
                round: Some(round),
                latency_us: Some(Summary { p99, ..Summary::default() }),
                extra: visits.map(|visits| (VISITS.to_owned(), visits)).into_iter().collect(),
                ..RunRecord::default()
            },
        };
        let runs = [
            run(1, 100.0, None),
            run(1, 150.0, Some(5_000.0)),
            run(2, 50.0, None),
            run(2, 100.0, Some(4_000.0)),
        ];
        assert_eq!(sum_up(&runs), [(RATIO, vec![1.5, 2.0]), (MADE, vec![5_000.0, 4_000.0])]);
    }
}
