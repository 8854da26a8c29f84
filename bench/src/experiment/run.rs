//! Owns one run: a broker, a swarm, and the record of what it did.

use super::cost::{Cost, Reading};
use super::counters::Counters;
use super::descriptors::{self, DescriptorsError};
use super::drive::{BrokerAt, Drive};
use super::error::DriveError;
use super::outcome::{Outcome, outcome};
use super::plan::{BrokerChoice, Plan, PlanError};
use super::syscalls::{self, SyscallCount};
use super::watch::{Driven, Ending};
use crate::host::fleet::{Fleet, FleetError};
use crate::host::hosts_file::Hosts;
use crate::interrupt::Interrupt;
use crate::measure::process::UsageError;
use crate::process::error::StartError;
use crate::process::joined;
use crate::process::server::Server;
use crate::process::trust::Trust;
use crate::progress::{Place, Progress};
use crate::record::{RunRecord, ShardRecord, SkippedRecord, thousandths};
use crate::swarm::raw::dialect::Language;
use crate::swarm::raw::target::RawTarget;
use crate::swarm::raw::visitors::Visitors;
use crate::swarm::reports::{Failure, with_causes};
use corecast::{Mode, Sessions};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The name of a figure in `extra`: messages that the broker dropped because a slow subscriber's queue was full.
const SLOW_DROPPED: &str = "slow_dropped";
/// Another: the part of a core that the broker takes while everybody is there and nothing is sent.
pub const QUIET_CORES: &str = "quiet_cpu_cores";
/// Another: clients that came and went meanwhile.
pub const VISITS: &str = "visits";
/// Time between the last connection and the measuring of silence: what connecting left to do is done by then.
pub(super) const SETTLE: Duration = Duration::from_secs(1);
/// Time in which visitors come where it is not known how long it sends.
const VISITS_WITHIN: Duration = Duration::from_secs(10);

