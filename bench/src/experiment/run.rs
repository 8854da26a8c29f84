//! Owns one run: a broker, a swarm, and the record of what it did.

use super::broker::{BrokerError, BrokerProcess};
use super::descriptors::{self, DescriptorsError};
use super::drive::{Drive, DriveError};
use super::plan::{BrokerChoice, Plan, PlanError};
use super::watch::{Driven, Ending};
use crate::host::fleet::{Fleet, FleetError};
use crate::interrupt::Interrupt;
use crate::measure::latency::Latencies;
use crate::measure::oracle::Totals;
use crate::measure::process::{CpuNs, Usage, UsageError, cpu_of_own_threads, usage_of};
use crate::measure::samples::Samples;
use crate::measure::spread::Spread;
use crate::report::progress::Progress;
use crate::report::record::{BrokerRecord, ExecutorsRecord, HostRecord, RunRecord};
use crate::results::Raw;
use crate::swarm::publishers;
use crate::swarm::reports::with_causes;
use crate::swarm::schedule::Rate;
use corecast::Endpoint;
use corecast::client::DIRECT_POOL;
use corecast::registry::Mode;
use corecast_executors::MonotonicNs;
use std::path::Path;

/// The part of the messages that must be sent in time for a rate to count as reached.
const IN_TIME_MIN: f64 = 0.99;
/// Subscribers that a note names, of those that miss something.
const NAMED_MAX: usize = 3;

