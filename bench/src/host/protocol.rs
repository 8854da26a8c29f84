//! Owns what controller and agent say to each other, as JSON in the frames of [`super::frames`].
//!
//! The controller connects, says [`Request::Hello`], and the agent answers [`Answer::Welcome`] or
//! [`Answer::Refused`]; these three are understood by every version, and fields that are not known in them are
//! passed over. From then on both are of one version. An agent with a token says [`Answer::Challenge`] before it
//! answers, and the controller [`Request::Proof`]; the welcome then has the proof of the agent. It proves nothing to
//! strangers, so that they cannot collect proofs to try tokens on.
//!
//! | the controller says | the agent answers |
//! |---|---|
//! | `ping`, once a second from `started` on | `pong`, at once, with the stamps of its clock |
//! | `start`, once | `started`, then `ready` from each executor; or `failed` |
//! | `look` | `received` from each executor that is not behind with its answers |
//! | `finish` | `measured` from each executor, in parts |
//! | `stop` | `stopped`, when every session has been closed |
//!
//! Either end closes the connection after `stopped`, or at anything that it does not understand, or after
//! [`SILENCE_MAX`] or [`CONTROLLER_SILENCE_MAX`] without a word. An agent whose controller is gone stops its swarm and serves the next.

use super::clock::ClockIdentity;
use super::token::{Nonce, Proof};
use crate::measure::environment::Environment;
use crate::measure::workload::Workload;
use crate::record;
use crate::swarm::reports::{Failure, Received};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Interval at which the controller says something once the executors run, whatever it does.
pub const PULSE: Duration = Duration::from_secs(1);
/// Time for which a silent agent is taken to be alive: five pulses, so that a host which is only busy is not given
/// up.
pub const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Time for which a silent controller is taken to be alive: before its pulses begin it starts a broker, and waits for
/// the executors of other hosts, each for 15 s at most. One that dies is noticed at once, but for a cut network.
pub const CONTROLLER_SILENCE_MAX: Duration = Duration::from_secs(40);
/// Time that the first word may take, and the answer to it.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// Text of a tally in one frame, in bytes. Every quote in it takes two bytes of the frame.
pub const PART_BYTES_MAX: usize = 256 << 10;
/// Text of one tally, in bytes: four million kept deliveries at some 60 bytes each, and room for the rest.
pub const TALLY_BYTES_MAX: usize = 512 << 20;
/// Streams (subscribers times publishers) of one agent: their account takes about 100 bytes each.
pub const STREAMS_MAX: usize = 16 << 20;

/// The version of a speaker: both ends must be the same.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Version {
    /// Version of the command.
    pub version: String,
    /// Version of the record, and so of what is measured.
    pub schema: String,
}

impl Version {
    /// The version of this command.
    pub fn ours() -> Self {
        Version { version: env!("CARGO_PKG_VERSION").to_owned(), schema: record::SCHEMA.to_owned() }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "version {}, schema {}", self.version, self.schema)
    }
}

/// Requests of the controller.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum Request {
    /// The first word.
    Hello(Version),
    /// The answer to a challenge.
    Proof {
        /// The controller's random number.
        nonce: Nonce,
        /// The proof that it has the token.
        proof: Proof,
    },
    /// Asks for the agent's clock.
    Ping {
        /// The controller's clock as it asks, in nanoseconds.
        sent_ns: u64,
    },
    /// Play these subscribers.
    Start(Start),
    /// Asks for the progress of the subscribers.
    Look {
        /// Messages that were sent on each flow, once that is known.
        sent: Option<Vec<u64>>,
    },
    /// Hand over what was measured.
    Finish,
    /// Close all sessions.
    Stop,
}

/// An agent's share of a swarm.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The broker's endpoint, as it is written.
    pub broker: String,
    /// The run's identity.
    pub run: u64,
    /// Number of the first subscriber on this host, among all of the run.
    pub first: usize,
    /// Number of subscribers on this host.
    pub subscribers: usize,
    /// The publishers and the topics of the run.
    pub workload: Workload,
    /// The value of `--sessions`.
    pub sessions: String,
    /// The value of `--reactor`.
    pub reactor: String,
    /// The value of `--overflow`; `null` leaves it to the broker.
    pub overflow: Option<String>,
    /// The value of `--cores`.
    pub cores: String,
    /// The value of `--idle`.
    pub idle: String,
    /// Time that connecting and subscribing may take, in milliseconds.
    pub setup_timeout_ms: u64,
    /// Set to keep every delivery by itself.
    pub keep_samples: bool,
    /// The lead of the agent's clock over the publishers', in nanoseconds.
    pub clock_ahead_ns: i64,
}