/// An error that leaves a run without a record.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The system that it is of is not there, or cannot do what is asked: no run of it can be made.
    #[error("{}: {}", .0.peer, .0.why)]
    Skipped(SkippedRecord),
    /// The plan makes no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// There are not enough open files.
    #[error(transparent)]
    Descriptors(#[from] DescriptorsError),
    /// The hosts that should play subscribers do not.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The broker does not start.
    #[error(transparent)]
    Broker(#[from] StartError),
    /// The process that was said to be the broker cannot be read.
    #[error("cannot measure the broker: {0}")]
    Usage(#[from] UsageError),
    /// The swarm cannot be set up.
    #[error("{error}{broker}")]
    Drive {
        /// The error.
        error: DriveError,
        /// The broker's last words, if it has ended.
        broker: String,
    },
}

/// The surroundings of a run.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The file of this command: with it, a broker that is started cannot outlive this process.
    pub guard: Option<&'a Path>,
    /// The wish to stop.
    pub interrupt: &'a Interrupt,
    /// The place of the run among several, for the display.
    pub place: Option<Place>,
    /// Set to count the system calls of the broker, which costs it time.
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
    let (mut broker, fleet) = begin(plan, surroundings.guard, &progress)?;
    let outcome = run_through(plan, (&mut broker, fleet), surroundings, &mut progress);
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
) -> Result<(Server, Option<Fleet>), RunError> {
    let connect = |hosts: &Arc<Hosts>| {
        progress.phase("connecting to the hosts");
        Fleet::connect(hosts, plan.measured_subscribers())
    };
    let fleet = plan.hosts.as_ref().map(connect).transpose()?;
    let options = match &plan.broker {
        BrokerChoice::Started(options) => options,
        BrokerChoice::Running { endpoint, pid, .. } => {
            return Ok((Server::running(endpoint.clone(), *pid), fleet));
        }
    };
    let mut broker = joined::start(options, plan.mode, fleet.as_ref().map(Fleet::listen), guard)?;
    if let Some(advertise) = fleet.as_ref().and_then(Fleet::advertise) {
        broker.subscribe_at = advertise.clone();
    }
    Ok((broker, fleet))
}

fn run_through(
    plan: &Plan,
    (broker, fleet): (&mut Server, Option<Fleet>),
    surroundings: &Surroundings<'_>,
    progress: &mut Progress,
) -> Result<Outcome, RunError> {
    let at = BrokerAt {
        endpoint: broker.subscribe_at.clone(),
        far: broker.far_at.clone(),
        tls: broker.trust.as_ref().map(Trust::library),
        overflow: match &plan.broker {
            // It has the policy as its default.
            BrokerChoice::Started(_) => None,
            BrokerChoice::Running { overflow, .. } => *overflow,
        },
    };
    let empty = broker.usage()?;
    let mut drive = Drive::set_up(plan, (&at, fleet), surroundings.interrupt, progress)
        .map_err(|error| RunError::Drive { error, broker: broker.failure_suffix() })?;
    let quiet_cores = match plan.quiet {
        Some(quiet) => cores_in_silence(broker, quiet, surroundings.interrupt, progress)?,
        None => None,
    };
    let syscalls = surroundings.counts_syscalls.then(|| count_syscalls(plan, broker));
    let before = Reading::now(broker.usage()?);
    let visitors = visitors(plan, broker)?;
    let mut driven = drive.go(plan, (progress, "sending"), || broker.failure());
    let visited = visitors.map(Visitors::end).transpose();
    let after = Reading::now(broker.usage().ok().flatten());
    let counted = syscalls.map(|counting| counting.and_then(SyscallCount::stop));
    if let Ending::Failed(said) | Ending::TimedOut(said) = &mut driven.ending {
        said.push_str(&broker.failure_suffix());
    }
    // Direct publishers have no page of counters.
    let counters = match plan.mode {
        Mode::Proxy => counters(broker, sends(plan, &driven)),
        Mode::Direct => Counters::default(),
    };
    let stopped = drive.stop();
    let mut outcome = outcome(plan, &driven);
    outcome.record.reactor = Some(plan.reactor.to_string());
    let cost = Cost { empty_rss_bytes: empty.map(|usage| usage.rss_bytes), before, after };
    cost.describe(plan, &mut outcome.record);
    outcome.record.extra.extend(quiet_cores.map(|cores| (QUIET_CORES.to_owned(), cores)));
    note_counters(plan, driven.tallies.len(), counters, &mut outcome.record);
    match visited {
        Ok(visits) => {
            outcome.record.extra.extend(visits.map(|visits| (VISITS.to_owned(), visits as f64)));
        }
        Err(error) => outcome.ending = Ending::Failed(format!("a visitor was not let in: {error}")),
    }
    // Nothing was delivered, and nothing can be said of a delivery.
    let deliveries = outcome.record.deliveries;
    outcome.syscalls = counted
        .filter(|counted| counted.is_err() || deliveries > 0)
        .map(|counted| counted.map(|calls| thousandths(calls as f64 / deliveries as f64)));
    if let Some(counted) = &outcome.syscalls {
        note_syscalls(counted, &mut outcome.record);
    }
    if let Err(error) = stopped {
        outcome.ending =
            Ending::Failed(format!("the swarm did not end as it should: {}", with_causes(&error)));
    }
    Ok(outcome)
}

/// The clients that come and go while it sends, if there are to be any.
fn visitors(plan: &Plan, broker: &Server) -> Result<Option<Visitors>, RunError> {
    let Some(visits) = plan.visits else { return Ok(None) };
    let target = RawTarget::at(&broker.subscribe_at, Language::Native, broker);
    let within = plan.sending_time().unwrap_or(VISITS_WITHIN);
    let visitors = Visitors::begin(target, (visits, within), plan.timeout);
    visitors.map(Some).map_err(|error| {
        let error = Failure::new("the visitors", error.to_string()).into();
        RunError::Drive { error, broker: String::new() }
    })
}

/// Messages that the kernel takes from the broker if nobody is slow and nothing is dropped: each message once for
/// each session that wants its topic.
fn sends(plan: &Plan, driven: &Driven) -> u64 {
    let accounts = driven.tallies.iter().map(|(_, tally)| match plan.sessions {
        Sessions::PerSubscriber => tally.totals(&driven.sent).expected,
        Sessions::PerExecutor => tally.oracle().wanted_by_anybody(&driven.sent),
    });
    accounts.sum()
}

fn count_syscalls(plan: &Plan, broker: &Server) -> Result<SyscallCount, String> {
    match (plan.mode, broker.pid) {
        (Mode::Direct, _) => {
            Err("direct publishers share a process with their subscribers, which call the system too".into())
        }
        (Mode::Proxy, None) => Err("it is not known which process the broker is".into()),
        (Mode::Proxy, Some(pid)) => SyscallCount::start(pid),
    }
}

/// Records the work of the shards, and the drops for slow subscribers, which show that these did fall behind.
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

/// Writes a count of system calls into the record, or why there is none.
pub(super) fn note_syscalls(counted: &Result<f64, String>, record: &mut RunRecord) {
    match counted {
        Ok(each) => drop(record.extra.insert(syscalls::PER_DELIVERY.to_owned(), *each)),
        Err(why) => record.notes.push(format!("no system calls were counted: {why}")),
    }
}

/// The part of a core that a broker takes while nothing is sent; nothing if somebody asked to stop meanwhile, or if it
/// is not known which process it is.
fn cores_in_silence(
    broker: &Server,
    quiet: Duration,
    interrupt: &Interrupt,
    progress: &Progress,
) -> Result<Option<f64>, UsageError> {
    progress.phase("waiting in silence");
    if !interrupt.pause(SETTLE) {
        return Ok(None);
    }
    let (before, started) = (broker.usage()?, Instant::now());
    if !interrupt.pause(quiet) {
        return Ok(None);
    }
    let (after, wall) = (broker.usage()?, started.elapsed());
    let (Some(before), Some(after)) = (before, after) else { return Ok(None) };
    let cores = after.cpu.since(before.cpu).ns as f64 / wall.as_nanos() as f64;
    // An idle broker takes thousandths of a core.
    Ok(Some((cores * 1e5).round() / 1e5))
}

/// The counters of each shard, once all together have made so many deliveries; none if the broker does not serve them.
fn counters(broker: &Server, deliveries: u64) -> Counters {
    Counters::read_after(&broker.counters(), deliveries)
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::sample_plan;
    use super::*;

    #[test]
    fn a_shared_session_counts_once() {
        let shards =
            [(256, 6), (512, 12), (0, 0)].map(|(sessions, deliveries)| ShardRecord { sessions, deliveries });
        let counters = Counters { shards: shards.to_vec(), ..Counters::default() };
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
        let counters = Counters { shards: vec![ShardRecord::default()], drops: 10, ..Counters::default() };
        let mut record = RunRecord { gaps_reported: 4, ..RunRecord::default() };
        note_counters(&Plan { slow, ..sample_plan() }, 1, counters, &mut record);
        assert_eq!(record.extra[SLOW_DROPPED], 6.0);
    }
}
