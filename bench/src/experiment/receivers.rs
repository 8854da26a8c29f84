//! Owns the choice of subscribers: of our own library on this host or on others, or the raw ones of a comparison. All
//! are asked for the same things, and answer on the same channel.

use super::error::DriveError;
use crate::host::fleet::FleetSwarm;
use crate::measure::payload::RunId;
use crate::measure::tally::Tally;
use crate::record::HostRecord;
use crate::swarm::raw::subscribers::RawSubscribers;
use crate::swarm::subscribers::Subscribers;
use std::sync::Arc;
use std::time::Duration;

/// Time that executors may take to hand over their measurements.
const COLLECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The same over a network: every delivery that was kept is some 30 bytes. A host that says nothing is given up
/// long before.
const COLLECT_TIMEOUT_ELSEWHERE: Duration = Duration::from_secs(120);

/// The subscribers of a run.
#[derive(Debug)]
pub(crate) enum Receivers {
    /// Executors of this process.
    Here(Subscribers),
    /// Executors of agents on other hosts.
    Elsewhere(FleetSwarm),
    /// Raw sockets of this process.
    Raw(RawSubscribers),
}

impl Receivers {
    /// Number of executors.
    pub(super) fn executors(&self) -> usize {
        match self {
            Receivers::Here(subscribers) => subscribers.executors(),
            Receivers::Elsewhere(fleet) => fleet.executors(),
            Receivers::Raw(subscribers) => subscribers.executors(),
        }
    }

    /// Begins a run, with subscribers that may have had others. Returns the number of executors that report when they
    /// are ready for it; our own library's are made for one run, and ready.
    pub(super) fn begin(&self, run: RunId) -> usize {
        let Receivers::Raw(subscribers) = self else { return 0 };
        subscribers.begin(run);
        subscribers.executors()
    }

    /// Asks each executor how far it is.
    pub(super) fn look(&mut self, sent: Option<&Arc<[u64]>>) {
        match self {
            Receivers::Here(subscribers) => subscribers.look(sent),
            Receivers::Elsewhere(fleet) => fleet.look(sent),
            Receivers::Raw(subscribers) => subscribers.look(sent),
        }
    }

    /// Asks each executor for what it measured.
    pub(super) fn finish(&self) {
        match self {
            Receivers::Here(subscribers) => subscribers.finish(),
            Receivers::Elsewhere(fleet) => fleet.finish(),
            Receivers::Raw(subscribers) => subscribers.finish(),
        }
    }

    /// Time that [`Receivers::finish`] may take.
    pub(super) fn collect_timeout(&self) -> Duration {
        match self {
            Receivers::Here(_) | Receivers::Raw(_) => COLLECT_TIMEOUT,
            Receivers::Elsewhere(_) => COLLECT_TIMEOUT_ELSEWHERE,
        }
    }

    /// Puts what was measured on this host's clock, as well as that is known now, and says what there is to know of
    /// other hosts.
    pub(super) fn settle(&mut self, tallies: &mut [(usize, Tally)]) -> Vec<HostRecord> {
        match self {
            Receivers::Here(_) | Receivers::Raw(_) => Vec::new(),
            Receivers::Elsewhere(fleet) => fleet.settle(tallies),
        }
    }

    /// Ends all sessions and waits until the executors have stopped.
    pub(super) fn stop(self) -> Result<(), DriveError> {
        match self {
            Receivers::Here(subscribers) => Ok(subscribers.stop()?),
            Receivers::Elsewhere(fleet) => Ok(fleet.stop()?),
            Receivers::Raw(_) => Ok(()),
        }
    }
}
