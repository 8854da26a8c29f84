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
    /// Ours, with subscribers of our own library that wait with epoll.
    CorecastEpoll,
    /// Ours, with subscribers of its Python package.
    CorecastPython,
    /// Ours, with clients that know no runs: each message is in a frame of its own.
    CorecastSingles,
    /// Another build of our broker, over its own wire: to see what a change did.
    CorecastBefore,
    /// Our broker, over its ZeroMQ listener.
    CorecastZmtp,
    /// Two brokers of ours with an engine between them, half of the subscribers at each, and publishers at one.
    CorecastJoined,
    /// libzmq's XPUB/XSUB proxy, topic and payload in a part each: the very bytes that our ZeroMQ listener gets.
    Libzmq,
    /// The same with topic and payload in one part, which libzmq does faster.
    LibzmqOnePart,
    /// nats-server, as the system has it.
    Nats,
    /// The newer nats-server that `scripts/peers.sh` gets.
    NatsPinned,
    /// Two nats-servers with a route between them, as the system has them, half of the subscribers at each.
    NatsClustered,
    /// Two of the newer ones.
    NatsPinnedClustered,
    /// redis-server, as the system has it.
    Redis,
    /// The newer redis-server that `scripts/peers.sh` gets.
    RedisPinned,
    /// The same with four I/O threads.
    RedisPinnedIo4,
    /// mosquitto.
    Mosquitto,
    /// Zenoh's router, with sessions of its own library.
    Zenoh,
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
    /// One that somebody would use in place of ours.
    Rival,
    /// Two servers of a rival, beside two of ours.
    Cluster,
    /// Another build of ours, or the ancestor's way.
    Other,
    /// A bare loop.
    Floor,
}

/// All systems: name, kind, and the protocol of their subscribers; none if these are not ours. The name of a rival
/// begins with its family, and a version in it is that of `bench/peers/requirements.txt`.
const SYSTEMS: [(System, &str, Kind, Option<Language>); 24] = [
    (System::Corecast, "corecast", Kind::Ours, Some(Language::Native)),
    (System::CorecastSingles, "corecast-singles", Kind::Ours, Some(Language::NativeSingles)),
    (System::CorecastBefore, "corecast-before", Kind::Other, Some(Language::Native)),
    (System::CorecastDirect, "corecast-direct", Kind::Ours, Some(Language::Native)),
    (System::CorecastEpoll, "corecast-epoll", Kind::Ours, Some(Language::Native)),
    (System::CorecastPython, "corecast-python", Kind::Ours, None),
    (System::CorecastZmtp, "corecast-zmtp", Kind::Ours, Some(Language::ZmtpTwoParts)),
    (System::CorecastJoined, "corecast-joined", Kind::Ours, Some(Language::Native)),
    (System::Libzmq, "libzmq", Kind::Rival, Some(Language::ZmtpTwoParts)),
    (System::LibzmqOnePart, "libzmq-one-part", Kind::Rival, Some(Language::ZmtpOnePart)),
    (System::Nats, "nats", Kind::Rival, Some(Language::Nats)),
    (System::NatsPinned, "nats-2.15", Kind::Rival, Some(Language::Nats)),
    (System::NatsClustered, "nats-clustered", Kind::Cluster, Some(Language::Nats)),
    (System::NatsPinnedClustered, "nats-2.15-clustered", Kind::Cluster, Some(Language::Nats)),
    (System::Redis, "redis", Kind::Rival, Some(Language::Redis)),
    (System::RedisPinned, "redis-8.2", Kind::Rival, Some(Language::Redis)),
    (System::RedisPinnedIo4, "redis-8.2-io4", Kind::Rival, Some(Language::Redis)),
    (System::Mosquitto, "mosquitto", Kind::Rival, Some(Language::Mqtt)),
    (System::Zenoh, "zenoh-1.10", Kind::Rival, None),
    (System::Floor, "floor", Kind::Floor, Some(Language::Lengths)),
    (System::FloorBlocks, "floor-blocks", Kind::Floor, Some(Language::Lengths)),
    (System::FloorFrames, "floor-frames", Kind::Floor, Some(Language::Native)),
    (System::PyzmqProxy, "pyzmq-proxy", Kind::Other, None),
    (System::PyzmqDirect, "pyzmq-direct", Kind::Other, None),
];

