//! The state of a broker's engine, as its task tells it to those who ask: the HTTP server.

use std::sync::Arc;
use std::time::Duration;

use corecast_executors::{Link, link};
use serde_json::{Value, json};

use crate::printable::printable_json;
use crate::topic::Filter;

/// A broker's engine, at one moment.
#[derive(Clone, Default, Debug)]
pub(crate) struct EngineView {
    /// The cluster of brokers.
    pub(crate) cluster: String,
    /// This broker's name, and its start.
    pub(crate) name: String,
    pub(crate) start: u64,
    /// The server that answers; none while the engine is away.
    pub(crate) server: Option<EngineServer>,
    /// The history that was stored is still on its way here.
    pub(crate) is_loading: bool,
    /// Filters of this host that the others are told, and topics of it that have gone out.
    pub(crate) filters: usize,
    pub(crate) topics: usize,
    /// The other brokers.
    pub(crate) peers: Vec<EnginePeer>,
}

/// The server of an engine.
#[derive(Clone, Debug)]
pub(crate) struct EngineServer {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Longest payload that it takes, in bytes.
    pub(crate) payload_bytes_max: usize,
    /// Time of the last round trip.
    pub(crate) round_trip: Duration,
}

/// Another broker of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct EnginePeer {
    pub(crate) name: String,
    pub(crate) start: u64,
    pub(crate) is_here: bool,
    /// Time since it was last heard.
    pub(crate) silent: Duration,
    /// Filters that it wants, and topics of it that were heard.
    pub(crate) filters: usize,
    pub(crate) topics: usize,
    /// Direct publishers that are registered there.
    pub(crate) publishers: usize,
}

/// A question, or an order, to the task of an engine.
#[derive(Debug)]
pub(crate) enum EngineQuestion {
    /// Its state.
    View(Link<EngineView>),
    /// Gives up what is stored of these topics.
    ClearStored(Arc<Filter>, Link<StoredClear>),
}

/// The outcome of an order to give up what is stored: true if anything is stored at all, or the reason why it is not done, as a
/// sentence.
pub(crate) type StoredClear = Result<bool, String>;

/// The way to the task of an engine.
#[derive(Clone, Debug)]
pub(crate) struct EngineQuestions(pub(crate) Link<EngineQuestion>);

impl EngineQuestions {
    /// The state now; `None` if the broker is gone.
    pub(crate) async fn ask(&self) -> Option<EngineView> {
        let (answer, mut answers) = link(1);
        self.0.send(EngineQuestion::View(answer)).await.ok()?;
        answers.recv().await
    }

    /// Gives up what is stored of these topics; `None` if the broker is gone.
    pub(crate) async fn clear_stored(&self, filter: Arc<Filter>) -> Option<StoredClear> {
        let (answer, mut answers) = link(1);
        self.0.send(EngineQuestion::ClearStored(filter, answer)).await.ok()?;
        answers.recv().await
    }
}

impl EngineView {
    /// The starts of the other brokers that have all that this one has: none while the engine is away.
    pub(crate) fn joined(&self) -> Vec<u64> {
        let here = self.peers.iter().filter(|peer| peer.is_here && self.server.is_some());
        here.map(|peer| peer.start).collect()
    }

    /// A line for those who look at the health of the broker.
    pub(crate) fn health(&self) -> String {
        let here = self.peers.iter().filter(|peer| peer.is_here).count();
        match &self.server {
            Some(_) if self.is_loading => "engine connected, and history is being loaded\n".to_owned(),
            Some(_) => format!("engine connected, {here} other brokers\n"),
            None if self.is_loading => "engine away: history is still to be loaded\n".to_owned(),
            None => "engine away: this host is served, and hears no other\n".to_owned(),
        }
    }

    /// The state as a JSON object.
    pub(crate) fn json(&self) -> String {
        let server = self.server.as_ref().map(|server| {
            json!({
                "name": server.name,
                "version": server.version,
                "payload_bytes_max": server.payload_bytes_max,
                "round_trip_seconds": server.round_trip.as_secs_f64(),
            })
        });
        let peers: Vec<Value> = self.peers.iter().map(EnginePeer::json).collect();
        let object = json!({
            "cluster": self.cluster,
            "name": self.name,
            "start": hex(self.start),
            "server": server,
            "filters": self.filters,
            "topics": self.topics,
            "peers": peers,
        });
        printable_json(&object.to_string()).into_owned() + "\n"
    }
}

impl EnginePeer {
    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "start": hex(self.start),
            "here": self.is_here,
            "silent_seconds": self.silent.as_secs_f64(),
            "filters": self.filters,
            "topics": self.topics,
            "publishers": self.publishers,
        })
    }
}

/// A start as people see it: JSON's numbers are too short.
fn hex(start: u64) -> String {
    format!("{start:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_peers_stay_names() {
        let peer = EnginePeer {
            name: "a\"b\\c\n\u{7f}\u{202e}".to_owned(),
            start: 255,
            is_here: true,
            silent: Duration::from_millis(1500),
            filters: 1,
            topics: 2,
            publishers: 0,
        };
        let view = EngineView {
            cluster: "c".to_owned(),
            name: "n".to_owned(),
            peers: vec![peer.clone(), peer],
            ..EngineView::default()
        };
        let json = view.json();
        let object: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(object["peers"][1]["name"], "a\"b\\c\n\u{7f}\u{202e}");
        assert_eq!(object["peers"][0]["start"], "00000000000000ff");
        assert_eq!((&object["peers"][0]["silent_seconds"], &object["server"]), (&1.5.into(), &Value::Null));
        assert!(!json.contains('\u{202e}') && json.lines().count() == 1, "{json}");
    }
}
