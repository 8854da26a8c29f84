//! Owns `hosts.toml`: which hosts play subscribers, through which agents, and how many each gets.
//!
//! ```toml
//! token_file = "agent.token"              # optional: the token of all agents; relative to this file
//! broker_listen = "tcp://10.0.0.1:0"      # optional: where the broker on this host listens
//! broker_advertise = "tcp://admin:6680"   # optional: what the agents are told to connect to
//!
//! [[host]]
//! name = "worker1"
//! agent = "tcp://10.0.0.2:6690"
//! cores = "0-15"                          # optional: all, unless the call says otherwise
//! weight = 2                              # optional: 1
//! broker = "tcp://10.0.0.2:6680"          # optional: the broker of that host, which an engine joins with the others
//! ```

use super::token::AgentToken;
use crate::toml_file::{self, TomlFileError};
use corecast::Endpoint;
use corecast_executors::CoreSet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use toml::{Spanned, Value};

/// Hosts of one run: each has a connection, and two threads here.
pub const HOSTS_MAX: usize = 256;

/// The hosts of a run, in the order of the file; at least one.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// The token that all agents must have; `None`: they ask for none.
    pub token: Option<AgentToken>,
    /// The endpoint of a broker that is started for a run; `None`: the address from which the agents are reached.
    pub broker_listen: Option<Endpoint>,
    /// The endpoint that agents are to connect to; `None`: where the broker listens.
    pub broker_advertise: Option<Endpoint>,
    /// The hosts that play subscribers.
    pub hosts: Vec<Host>,
}

/// One host that plays subscribers.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name in errors and results.
    pub name: String,
    /// The endpoint of its agent.
    pub agent: Endpoint,
    /// The cores of its executors, resolved there.
    pub cores: CoreSet,
    /// Its part of the subscribers, beside that of the others.
    pub weight: f64,
    /// The broker of its subscribers, which an engine joins with that of the run; `None`: that one.
    pub broker: Option<Endpoint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    token_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "tcp_or_none")]
    broker_listen: Option<Endpoint>,
    #[serde(default, deserialize_with = "tcp_or_none")]
    broker_advertise: Option<Endpoint>,
    #[serde(default)]
    host: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Spanned<String>,
    #[serde(deserialize_with = "tcp")]
    agent: Endpoint,
    #[serde(default, deserialize_with = "cores")]
    cores: Option<CoreSet>,
    #[serde(default, deserialize_with = "weight")]
    weight: Option<f64>,
    #[serde(default, deserialize_with = "tcp_or_none")]
    broker: Option<Endpoint>,
}

/// Reads the address of an agent.
pub fn parse_tcp(text: &str) -> Result<Endpoint, String> {
    match Endpoint::from_str(text).map_err(|error| error.to_string())? {
        endpoint @ Endpoint::Tcp { .. } => Ok(endpoint),
        _ => Err(format!("`{text}` is not for agents: write tcp://HOST:PORT")),
    }
}

fn tcp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Endpoint, D::Error> {
    parse_tcp(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn tcp_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Endpoint>, D::Error> {
    tcp(deserializer).map(Some)
}

fn cores<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<CoreSet>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(D::Error::custom)
}

fn weight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let weight = match Value::deserialize(deserializer)? {
        Value::Integer(weight) => weight as f64,
        Value::Float(weight) => weight,
        _ => f64::NAN,
    };
    let weight = Some(weight).filter(|weight| *weight > 0.0 && weight.is_finite());
    weight.map(Some).ok_or_else(|| D::Error::custom("a weight is a number above 0"))
}

impl Hosts {
    /// Reads the file, and that of the token. Hosts that name no cores get `cores`.
    pub fn load(path: &Path, cores: &CoreSet) -> Result<Self, TomlFileError> {
        toml_file::read(path, |text| {
            let (mut hosts, token_file) = Hosts::parse(text, cores)?;
            let token = token_file.map(|file| AgentToken::read(&path.with_file_name(file))).transpose();
            hosts.token = token.map_err(|error| format!("token_file: {error:#}"))?;
            Ok(hosts)
        })
    }

    /// The hosts, without their token, and its file.
    fn parse(text: &str, cores: &CoreSet) -> Result<(Self, Option<PathBuf>), String> {
        let file: File = toml_file::parse(text)?;
        if file.host.is_empty() {
            return Err("it names no hosts: each is a table [[host]] with name and agent".into());
        }
        if file.host.len() > HOSTS_MAX {
            return Err(format!("it names {} hosts; {HOSTS_MAX} at most", file.host.len()));
        }
        if file.broker_advertise.is_some() && file.broker_listen.is_none() {
            return Err("broker_advertise says where the broker is reached, and there is no broker_listen: \
                        say where it listens too"
                .into());
        }
        let mut hosts: Vec<Host> = Vec::with_capacity(file.host.len());
        for entry in file.host {
            let line = 1 + text[..entry.name.span().start].matches('\n').count();
            let name = entry.name.into_inner();
            if name.is_empty() {
                return Err(format!("line {line}: name is empty"));
            }
            if let Some(twin) = hosts.iter().find(|host| host.name == name || host.agent == entry.agent) {
                return Err(format!(
                    "line {line}: {name} at {} has the name or the agent of {} at {}: one agent plays one host",
                    entry.agent, twin.name, twin.agent
                ));
            }
            let cores = entry.cores.unwrap_or_else(|| cores.clone());
            let (agent, weight, broker) = (entry.agent, entry.weight.unwrap_or(1.0), entry.broker);
            hosts.push(Host { name, agent, cores, weight, broker });
        }
        let File { token_file, broker_listen, broker_advertise, .. } = file;
        Ok((Hosts { token: None, broker_listen, broker_advertise, hosts }, token_file))
    }