impl System {
    fn row(self) -> (&'static str, Kind, Option<Language>) {
        let row = SYSTEMS.iter().find(|(system, ..)| *system == self);
        let (_, name, kind, language) = *row.expect("every system is in the table");
        (name, kind, language)
    }

    /// All systems.
    pub fn all() -> impl Iterator<Item = Self> {
        SYSTEMS.iter().map(|(system, ..)| *system)
    }

    /// Its name, without a transport.
    pub fn name(self) -> &'static str {
        self.row().0
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

    /// The family of a rival: its editions and forms, of which the best is what we are compared with.
    pub fn family(self) -> Option<&'static str> {
        let name = self.name();
        self.is_rival().then(|| name.split_once('-').map_or(name, |(family, _)| family))
    }

    /// True for a bare loop.
    pub fn is_floor(self) -> bool {
        self.row().1 == Kind::Floor
    }

    /// True for two servers that are one peer.
    pub fn is_joined(self) -> bool {
        self == System::CorecastJoined || self.row().1 == Kind::Cluster
    }

    /// True if its subscribers are always our own library's, whatever `--clients` says.
    pub fn is_native(self) -> bool {
        matches!(self, System::CorecastDirect | System::CorecastEpoll)
    }

    /// True if publishers send to subscribers themselves.
    pub fn is_direct(self) -> bool {
        self.is_floor() || matches!(self, System::CorecastDirect | System::PyzmqDirect)
    }

    /// The reason for which it is not measured over this transport, if there is one.
    pub fn why_not_over(self, transport: Transport) -> Option<&'static str> {
        match (transport, self) {
            (Transport::Tcp, _) => None,
            (_, system) if system.is_joined() => Some("its two servers are measured over TCP only"),
            (Transport::Uds, System::Nats | System::NatsPinned) => Some("nats-server has no Unix sockets"),
            (Transport::Tls, System::CorecastZmtp | System::Libzmq | System::LibzmqOnePart) => {
                Some("ZeroMQ speaks no TLS")
            }
            (Transport::Tls, System::CorecastDirect) => Some("direct publishers speak no TLS"),
            (Transport::Tls, System::CorecastPython) => {
                Some("its clients in Python know no certificate here")
            }
            (_, System::CorecastZmtp | System::Zenoh | System::PyzmqProxy | System::PyzmqDirect) => {
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
    "`{0}` is no peer: there are {names}; -all behind the first word of a name stands for all that begin with it, such as \
     redis-all; -tcp, -tls or -uds behind a name says over what, such as floor-uds, floor-tcp-blocks or corecast-tls",
    names = SYSTEMS.map(|(_, name, ..)| name).join(", ")
)]
pub struct UnknownPeer(String);

/// A name without the transport, which may stand inside it: `floor-tcp-blocks`.
fn without_transport(text: &str) -> (String, Option<Transport>) {
    let mut words: Vec<&str> = text.split('-').collect();
    let at = words.iter().skip(1).position(|word| word.parse::<Transport>().is_ok());
    let transport = at.and_then(|at| words.remove(at + 1).parse().ok());
    (words.join("-"), transport)
}

impl FromStr for PeerName {
    type Err = UnknownPeer;

    fn from_str(text: &str) -> Result<Self, UnknownPeer> {
        let (name, transport) = without_transport(text);
        let found = SYSTEMS.iter().find(|(_, known, ..)| *known == name);
        found
            .map(|(system, ..)| PeerName { system: *system, transport })
            .ok_or_else(|| UnknownPeer(text.to_owned()))
    }
}