/// Why a run has no record.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It makes no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// There are not enough open files for it.
    #[error(transparent)]
    Descriptors(#[from] DescriptorsError),
    /// The hosts that should play subscribers do not.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// There is no broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The process that was said to be the broker cannot be read.
    #[error("cannot measure the broker: {0}")]
    Usage(#[from] UsageError),
    /// There is no swarm.
    #[error("{error}{broker}")]
    Drive {
        /// Why.
        error: DriveError,
        /// What the broker said, if it has ended.
        broker: String,
    },
}

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

/// Makes one run. With `guard`, the file of this command, its broker cannot outlive this process.
pub fn run(plan: &Plan, guard: Option<&Path>, interrupt: &Interrupt) -> Result<Outcome, RunError> {
    plan.check()?;
    descriptors::ensure(plan)?;
    let mut progress = Progress::start(plan.title());
    let fleet = match &plan.hosts {
        Some(hosts) => {
            progress.phase("connecting to the hosts");
            Some(Fleet::connect(hosts, plan.subscribers)?)
        }
        None => None,
    };
    let mut broker = Broker::get(plan, fleet.as_ref(), guard)?;
    let outcome = run_through(plan, (&mut broker, fleet), interrupt, &mut progress);
    progress.finish();
    if outcome.as_ref().is_ok_and(|outcome| outcome.ending == Ending::Complete) {
        broker.stop();
    }
    // A broker that something went wrong with is ended without patience, by being dropped.
    outcome
}

fn run_through(
    plan: &Plan,
    (broker, fleet): (&mut Broker, Option<Fleet>),
    interrupt: &Interrupt,
    progress: &mut Progress,
) -> Result<Outcome, RunError> {
    let endpoint = broker.endpoint().clone();
    let overflow = match &plan.broker {
        // It has the policy as its default.
        BrokerChoice::Started(_) => None,
        BrokerChoice::Running { overflow, .. } => *overflow,
    };
    let mut drive = Drive::set_up(plan, ((&endpoint, overflow), fleet), interrupt, progress)
        .map_err(|error| RunError::Drive { error, broker: broker.failure_suffix() })?;
    let before = (broker.usage()?, publishers_cpu());
    let mut driven = drive.go(progress, || broker.failure());
    let after = (broker.usage().ok().flatten(), publishers_cpu());
    let cost = Cost { broker: before.0.zip(after.0), publishers: (before.1, after.1) };
    if let Ending::Failed(said) | Ending::TimedOut(said) = &mut driven.ending {
        said.push_str(&broker.failure_suffix());
    }
    let stopped = drive.stop();
    let mut outcome = outcome(plan, &driven, &cost);
    if let Err(error) = stopped {
        outcome.ending =
            Ending::Failed(format!("the swarm did not end as it should: {}", with_causes(&error)));
    }
    Ok(outcome)
}

/// The broker of a run.
enum Broker {
    Started {
        process: BrokerProcess,
        /// What everybody connects to.
        endpoint: Endpoint,
    },
    Running {
        endpoint: Endpoint,
        pid: Option<u32>,
    },
}

impl Broker {
    fn get(plan: &Plan, fleet: Option<&Fleet>, guard: Option<&Path>) -> Result<Self, BrokerError> {
        Ok(match &plan.broker {
            BrokerChoice::Started(options) => {
                let process = BrokerProcess::start(options, plan.mode, fleet.map(Fleet::listen), guard)?;
                let endpoint = fleet.and_then(Fleet::advertise).unwrap_or(process.endpoint()).clone();
                Broker::Started { process, endpoint }
            }
            BrokerChoice::Running { endpoint, pid, .. } => {
                Broker::Running { endpoint: endpoint.clone(), pid: *pid }
            }
        })
    }

    fn endpoint(&self) -> &Endpoint {
        match self {
            Broker::Started { endpoint, .. } | Broker::Running { endpoint, .. } => endpoint,
        }
    }

    /// What its process has used; `None` if it is not known which one that is.
    fn usage(&self) -> Result<Option<Usage>, UsageError> {
        let pid = match self {
            Broker::Started { process, .. } => Some(process.pid()),
            Broker::Running { pid, .. } => *pid,
        };
        pid.map(usage_of).transpose()
    }

    /// How it ended, if it has and was not known to have.
    fn failure(&mut self) -> Option<String> {
        match self {
            Broker::Started { process, .. } => process.failure(),
            Broker::Running { .. } => None,
        }
    }

    /// The same as the end of a sentence, or nothing.
    fn failure_suffix(&mut self) -> String {
        self.failure().map(|said| format!("; {said}")).unwrap_or_default()
    }

    fn stop(self) {
        if let Broker::Started { process, .. } = self {
            // Its last words are of no use to the run: that has ended.
            let _ = process.stop();
        }
    }
}

/// What processes and threads had used before a run and after it.
struct Cost {
    broker: Option<(Usage, Usage)>,
    publishers: (CpuNs, CpuNs),
}

impl Cost {
    fn of_broker(&self, delivered: u64) -> BrokerRecord {
        let Some((before, after)) = self.broker else { return BrokerRecord::default() };
        BrokerRecord {
            cpu_ns_per_delivery: cpu_per_delivery(before.cpu, after.cpu, delivered),
            rss_bytes: Some(after.rss_bytes),
        }
    }

    fn of_publishers(&self, delivered: u64) -> ExecutorsRecord {
        let (before, after) = self.publishers;
        ExecutorsRecord { cpu_ns_per_delivery: cpu_per_delivery(before, after, delivered) }
    }
}

fn cpu_per_delivery(before: CpuNs, after: CpuNs, delivered: u64) -> Option<f64> {
    let cpu_ns = after.0.saturating_sub(before.0) as f64;
    (delivered > 0).then(|| thousandths(cpu_ns / delivered as f64))
}

/// Of the publishers' executors, and of those that the library gives to direct publishers.
fn publishers_cpu() -> CpuNs {
    cpu_of_own_threads(|name| name.starts_with(publishers::POOL) || name.starts_with(DIRECT_POOL))
}

fn outcome(plan: &Plan, driven: &Driven, cost: &Cost) -> Outcome {
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
        duration_s: thousandths(duration_s * 1000.0) / 1000.0,
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
        broker: cost.of_broker(totals.delivered),
        publisher_executors: cost.of_publishers(totals.delivered),
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
    if !rate_reached {
        let part = driven.in_time as f64 / driven.intended as f64 * 100.0;
        notes.push(format!("the asked rate was not reached: {part:.1} % of the messages were sent in time"));
    }
    if subscribers_of(driven) < plan.subscribers {
        notes.push(format!(
            "{} subscribers did not say what they got: they are in no figure",
            plan.subscribers - subscribers_of(driven)
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

/// With three decimals.
fn thousandths(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
