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

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
