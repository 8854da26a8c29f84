//! Owns the exit codes of the command.

use std::process::ExitCode;

/// An exit code. The numbers are those of both commands of this project.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Exit {
    /// All went well.
    Fine = 0,
    /// Something failed, or was interrupted.
    Failed = 1,
    /// Wrong usage, or an assertion that does not hold.
    Usage = 2,
    /// The asked rate was not reached.
    RateMissed = 3,
    /// A timeout.
    TimedOut = 27,
}

/// An error of the caller, which has an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
struct WrongUsage(anyhow::Error);

/// Results whose errors may be the caller's.
pub(super) trait OrWrongUsage<T> {
    /// Makes an error one of wrong usage.
    fn or_wrong_usage(self) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrWrongUsage<T> for Result<T, E> {
    fn or_wrong_usage(self) -> anyhow::Result<T> {
        self.map_err(|error| WrongUsage(error.into()).into())
    }
}

impl Exit {
    /// The exit code of an error.
    pub(super) fn of(error: &anyhow::Error) -> Self {
        if error.is::<WrongUsage>() { Exit::Usage } else { Exit::Failed }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
