//! Owns one run: a broker, a swarm, and the record of what it did.

use super::broker::{BrokerError, BrokerProcess};
use super::cost::{Cost, Reading, thousandths};
use super::counters::Counters;
use super::descriptors::{self, DescriptorsError};
use super::drive::{Drive, DriveError};
use super::outcome::{Outcome, outcome};
use super::plan::{BrokerChoice, Plan, PlanError};
use super::syscalls::{self, SyscallCount};
use super::watch::{Driven, Ending};
use crate::host::fleet::{Fleet, FleetError};
use crate::interrupt::Interrupt;
use crate::measure::process::{Usage, UsageError, usage_of};
use crate::report::progress::{Place, Progress};
use crate::report::record::{RunRecord, ShardRecord};
use crate::swarm::reports::with_causes;
use corecast::{Endpoint, Mode, Sessions};
use corecast_executors::pause;
use std::path::Path;
use std::time::{Duration, Instant};

/// The name of a figure in `extra`: messages that the broker dropped because a slow subscriber's queue was full.
const SLOW_DROPPED: &str = "slow_dropped";
/// Another: the part of a core that the broker takes while everybody is there and nothing is sent.
pub const QUIET_CORES: &str = "quiet_cpu_cores";
/// Between the last connection and the measuring of silence: what connecting left to do is done by then.
pub(super) const SETTLE: Duration = Duration::from_secs(1);
/// Between two looks at whether somebody asked to stop, while it is quiet.
const QUIET_LOOK_EVERY: Duration = Duration::from_millis(100);

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
    let quiet_cores = match plan.quiet {
        Some(quiet) => broker.cores_in_silence(quiet, surroundings.interrupt, progress)?,
        None => None,
    };
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
    outcome.record.extra.extend(quiet_cores.map(|cores| (QUIET_CORES.to_owned(), cores)));
    note_counters(plan, driven.tallies.len(), counters, &mut outcome.record);
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
fn note_counters(plan: &Plan, executors: usize, counters: Counters, record: &mut RunRecord) {
    if plan.slow.is_some() && !counters.shards.is_empty() {
        let dropped = counters.drops.saturating_sub(record.gaps_reported);
        record.extra.insert(SLOW_DROPPED.to_owned(), dropped as f64);
    }
    record.shards = match plan.sessions {
        Sessions::PerSubscriber => counters.shards,
        Sessions::PerExecutor => {
            let session = plan.subscribers as f64 / executors.max(1) as f64;
            counters.shards.into_iter().map(|shard| shared_sessions(shard, session)).collect()
        }
    };
}

/// The page counts subscriptions: of a session that an executor shares, as many as that has subscribers.
fn shared_sessions(shard: ShardRecord, subscriptions_of_one: f64) -> ShardRecord {
    let sessions = (shard.sessions as f64 / subscriptions_of_one).round() as u64;
    ShardRecord { sessions, ..shard }
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

/// Waits; `false` if somebody asked to stop.
fn sleep(time: Duration, interrupt: &Interrupt) -> bool {
    let until = Instant::now() + time;
    while !interrupt.is_set() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        pause(left.min(QUIET_LOOK_EVERY));
    }
    false
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

    /// The part of a core that it takes while nothing is sent; nothing if somebody asked to stop meanwhile, or if it is
    /// not known which process it is.
    fn cores_in_silence(
        &self,
        quiet: Duration,
        interrupt: &Interrupt,
        progress: &Progress,
    ) -> Result<Option<f64>, UsageError> {
        progress.phase("waiting in silence");
        if !sleep(SETTLE, interrupt) {
            return Ok(None);
        }
        let (before, started) = (self.usage()?, Instant::now());
        if !sleep(quiet, interrupt) {
            return Ok(None);
        }
        let (after, wall) = (self.usage()?, started.elapsed());
        let (Some(before), Some(after)) = (before, after) else { return Ok(None) };
        let cores = after.cpu.0.saturating_sub(before.cpu.0) as f64 / wall.as_nanos() as f64;
        // An idle broker takes thousandths of a core.
        Ok(Some((cores * 1e5).round() / 1e5))
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

#[cfg(test)]
mod tests {
    use super::super::plan::tests::sample_plan;
    use super::*;

    #[test]
    fn a_shared_session_counts_once() {
        let shards =
            [(256, 6), (512, 12), (0, 0)].map(|(sessions, deliveries)| ShardRecord { sessions, deliveries });
        let counters = Counters { shards: shards.to_vec(), drops: 0 };
        let sessions = |sessions, subscribers| {
            let mut record = RunRecord::default();
            let plan = Plan { sessions, subscribers, ..sample_plan() };
            note_counters(&plan, 3, counters.clone(), &mut record);
            record.shards.iter().map(|shard| shard.sessions).collect::<Vec<_>>()
        };
        assert_eq!(sessions(Sessions::PerExecutor, 768), [1, 2, 0]);
        assert_eq!(sessions(Sessions::PerSubscriber, 768), [256, 512, 0]);
    }

    #[test]
    fn what_was_dropped_for_slow_ones_is_what_nobody_else_was_told() {
        let slow = Some(super::super::plan::Slow { subscribers: 1, delay: None });
        let counters = Counters { shards: vec![ShardRecord::default()], drops: 10 };
        let mut record = RunRecord { gaps_reported: 4, ..RunRecord::default() };
        note_counters(&Plan { slow, ..sample_plan() }, 1, counters, &mut record);
        assert_eq!(record.extra[SLOW_DROPPED], 6.0);
    }
}
