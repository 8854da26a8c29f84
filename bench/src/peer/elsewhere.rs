//! Owns what is typed of a peer that runs already.

use super::name::PeerName;
use crate::process::server::Server;
use corecast::Endpoint;

/// A peer that runs already.
#[derive(Clone, PartialEq, Debug)]
pub struct Elsewhere {
    /// Endpoint of subscribers.
    pub subscribe_at: Endpoint,
    /// Endpoint of publishers.
    pub publish_at: Endpoint,
    /// Its process, if its cost is to be measured.
    pub pid: Option<u32>,
}

impl Elsewhere {
    /// The peer as the server of a round.
    pub fn server(&self) -> Server {
        let mut server = Server::running(self.subscribe_at.clone(), self.pid);
        server.publish_at = self.publish_at.clone();
        server
    }
}

/// A peer that runs already, as it is typed: `NAME=tcp://HOST:PORT[,publish=tcp://HOST:PORT][,pid=N]`.
pub fn parse_elsewhere(text: &str) -> Result<(PeerName, Elsewhere), String> {
    let usage = "write NAME=tcp://HOST:PORT[,publish=tcp://HOST:PORT][,pid=N]";
    let (name, rest) = text.split_once('=').ok_or_else(|| format!("`{text}`: {usage}"))?;
    let name: PeerName = name.parse().map_err(|error| format!("{error}"))?;
    if name.system.is_direct() || name.system.is_joined() || name.system.language().is_none() {
        return Err(format!("{name} cannot run elsewhere: this command starts it, or is a part of it"));
    }
    let mut words = rest.split(',');
    let endpoint = |text: &str| match text.parse::<Endpoint>() {
        Ok(Endpoint::Tls { .. }) => {
            Err(format!("`{text}`: TLS is for peers that this command starts, whose certificates it knows"))
        }
        read => read.map_err(|error| format!("`{text}`: {error}; {usage}")),
    };
    let subscribe_at: Endpoint = endpoint(words.next().unwrap_or_default())?;
    let mut elsewhere = Elsewhere { publish_at: subscribe_at.clone(), subscribe_at, pid: None };
    for word in words {
        match word.split_once('=') {
            Some(("publish", text)) => elsewhere.publish_at = endpoint(text)?,
            Some(("pid", text)) => {
                elsewhere.pid =
                    Some(text.parse().map_err(|_| format!("`{text}` is no process id; {usage}"))?);
            }
            _ => return Err(format!("`{word}`: {usage}")),
        }
    }
    Ok((name, elsewhere))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_read() {
        let (name, peer) = parse_elsewhere("libzmq=tcp://h:1,publish=tcp://h:2,pid=7").unwrap();
        assert_eq!((name.to_string().as_str(), peer.pid), ("libzmq", Some(7)));
        assert_eq!(
            (peer.subscribe_at.to_string(), peer.publish_at.to_string()),
            ("tcp://h:1".into(), "tcp://h:2".into())
        );
        let (_, peer) = parse_elsewhere("redis=uds:///run/redis.sock").unwrap();
        assert_eq!((peer.publish_at.to_string().as_str(), peer.pid), ("uds:///run/redis.sock", None));
    }

    #[test]
    fn what_makes_no_sense_says_how_to_write_it() {
        for wrong in ["redis", "redis=", "redis=here", "redis=tcp://h:1,pid=x", "redis=tcp://h:1,port=1"] {
            assert!(parse_elsewhere(wrong).unwrap_err().contains("write NAME=tcp://HOST:PORT"), "{wrong}");
        }
        assert!(parse_elsewhere("redis=tls://h:1").unwrap_err().contains("certificates"));
        assert!(parse_elsewhere("floor-tcp=tcp://h:1").unwrap_err().contains("is a part of it"));
        assert!(parse_elsewhere("nats-clustered=tcp://h:1").unwrap_err().contains("this command starts it"));
        assert!(parse_elsewhere("kafka=tcp://h:1").unwrap_err().contains("no peer"));
    }
}
