//! Owns the reasons for which a server is not there to be measured.

/// The reason for which a server is not measured.
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
    /// The server cannot do what was asked for.
    #[error("{0}")]
    Unsupported(String),
    /// The server does not start.
    #[error("{program} does not start: {why}")]
    Failed {
        /// The program.
        program: String,
        /// The reason.
        why: String,
    },
}

/// A server that does not start, for this reason.
pub(crate) fn failed(program: &str, why: impl ToString) -> StartError {
    StartError::Failed { program: program.to_owned(), why: why.to_string() }
}
