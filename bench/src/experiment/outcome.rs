//! Owns what a run comes to: what was measured put together, summed up in a record, with notes about what there is to know.

use super::plan::{Plan, Slow};
use super::watch::{Driven, Ending};
use crate::measure::oracle::{Missing, Totals};
use crate::record::{HostRecord, RunRecord, thousandths};
use crate::results::{Deliveries, Raw};
use crate::swarm::reports::Sent;
use crate::swarm::schedule::{Rate, missed};
use corecast::Mode;
use corecast_executors::MonotonicNs;

/// Subscribers that a note names, of those that miss something.
const NAMED_MAX: usize = 3;
/// The name of a figure in `extra`: what a slow subscriber takes for a message, 0 if it takes none.
pub(super) const SLOW_DELAY_MS: &str = "slow_delay_ms";

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The record, for the reader.
    pub record: RunRecord,
    /// The measurements that the record sums up.
    pub raw: Raw,
    /// The way it ended.
    pub ending: Ending,
    /// The note that says by how much the asked rate was missed, if it was.
    pub rate_missed: Option<String>,
    /// System calls for a delivery, or why there is no such figure, where they were to be counted.
    pub syscalls: Option<Result<f64, String>>,
}

impl Outcome {
    /// A run that was made as it should be.
    pub fn complete(record: RunRecord, raw: Raw) -> Self {
        Outcome { record, raw, ending: Ending::Complete, rate_missed: None, syscalls: None }
    }
}

/// Puts together what the swarm of this plan did; cost is added by the code that measured it.
pub(crate) fn outcome(plan: &Plan, driven: &Driven) -> Outcome {
    let deliveries =
        Deliveries::of(plan.publishers, driven.tallies.iter().map(|(_, tally)| tally), &driven.sent);
    let mut outcome = sum_up(plan, driven.all, deliveries, driven.ending.clone());
    outcome.record.clock_error_us = clock_error_us(&driven.hosts);
    outcome.record.hosts.clone_from(&driven.hosts);
    outcome.record.notes.extend(missing(plan, driven));
    outcome
}

/// Puts together messages sent and deliveries of a run of this plan.
pub(crate) fn sum_up(plan: &Plan, sent: Sent, deliveries: Deliveries, ending: Ending) -> Outcome {
    let totals = deliveries.totals;
    let rate_missed = plan.rate_hz().and_then(|_| missed(sent.in_time(), sent.intended));
    let mut record = RunRecord {
        mode: plan.mode.to_string(),
        transport: plan.transport().to_string(),
        sessions: plan.sessions.to_string(),
        subscribers: plan.subscribers as u64,
        publishers: plan.publishers as u64,
        size_bytes: plan.size_bytes as u64,
        topics: plan.topics.map(|shared| shared.topics as u64),
        topics_per_subscriber: plan.topics.map(|shared| shared.per_subscriber as u64),
        topic_spread: plan.topics.map(|shared| shared.spread.to_string()),
        topic_filters: plan.topics.map(|shared| shared.filters.to_string()),
        rate_hz: plan.rate_hz(),
        messages_sent: sent.sent,
        slow_subscribers: plan.slow.map(|slow| slow.subscribers as u64),
        extra: plan.slow.map(slow_delay_ms).into_iter().collect(),
        idle: plan.options().and_then(|options| options.idle).map(|idle| idle.to_string()),
        overflow: plan.options().and_then(|options| options.overflow).map(|policy| policy.to_string()),
        incomplete: match &ending {
            Ending::Complete => None,
            Ending::Interrupted if totals.lost > 0 => {
                Some("interrupted, and what was still on its way counts as lost".into())
            }
            Ending::Interrupted => Some("interrupted".into()),
            Ending::TimedOut(said) | Ending::Failed(said) => Some(said.clone()),
        },
        notes: notes(plan, &totals, rate_missed.as_deref()),
        ..RunRecord::default()
    };
    record.misdelivered = plan.topics.map(|_| totals.misdelivered);
    let raw = deliveries.describe(MonotonicNs(sent.started_ns), &mut record);
    Outcome { ending, rate_missed, ..Outcome::complete(record, raw) }
}

/// The time that a slow subscriber takes for a message, for the record; 0 for one that takes none.
fn slow_delay_ms(slow: Slow) -> (String, f64) {
    (SLOW_DELAY_MS.to_owned(), slow.delay.map_or(0.0, |delay| thousandths(delay.as_secs_f64() * 1e3)))
}

/// The error of latencies at the host whose clock is known least.
fn clock_error_us(hosts: &[HostRecord]) -> Option<f64> {
    hosts.iter().filter_map(|host| host.clock_error_us).max_by(f64::total_cmp)
}

fn notes(plan: &Plan, totals: &Totals, rate_missed: Option<&str>) -> Vec<String> {
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
    notes.extend(rate_missed.map(str::to_owned));
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
    notes
}

/// Notes about subscribers that have not got everything, or did not say what they have.
fn missing(plan: &Plan, driven: &Driven) -> Vec<String> {
    let mut notes = Vec::new();
    if subscribers_of(driven) < plan.measured_subscribers() {
        notes.push(format!(
            "{} subscribers did not say what they got: they are in no figure",
            plan.measured_subscribers() - subscribers_of(driven)
        ));
    }
    let workload = plan.workload();
    for (executor, tally) in &driven.tallies {
        for Missing { subscriber, flow, numbers } in tally.oracle().waiting(&driven.sent, NAMED_MAX) {
            let (topic, publisher) = workload.parts_of(flow);
            let on = if workload.shared.is_some() { format!(" on topic {topic}") } else { String::new() };
            notes.push(format!(
                "subscriber {subscriber} of executor {executor} has not got {numbers:?} of publisher {}{on}",
                publisher.0
            ));
        }
    }
    notes
}

/// Subscribers that are accounted for.
fn subscribers_of(driven: &Driven) -> usize {
    driven.tallies.iter().map(|(_, tally)| tally.oracle().subscribers()).sum()
}
