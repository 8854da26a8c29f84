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
    /// Another build of our broker, over its own wire: to see what a change did.
    CorecastBefore,
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

/// A kind of system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Ours, which the others are compared with.
    Ours,
    /// Another build of ours.
    Before,
    /// One that somebody would use in place of ours.
    Rival,
    /// A bare loop.
    Floor,
    /// The ancestor's way, with subscribers of Python.
    Ancestor,
}

/// All systems: name, kind, and the protocol of their subscribers; none if these are not ours.
const SYSTEMS: [(System, &str, Kind, Option<Language>); 14] = [
    (System::CorecastBefore, "corecast-before", Kind::Before, Some(Language::Native)),
    (System::CorecastDirect, "corecast-direct", Kind::Ours, Some(Language::Native)),
    (System::CorecastZmtp, "corecast-zmtp", Kind::Ours, Some(Language::ZmtpTwoParts)),
    (System::Corecast, "corecast", Kind::Ours, Some(Language::Native)),
    (System::LibzmqOnePart, "libzmq-one-part", Kind::Rival, Some(Language::ZmtpOnePart)),
    (System::Libzmq, "libzmq", Kind::Rival, Some(Language::ZmtpTwoParts)),
    (System::Nats, "nats", Kind::Rival, Some(Language::Nats)),
    (System::Redis, "redis", Kind::Rival, Some(Language::Redis)),
    (System::Mosquitto, "mosquitto", Kind::Rival, Some(Language::Mqtt)),
    (System::FloorBlocks, "floor-blocks", Kind::Floor, Some(Language::Lengths)),
    (System::FloorFrames, "floor-frames", Kind::Floor, Some(Language::Native)),
    (System::Floor, "floor", Kind::Floor, Some(Language::Lengths)),
    (System::PyzmqProxy, "pyzmq-proxy", Kind::Ancestor, None),
    (System::PyzmqDirect, "pyzmq-direct", Kind::Ancestor, None),
];

impl System {
    fn row(self) -> (&'static str, Kind, Option<Language>) {
        let row = SYSTEMS.iter().find(|(system, ..)| *system == self);
        let (_, name, kind, language) = *row.expect("every system is in the table");
        (name, kind, language)
    }

    /// The protocol of its subscribers; `None` if they are not ours.
    pub fn language(self) -> Option<Language> {
        self.row().2
    }

    /// True for ours, which the others are compared with.
    pub fn is_ours(self) -> bool {
        self.row().1 == Kind::Ours
    }

    /// True for a system that somebody would use in place of ours: not a floor, not the ancestor's way.
    pub fn is_rival(self) -> bool {
        self.row().1 == Kind::Rival
    }

    /// True for a bare loop.
    pub fn is_floor(self) -> bool {
        self.row().1 == Kind::Floor
    }

    /// True if publishers send to subscribers themselves.
    pub fn is_direct(self) -> bool {
        self.is_floor() || matches!(self, System::CorecastDirect | System::PyzmqDirect)
    }

    /// True if its subscribers are Python's.
    pub fn is_pyzmq(self) -> bool {
        self.row().1 == Kind::Ancestor
    }

    /// The reason for which it is not measured over Unix sockets, if there is one.
    pub fn why_not_uds(self) -> Option<&'static str> {
        match self {
            System::Nats => Some("nats-server has no Unix sockets"),
            System::CorecastZmtp | System::PyzmqProxy | System::PyzmqDirect => {
                Some("it is measured over TCP only")
            }
            _ => None,
        }
    }
}

/// A peer: a system, and its transport if that is not the one that the others use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PeerName {
    /// The system.
    pub system: System,
    /// The transport, if it is part of the name.
    pub transport: Option<Transport>,
}

/// A word that names no peer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` is no peer: there are corecast, corecast-before, corecast-direct, corecast-zmtp, libzmq, libzmq-one-part, nats, redis, mosquitto, floor, floor-blocks, floor-frames, pyzmq-proxy and pyzmq-direct; -tcp or -uds behind a name says over what, such as floor-uds, floor-tcp-blocks or corecast-uds"
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
            transport = Some(if tcp { Transport::Tcp } else { Transport::Uds });
        }
        let name = words.join("-");
        let found = SYSTEMS.iter().find(|(_, known, ..)| *known == name);
        found.map(|(system, ..)| PeerName { system: *system, transport }).ok_or_else(unknown)
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = self.transport.map(|transport| format!("-{transport}")).unwrap_or_default();
        match self.system {
            System::FloorBlocks => write!(f, "floor{transport}-blocks"),
            System::FloorFrames => write!(f, "floor{transport}-frames"),
            system => write!(f, "{}{transport}", system.row().0),
        }
    }
}

impl PeerName {
    /// Its transport, if that of the others is `usual`.
    pub fn transport(self, usual: Transport) -> Transport {
        self.transport.unwrap_or(usual)
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
        for (system, name, ..) in SYSTEMS {
            let peer = PeerName { system, transport: None };
            assert_eq!(name.parse(), Ok(peer));
            for transport in [Transport::Tcp, Transport::Uds] {
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
