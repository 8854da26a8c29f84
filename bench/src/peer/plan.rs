//! Owns what a comparison is to be: made by the command, checked before anything starts.

use super::name::PeerName;
use super::start::Elsewhere;
use crate::experiment::plan::Transport;
use crate::measure::payload::{self, SizeError};
use corecast::Sessions;
use corecast_executors::{CoreSet, Idle};
use nix::sys::resource::{Resource, getrlimit};
use std::fmt;
use std::str::FromStr;
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

/// How our own subscribers are played.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Clients {
    /// By raw sockets, as everybody's.
    #[default]
    Raw,
    /// By our own library.
    Native,
}

/// A word that is neither `raw` nor `native`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no kind of clients: there are `raw` and `native`")]
pub struct UnknownClients(String);

impl FromStr for Clients {
    type Err = UnknownClients;

    fn from_str(text: &str) -> Result<Self, UnknownClients> {
        match text {
            "raw" => Ok(Clients::Raw),
            "native" => Ok(Clients::Native),
            text => Err(UnknownClients(text.to_owned())),
        }
    }
}

impl fmt::Display for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Clients::Raw => "raw",
            Clients::Native => "native",
        })
    }
}

/// A comparison.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who is compared, in the order of the first round.
    pub peers: Vec<PeerName>,
    /// Those of them that run already.
    pub elsewhere: Vec<(PeerName, Elsewhere)>,
    /// How often each is measured.
    pub rounds: u32,
    /// How many subscribers.
    pub subscribers: usize,
    /// Payload, in bytes.
    pub size_bytes: usize,
    /// Messages a second of the paced run.
    pub rate_hz: f64,
    /// How long the paced run is, and a flood at most.
    pub duration: Duration,
    /// How many messages a flood is at most; none: no flood.
    pub flood_messages: u64,
    /// Messages under way to the slowest subscriber of a flood at most.
    pub window: u64,
    /// What carries the bytes, where a name does not say it.
    pub transport: Transport,
    /// Of ours: a session for each subscriber, or one for each thread.
    pub sessions: Sessions,
    /// How ours are played.
    pub clients: Clients,
    /// Threads of subscribers.
    pub threads: usize,
    /// Threads that the floor sends with.
    pub floor_threads: usize,
    /// The cores of our broker's shards.
    pub broker_cores: Option<CoreSet>,
    /// What they do when there is nothing to do.
    pub broker_idle: Option<Idle>,
    /// How long nothing may happen before a run is given up.
    pub timeout: Duration,
}

/// A comparison that makes no sense, or that this process may not make.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanError {
    /// There is nothing of something.
    #[error("{0} must be at least 1")]
    Nothing(&'static str),
    /// A peer is named twice.
    #[error("{0} is named twice")]
    Twice(PeerName),
    /// The payload cannot be so small, or so large.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// There are not enough open files.
    #[error(
        "{subscribers} subscribers with a socket each need {needed} open files, and the hard limit of this process is {limit} (ulimit -Hn): at most {most} subscribers"
    )]
    Descriptors {
        /// How many were asked for.
        subscribers: usize,
        /// What they need.
        needed: u64,
        /// What there is.
        limit: u64,
        /// What would work.
        most: u64,
    },
}

impl Plan {
    /// Whether it can be done. Raises the limit of open files, which peers inherit.
    pub fn check(&self) -> Result<(), PlanError> {
        payload::check_size(self.size_bytes)?;
        let counts = [
            ("the number of subscribers", self.subscribers as u64),
            ("the number of rounds", self.rounds.into()),
            ("the number of peers", self.peers.len() as u64),
            ("the floor's number of threads", self.floor_threads as u64),
            ("the window", self.window),
        ];
        if let Some((what, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(PlanError::Nothing(what));
        }
        for (index, peer) in self.peers.iter().enumerate() {
            if self.peers[..index].contains(peer) {
                return Err(PlanError::Twice(*peer));
            }
        }
        self.check_descriptors(getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(_, hard)| hard))?;
        // If it fails, connecting will say so.
        let _ = corecast_executors::raise_open_files(u64::MAX);
        Ok(())
    }

    fn check_descriptors(&self, limit: u64) -> Result<(), PlanError> {
        let (subscribers, needed) = (self.subscribers, self.subscribers as u64 + FILES_BESIDES);
        if needed <= limit {
            return Ok(());
        }
        Err(PlanError::Descriptors { subscribers, needed, limit, most: limit.saturating_sub(FILES_BESIDES) })
    }
}

/// The window of a flood, if nothing is said: messages of such a size that may be under way.
pub fn window_default(size_bytes: usize) -> u64 {
    (WINDOW_BYTES / size_bytes).clamp(WINDOW_MESSAGES_MIN, WINDOW_MESSAGES_MAX) as u64
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample_plan() -> Plan {
        Plan {
            peers: vec!["corecast".parse().unwrap(), "libzmq".parse().unwrap()],
            elsewhere: Vec::new(),
            rounds: 3,
            subscribers: 512,
            size_bytes: 64,
            rate_hz: 20.0,
            duration: Duration::from_secs(5),
            flood_messages: 1000,
            window: 100,
            transport: Transport::Tcp,
            sessions: Sessions::PerSubscriber,
            clients: Clients::Raw,
            threads: 2,
            floor_threads: 1,
            broker_cores: None,
            broker_idle: None,
            timeout: Duration::from_secs(10),
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        assert_eq!(sample_plan().check(), Ok(()));
        let said = |change: fn(&mut Plan)| {
            let mut plan = sample_plan();
            change(&mut plan);
            plan.check().unwrap_err().to_string()
        };
        assert_eq!(said(|plan| plan.subscribers = 0), "the number of subscribers must be at least 1");
        assert_eq!(said(|plan| plan.rounds = 0), "the number of rounds must be at least 1");
        assert_eq!(said(|plan| plan.peers.push(plan.peers[1])), "libzmq is named twice");
        assert!(said(|plan| plan.size_bytes = 39).contains("it takes 40"));
        let error = Plan { subscribers: 20_000, ..sample_plan() }.check_descriptors(20_000).unwrap_err();
        assert!(error.to_string().contains("at most 19872 subscribers"), "{error}");
    }

    #[test]
    fn windows_are_bounded_by_bytes_and_messages() {
        let windows = [64, 1 << 10, 16 << 10, 256 << 10].map(window_default);
        assert_eq!(windows, [4096, 1024, 64, 8]);
    }
}
