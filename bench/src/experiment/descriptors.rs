//! Owns the question whether there are open files enough for a run, and raises the soft limit to the hard one. A
//! run that would fail at its 19,000th socket fails before its first, and says by how much.

use super::plan::{BrokerChoice, Plan};
use corecast::Sessions;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Open files of an executor besides its sessions: its rings, its timers, its event descriptors.
const FILES_PER_EXECUTOR: u64 = 16;
/// Open files of a process besides its executors: standard streams, listeners, the libraries it is made of, what
/// its caller left open.
const FILES_BESIDES: u64 = 64;

/// A lack of open files.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DescriptorsError {
    /// The hard limit is too low.
    #[error(
        "{subscribers} subscribers need {needed} open files, and the hard limit of this process is {limit} (ulimit -Hn): {advice}"
    )]
    TooFew {
        /// Subscribers that were asked for.
        subscribers: usize,
        /// Open files that the side with more sockets needs.
        needed: u64,
        /// The hard limit.
        limit: u64,
        /// A plan that would work.
        advice: String,
    },
    /// The limit could not be read or raised.
    #[error("cannot raise the limit of open files to {to}: {why}")]
    Limit {
        /// The hard limit.
        to: u64,
        /// The kernel's answer.
        why: nix::Error,
    },
}

/// Makes sure that both this process and a broker that it starts may open what the plan needs: the broker inherits
/// the limits.
pub fn ensure(plan: &Plan) -> Result<(), DescriptorsError> {
    ensure_files(|limit| check(plan, limit))
}

/// Raises the limit of open files to the hard one, if `check` finds that to be enough.
pub fn ensure_files(check: impl FnOnce(u64) -> Result<(), DescriptorsError>) -> Result<(), DescriptorsError> {
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).map_err(|why| DescriptorsError::Limit { to: 0, why })?;
    check(hard)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
            .map_err(|why| DescriptorsError::Limit { to: hard, why })?;
    }
    Ok(())
}

/// Refuses a number of subscribers whose open files are more than the hard limit.
pub fn check_files(
    subscribers: usize,
    needed: u64,
    limit: u64,
    advice: impl FnOnce() -> String,
) -> Result<(), DescriptorsError> {
    if needed <= limit {
        return Ok(());
    }
    Err(DescriptorsError::TooFew { subscribers, needed, limit, advice: advice() })
}

fn check(plan: &Plan, limit: u64) -> Result<(), DescriptorsError> {
    let advice = || match plan.sessions {
        Sessions::PerSubscriber => format!(
            "at most {} subscribers with a session each, or any number with --sessions per-executor",
            most(plan, limit)
        ),
        Sessions::PerExecutor => "raise the limit or use fewer executors (--cores)".to_owned(),
    };
    check_files(plan.subscribers, needed(plan), limit, advice)
}

/// The largest number of subscribers of this plan that the hard limit allows.
pub fn subscribers_max(plan: &Plan) -> usize {
    let hard = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard);
    match plan.sessions {
        Sessions::PerSubscriber => usize::try_from(most(plan, hard)).unwrap_or(usize::MAX),
        Sessions::PerExecutor => usize::MAX,
    }
}

/// The largest number of subscribers with a session each that a limit allows.
fn most(plan: &Plan, limit: u64) -> u64 {
    let each = files_per_subscriber(plan);
    limit.saturating_sub(needed(plan) - plan.subscribers as u64 * each) / each
}

