//! Owns the errors of the swarm of a run.

use crate::host::fleet::FleetError;
use crate::swarm::reports::{Failure, with_causes};
use corecast_executors::PoolError;
use std::time::Duration;

/// An error that leaves nothing to show of a swarm.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The executors did not start.
    #[error("cannot start the swarm: {}", with_causes(.0))]
    Pool(PoolError),
    /// Somebody asked to stop.
    #[error("interrupted before the first message")]
    Interrupted,
    /// Publishers or subscribers could not be set up.
    #[error("cannot set up the swarm: {0}")]
    Failed(Failure),
    /// Other hosts could not be used.
    #[error(transparent)]
    Fleet(Box<FleetError>),
    /// A timeout: some executors are not ready.
    #[error("the swarm was not set up within {} s: {waiting} of {executors} executors are not ready", .timeout.as_secs_f64())]
    TimedOut {
        /// The time that was waited.
        timeout: Duration,
        /// Executors that have not reported.
        waiting: usize,
        /// Executors that there are.
        executors: usize,
    },
}

impl From<FleetError> for DriveError {
    fn from(error: FleetError) -> Self {
        DriveError::Fleet(Box::new(error))
    }
}

impl From<Failure> for DriveError {
    fn from(failure: Failure) -> Self {
        DriveError::Failed(failure)
    }
}

impl From<PoolError> for DriveError {
    fn from(error: PoolError) -> Self {
        DriveError::Pool(error)
    }
}
