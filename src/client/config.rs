//! The configuration of a client.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use corecast_executors::Idle;

use crate::error::{Error, ErrorKind, Result};
use crate::fanout::{OverflowPolicy, QueueBounds};
use crate::limits::{
    CLIENT_QUEUE_BYTES_DEFAULT, CLIENT_QUEUE_FRAMES_DEFAULT, CONNECT_TIMEOUT_DEFAULT,
    FRAME_BYTES_MAX_DEFAULT, PUBLISH_TIMEOUT_DEFAULT,
};
use crate::transport::{Endpoint, SocketAccess};

/// The way in which subscribers and publishers of one executor share connections.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Sessions {
    /// All of one executor share a session, and the broker sends each frame once to it: what to run.
    #[default]
    PerExecutor,
    /// Each has a session of its own: the faithful load test of a broker.
    PerSubscriber,
}

impl fmt::Display for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sessions::PerExecutor => "per-executor",
            Sessions::PerSubscriber => "per-subscriber",
        })
    }
}

impl FromStr for Sessions {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "per-executor" => Ok(Sessions::PerExecutor),
            "per-subscriber" => Ok(Sessions::PerSubscriber),
            _ => Err(Error::new(
                ErrorKind::Invalid,
                format!("`{text}` is not a way to share sessions; it is per-executor or per-subscriber"),
            )),
        }
    }
}

/// Everything that can be chosen about a client. Each field has a method of its name, to choose it in a chain:
/// `ClientConfig::new(broker).name("prices").queue_frames(64)`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// The broker.
    pub broker: Endpoint,
    /// For the broker's logs.
    pub name: String,
    /// The way in which sessions are shared.
    pub sessions: Sessions,
    /// The overflow policy asked for; `None`: the broker's default.
    pub overflow: Option<OverflowPolicy>,
    /// Events that may wait for one subscriber in this process. When they do, a session of its own
    /// ([`Sessions::PerSubscriber`]) is read no further, and the broker's overflow policy decides. On a shared session,
    /// however many share it, the oldest give way, and are told; only under `block` is it read no further, until each
    /// of its subscribers has room.
    pub queue_frames: usize,
    /// The same, in bytes of topics and payloads: whichever is reached first.
    pub queue_bytes: usize,
    /// The time that a new publisher or subscriber waits for its broker: for the first connection of its session, or, where
    /// it shares one that was open before, for a sign of life of a broker that is away or hangs; and in all for the
    /// confirmation of its subscription or its watch of the registry. A session that was open once is tried until its last
    /// user has left.
    pub connect_timeout: Duration,
    /// The time that a publish without room waits for a broker that is away, or hangs: one that is connected, and has said
    /// nothing for this long and for two of its heartbeats. After that such a publish fails at once; messages that were
    /// published before wait on. A broker that is there may slow a publisher down for as long as it likes: that is what
    /// `block` does.
    pub publish_timeout: Duration,
    /// Options of publishers, for topics that go direct.
    pub direct: DirectConfig,
}

/// The configuration of a publisher for topics that go direct. Each field has a method of its name, to choose it in a chain.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct DirectConfig {
    /// Where it listens for subscribers; `None`: on a free port of the address from which it reaches the broker, or
    /// beside the broker's socket file.
    pub listen: Option<Endpoint>,
    /// The endpoint that subscribers are told to connect to; `None`: where it listens.
    pub advertise: Option<Endpoint>,
    /// Where it listens for ZeroMQ subscribers, too. Those of the broker hear it without.
    pub zmtp: Vec<Endpoint>,
    /// The access to the socket files that it listens on.
    pub access: SocketAccess,
    /// Cores to send from, as `--cores` is written: a [`Publisher`](super::Publisher) has an executor of its own on
    /// each; a [`LocalPublisher`](super::LocalPublisher) stays where it is, with an executor more on each other
    /// one. `None`: it sends from its client's executor alone.
    pub cores: Option<String>,
    /// The idle behaviour of those executors.
    pub idle: Idle,
    /// Policy of subscribers that ask for none; `None`: the broker's, so that a topic that goes direct is treated as
    /// it was.
    pub overflow: Option<OverflowPolicy>,
    /// Bytes and frames that may wait for one subscriber.
    pub bounds: QueueBounds,
    /// Longest frame body, in bytes.
    pub frame_bytes_max: usize,
}

impl Default for DirectConfig {
    fn default() -> Self {
        DirectConfig {
            listen: None,
            advertise: None,
            zmtp: Vec::new(),
            access: SocketAccess::default(),
            cores: None,
            idle: Idle::default(),
            overflow: None,
            bounds: QueueBounds::default(),
            frame_bytes_max: FRAME_BYTES_MAX_DEFAULT,
        }
    }
}

impl ClientConfig {
    /// The defaults, for this broker.
    pub fn new(broker: Endpoint) -> Self {
        ClientConfig {
            broker,
            name: String::new(),
            sessions: Sessions::default(),
            overflow: None,
            queue_frames: CLIENT_QUEUE_FRAMES_DEFAULT,
            queue_bytes: CLIENT_QUEUE_BYTES_DEFAULT,
            connect_timeout: CONNECT_TIMEOUT_DEFAULT,
            publish_timeout: PUBLISH_TIMEOUT_DEFAULT,
            direct: DirectConfig::default(),
        }
    }
}

setters! {
    ClientConfig {
        broker: Endpoint,
        name: into String,
        sessions: Sessions,
        overflow: into Option<OverflowPolicy>,
        queue_frames: usize,
        queue_bytes: usize,
        connect_timeout: Duration,
        publish_timeout: Duration,
        direct: DirectConfig,
    }
}

setters! {
    DirectConfig {
        listen: into Option<Endpoint>,
        advertise: into Option<Endpoint>,
        zmtp: into Vec<Endpoint>,
        access: SocketAccess,
        cores: into Option<String>,
        idle: Idle,
        overflow: into Option<OverflowPolicy>,
        bounds: QueueBounds,
        frame_bytes_max: usize,
    }
}
