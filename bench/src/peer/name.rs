//! Owns the names of peers: `libzmq`, `floor-tcp-blocks`, `corecast-uds`.

use crate::process::transport::Transport;
use crate::swarm::raw::dialect::Language;
use std::fmt;
use std::str::FromStr;

/// A system that fans out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum System {
    /// Our broker, over its own wire.
    Corecast,
    /// Ours in direct mode: the publisher fans out. Its subscribers are always our own library's.
    CorecastDirect,
    /// Our broker, over its ZeroMQ listener.
    CorecastZmtp,
    /// libzmq's XPUB/XSUB proxy, topic and payload in a part each: the very bytes that our ZeroMQ listener gets.
    Libzmq,
    /// The same with topic and payload in one part, which libzmq does faster.
    LibzmqOnePart,
    /// nats-server.
    Nats,
    /// redis-server.
    Redis,
    /// mosquitto.
    Mosquitto,
    /// A bare loop that sends every message to every socket by itself.
    Floor,
    /// The same, but in a flood it sends the same bytes in blocks of 64 KiB.
    FloorBlocks,
    /// The same in blocks, and the bytes are those that our broker sends, frame for frame: to compare with it byte by
    /// byte.
    FloorFrames,
    /// The ancestor's way, through a proxy.
    PyzmqProxy,
    /// The ancestor's way, straight from the publisher.
    PyzmqDirect,
}

/// All of them, with their names.
const SYSTEMS: [(System, &str); 13] = [
    (System::CorecastDirect, "corecast-direct"),
    (System::CorecastZmtp, "corecast-zmtp"),
    (System::Corecast, "corecast"),
    (System::LibzmqOnePart, "libzmq-one-part"),
    (System::Libzmq, "libzmq"),
    (System::Nats, "nats"),
    (System::Redis, "redis"),
    (System::Mosquitto, "mosquitto"),
    (System::FloorBlocks, "floor-blocks"),
    (System::FloorFrames, "floor-frames"),
    (System::Floor, "floor"),
    (System::PyzmqProxy, "pyzmq-proxy"),
    (System::PyzmqDirect, "pyzmq-direct"),
];

impl System {
    /// The protocol of its subscribers; `None` if they are not ours.
    pub fn language(self) -> Option<Language> {
        match self {
            System::Corecast | System::CorecastDirect | System::FloorFrames => Some(Language::Native),
            System::CorecastZmtp | System::Libzmq => Some(Language::ZmtpTwoParts),
            System::LibzmqOnePart => Some(Language::ZmtpOnePart),
            System::Nats => Some(Language::Nats),
            System::Redis => Some(Language::Redis),
            System::Mosquitto => Some(Language::Mqtt),
            System::Floor | System::FloorBlocks => Some(Language::Lengths),
            System::PyzmqProxy | System::PyzmqDirect => None,
        }
    }

    /// True for ours, which the others are compared with.
    pub fn is_ours(self) -> bool {
        matches!(self, System::Corecast | System::CorecastDirect | System::CorecastZmtp)
    }

    /// True for a system that somebody would use in place of ours: not a floor, not the ancestor's way.
    pub fn is_rival(self) -> bool {
        matches!(
            self,
            System::Libzmq | System::LibzmqOnePart | System::Nats | System::Redis | System::Mosquitto
        )
    }

    /// True for a bare loop.
    pub fn is_floor(self) -> bool {
        matches!(self, System::Floor | System::FloorBlocks | System::FloorFrames)
    }

    /// True if publishers send to subscribers themselves.
    pub fn is_direct(self) -> bool {
        self.is_floor() || matches!(self, System::CorecastDirect | System::PyzmqDirect)
    }

    /// True if its subscribers are Python's.
    pub fn is_pyzmq(self) -> bool {
        matches!(self, System::PyzmqProxy | System::PyzmqDirect)
    }

