//! Owns the plan of a comparison: made by the command, checked before anything starts.

use super::elsewhere::Elsewhere;
use super::name::PeerName;
use crate::experiment::descriptors::{self, DescriptorsError};
use crate::experiment::outcome::Outcome;
use crate::experiment::plan::{BrokerChoice, Plan, PlanError};
use crate::interrupt::Interrupt;
use crate::process::broker::BrokerOptions;
use crate::process::engine::Engine;
use crate::process::error::StartError;
use crate::process::neighbour::Neighbour;
use crate::process::transport::Transport;
use crate::swarm::schedule::{Amount, Rate};
use clap::ValueEnum;
use corecast::{Endpoint, Sessions};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Open files beside the subscribers' sockets: threads' descriptors, pipes, what the caller left open.
const FILES_BESIDES: u64 = 128;
/// Bytes of payloads that may be under way to the slowest subscriber in a flood. It fills the kernel's buffers and
/// some more, and with 512 subscribers, of which a peer may hold a copy each, it is half a gigabyte.
const WINDOW_BYTES: usize = 1 << 20;
/// Messages that may be, at small payloads: what a peer adds to each is as much as they are.
const WINDOW_MESSAGES_MAX: usize = 4096;
/// Messages that may be, at large ones: fewer would wait for each other.
const WINDOW_MESSAGES_MIN: usize = 8;

/// The kind of our own subscribers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Clients {
    /// Raw sockets, as everybody's.
    #[default]
    Raw,
    /// Our own library.
    Native,
}

/// A comparison: a run like any other, and who makes it how often.
#[derive(Clone, Debug)]
pub struct Contest {
    /// The paced run of each peer; its broker is ours.
    pub run: Plan,
    /// Peers, in the order of the first round.
    pub peers: Vec<PeerName>,
    /// Peers among them that run already.
    pub elsewhere: Vec<(PeerName, Elsewhere)>,
    /// The `corecast` command of the build that is measured as `corecast-before`.
    pub before: Option<PathBuf>,
    /// The engine between the brokers of `corecast-joined`; `None`: the system's nats-server.
    pub engine: Option<Engine>,
    /// Number of times that each is measured.
    pub rounds: u32,
    /// Messages of a flood at most; none: no flood.
    pub flood_messages: u64,
    /// Messages under way to the slowest subscriber of a flood at most.
    pub window: u64,
    /// Subscribers of our own broker.
    pub clients: Clients,
    /// Threads of subscribers.
    pub threads: usize,
    /// Threads that the floor sends with.
    pub floor_threads: usize,
    /// A process that keeps a core busy beside each peer.
    pub neighbour: Option<Neighbour>,
}

/// A peer's turn in a round of a comparison.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn<'a> {
    pub(super) name: PeerName,
    pub(super) round: u32,
    pub(super) contest: &'a Contest,
    /// The file of this command: with it, a peer cannot outlive this process.
    pub(super) guard: Option<&'a Path>,
    pub(super) interrupt: &'a Interrupt,
}

/// The version of a peer, and its runs in a round; or why it has none.
pub(super) type Measured = Result<(Option<String>, Vec<Outcome>), StartError>;

