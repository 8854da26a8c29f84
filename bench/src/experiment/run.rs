//! Owns one run: a broker, a swarm, and the record of what it did.

use super::broker::{BrokerError, BrokerProcess};
use super::cost::{Cost, Reading, thousandths};
use super::counters::Counters;
use super::descriptors::{self, DescriptorsError};
use super::drive::{Drive, DriveError};
use super::plan::{BrokerChoice, BrokerOptions, Plan, PlanError, Slow};
use super::syscalls::{self, SyscallCount};
use super::watch::{Driven, Ending};
use crate::host::fleet::{Fleet, FleetError};
use crate::interrupt::Interrupt;
use crate::measure::latency::Latencies;
use crate::measure::oracle::Totals;
use crate::measure::process::{Usage, UsageError, usage_of};
use crate::measure::samples::Samples;
use crate::measure::spread::Spread;
use crate::report::progress::{Place, Progress};
use crate::report::record::{HostRecord, RunRecord};
use crate::results::Raw;
use crate::swarm::reports::with_causes;
use crate::swarm::schedule::Rate;
use corecast::registry::Mode;
use corecast::{Endpoint, Sessions};
use corecast_executors::MonotonicNs;
use std::path::Path;

/// The part of the messages that must be sent in time for a rate to count as reached.
const IN_TIME_MIN: f64 = 0.99;
/// Subscribers that a note names, of those that miss something.
const NAMED_MAX: usize = 3;

/// The name of a figure in `extra`: what a slow subscriber takes for a message, 0 if it takes none.
const SLOW_DELAY_MS: &str = "slow_delay_ms";
/// Another: messages that the broker dropped because a slow subscriber's queue was full.
const SLOW_DROPPED: &str = "slow_dropped";

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

/// What a run needs from whoever makes it.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The file of this command: with it, a broker that is started cannot outlive this process.
    pub guard: Option<&'a Path>,
    /// The wish to stop.
    pub interrupt: &'a Interrupt,
    /// Where the run stands among several, for who watches.
    pub place: Option<Place>,
    /// Whether the system calls of the broker are counted, which costs it time.
    pub counts_syscalls: bool,
}

/// Makes one run. With `guard`, the file of this command, its broker cannot outlive this process.
pub fn run(plan: &Plan, guard: Option<&Path>, interrupt: &Interrupt) -> Result<Outcome, RunError> {
    run_in(plan, &Surroundings { guard, interrupt, place: None, counts_syscalls: false })
}

/// Makes one run.
pub fn run_in(plan: &Plan, surroundings: &Surroundings<'_>) -> Result<Outcome, RunError> {
    plan.check()?;
    descriptors::ensure(plan)?;
    let mut progress = Progress::start_at(surroundings.place, plan.title());
    let begun = begin(plan, surroundings.guard, &progress);
    let (mut broker, fleet) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            progress.finish();
            return Err(error);
        }
    };
    let outcome = run_through(plan, (&mut broker, fleet), surroundings, &mut progress);
    progress.finish();
    if outcome.as_ref().is_ok_and(|outcome| outcome.ending == Ending::Complete) {
        broker.stop();
    }
    // A broker that something went wrong with is ended without patience, by being dropped.
    outcome
}

/// The broker, and the agents of other hosts, if there are any: they say where it is to listen.
fn begin(
    plan: &Plan,
    guard: Option<&Path>,
    progress: &Progress,
) -> Result<(Broker, Option<Fleet>), RunError> {
    let fleet = match &plan.hosts {
        Some(hosts) => {
            progress.phase("connecting to the hosts");
            Some(Fleet::connect(hosts, plan.measured_subscribers())?)
        }
        None => None,
    };
    let broker = Broker::get(plan, fleet.as_ref(), guard)?;
    Ok((broker, fleet))
}

