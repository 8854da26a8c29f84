//! Owns the choice between publishers of our own library and the raw ones of a comparison. Both do the same things, and
//! report on the same channel.

use super::plan::Plan;
use crate::measure::payload::RunId;
use crate::swarm::publishers::Publishers;
use crate::swarm::raw::publishers::RawPublishers;
use corecast_executors::{MonotonicNs, PoolError};

/// The publishers of a run.
#[derive(Debug)]
pub(crate) enum Senders {
    /// Those of our own library.
    Library(Publishers),
    /// Those over raw sockets, or the floor.
    Raw(RawPublishers),
}

impl Senders {
    /// Lets all publishers send from `start` on.
    pub(super) fn go(&mut self, plan: &Plan, run: RunId, start: MonotonicNs) {
        match self {
            Senders::Library(publishers) => publishers.go(start),
            Senders::Raw(publishers) => {
                publishers.go(run, plan.workload(), start, (plan.rate, plan.amount));
            }
        }
    }

    /// Asks for the number of messages sent.
    pub(super) fn look(&mut self) {
        match self {
            Senders::Library(publishers) => publishers.look(),
            Senders::Raw(publishers) => publishers.look(),
        }
    }

    /// Lets no publisher send another message.
    pub(super) fn halt(&self) {
        match self {
            Senders::Library(publishers) => publishers.halt(),
            Senders::Raw(publishers) => publishers.halt(),
        }
    }

    /// Waits until the executors have stopped.
    pub(super) fn stop(self) -> Result<(), PoolError> {
        match self {
            Senders::Library(publishers) => publishers.stop(),
            Senders::Raw(publishers) => {
                publishers.stop();
                Ok(())
            }
        }
    }
}