/// Peers as one word names them: a peer, or all of a family (`redis-all`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerNames(pub Vec<PeerName>);

impl FromStr for PeerNames {
    type Err = UnknownPeer;

    fn from_str(text: &str) -> Result<Self, UnknownPeer> {
        let (name, transport) = without_transport(text);
        let family = name.strip_suffix("-all");
        let of_family = System::all().filter(|system| family.is_some() && system.family() == family);
        let names: Vec<PeerName> = of_family.map(|system| PeerName { system, transport }).collect();
        match names[..] {
            [] => Ok(PeerNames(vec![text.parse()?])),
            _ => Ok(PeerNames(names)),
        }
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = self.transport.map(|transport| format!("-{transport}")).unwrap_or_default();
        match self.system {
            System::FloorBlocks => write!(f, "floor{transport}-blocks"),
            System::FloorFrames => write!(f, "floor{transport}-frames"),
            system => write!(f, "{}{transport}", system.name()),
        }
    }
}

impl PeerName {
    /// Its transport, if that of the others is `usual`.
    pub fn transport(self, usual: Transport) -> Transport {
        self.transport.unwrap_or(usual)
    }
}

/// The family of a rival, by its name in records.
pub fn family_of(peer: &str) -> Option<&'static str> {
    peer.parse::<PeerName>().ok()?.system.family()
}

/// A peer's name in a field path, where a dash would be a minus and a dot the next field: `redis_8_2`.
pub fn field(peer: &str) -> String {
    peer.replace(['-', '.'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_as_it_is_written() {
        for (system, name, ..) in SYSTEMS {
            let peer = PeerName { system, transport: None };
            assert_eq!(name.parse(), Ok(peer));
            for transport in [Transport::Tcp, Transport::Tls, Transport::Uds] {
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
        assert_eq!(field("floor-tcp-blocks"), "floor_tcp_blocks");
        assert_eq!(named("redis-8.2-uds-io4"), named("redis-8.2-io4-uds"));
        assert_eq!(named("nats-2.15-tls").transport, Some(Transport::Tls));
        assert_eq!(named("corecast-uds").transport(Transport::Tcp), Transport::Uds);
        assert_eq!(named("corecast").transport(Transport::Tcp), Transport::Tcp);
        for wrong in ["", "kafka", "floor-", "tcp", "floor-tcp-uds"] {
            assert!(wrong.parse::<PeerName>().unwrap_err().to_string().contains("pyzmq-direct"), "{wrong}");
        }
    }

    #[test]
    fn a_family_stands_for_all_of_it() {
        let named = |text: &str| text.parse::<PeerNames>().unwrap().0;
        let names = |text: &str| named(text).iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        assert_eq!(names("nats-all"), "nats,nats-2.15");
        assert_eq!(names("redis-all-uds"), "redis-uds,redis-8.2-uds,redis-8.2-io4-uds");
        assert_eq!(names("libzmq-all"), "libzmq,libzmq-one-part");
        assert_eq!(names("redis"), "redis", "a name is never more than one");
        assert_eq!(names("nats-2.15-clustered"), "nats-2.15-clustered");
        assert!(
            named("nats-clustered")[0].system.is_joined() && named("corecast-joined")[0].system.is_joined()
        );
        for wrong in ["floor-all", "corecast-all", "all", "-all", "redis-all-all"] {
            assert!(wrong.parse::<PeerNames>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn versions_in_names_are_those_that_are_installed() {
        let pins = include_str!("../../peers/requirements.txt");
        for (_, name, ..) in SYSTEMS {
            let mut words = name.split('-').skip(1);
            let Some(version) = words.find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
            else {
                continue;
            };
            let family = name.split('-').next().unwrap();
            let pinned = format!("# {family} {version}.");
            assert!(pins.lines().any(|line| line.starts_with(&pinned)), "{name}: no `{pinned}` in\n{pins}");
        }
    }
}
