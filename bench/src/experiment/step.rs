//! Owns what an experiment is made of: runs that are known beforehand, and searches that decide their next run by the
//! last one.

use super::outcome::Outcome;
use super::plan::Plan;
use super::run::{RunError, SETTLE, Surroundings, run_in};
use crate::record::RunRecord;
use crate::results::Entry;
use crate::swarm::schedule::{Amount, Rate};
use std::time::Duration;

/// Time that a run takes besides sending: processes, connections, the last deliveries, their end.
const BESIDES: Duration = Duration::from_millis(500);
/// Subscribers that connect and go within a second, for the estimate of what is left.
const SUBSCRIBERS_PER_S: f64 = 2_000.0;
/// Time that a flood of a number of messages is assumed to take.
const FLOOD: Duration = Duration::from_secs(3);

/// The function that makes a run.
pub type Make = fn(&Plan, &Surroundings<'_>) -> Result<Outcome, RunError>;

/// A part of an experiment.
#[derive(Clone, Debug)]
pub enum Step {
    /// One run.
    Run(Planned),
    /// Several runs in search of the highest rate that is delivered whole.
    Search(Search),
}

/// One run, and what its record needs besides what every run has.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its plan.
    pub plan: Plan,
    /// The function that makes it: one with a swarm, unless the experiment has its own.
    pub make: Make,
    /// Number of the round, from 1, if there are several.
    pub round: Option<u32>,
    /// Set to count system calls in a short run before it.
    pub counts_syscalls: bool,
    /// Completes the record, with what was recorded before it.
    pub complete: Option<fn(&[Entry], &mut RunRecord)>,
}

/// A search for the highest rate that is delivered whole.
#[derive(Clone, Debug)]
pub struct Search {
    /// Its plan, at rates that the search chooses.
    pub plan: Plan,
    /// Number of runs, at most.
    pub runs_max: u32,
}

impl Planned {
    /// A run like any other.
    pub fn new(plan: Plan) -> Self {
        Planned { plan, make: run_in, round: None, counts_syscalls: false, complete: None }
    }
}

impl Step {
    /// Its plan.
    pub fn plan(&self) -> &Plan {
        match self {
            Step::Run(planned) => &planned.plan,
            Step::Search(search) => &search.plan,
        }
    }

    /// The same, in this round of several.
    #[must_use]
    pub fn in_round(self, round: Option<u32>) -> Self {
        match self {
            Step::Run(planned) => Step::Run(Planned { round, ..planned }),
            search => search,
        }
    }

    /// Number of runs, at most.
    pub fn runs(&self) -> u64 {
        match self {
            Step::Run(_) => 1,
            Step::Search(search) => u64::from(search.runs_max),
        }
    }

    /// About how long it takes.
    pub fn estimate(&self) -> Duration {
        let plan = self.plan();
        let sending = match (plan.amount, plan.rate) {
            (Amount::Messages(_), Rate::Flood) => FLOOD,
            _ => plan.sending_time().unwrap_or(FLOOD),
        };
        let connecting = Duration::from_secs_f64(plan.subscribers as f64 / SUBSCRIBERS_PER_S);
        let quiet = plan.quiet.map_or(Duration::ZERO, |quiet| quiet + SETTLE);
        (quiet + sending + connecting + BESIDES) * u32::try_from(self.runs()).unwrap_or(u32::MAX)
    }
}

/// Every run of a list as a step.
pub fn runs(plans: impl IntoIterator<Item = Plan>) -> Vec<Step> {
    plans.into_iter().map(|plan| Step::Run(Planned::new(plan))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::sample_plan;
    use super::*;

    #[test]
    fn the_estimate_counts_what_is_sent_and_who_connects() {
        let plan = Plan { subscribers: 2_000, ..sample_plan() };
        let run = Step::Run(Planned::new(plan.clone()));
        assert_eq!(run.estimate(), Duration::from_millis(6_500));
        let search = Step::Search(Search { plan, runs_max: 3 });
        assert_eq!((search.runs(), search.estimate()), (3, run.estimate() * 3));
    }
}