    /// Subscribers of each host, in the order of the file: by weight, the rest to those that are farthest below their
    /// part, the first of equals.
    pub fn shares(&self, subscribers: usize) -> Vec<usize> {
        let whole: f64 = self.hosts.iter().map(|host| host.weight).sum();
        let parts: Vec<f64> =
            self.hosts.iter().map(|host| subscribers as f64 * (host.weight / whole)).collect();
        let mut shares: Vec<usize> =
            parts.iter().map(|part| (part.floor() as usize).min(subscribers)).collect();
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by(|one, other| parts[*other].fract().total_cmp(&parts[*one].fract()));
        let mut rest = subscribers.saturating_sub(shares.iter().sum());
        for index in order.into_iter().cycle() {
            if rest == 0 {
                break;
            }
            shares[index] += 1;
            rest -= 1;
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Hosts, String> {
        Hosts::parse(text, &"0".parse().unwrap()).map(|(hosts, _)| hosts)
    }

    #[track_caller]
    fn refused(text: &str, says: &[&str]) {
        let why = parse(text).unwrap_err();
        for wanted in says {
            assert!(why.contains(wanted), "no `{wanted}` in: {why}");
        }
    }

    const TWO: &str = "[[host]]\nname = \"a\"\nagent = \"tcp://h:1\"\ncores = \"2-3\"\nweight = 2\n\
                       [[host]]\nname = \"b\"\nagent = \"tcp://h:2\"\n";

    #[test]
    fn what_is_not_said_has_a_default() {
        let hosts = parse(TWO).unwrap();
        let cores: Vec<String> = hosts.hosts.iter().map(|host| host.cores.to_string()).collect();
        assert_eq!((cores, hosts.broker_listen), (vec!["2-3".to_owned(), "0".to_owned()], None));
        let text = format!("broker_listen = \"tcp://10.0.0.1:0\"\n{TWO}");
        assert_eq!(parse(&text).unwrap().broker_listen.unwrap().to_string(), "tcp://10.0.0.1:0");
        let brokers: Vec<_> = parse(&format!("{TWO}broker = \"tcp://h:3\"\n")).unwrap().hosts;
        let brokers = brokers.iter().map(|host| host.broker.as_ref().map(ToString::to_string));
        assert_eq!(brokers.collect::<Vec<_>>(), [None, Some("tcp://h:3".to_owned())]);
    }

    #[test]
    fn the_page_shows_a_file_that_is_one() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/HOSTS.md");
        let page = std::fs::read_to_string(page).unwrap();
        let block = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let hosts = parse(block).unwrap();
        assert_eq!(hosts.shares(30), [10, 20]);
        assert!(hosts.broker_listen.is_some() && hosts.broker_advertise.is_some());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        refused("", &["names no hosts"]);
        refused("[[host]]\nname = \"a\"\nagnet = \"tcp://h:1\"\n", &["line 3", "agnet"]);
        refused("[[host]]\nname = \"a\"\n", &["agent"]);
        refused("[[host]]\nname = \"a\"\nagent = \"h\"\n", &["line 3", "`h` is no endpoint"]);
        refused("[[host]]\nname = \"a\"\nagent = \"uds:///x\"\n", &["line 3", "not for agents"]);
        refused(&TWO.replace("weight = 2", "weight = 0"), &["line 5", "a number above 0"]);
        refused(&TWO.replace("weight = 2", "weight = nan"), &["line 5", "a number above 0"]);
        refused(&TWO.replace("weight = 2", "weight = \"x\""), &["line 5", "a number above 0"]);
        refused(&TWO.replace("2-3", "x"), &["line 4", "names no cores"]);
        refused(&TWO.replace("\"b\"", "\"a\""), &["line 7", "has the name or the agent of a"]);
        refused(&TWO.replace("h:2", "h:1"), &["line 7", "has the name or the agent of a"]);
        refused(&TWO.replace("\"b\"", "\"\""), &["line 7", "name is empty"]);
        refused(&format!("broker = \"x\"\n{TWO}"), &["line 1", "broker_listen"]);
        refused(&format!("broker_advertise = \"tcp://h:1\"\n{TWO}"), &["no broker_listen"]);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Hosts::load(Path::new("/nowhere/hosts.toml"), &CoreSet::default()).unwrap_err();
        assert!(error.to_string().contains("/nowhere/hosts.toml"), "{error}");
    }

    #[test]
    fn shares_follow_the_weights() {
        let shares = |subscribers| parse(TWO).unwrap().shares(subscribers);
        assert_eq!(shares(512), [341, 171]);
        assert_eq!(shares(1), [1, 0]);
        assert_eq!(shares(3), [2, 1]);
        assert_eq!(shares(0), [0, 0]);
    }

    proptest! {
        #[test]
        fn shares_are_complete_and_near_their_part(
            subscribers in 0usize..100_000,
            weights in prop::collection::vec(0.001f64..1e6, 1..9),
        ) {
            let mut hosts = parse(TWO).unwrap();
            let one = hosts.hosts[0].clone();
            hosts.hosts = weights.iter().map(|weight| Host { weight: *weight, ..one.clone() }).collect();
            let shares = hosts.shares(subscribers);
            prop_assert_eq!(shares.iter().sum::<usize>(), subscribers);
            let whole: f64 = weights.iter().sum();
            for (share, weight) in shares.iter().zip(&weights) {
                prop_assert!((*share as f64 - subscribers as f64 * weight / whole).abs() < 1.001);
            }
        }
    }
}
