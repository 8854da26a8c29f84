//! Endpoints of direct publishers: where one listens unless told, what it advertises, and what nobody could connect to.

use std::fmt::Display;
use std::net::IpAddr;
use std::path::PathBuf;

use super::endpoint::Endpoint;

impl Endpoint {
    /// The endpoint to listen on for someone who reaches this one from `local_ip`: a free port of that address, which is one
    /// that others reach too, or a socket file beside this one, with `.name` behind its path.
    pub(crate) fn beside(&self, local_ip: Option<IpAddr>, name: &impl Display) -> Endpoint {
        match self {
            Endpoint::Tcp { .. } => Endpoint::Tcp { host: host(local_ip), port: 0 },
            Endpoint::Tls { .. } => Endpoint::Tls { host: host(local_ip), port: 0, pin: None },
            Endpoint::Uds { path } => {
                let mut beside = path.clone().into_os_string();
                beside.push(format!(".{name}"));
                Endpoint::Uds { path: PathBuf::from(beside) }
            }
        }
    }

    /// This endpoint as others can connect to it: port 0 is the port of `listens_on`, and a path begins at the root.
    pub(crate) fn seen_by_others(self, listens_on: &Endpoint) -> Endpoint {
        let is_abstract = self.is_abstract();
        match (self, listens_on) {
            (advertised, at) if advertised.port() == Some(0) && at.port().is_some() => {
                advertised.with_port(at.port().unwrap_or_default())
            }
            (Endpoint::Uds { path }, _) if !is_abstract => {
                // To whoever is in another directory.
                Endpoint::Uds { path: std::path::absolute(&path).unwrap_or(path) }
            }
            (advertised, _) => advertised,
        }
    }

    /// The reason why nobody could connect to this endpoint as written, if it shows.
    pub(crate) fn why_nobody_could_connect(&self) -> Option<String> {
        let port = self.port()?;
        if self.is_any_host() {
            return Some(format!(
                "{self} stands for every address of a host, and cannot be connected to: advertise one of them"
            ));
        }
        (port == 0).then(|| format!("{self} has no port to connect to"))
    }
}

/// The host of an address, or this one.
fn host(local_ip: Option<IpAddr>) -> String {
    local_ip.map_or_else(|| "127.0.0.1".to_owned(), |ip| ip.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        text.parse().expect(text)
    }

    #[test]
    fn a_publisher_listens_where_its_broker_is_reached_from() {
        let broker = endpoint("tcp://broker.example.org:6680");
        let from = Some("10.0.0.7".parse().expect("an address"));
        assert_eq!(broker.beside(from, &"7").to_string(), "tcp://10.0.0.7:0");
        assert_eq!(broker.beside(None, &"7").to_string(), "tcp://127.0.0.1:0");
        let encrypted = endpoint("tls://broker.example.org:6680");
        assert_eq!(encrypted.beside(from, &"7").to_string(), "tls://10.0.0.7:0");
        assert_eq!(
            endpoint("uds:///run/broker.sock").beside(None, &"7").to_string(),
            "uds:///run/broker.sock.7"
        );
    }

    #[test]
    fn others_see_the_port_that_is_listened_on() {
        let listens_on = endpoint("tcp://0.0.0.0:4711");
        for (advertised, seen) in [
            ("tcp://public.example.org:0", "tcp://public.example.org:4711"),
            ("tcp://public.example.org:80", "tcp://public.example.org:80"),
            ("uds:///run/p", "uds:///run/p"),
            ("uds://@name", "uds://@name"),
        ] {
            assert_eq!(endpoint(advertised).seen_by_others(&listens_on).to_string(), seen);
        }
        let relative = endpoint("uds://p").seen_by_others(&listens_on).to_string();
        assert!(relative.starts_with("uds:///") && relative.ends_with("/p"), "{relative}");
    }

    #[test]
    fn what_nobody_could_connect_to_is_told() {
        for (text, part) in
            [("tcp://*:1", "advertise one"), ("tcp://[::]:1", "advertise one"), ("tcp://h:0", "no port")]
        {
            let why = endpoint(text).why_nobody_could_connect().expect(text);
            assert!(why.contains(part), "{why}");
        }
        assert_eq!(endpoint("tcp://h:1").why_nobody_could_connect(), None);
        assert_eq!(endpoint("uds:///run/p").why_nobody_could_connect(), None);
    }
}
