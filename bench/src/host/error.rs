//! Owns the errors of a host: what went wrong between this command and its agent.

use super::frames::FrameError;
use super::protocol::{Answer, Version};
use crate::swarm::reports::Failure;
use corecast::Endpoint;
use std::fmt;
use std::io;
use std::time::Duration;

/// A host, and the address of its agent.
#[derive(Clone, Debug)]
pub(super) struct Who {
    /// Its name.
    pub(super) host: String,
    /// Its agent.
    pub(super) agent: Endpoint,
}

/// A host that does not do its part.
#[derive(Debug)]
pub struct HostError {
    who: Who,
    problem: Problem,
}

#[derive(Debug)]
pub(super) enum Problem {
    /// There is no answer.
    Unreachable(io::Error),
    /// Somebody answers, but no agent.
    NotAnAgent(FrameError),
    /// An agent of another version.
    OtherVersion(Version),
    /// The agent does not want to.
    Refused(String),
    /// The agent and this command have no token in common, as it is said in the text.
    NoToken(&'static str),
    /// The agent has not answered in this time.
    Silent(Duration),
    /// The agent has gone.
    Gone(String),
    /// The agent could not do its part.
    Failed(Failure),
    /// A thread cannot be started here.
    Thread(io::Error),
}

impl HostError {
    /// Tells a timeout from other errors.
    pub fn timed_out(&self) -> bool {
        match &self.problem {
            Problem::Silent(_) => true,
            Problem::Failed(failure) => failure.timed_out,
            _ => false,
        }
    }

    /// The error without the host's name.
    pub(super) fn problem(&self) -> String {
        let agent = &self.who.agent;
        match &self.problem {
            Problem::Unreachable(why) => format!(
                "no agent answers at {agent} ({why}): start one there with `corecast-bench agent --listen {agent}`"
            ),
            Problem::NotAnAgent(why) => format!(
                "what answers at {agent} is no agent of corecast-bench ({why}): look at `agent` in the file of hosts"
            ),
            Problem::OtherVersion(theirs) => format!(
                "the agent at {agent} is of {theirs}, this command of {}: use the same corecast-bench on both",
                Version::ours()
            ),
            Problem::Refused(why) => format!("the agent at {agent} refuses: {why}"),
            Problem::NoToken(why) => format!("the agent at {agent} {why}"),
            Problem::Silent(timeout) => format!(
                "the agent at {agent} has not answered within {} s: it hangs, or the network does; start it again",
                timeout.as_secs()
            ),
            Problem::Gone(why) => format!(
                "the agent at {agent} has gone ({why}): look at what it said there, and start it again"
            ),
            Problem::Failed(failure) => failure.to_string(),
            Problem::Thread(why) => format!("cannot start a thread for it: {why}"),
        }
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host {}: {}", self.who.host, self.problem())
    }
}

impl std::error::Error for HostError {}

impl Who {
    /// An error of this host.
    pub(super) fn error(&self, problem: Problem) -> HostError {
        HostError { who: self.clone(), problem }
    }

    /// The error for a connection that broke, or that was silent for `timeout`.
    pub(super) fn lost(&self, error: FrameError, timeout: Duration) -> HostError {
        self.error(match error {
            FrameError::TimedOut => Problem::Silent(timeout),
            error => Problem::Gone(error.to_string()),
        })
    }

    /// The error for an answer that nobody asked for.
    pub(super) fn unexpected(&self, answer: &Answer) -> HostError {
        let said = format!("{answer:?}");
        let word = said.split([' ', '(']).next().unwrap_or_default();
        self.error(Problem::Gone(format!("it said what nobody asked for: {word}")))
    }
}
