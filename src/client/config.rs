//! The configuration of a client, and of publishers for topics that go direct: every option once.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use corecast_executors::{CoreSet, Idle, Reactor};

use super::brokers::Brokers;
use super::token::{Token, TokenFile};
use crate::auth::Permissions;
use crate::config::{Form, List, One, Optional, Plain};
use crate::error::{Error, ErrorKind};
use crate::fanout::{OverflowPolicy, QueueBounds};
use crate::limits::{
    CLIENT_QUEUE_BYTES_DEFAULT, CLIENT_QUEUE_FRAMES_DEFAULT, CONNECT_TIMEOUT_DEFAULT,
    FRAME_BYTES_MAX_DEFAULT, PUBLISH_TIMEOUT_DEFAULT,
};
use crate::printable::printable;
use crate::transport::{ConnectConfig, Endpoint, ListenConfig};
use crate::wire::{Frame, Start};

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

    fn from_str(text: &str) -> Result<Self, Error> {
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

configuration! {
    /// Everything that can be chosen about a client. Each field has a method of its name, to choose it in a chain:
    /// `ClientConfig::new(broker).name("prices").queue_frames(64)`.
    #[derive(Clone, PartialEq, Eq, Hash, Debug)]
    #[non_exhaustive]
    pub struct ClientConfig {
        /// Address of the broker, or of several with commas between them: the first that answers is used, and the next one in turn
        /// when it is lost.
        broker (into): Brokers = Brokers::default(), option("broker", "URL", One<Plain>);

        /// File with the token of a user of the broker, read for each connection [default: the token in CORECAST_TOKEN].
        token (into): Option<Token> = None, option("token-file", "PATH", Optional<TokenFile>);

        /// Name of the client in the broker's logs.
        name (into): String = String::new();

        /// The way in which sessions are shared.
        sessions: Sessions = Sessions::default();

        /// The overflow policy asked for; `None`: the broker's default.
        overflow (into): Option<OverflowPolicy> = None;

        /// Where subscribers start: with the next message, or with history that the broker keeps. With history each has a session of
        /// its own, as with [`Sessions::PerSubscriber`], and is told when it has caught up
        /// ([`Event::CaughtUp`](crate::Event::CaughtUp)). Direct publishers keep none.
        start: Start = Start::default();

        /// Go on after a lost connection with what the broker has kept meanwhile, and hear of what it has not, instead of a gap of
        /// unknown size. Subscribers that start with history do so anyway. Each has a session of its own then.
        resume: bool = false;

        /// Events that may wait for one subscriber in this process. When they do, a session of its own
        /// ([`Sessions::PerSubscriber`]) is read no further, and the broker's overflow policy decides. On a shared session,
        /// however many share it, the oldest give way, and are told; only under `block` is it read no further, until each
        /// of its subscribers has room.
        queue_frames: usize = CLIENT_QUEUE_FRAMES_DEFAULT;

        /// The same, in bytes of topics and payloads: whichever is reached first.
        queue_bytes: usize = CLIENT_QUEUE_BYTES_DEFAULT;

        /// The time that a new publisher or subscriber waits for its broker: for the first connection of its session, or,
        /// where it shares one that was open before, for a sign of life of a broker that is away or hangs; and in all for the
        /// confirmation of its subscription or its watch of the registry. A session that was open once is tried until its
        /// last user has left.
        connect_timeout: Duration = CONNECT_TIMEOUT_DEFAULT;

        /// The time that a publish without room waits for a broker that is away, or hangs: one that is connected, and has
        /// said nothing for this long and for two of its heartbeats. After that such a publish fails at once; messages that
        /// were published before wait on. A broker that is there may slow a publisher down for as long as it likes: that is
        /// what `block` does.
        publish_timeout: Duration = PUBLISH_TIMEOUT_DEFAULT;

        /// Reactor that its executors wait with: io_uring, or epoll where that cannot be had, such as in a container with the usual
        /// profile.
        reactor: Reactor = Reactor::default(), option("reactor", "NAME", One<Plain>);

        /// The connections that it makes: to the broker, and to direct publishers.
        connect: ConnectConfig = ConnectConfig::default();

        /// The configuration of publishers for topics that go direct.
        direct: DirectConfig = DirectConfig::default();
    }
}

impl ClientConfig {
    /// The defaults, for this broker.
    pub fn new(broker: Endpoint) -> Self {
        ClientConfig { broker: broker.into(), ..ClientConfig::default() }
    }

    /// True if each publisher and subscriber has a session of its own.
    pub(super) fn has_own_sessions(&self) -> bool {
        self.sessions == Sessions::PerSubscriber || self.resumes()
    }

    /// True if subscribers go on where a connection was lost.
    pub(super) fn resumes(&self) -> bool {
        self.resume || self.start != Start::Live
    }

    /// The same for sessions with others than the broker: they learn nothing that logs in there, and have no history.
    pub(super) fn without_credentials(mut self) -> Self {
        self.token = None;
        // A direct publisher keeps no history.
        (self.start, self.resume) = (Start::Live, false);
        self
    }

    /// The hello of a session of this client, which had the one of this number and ticket before.
    pub(super) fn hello(&self, (previous, ticket): (u64, u64)) -> Frame<'_> {
        let overflow = self.overflow.map_or(0, OverflowPolicy::to_wire);
        Frame::Hello { name: &self.name, overflow, previous, ticket }
    }
}

