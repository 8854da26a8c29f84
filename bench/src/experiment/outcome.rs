//! Owns what a run comes to: what was measured put together, summed up in a record, with notes about what there is to know.

use super::cost::thousandths;
use super::plan::{BrokerChoice, BrokerOptions, Plan, Slow};
use super::watch::{Driven, Ending};
use crate::measure::latency::Latencies;
use crate::measure::oracle::Totals;
use crate::measure::samples::Samples;
use crate::measure::spread::Spread;
use crate::report::record::{HostRecord, RunRecord};
use crate::results::Raw;
use crate::swarm::schedule::Rate;
use corecast::Mode;
use corecast_executors::MonotonicNs;

/// The part of the messages that must be sent in time for a rate to count as reached.
const IN_TIME_MIN: f64 = 0.99;
/// Subscribers that a note names, of those that miss something.
const NAMED_MAX: usize = 3;
/// The name of a figure in `extra`: what a slow subscriber takes for a message, 0 if it takes none.
pub(super) const SLOW_DELAY_MS: &str = "slow_delay_ms";

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// For the reader.
    pub record: RunRecord,
    /// The measurements that the record sums up.
    pub raw: Raw,
    /// How it ended.
    pub ending: Ending,
    /// Whether the messages were sent when they should have been.
    pub rate_reached: bool,
}

/// What the swarm of this plan did, as a record; what it cost is added by who measured that.
pub(super) fn outcome(plan: &Plan, driven: &Driven) -> Outcome {
    let (mut totals, mut latencies, mut spread) =
        (Totals::default(), Latencies::new(), Spread::new(plan.publishers));
    let mut last_arrival: Option<MonotonicNs> = None;
    let mut samples: Option<Samples> = None;
    let mut subscribers = 0;
    for (_, tally) in &driven.tallies {
        if let Some(kept) = tally.samples() {
            samples.get_or_insert_default().append(kept, subscribers);
        }
        subscribers += tally.oracle().subscribers() as u32;
        totals += tally.totals(&driven.sent);
        latencies.merge(tally.latencies());
        spread.merge(tally.spread());
        last_arrival = last_arrival.max(tally.last_arrival());
    }
    let duration_s = last_arrival.map_or(0.0, |last| last.saturating_since(driven.started).as_secs_f64());
    let (first, last) = spread.distributions();
    let rate_reached = match plan.rate {
        Rate::Flood => true,
        Rate::Hz(_) => driven.in_time as f64 >= driven.intended as f64 * IN_TIME_MIN,
    };
    let record = RunRecord {
        mode: plan.mode.to_string(),
        transport: plan.transport().to_string(),
        sessions: plan.sessions.to_string(),
        subscribers: plan.subscribers as u64,
        publishers: plan.publishers as u64,
        size_bytes: plan.size_bytes as u64,
        rate_hz: match plan.rate {
            Rate::Hz(rate_hz) => Some(rate_hz),
            Rate::Flood => None,
        },
        duration_s: (duration_s * 1e6).round() / 1e6,
        messages_sent: driven.sent.iter().sum(),
        deliveries_expected: totals.expected,
        deliveries: totals.delivered,
        gaps_reported: totals.gaps_reported,
        lost: totals.lost,
        duplicated: totals.duplicated,
        reordered: totals.reordered,
        corrupted: totals.corrupted,
        latency_us: latencies.summary(),
        first_subscriber_us: first.summary(),
        last_subscriber_us: last.summary(),
        deliveries_per_s: if duration_s > 0.0 {
            thousandths(totals.delivered as f64 / duration_s)
        } else {
            0.0
        },
        slow_subscribers: plan.slow.map(|slow| slow.subscribers as u64),
        extra: plan.slow.map(slow_delay_ms).into_iter().collect(),
        idle: options(plan).and_then(|options| options.idle).map(|idle| idle.to_string()),
        overflow: options(plan).and_then(|options| options.overflow).map(|policy| policy.to_string()),
        incomplete: match &driven.ending {
            Ending::Complete => None,
            Ending::Interrupted if totals.lost > 0 => {
                Some("interrupted, and what was still on its way counts as lost".into())
            }
            Ending::Interrupted => Some("interrupted".into()),
            Ending::TimedOut(said) | Ending::Failed(said) => Some(said.clone()),
        },
        clock_error_us: clock_error_us(&driven.hosts),
        hosts: driven.hosts.clone(),
        notes: notes(plan, driven, &totals, rate_reached),
        ..RunRecord::default()
    };
    let raw = Raw { latency: latencies, first_subscriber: first, last_subscriber: last, samples };
    Outcome { record, raw, ending: driven.ending.clone(), rate_reached }
}

/// How long a slow subscriber takes for a message, for the record; 0 for one that takes none.
fn slow_delay_ms(slow: Slow) -> (String, f64) {
    (SLOW_DELAY_MS.to_owned(), slow.delay.map_or(0.0, |delay| thousandths(delay.as_secs_f64() * 1e3)))
}

/// How its broker was started, if it was.
fn options(plan: &Plan) -> Option<&BrokerOptions> {
    match &plan.broker {
        BrokerChoice::Started(options) => Some(options),
        BrokerChoice::Running { .. } => None,
    }
}

/// By how much a latency may be wrong at the host of which least is known.
fn clock_error_us(hosts: &[HostRecord]) -> Option<f64> {
    hosts.iter().filter_map(|host| host.clock_error_us).max_by(f64::total_cmp)
}

fn notes(plan: &Plan, driven: &Driven, totals: &Totals, rate_reached: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if plan.mode == Mode::Direct {
        notes.push("direct: the publishers fan out; the broker's figures are those of a registry".into());
    }
    if plan.rate == Rate::Flood {
        notes
            .push("flood: the latencies are those of a saturated system, from the call of publish on".into());
    }
    if let Some(Slow { subscribers, delay }) = plan.slow {
        let pace = match delay {
            Some(delay) => format!("take {} ms for each message", delay.as_secs_f64() * 1e3),
            None => "read nothing".into(),
        };
        notes.push(format!(
            "{subscribers} of the subscribers {pace}, and the figures are those of the others"
        ));
    }
    if !rate_reached {
        let part = driven.in_time as f64 / driven.intended as f64 * 100.0;
        notes.push(format!("the asked rate was not reached: {part:.1} % of the messages were sent in time"));
    }
    if subscribers_of(driven) < plan.measured_subscribers() {
        notes.push(format!(
            "{} subscribers did not say what they got: they are in no figure",
            plan.measured_subscribers() - subscribers_of(driven)
        ));
    }
    if totals.gaps_of_unknown_size > 0 {
        notes.push(format!(
            "{} gap notices were of unknown size: what their subscribers missed at the end counts as gaps",
            totals.gaps_of_unknown_size
        ));
    }
    if totals.overreported > 0 {
        notes
            .push(format!("subscribers were told of {} messages more than they missed", totals.overreported));
    }
    for (executor, tally) in &driven.tallies {
        for (subscriber, publisher, sequences) in tally.oracle().waiting(&driven.sent, NAMED_MAX) {
            notes.push(format!(
                "subscriber {subscriber} of executor {executor} has not got {sequences:?} of publisher {}",
                publisher.0
            ));
        }
    }
    notes
}

/// How many subscribers there is an account of.
fn subscribers_of(driven: &Driven) -> usize {
    driven.tallies.iter().map(|(_, tally)| tally.oracle().subscribers()).sum()
}
