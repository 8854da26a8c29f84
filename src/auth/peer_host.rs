//! Hosts of peers, as bounds for each host count them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A host, as far as addresses tell one from another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum PeerHost {
    /// This one: by a loopback address, or a Unix socket.
    Here,
    /// The one with this address.
    V4(Ipv4Addr),
    /// One in the network with this prefix of 64 bits, all addresses of which one host may have.
    V6(u64),
}

impl PeerHost {
    /// The host at an address; a Unix socket has none.
    pub(crate) fn at(address: Option<SocketAddr>) -> Self {
        match address.map(|address| address.ip().to_canonical()) {
            Some(ip) if ip.is_loopback() => PeerHost::Here,
            Some(IpAddr::V4(ip)) => PeerHost::V4(ip),
            Some(IpAddr::V6(ip)) => PeerHost::V6((ip.to_bits() >> 64) as u64),
            None => PeerHost::Here,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_address_of_version_4_and_a_network_of_version_6() {
        let at = |text: &str| PeerHost::at(Some(format!("{text}:1").parse().expect("an address")));
        for here in ["127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]"] {
            assert_eq!(at(here), PeerHost::Here);
        }
        assert_eq!(PeerHost::at(None), PeerHost::Here);
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
        assert_eq!(at("192.0.2.1"), at("[::ffff:192.0.2.1]"));
        assert_eq!(at("[2001:db8::1]"), at("[2001:db8::ffff:1:2:3]"));
        assert_ne!(at("[2001:db8::1]"), at("[2001:db8:0:1::1]"));
    }
}
