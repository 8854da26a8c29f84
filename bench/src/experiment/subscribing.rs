//! Owns a run in which nothing is sent: raw clients of our broker subscribe, and the cost of a filter is measured, from
//! the first thousand to the last.

use super::descriptors;
use super::error::DriveError;
use super::outcome::{Outcome, sum_up};
use super::plan::Plan;
use super::run::{RunError, Surroundings};
use super::watch::Ending;
use crate::process::joined;
use crate::process::server::Server;
use crate::progress::{Position, Progress};
use crate::record::thousandths;
use crate::results::Deliveries;
use crate::swarm::raw::dialect::Language;
use crate::swarm::raw::dialect::sink::{Role, Wanted};
use crate::swarm::raw::session::RawSession;
use crate::swarm::raw::target::RawTarget;
use crate::swarm::reports::{Failure, Sent};
use crate::swarm::topics::Topics;
use corecast_executors::MonotonicNs;

/// The name of a figure in `extra`: CPU time of the broker for a filter, in microseconds.
pub const FILTER_US: &str = "cpu_us_per_filter";
/// Another: that of the last thousand filters over that of the first thousand.
pub const GROWTH: &str = "cpu_growth";
/// Filters whose cost is read together.
const READ_TOGETHER: usize = 1_000;

/// Makes the run: the plan's subscribers connect, and then subscribe one after the other.
pub fn subscribe_all(plan: &Plan, surroundings: &Surroundings<'_>) -> Result<Outcome, RunError> {
    plan.check()?;
    descriptors::ensure(plan)?;
    let mut progress = Progress::start_at(surroundings.place, format!("subscribing, {}", plan.title()));
    let failed = |what: &str, why: String| RunError::Drive {
        error: Failure::new(what, why).into(),
        broker: String::new(),
    };
    let itself = || failed("subscribing", "it starts its broker itself".into());
    let options = plan.options().ok_or_else(itself)?;
    let broker = joined::start(options, plan.mode, None, surroundings.guard)?;
    progress.phase("connecting");
    let topics = Topics::of_peers(plan.workload(), Language::Native.separator());
    let nothing = Wanted { subscribers: 1, filters: Vec::new(), topic_bytes: 0 };
    let target = RawTarget::at(&broker.subscribe_at, Language::Native, &broker);
    let connect = |index| {
        let role = (Role::Subscriber(nothing.clone()), index);
        RawSession::connect(role, &target, plan.timeout)
    };
    let clients: Result<Vec<RawSession>, _> = (0..plan.subscribers).map(connect).collect();
    let mut clients = clients.map_err(|error| failed("a subscriber", error.to_string()))?;
    progress.phase("subscribing");
    let mut costs = Costs::begin(&broker)?;
    for (index, client) in clients.iter_mut().enumerate() {
        if surroundings.interrupt.is_set() {
            return Err(RunError::Drive { error: DriveError::Interrupted, broker: String::new() });
        }
        let mut filters = topics.filter_names(index);
        // Filters that came in order would be the easier case.
        fastrand::Rng::with_seed(index as u64).shuffle(&mut filters);
        for some in filters.chunks(READ_TOGETHER) {
            client.subscribe(some).map_err(|error| failed("a subscriber", error.to_string()))?;
            costs.add(some.len(), &broker)?;
        }
        let done = (index + 1) as f64 / plan.subscribers as f64;
        progress.update(&Position { done, ..Position::default() });
    }
    drop(clients);
    broker.stop();
    Ok(outcome(plan, &costs))
}

/// The broker's CPU time, read whenever a thousand more filters are in force.
struct Costs {
    before_ns: u64,
    /// Filters since it was read last.
    unread: usize,
    /// That of each thousand, in nanoseconds.
    thousands_ns: Vec<u64>,
}

impl Costs {
    fn begin(broker: &Server) -> Result<Self, RunError> {
        Ok(Costs { before_ns: cpu_ns(broker)?, unread: 0, thousands_ns: Vec::new() })
    }

    fn add(&mut self, filters: usize, broker: &Server) -> Result<(), RunError> {
        self.unread += filters;
        if self.unread >= READ_TOGETHER {
            let now_ns = cpu_ns(broker)?;
            self.thousands_ns.push(now_ns - std::mem::replace(&mut self.before_ns, now_ns));
            self.unread = 0;
        }
        Ok(())
    }
}

fn cpu_ns(broker: &Server) -> Result<u64, RunError> {
    Ok(broker.usage()?.map_or(0, |usage| usage.cpu.ns))
}

/// The record of a run in which so much was read, and nothing was sent.
fn outcome(plan: &Plan, costs: &Costs) -> Outcome {
    let nothing = Sent::nothing(MonotonicNs::now());
    let mut outcome = sum_up(plan, nothing, Deliveries::new(plan.publishers), Ending::Complete);
    let all_ns: u64 = costs.thousands_ns.iter().sum();
    let read = costs.thousands_ns.len() * READ_TOGETHER;
    let (first, last) = (costs.thousands_ns.first(), costs.thousands_ns.last());
    let growth = first.zip(last).map_or(1.0, |(first, last)| *last as f64 / (*first).max(1) as f64);
    let figures = [(FILTER_US, all_ns as f64 / 1e3 / read.max(1) as f64), (GROWTH, growth)];
    let figures = figures.map(|(name, figure)| (name.to_owned(), thousandths(figure)));
    outcome.record.extra.extend(figures);
    outcome
}
