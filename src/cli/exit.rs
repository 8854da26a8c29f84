//! Owns how a command ends: its exit code, and what it says when it failed. `main.rs` prints it.

use std::fmt;
use std::time::Duration;

use super::Sources;
use crate::error::{Error, ErrorKind};
use crate::printable::printable;

/// The exit codes of `corecast` and `corecast-bench`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// All that was asked is done.
    Fine = 0,
    /// It could not be done.
    Failed = 1,
    /// It was asked in a wrong way.
    Usage = 2,
    /// It was done, and slower than asked.
    RateNotReached = 3,
    /// It was not done in the time given.
    TimedOut = 27,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit as u8)
    }
}

/// The early end of a command: an exit code, a sentence without a final dot, and what may help.
#[derive(PartialEq, Eq, Debug)]
pub struct Failure {
    exit: Exit,
    /// The field of a configuration that it is about.
    field: Option<&'static str>,
    /// A sentence, or several where several things are wrong.
    texts: Vec<String>,
    hint: Option<String>,
}

impl Failure {
    /// A failure with this text.
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Failure { exit, field: None, texts: vec![text.into()], hint: None }
    }

    /// A failure for several reasons, each a line.
    pub(super) fn of_many(exit: Exit, texts: Vec<String>) -> Self {
        Failure { exit, field: None, texts, hint: None }
    }

    /// The end where the reader of our output is gone: nothing is wrong, and nothing is to be said.
    pub fn closed_pipe() -> Self {
        Failure { exit: Exit::Fine, field: None, texts: Vec::new(), hint: None }
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts the place where it happened in front of the text.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.texts.iter_mut().for_each(|text| *text = format!("{place}: {text}"));
        self
    }

    /// Says which field of the configuration it is about, unless the error has said so.
    #[must_use]
    pub fn of_field(mut self, field: &'static str) -> Self {
        self.field = self.field.or(Some(field));
        self
    }

    /// Names the source of the value that it is about: in front of the text where the value is wrong, and otherwise, if it
    /// came from the environment or a file, in the hint.
    #[must_use]
    pub fn name_source(mut self, sources: &Sources) -> Self {
        let Some(field) = self.field.take() else { return self };
        if self.exit == Exit::Usage {
            return self.at(sources.place(field));
        }
        if let Some(unseen) = sources.unseen(field) {
            let hint = self.hint.take().map(|hint| format!("{hint}; ")).unwrap_or_default();
            self.hint = Some(format!("{hint}this one is set by {unseen}"));
        }
        self
    }

    /// The same, with another code.
    #[must_use]
    pub fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The failure where a broker was not reached in the time that its user gave it: a broker that is tried again until that is over,
    /// because it is not there, hangs, or hangs up, is a time that is over.
    pub(super) fn not_connected(error: Error, time_given: Option<Duration>, tried: Duration) -> Self {
        let is_given = time_given.is_some_and(|time| time <= tried);
        let is_tried_again = matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Lost);
        let failure = Failure::from(error).of_field("broker");
        if is_given && is_tried_again { failure.with_exit(Exit::TimedOut) } else { failure }
    }

    /// Its sentences, one for each thing that is wrong.
    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The code to exit with.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