fn run_through(
    plan: &Plan,
    (broker, fleet): (&mut Broker, Option<Fleet>),
    surroundings: &Surroundings<'_>,
    progress: &mut Progress,
) -> Result<Outcome, RunError> {
    let endpoint = broker.endpoint().clone();
    let overflow = match &plan.broker {
        // It has the policy as its default.
        BrokerChoice::Started(_) => None,
        BrokerChoice::Running { overflow, .. } => *overflow,
    };
    let empty = broker.usage()?;
    let mut drive = Drive::set_up(plan, ((&endpoint, overflow), fleet), surroundings.interrupt, progress)
        .map_err(|error| RunError::Drive { error, broker: broker.failure_suffix() })?;
    let syscalls = surroundings.counts_syscalls.then(|| count_syscalls(plan, broker));
    let before = Reading::now(broker.usage()?);
    let mut driven = drive.go(progress, || broker.failure());
    let after = Reading::now(broker.usage().ok().flatten());
    let syscalls = syscalls.map(|counting| counting.and_then(SyscallCount::stop));
    if let Ending::Failed(said) | Ending::TimedOut(said) = &mut driven.ending {
        said.push_str(&broker.failure_suffix());
    }
    // Direct publishers have no page of counters.
    let counters = match plan.mode {
        Mode::Proxy => broker.counters(sends(plan, &driven)),
        Mode::Direct => Counters::default(),
    };
    let stopped = drive.stop();
    let mut outcome = outcome(plan, &driven);
    let cost = Cost { empty_rss_bytes: empty.map(|usage| usage.rss_bytes), before, after };
    cost.describe(plan, &mut outcome.record);
    note_counters(plan, counters, &mut outcome.record);
    note_syscalls(syscalls, &mut outcome.record);
    if let Err(error) = stopped {
        outcome.ending =
            Ending::Failed(format!("the swarm did not end as it should: {}", with_causes(&error)));
    }
    Ok(outcome)
}

/// What the kernel will have taken from the broker, if nobody is slow and nothing is dropped: of each message one for
/// each session.
fn sends(plan: &Plan, driven: &Driven) -> u64 {
    let sessions = match plan.sessions {
        Sessions::PerSubscriber => plan.measured_subscribers(),
        Sessions::PerExecutor => driven.tallies.len(),
    };
    driven.sent.iter().sum::<u64>().saturating_mul(sessions as u64)
}

fn count_syscalls(plan: &Plan, broker: &Broker) -> Result<SyscallCount, String> {
    match (plan.mode, broker.pid()) {
        (Mode::Direct, _) => {
            Err("direct publishers share a process with their subscribers, which call the system too".into())
        }
        (Mode::Proxy, None) => Err("it is not known which process the broker is".into()),
        (Mode::Proxy, Some(pid)) => SyscallCount::start(pid),
    }
}

/// What shards did; and what was dropped for slow subscribers, which shows that they did get behind.
fn note_counters(plan: &Plan, counters: Counters, record: &mut RunRecord) {
    if plan.slow.is_some() && !counters.shards.is_empty() {
        let dropped = counters.drops.saturating_sub(record.gaps_reported);
        record.extra.insert(SLOW_DROPPED.to_owned(), dropped as f64);
    }
    record.shards = counters.shards;
}

fn note_syscalls(counted: Option<Result<u64, String>>, record: &mut RunRecord) {
    match counted {
        Some(Ok(count)) if record.deliveries > 0 => {
            let each = thousandths(count as f64 / record.deliveries as f64);
            record.extra.insert(syscalls::PER_DELIVERY.to_owned(), each);
        }
        Some(Err(why)) => record.notes.push(format!("no system calls were counted: {why}")),
        Some(Ok(_)) | None => {}
    }
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
        self.pid().map(usage_of).transpose()
    }

    fn pid(&self) -> Option<u32> {
        match self {
            Broker::Started { process, .. } => Some(process.pid()),
            Broker::Running { pid, .. } => *pid,
        }
    }

    /// What its shards did, once all together have made so many deliveries; nothing if it does not say.
    fn counters(&self, deliveries: u64) -> Counters {
        let address = match self {
            Broker::Started { process, .. } => process.metrics(),
            Broker::Running { .. } => None,
        };
        // One that has ended says nothing any more.
        address.map(|address| Counters::read_after(address, deliveries)).unwrap_or_default()
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

fn outcome(plan: &Plan, driven: &Driven) -> Outcome {
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