configuration! {
    /// The configuration of a publisher for topics that go direct. Each field has a method of its name, to choose it in a
    /// chain.
    #[derive(Clone, PartialEq, Eq, Hash, Debug)]
    #[non_exhaustive]
    pub struct DirectConfig {
        /// Direct topics: CPU cores for executors of its own [default: it shares the executor of its client].
        cores (into): Option<CoreSet> = None, option("cores", "SET", Optional<Plain>);

        /// Direct topics: address to listen on for subscribers [default: a free port of the address from which the
        /// broker is reached].
        listen (into): Option<Endpoint> = None, option("pub-listen", "URL", Optional<OneEndpoint>);

        /// Direct topics: address that subscribers are told to connect to, if it differs from the one listened on; port
        /// 0 stands for the port listened on.
        advertise (into): Option<Endpoint> = None, option("advertise", "URL", Optional<OneEndpoint>);

        /// Direct topics: address where ZeroMQ subscribers connect to this publisher itself, tcp://HOST:PORT or
        /// ipc://PATH; repeatable or comma-separated. ZeroMQ subscribers of the broker hear it without.
        zmtp (into): Vec<Endpoint> = Vec::new(), option("pub-zmtp", "URL", List<Plain>);

        /// Direct topics: overflow policy for slow consumers [default: the broker's policy].
        overflow (into): Option<OverflowPolicy> = None, option("overflow", "POLICY", Optional<Plain>);

        /// Its listeners; they have options of their own.
        listeners: ListenConfig = ListenConfig::default();

        /// The idle behaviour of its executors.
        idle: Idle = Idle::default();

        /// Bytes and frames that may wait for one subscriber.
        bounds: QueueBounds = QueueBounds::default();

        /// Longest frame body, in bytes.
        frame_bytes_max: usize = FRAME_BYTES_MAX_DEFAULT;

        /// The rules of what subscribers may subscribe to at this publisher: those of the broker end there.
        permissions: Permissions = Permissions::all();
    }
}

/// The form of one endpoint, where several would read as one that is wrong.
#[derive(Debug)]
struct OneEndpoint;

impl Form<Endpoint> for OneEndpoint {
    fn read(text: &str) -> Result<Endpoint, String> {
        let parts: Vec<&str> = text.split(',').collect();
        // A comma may also be in a path.
        if parts.len() > 1 && parts.iter().all(|part| part.parse::<Endpoint>().is_ok()) {
            return Err(format!("`{}` are {} endpoints; write one", printable(text), parts.len()));
        }
        <Plain as Form<Endpoint>>::read(text)
    }

    fn write(endpoint: &Endpoint) -> String {
        endpoint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_endpoint_is_not_several() {
        assert!(OneEndpoint::read("tcp://a:1").is_ok());
        assert!(OneEndpoint::read("/run/a,b").is_ok(), "a path may have a comma");
        for several in ["tcp://a:1,tcp://b:1", "a:1,b:2", "uds:///a,uds:///b", "a:1, b:2"] {
            let error = OneEndpoint::read(several).unwrap_err();
            assert!(error.contains("2 endpoints; write one"), "{error}");
        }
    }
}