/// The open files of the process that needs more. Sessions with the broker have an end in each; those with direct
/// publishers, which are in this process as their subscribers are, have both ends here. Where subscribers are on
/// other hosts, one end of each is there.
fn needed(plan: &Plan) -> u64 {
    let executors = (plan.subscriber_cores.len() + plan.publisher_cores.len()) as u64;
    let hosts = plan.direct_hosts() as u64;
    // Slow subscribers have an executor more, a timer each, and sessions of their own in any case.
    let slow = plan.slow.map_or(0, |slow| {
        let each = match plan.sessions {
            Sessions::PerSubscriber => 1,
            Sessions::PerExecutor => 1 + files_per_subscriber(plan),
        };
        FILES_PER_EXECUTOR + slow.subscribers as u64 * each
    });
    let sessions = match plan.sessions {
        Sessions::PerSubscriber => {
            plan.subscribers as u64 * files_per_subscriber(plan) + plan.publishers as u64 + executors
        }
        Sessions::PerExecutor => executors + ends_here(plan) * hosts * plan.subscriber_cores.len() as u64,
    };
    // A listener each, and an executor on each core that they send from.
    let (listeners, own_executors) = match hosts {
        0 => (0, 0),
        hosts => (hosts, plan.fan_out_cores.len() as u64),
    };
    let executors = executors + own_executors;
    let shards = match &plan.broker {
        // A shard for each core of this machine, unless the broker is told less.
        BrokerChoice::Started(_) => {
            std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
        }
        BrokerChoice::Running { .. } => 0,
    };
    sessions + slow + listeners + executors.max(shards) * FILES_PER_EXECUTOR + FILES_BESIDES
}

/// Files that a subscriber with a session of its own has in this process: one to the broker, and in direct mode both
/// ends of one to each publisher. One on another host has none here but the publishers' ends, and one at the broker.
fn files_per_subscriber(plan: &Plan) -> u64 {
    let hosts = plan.direct_hosts() as u64;
    if plan.hosts.is_some() { hosts.max(1) } else { 1 + ends_here(plan) * hosts }
}

/// Files that the same subscriber has on its own host, if that is another one.
pub(super) fn files_per_subscriber_elsewhere(plan: &Plan) -> u64 {
    1 + plan.direct_hosts() as u64
}

/// Ends of a session with a direct publisher that are in this process.
fn ends_here(plan: &Plan) -> u64 {
    if plan.hosts.is_some() { 1 } else { 2 }
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::sample_plan;
    use super::*;
    use corecast::Mode;

    #[test]
    fn what_fits_fits() {
        assert_eq!(check(&sample_plan(), 1024), Ok(()));
        assert_eq!(ensure(&sample_plan()), Ok(()));
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, hard);
    }

    #[test]
    fn what_does_not_fit_says_how_much_would() {
        let mut plan = sample_plan();
        plan.subscribers = 60_000;
        let error = check(&plan, 20_000).unwrap_err();
        let said = error.to_string();
        assert!(said.starts_with("60000 subscribers need 60"), "{said}");
        assert!(said.contains("limit of this process is 20000 (ulimit -Hn)"), "{said}");
        assert!(said.contains("at most 19") && said.contains("--sessions per-executor"), "{said}");
        plan.sessions = Sessions::PerExecutor;
        assert_eq!(check(&plan, 20_000), Ok(()));
    }

    #[test]
    fn as_many_as_the_advice_says_do_fit() {
        let mut plan = sample_plan();
        plan.subscribers = 60_000;
        let said = check(&plan, 20_000).unwrap_err().to_string();
        let most = said.split("at most ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        plan.subscribers = most.parse().unwrap();
        assert_eq!(check(&plan, 20_000), Ok(()));
        plan.subscribers += 1;
        assert!(check(&plan, 20_000).is_err());
    }

    #[test]
    fn direct_publishers_have_their_ends_here_too() {
        let mut plan = Plan { mode: Mode::Direct, publishers: 3, subscribers: 60_000, ..sample_plan() };
        let said = check(&plan, 20_000).unwrap_err().to_string();
        assert!(said.starts_with("60000 subscribers need 420"), "{said}");
        assert!(said.contains("at most 28"), "{said}");
        plan.subscribers = 2_800;
        assert_eq!(check(&plan, 20_000), Ok(()));
        plan.subscribers = 2_900;
        assert!(check(&plan, 20_000).is_err());
        plan = Plan { sessions: Sessions::PerExecutor, subscribers: 60_000, ..plan };
        assert_eq!(check(&plan, 1_000), Ok(()));
    }
}