/// Answers of the agent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum Answer {
    /// The agent serves those that have its token.
    Challenge {
        /// The agent's version.
        #[serde(flatten)]
        agent: Version,
        /// Its random number.
        nonce: Nonce,
    },
    /// The agent serves this controller.
    Welcome(Box<Welcome>),
    /// The agent does not serve it.
    Refused {
        /// The agent's version.
        #[serde(flatten)]
        agent: Version,
        /// Set if it only serves another one, so that it is worth asking again.
        #[serde(default)]
        busy: bool,
        /// The reason, in a sentence.
        why: String,
    },
    /// The answer to `Ping`: this host's clock.
    Pong {
        /// The stamp of the ping.
        sent_ns: u64,
        /// The agent's clock when the ping had come, in nanoseconds.
        received_ns: u64,
        /// The same when it was answered.
        answered_ns: u64,
    },
    /// The executors run.
    Started {
        /// Their number.
        executors: usize,
    },
    /// All subscriptions of an executor are in force.
    Ready,
    /// The progress of an executor.
    Received(Received),
    /// A part of the text of an executor's tally.
    Measured {
        /// The executor, from 0.
        executor: usize,
        /// The text, from where the last part ended.
        part: String,
        /// Set on the last part.
        last: bool,
    },
    /// Something could not be done.
    Failed(Failure),
    /// All sessions are closed, and all executors have stopped.
    Stopped {
        /// The failure, if there was one.
        failure: Option<String>,
    },
}

/// The agent's description of itself.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// The agent's version.
    #[serde(flatten)]
    pub agent: Version,
    /// The proof that it has the token, if it asked for one.
    #[serde(default)]
    pub proof: Option<Proof>,
    /// The identity of its clock.
    #[serde(default)]
    pub clock: ClockIdentity,
    /// Open files that its process may have.
    #[serde(default)]
    pub open_files: u64,
    /// Its machine.
    #[serde(default)]
    pub environment: Environment,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::oracle::Settling;

    #[test]
    fn the_first_words_are_understood_whatever_else_another_version_says() {
        let hello = r#"{"say":"hello","version":"9.9.9","schema":"corecast-bench/7","colour":"blue"}"#;
        let Request::Hello(version) = serde_json::from_str(hello).unwrap() else { panic!("it is a hello") };
        assert_eq!(version.to_string(), "version 9.9.9, schema corecast-bench/7");
        for text in [
            r#"{"say":"welcome","version":"9.9.9","schema":"s","environment":{"cpus":[],"limits":7}}"#,
            r#"{"say":"refused","version":"9.9.9","schema":"s","why":"no","colour":"blue"}"#,
            r#"{"say":"challenge","version":"9.9.9","schema":"s","nonce":"another"}"#,
        ] {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::from_value::<Version>(value).unwrap().version, "9.9.9");
        }
    }

    #[test]
    fn every_word_is_read_back() {
        let answers = [
            Answer::Refused { agent: Version::ours(), busy: true, why: "w".into() },
            Answer::Challenge { agent: Version::ours(), nonce: [7; 32] },
            Answer::Pong { sent_ns: 1, received_ns: u64::MAX, answered_ns: 3 },
            Answer::Ready,
            Answer::Received(Received {
                executor: 1,
                delivered: 2,
                accounted: 3,
                settling: Some(Settling::default()),
            }),
            Answer::Measured { executor: 0, part: "[\"\"]".into(), last: true },
            Answer::Stopped { failure: None },
        ];
        for answer in answers {
            let text = serde_json::to_string(&answer).unwrap();
            assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer);
        }
        assert!(serde_json::from_str::<Request>(r#"{"say":"reboot"}"#).is_err());
    }
}
