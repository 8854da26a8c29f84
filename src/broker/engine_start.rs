//! The start of a broker's engine, its first connection, and its end, as the broker sees them.

use std::time::{Duration, Instant};

use corecast_executors::{Inbox, Link, RecvTimeout, link};

use super::CarrierEnd;
use super::config::BrokerConfig;
use super::engine::{EngineSetup, run};
use super::nats::NatsLogin;
use crate::carrier::{EngineConfig, StoredHistory};
use crate::control::{ControlThread, EngineQuestions};
use crate::error::{Error, Result};
use crate::limits::{ENGINE_GOODBYE_MAX, ENGINE_OWN_FILTERS_MAX, HTTP_CONNECTIONS_MAX};
use crate::shard::{Keep, KeepRule};
use crate::transport::{TlsClient, TlsClientFiles};

/// The engine of a broker that is about to start: its shards are given the link.
pub(super) struct ComingEngine {
    setup: EngineSetup,
    ends: Link<CarrierEnd>,
    joined: JoinedEngine,
}

/// The engine of a broker.
pub(super) struct JoinedEngine {
    /// Has something, or is closed, once the engine has answered.
    connected: Inbox<()>,
    has_connected: bool,
    ended: Inbox<()>,
    questions: EngineQuestions,
}

impl ComingEngine {
    /// The engine that a configuration asks for, if it does.
    ///
    /// # Errors
    /// `Invalid` for the file of authorities.
    pub(super) fn of(config: &BrokerConfig, shards: usize) -> Result<Option<ComingEngine>> {
        if config.engine.is_empty() {
            return Ok(None);
        }
        // Not 0, and told apart from the start before.
        let start = fastrand::u64(1..);
        let (ends, coming_ends) = link(shards);
        let (connected, is_connected) = link(1);
        let (ended, has_ended) = link(1);
        let (asks, questions) = link(HTTP_CONNECTIONS_MAX);
        let setup = EngineSetup {
            config: EngineConfig {
                shards,
                start,
                name: name_of_host().into(),
                cluster: config.engine_cluster.as_str().into(),
                topics: config.engine_topics.clone(),
                keep: config.keep.iter().map(|rule| rule.filter.clone()).collect(),
                stores: stored_history(config),
                buffer_bytes_max: config.engine_buffer,
                filters_max: ENGINE_OWN_FILTERS_MAX,
                frame_bytes_max: config.frame_bytes_max,
            },
            frame_bytes_max: config.frame_bytes_max,
            servers: config.engine.clone(),
            login: NatsLogin::of(config, start)?,
            ends: coming_ends,
            connected,
            ended,
            questions,
        };
        let questions = EngineQuestions(asks);
        let joined =
            JoinedEngine { connected: is_connected, has_connected: false, ended: has_ended, questions };
        Ok(Some(ComingEngine { setup, ends, joined }))
    }

    /// The number by which other brokers know this start.
    pub(super) fn start(&self) -> u64 {
        self.setup.config.start
    }

    /// The link for the ends of the shards.
    pub(super) fn ends(&self) -> Link<CarrierEnd> {
        self.ends.clone()
    }

    /// Begins its task.
    ///
    /// # Errors
    /// `Executor`: the control thread has ended.
    pub(super) fn begin(self, control: &ControlThread) -> Result<JoinedEngine> {
        let ComingEngine { setup, joined, .. } = self;
        control.spawn_here("engine", move || run(setup))?;
        Ok(joined)
    }
}

impl NatsLogin {
    /// Everything by which a broker with this configuration connects.
    ///
    /// # Errors
    /// `Invalid` for the file of authorities.
    pub(super) fn of(config: &BrokerConfig, start: u64) -> Result<NatsLogin> {
        let trust: Option<TlsClient> = TlsClientFiles::default()
            .ca(config.engine_ca.clone())
            .read()
            .map_err(|error| Error::of_field("engine_ca", error.without_field().to_string()))?;
        Ok(NatsLogin {
            name: format!("corecast broker {} {start:016x}", name_of_host()),
            root: format!("cc.{}", config.engine_cluster),
            start,
            credentials: config.engine_credentials.clone(),
            trust,
        })
    }
}

impl JoinedEngine {
    /// Waits for so long at most until the engine has answered for the first time. True if it has.
    pub(super) fn wait_until_connected(&mut self, patience: Duration) -> bool {
        if !self.has_connected {
            let heard = self.connected.recv_deadline(Instant::now() + patience);
            self.has_connected = heard != Err(RecvTimeout::TimedOut);
        }
        self.has_connected
    }

    /// The way to its state.
    pub(super) fn questions(&self) -> EngineQuestions {
        self.questions.clone()
    }

    /// Waits until it has said goodbye, which it does when all shards have ended.
    pub(super) fn wait_until_ended(&mut self) {
        // Whatever it says: it had its time.
        let _ = self.ended.recv_deadline(Instant::now() + 2 * ENGINE_GOODBYE_MAX);
    }
}

/// The rules of what is stored at the engine.
pub(super) fn stored_history(config: &BrokerConfig) -> Vec<StoredHistory> {
    let rules = config.keep.iter().filter(|_| config.engine_history);
    let stored = |rule: &KeepRule| {
        let (age, of_each) = match rule.keep {
            Keep::Last => (config.keep_age, Some(1)),
            Keep::Newest(most) => (config.keep_age, Some(most)),
            Keep::Recent(age) => (age, None),
        };
        let bytes = rule.bytes_max.unwrap_or(config.keep_bytes) as u64;
        StoredHistory { filter: rule.filter.clone(), age, bytes, of_each, is_confirmed: rule.is_confirmed }
    };
    rules.map(stored).collect()
}

/// The name of this host, for people.
fn name_of_host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unnamed".to_owned(),
        name => name.to_owned(),
    }
}