/// A comparison that makes no sense, or that this process may not make.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ContestError {
    /// Its runs make no sense.
    #[error(transparent)]
    Run(#[from] PlanError),
    /// A number is nought.
    #[error("{0} must be at least 1")]
    Nothing(&'static str),
    /// Its paced run is none.
    #[error("--rate flood: there is a flood anyway; --rate is that of the paced run")]
    NotPaced,
    /// Raw subscribers that share a session have no topics of their own.
    #[error("--topics with --sessions per-executor takes our own library: --clients native")]
    SharedSessions,
    /// A peer is named twice.
    #[error("{0} is named twice")]
    Twice(PeerName),
    /// There are too few open files.
    #[error(transparent)]
    Descriptors(#[from] DescriptorsError),
}

impl Contest {
    /// Refuses a comparison that cannot be made. Raises the limit of open files, which peers inherit.
    pub fn check(&self) -> Result<(), ContestError> {
        self.run.check()?;
        self.run.rate_hz().ok_or(ContestError::NotPaced)?;
        let shares = self.run.sessions == Sessions::PerExecutor && self.clients == Clients::Raw;
        if self.run.topics.is_some() && shares {
            return Err(ContestError::SharedSessions);
        }
        let counts = [
            ("the number of rounds", self.rounds.into()),
            ("the number of peers", self.peers.len() as u64),
            ("the floor's number of threads", self.floor_threads as u64),
            ("the window", self.window),
        ];
        if let Some((what, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(ContestError::Nothing(what));
        }
        for (index, peer) in self.peers.iter().enumerate() {
            if self.peers[..index].contains(peer) {
                return Err(ContestError::Twice(*peer));
            }
        }
        descriptors::ensure_files(|limit| self.check_descriptors(limit))?;
        Ok(())
    }

    pub(super) fn check_descriptors(&self, limit: u64) -> Result<(), DescriptorsError> {
        let (subscribers, besides) = (self.run.subscribers, self.run.publishers as u64 + FILES_BESIDES);
        let needed = subscribers as u64 + besides;
        let advice = || format!("at most {} subscribers", limit.saturating_sub(besides));
        descriptors::check_files(subscribers, needed, limit, advice)
    }

    /// Messages a second of the paced run.
    pub fn rate_hz(&self) -> f64 {
        self.run.rate_hz().expect("a comparison without a rate is refused")
    }

    /// Time that the paced run takes, and a flood at most.
    pub fn duration(&self) -> Duration {
        self.run.sending_time().expect("a run with a rate has an end")
    }

    /// The transport of a peer.
    pub fn transport_of(&self, name: PeerName) -> Transport {
        name.transport(self.run.transport())
    }

    /// The paced run of a peer that is at this endpoint.
    pub fn plan_of(&self, name: PeerName, endpoint: Endpoint) -> Plan {
        let broker = BrokerChoice::Running { endpoint, pid: None, overflow: None };
        Plan { broker, sessions: self.sessions_of(name), ..self.run.clone() }
    }

    /// The sessions of a peer's subscribers. Only ours has some that they share.
    pub fn sessions_of(&self, name: PeerName) -> Sessions {
        if name.system.is_ours() { self.run.sessions } else { Sessions::PerSubscriber }
    }

    /// The flood that follows a paced run, if there is to be one.
    pub fn flood_of(&self, paced: &Plan) -> Option<Plan> {
        let amount = Amount::Messages(self.flood_messages);
        (self.flood_messages > 0).then(|| Plan { rate: Rate::Flood, amount, ..paced.clone() })
    }

    /// Options of our broker, over the transport of a peer.
    pub fn broker_options(&self, name: PeerName) -> BrokerOptions {
        let options = self.run.options().cloned().unwrap_or_default();
        BrokerOptions { transport: self.transport_of(name), ..options }
    }

    /// The peer of this name that runs already, if there is one.
    pub fn elsewhere(&self, name: PeerName) -> Option<&Elsewhere> {
        self.elsewhere.iter().find(|(elsewhere, _)| *elsewhere == name).map(|(_, peer)| peer)
    }
}

/// The window of a flood, if nothing is said: messages of such a size that may be under way.
pub fn window_default(size_bytes: usize) -> u64 {
    (WINDOW_BYTES / size_bytes).clamp(WINDOW_MESSAGES_MIN, WINDOW_MESSAGES_MAX) as u64
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::experiment::plan as run_plan;
    use crate::swarm::schedule::Rate;

    pub(crate) fn sample_plan() -> Contest {
        Contest {
            run: Plan { publishers: 1, ..run_plan::tests::sample_plan() },
            peers: vec!["corecast".parse().unwrap(), "libzmq".parse().unwrap()],
            elsewhere: Vec::new(),
            before: None,
            engine: None,
            rounds: 3,
            flood_messages: 1000,
            window: 100,
            clients: Clients::Raw,
            threads: 2,
            floor_threads: 1,
            neighbour: None,
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        assert_eq!(sample_plan().check(), Ok(()));
        let said = |change: fn(&mut Contest)| {
            let mut plan = sample_plan();
            change(&mut plan);
            plan.check().unwrap_err().to_string()
        };
        assert_eq!(said(|plan| plan.run.subscribers = 0), "the number of subscribers must be at least 1");
        assert_eq!(said(|plan| plan.rounds = 0), "the number of rounds must be at least 1");
        assert_eq!(said(|plan| plan.peers.push(plan.peers[1])), "libzmq is named twice");
        assert!(said(|plan| plan.run.rate = Rate::Flood).contains("that of the paced run"));
        assert!(said(|plan| plan.run.size_bytes = 39).contains("it takes 40"));
        let mut large = sample_plan();
        large.run.subscribers = 20_000;
        let error = large.check_descriptors(20_000).unwrap_err();
        assert!(error.to_string().contains("at most 19871 subscribers"), "{error}");
    }

    #[test]
    fn windows_are_bounded_by_bytes_and_messages() {
        let windows = [64, 1 << 10, 16 << 10, 256 << 10].map(window_default);
        assert_eq!(windows, [4096, 1024, 64, 8]);
    }
}
