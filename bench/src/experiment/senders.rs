//! Owns the choice between publishers of our own library and the raw one of a comparison. Both do the same things, and
//! report on the same channel.

use super::plan::Plan;
use crate::measure::payload::RunId;
use crate::swarm::publishers::Publishers;
use crate::swarm::raw::publisher::RawPublisher;
use corecast_executors::{MonotonicNs, PoolError};

/// The publishers of a run.
#[derive(Debug)]
pub(crate) enum Senders {
    /// Those of our own library.
    Library(Publishers),
    /// One over a raw socket, or the floor.
    Raw(RawPublisher),
}

impl Senders {
    /// Lets all publishers send from `start` on.
    pub(super) fn go(&mut self, plan: &Plan, run: RunId, start: MonotonicNs) {
        match self {
            Senders::Library(publishers) => publishers.go(start),
            Senders::Raw(publisher) => publisher.go(run, start, (plan.rate, plan.amount)),
        }
    }

    /// Asks for the number of messages sent.
    pub(super) fn look(&mut self) {
        match self {
            Senders::Library(publishers) => publishers.look(),
            Senders::Raw(publisher) => publisher.look(),
        }
    }

    /// Lets no publisher send another message.
    pub(super) fn halt(&self) {
        match self {
            Senders::Library(publishers) => publishers.halt(),
            Senders::Raw(publisher) => publisher.halt(),
        }
    }

    /// Waits until the executors have stopped.
    pub(super) fn stop(self) -> Result<(), PoolError> {
        match self {
            Senders::Library(publishers) => publishers.stop(),
            Senders::Raw(publisher) => {
                publisher.stop();
                Ok(())
            }
        }
    }
}