    /// Why it has nothing to do with Unix sockets, if so.
    pub fn why_not_uds(self) -> Option<&'static str> {
        match self {
            System::Nats => Some("nats-server has no Unix sockets"),
            System::CorecastZmtp | System::PyzmqProxy | System::PyzmqDirect => {
                Some("it is measured over TCP only")
            }
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        SYSTEMS.iter().find(|(system, _)| *system == self).map_or("", |(_, name)| name)
    }
}

/// A peer: what fans out, and over what if not over what everybody else uses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PeerName {
    /// The system.
    pub system: System,
    /// Over what, if the name says so.
    pub transport: Option<NamedTransport>,
}

/// A transport that is part of a name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum NamedTransport {
    /// TCP.
    Tcp,
    /// Unix sockets.
    Uds,
}

impl From<NamedTransport> for Transport {
    fn from(named: NamedTransport) -> Self {
        match named {
            NamedTransport::Tcp => Transport::Tcp,
            NamedTransport::Uds => Transport::Uds,
        }
    }
}

/// A word that names no peer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` is no peer: there are corecast, corecast-direct, corecast-zmtp, libzmq, libzmq-one-part, nats, redis, mosquitto, floor, floor-blocks, floor-frames, pyzmq-proxy and pyzmq-direct; -tcp or -uds behind a name says over what, such as floor-uds, floor-tcp-blocks or corecast-uds"
)]
pub struct UnknownPeer(String);

impl FromStr for PeerName {
    type Err = UnknownPeer;

    fn from_str(text: &str) -> Result<Self, UnknownPeer> {
        let unknown = || UnknownPeer(text.to_owned());
        // `floor-tcp-blocks`: the transport may stand inside the name.
        let mut words: Vec<&str> = text.split('-').collect();
        let mut transport = None;
        if let Some(at) = words.iter().skip(1).position(|word| matches!(*word, "tcp" | "uds")) {
            let tcp = words.remove(at + 1) == "tcp";
            transport = Some(if tcp { NamedTransport::Tcp } else { NamedTransport::Uds });
        }
        let name = words.join("-");
        let found = SYSTEMS.iter().find(|(_, known)| *known == name);
        found.map(|(system, _)| PeerName { system: *system, transport }).ok_or_else(unknown)
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            None => "",
            Some(NamedTransport::Tcp) => "-tcp",
            Some(NamedTransport::Uds) => "-uds",
        };
        match self.system {
            System::FloorBlocks => write!(f, "floor{transport}-blocks"),
            System::FloorFrames => write!(f, "floor{transport}-frames"),
            system => write!(f, "{}{transport}", system.as_str()),
        }
    }
}

impl PeerName {
    /// Over what it is measured, if everybody else is over `usual`.
    pub fn transport(self, usual: Transport) -> Transport {
        self.transport.map_or(usual, Transport::from)
    }

    /// The name in a field path, where a dash would be a minus: `floor_tcp_blocks`.
    pub fn field(self) -> String {
        self.to_string().replace('-', "_")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_as_it_is_written() {
        for (system, name) in SYSTEMS {
            let peer = PeerName { system, transport: None };
            assert_eq!(name.parse(), Ok(peer));
            for transport in [NamedTransport::Tcp, NamedTransport::Uds] {
                let peer = PeerName { system, transport: Some(transport) };
                assert_eq!(peer.to_string().parse(), Ok(peer));
            }
        }
    }

    #[test]
    fn a_transport_may_be_part_of_a_name() {
        let named = |text: &str| text.parse::<PeerName>().unwrap();
        assert_eq!(named("floor-tcp-blocks").system, System::FloorBlocks);
        assert_eq!(named("floor-tcp-blocks"), named("floor-blocks-tcp"));
        assert_eq!(named("floor-tcp-blocks").field(), "floor_tcp_blocks");
        assert_eq!(named("corecast-uds").transport(Transport::Tcp), Transport::Uds);
        assert_eq!(named("corecast").transport(Transport::Tcp), Transport::Tcp);
        for wrong in ["", "kafka", "floor-", "tcp", "floor-tcp-uds"] {
            assert!(wrong.parse::<PeerName>().unwrap_err().to_string().contains("pyzmq-direct"), "{wrong}");
        }
    }
}
