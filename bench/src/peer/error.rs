//! Owns the reasons for which a peer is not measured.

use crate::process::broker::BrokerError;

/// The reason for which a peer is not measured.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StartError {
    /// Its program is not there.
    #[error("{program} is not there: {fix}")]
    Missing {
        /// The missing program.
        program: String,
        /// The way to get it.
        fix: String,
    },
    /// The peer cannot do what was asked for.
    #[error("{0}")]
    Unsupported(String),
    /// The peer does not start.
    #[error("{program} does not start: {why}")]
    Failed {
        /// The program.
        program: String,
        /// The reason.
        why: String,
    },
}

/// A peer that does not start, for this reason.
pub(super) fn failed(program: &str, why: impl ToString) -> StartError {
    StartError::Failed { program: program.to_owned(), why: why.to_string() }
}

/// A broker of ours that is not there, or does not start.
pub(super) fn broker_missing(error: BrokerError) -> StartError {
    match error {
        BrokerError::NotFound { .. } | BrokerError::NoSuchFile { .. } => {
            StartError::Missing { program: "corecast".into(), fix: error.to_string() }
        }
        error => failed("corecast", error),
    }
}
