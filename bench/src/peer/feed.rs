//! Owns what makes messages: a publisher that sends them to a peer, or the floor, which sends them itself.

use super::floor::Floor;
use super::gauges::Gauges;
use super::job::{Halt, Job, Sent};
use super::source::Source;

/// The source of messages.
#[derive(Debug)]
pub enum Feed {
    /// A publisher.
    Source(Box<Source>),
    /// The floor.
    Floor(Floor),
}

impl Feed {
    /// Does the job, on the thread that asks.
    pub fn carry_out(&mut self, job: &Job, gauges: &Gauges, halt: &Halt) -> Result<Sent, String> {
        match self {
            Feed::Source(source) => source.carry_out(job, gauges, halt),
            Feed::Floor(floor) => floor.carry_out(job),
        }
    }
}
