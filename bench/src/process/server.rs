//! Owns the fan-out of a run: a broker or a peer that this process started and ends, or one that runs already.

use super::child::Process;
use super::trust::Trust;
use crate::measure::process::{Usage, UsageError, usage_of};
use corecast::Endpoint;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;

/// Time that a server has to drain its queues, after which it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A server that takes connections.
#[derive(Debug)]
pub struct Server {
    process: Option<Process>,
    /// Its process, where that is known.
    pub pid: Option<u32>,
    /// Endpoint of subscribers.
    pub subscribe_at: Endpoint,
    /// Endpoint of publishers.
    pub publish_at: Endpoint,
    /// Trust in its certificate, if it was started with one.
    pub trust: Option<Trust>,
    /// Address of its counters, where it has any.
    pub metrics: Option<SocketAddr>,
    /// Its version, where that is known.
    pub version: Option<String>,
    /// Folder of its Unix socket and its files, removed after it.
    _folder: Option<TempDir>,
}

impl Server {
    /// A process that was started for this run, with everybody at one endpoint.
    pub fn started(process: Process, endpoint: Endpoint, folder: Option<TempDir>) -> Self {
        Server {
            pid: Some(process.pid()),
            process: Some(process),
            _folder: folder,
            ..Server::running(endpoint, None)
        }
    }

    /// A process that runs already, with everybody at one endpoint.
    pub fn running(endpoint: Endpoint, pid: Option<u32>) -> Self {
        Server {
            process: None,
            pid,
            publish_at: endpoint.clone(),
            subscribe_at: endpoint,
            trust: None,
            metrics: None,
            version: None,
            _folder: None,
        }
    }

    /// CPU time and memory so far, if it is known which process it is.
    pub fn usage(&self) -> Result<Option<Usage>, UsageError> {
        self.pid.map(usage_of).transpose()
    }

    /// The process, if it was started for this run.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Describes its end, if it has ended, with its last words; said once. Nothing is known of a server that ran
    /// before this run.
    pub fn failure(&mut self) -> Option<String> {
        self.process.as_mut()?.failure()
    }

    /// The same, to stand behind another error.
    pub fn failure_suffix(&mut self) -> String {
        self.failure().map(|said| format!("; {said}")).unwrap_or_default()
    }

    /// Lets it drain its queues and end, if it was started for this run; kills it if that takes too long.
    pub fn stop(mut self) {
        if let Some(process) = &mut self.process {
            // The run has its results.
            let _ = process.end_within(STOP_TIMEOUT);
        }
    }
}