/// `error: ...` in a line for each text and, on a line of its own, the hint; nothing when there is nothing to be said.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for text in &self.texts {
            writeln!(f, "error: {}", printable(text))?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "hint: {}", printable(hint))?;
        }
        Ok(())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (kind, field) = (error.kind(), error.field());
        let exit = match kind {
            ErrorKind::Invalid => Exit::Usage,
            ErrorKind::TimedOut => Exit::TimedOut,
            _ => Exit::Failed,
        };
        let failure = Failure { field, ..Failure::new(exit, error.without_field().to_string()) };
        match kind {
            ErrorKind::Unreachable => failure.hint("another broker is named with --broker"),
            ErrorKind::AddressInUse => failure.hint(
                "stop the process that listens there, or choose another address; port 0 takes a free one",
            ),
            ErrorKind::Executor => {
                failure.hint("`corecast doctor` says what this host forbids, and how to allow it")
            }
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Source;
    use super::*;

    #[test]
    fn the_codes_are_the_documented_ones() {
        let codes = [Exit::Fine, Exit::Failed, Exit::Usage, Exit::RateNotReached, Exit::TimedOut];
        assert_eq!(codes.map(|exit| exit as u8), [0, 1, 2, 3, 27]);
    }

    #[test]
    fn errors_have_codes_and_hints() {
        let of = |kind| Failure::from(Error::new(kind, "it is so"));
        assert_eq!(of(ErrorKind::Invalid).exit(), Exit::Usage);
        assert_eq!(of(ErrorKind::TimedOut).exit(), Exit::TimedOut);
        assert_eq!(of(ErrorKind::Protocol).exit(), Exit::Failed);
        assert_eq!(of(ErrorKind::Unreachable).exit(), Exit::Failed);
        let given =
            |kind, time| Failure::not_connected(Error::new(kind, "it is so"), time, Duration::from_secs(5));
        let in_time = |kind| given(kind, Some(Duration::from_secs(1)));
        assert_eq!(given(ErrorKind::Unreachable, None).exit(), Exit::Failed);
        assert_eq!(given(ErrorKind::Unreachable, Some(Duration::from_secs(60))).exit(), Exit::Failed);
        assert_eq!(in_time(ErrorKind::Unreachable).exit(), Exit::TimedOut);
        assert_eq!(in_time(ErrorKind::Protocol).exit(), Exit::Failed, "more time would not help");
        let taken = of(ErrorKind::AddressInUse);
        assert_eq!(taken.exit(), Exit::Failed);
        assert!(taken.to_string().starts_with("error: it is so\nhint: stop the process"), "{taken}");
        assert_eq!(of(ErrorKind::Io).at("line 3").to_string(), "error: line 3: it is so\n");
    }

    #[test]
    fn the_source_of_a_wrong_value_stands_in_front() {
        let mut sources = Sources::default();
        sources.put("lease", "lease", Source::Environment("CORECAST_BROKER_LEASE".into()));
        sources.put("broker", "broker", Source::Environment("CORECAST_BROKER".into()));
        sources.put("count", "count", Source::CommandLine);
        let wrong = |field| {
            Failure::from(Error::of_field(field, "it is too short")).name_source(&sources).to_string()
        };
        assert_eq!(wrong("lease"), "error: CORECAST_BROKER_LEASE: it is too short\n");
        assert_eq!(wrong("count"), "error: --count: it is too short\n");
        assert_eq!(wrong("queue_frames"), "error: queue_frames: it is too short\n");
        let away = Error::new(ErrorKind::Unreachable, "no broker answers");
        let away = Failure::not_connected(away, None, Duration::ZERO).name_source(&sources);
        let wanted = "error: no broker answers\nhint: another broker is named with --broker; this one is set by the \
                      environment variable CORECAST_BROKER\n";
        assert_eq!(away.to_string(), wanted);
    }

    #[test]
    fn whatever_an_error_quotes_it_is_a_line() {
        let forged =
            Error::new(ErrorKind::Protocol, "tcp://h:1 refused: \x1b[2J\nerror: all is lost\u{9b}1m");
        let failure = Failure::from(forged).hint("a\rb");
        let wanted = "error: tcp://h:1 refused: \\x1b[2J\\nerror: all is lost\\u{9b}1m\nhint: a\\rb\n";
        assert_eq!(failure.to_string(), wanted);
    }

    #[test]
    fn a_closed_pipe_says_nothing() {
        assert_eq!(Failure::closed_pipe().to_string(), "");
        assert_eq!(Failure::closed_pipe().exit(), Exit::Fine);
    }
}
