//! Owns how commands write: results to stdout, with errors that are handled; all else to stderr, as best it can.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};

use clap::ValueEnum;
use serde::Serialize;

use super::{Exit, Failure};
use crate::printable::{printable, printable_json};
use crate::telemetry::say;

/// The form in which a command that answers with facts prints them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Format {
    /// Prints facts in this form: as words, or as an object on a line.
    pub(super) fn print(self, words: impl FnOnce() -> String, facts: &impl Serialize) -> Result<(), Failure> {
        print(match self {
            Format::Text => words(),
            Format::Json => json_line(facts),
        })
    }
}

/// The failure of a command whose write to stdout has failed.
pub(super) fn write_failed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::closed_pipe(),
        _ => Failure::new(Exit::Failed, format!("cannot write to stdout: {error}")),
    }
}

/// Writes all of it to stdout, now.
pub(super) fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    write_all(text).map_err(write_failed)
}

/// The same for what somebody has to read: that nobody does is a failure.
pub(super) fn print_for_a_reader(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    write_all(text).map_err(|e| Failure::new(Exit::Failed, format!("cannot write to stdout: {e}")))
}

fn write_all(text: impl AsRef<[u8]>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_ref()).and_then(|()| out.flush())
}

/// A value as JSON on a line, for programs; on a terminal it does nothing either.
pub(super) fn json_line(value: &impl Serialize) -> String {
    format!("{}\n", printable_json(&serde_json::json!(value).to_string()))
}

/// True if somebody may be watching stderr: words on how far a command is are for people.
pub(super) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Writes a line to stderr, as far as somebody reads it.
pub(super) fn note(line: impl fmt::Display) {
    say(&format!("{}\n", printable(&line.to_string())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_closed_pipe_is_quiet() {
        let closed = write_failed(io::ErrorKind::BrokenPipe.into());
        assert_eq!(closed, Failure::closed_pipe());
        let full = write_failed(io::ErrorKind::StorageFull.into());
        assert_eq!(full.exit(), Exit::Failed);
        assert!(full.to_string().contains("cannot write to stdout"));
    }
}
