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
    /// Endpoint of every other subscriber, the first among them, where two servers are one peer.
    pub far_at: Option<Endpoint>,
    /// The servers that fan out together with this one: their cost is its cost.
    pub joined: Vec<Server>,
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
            far_at: None,
            joined: Vec::new(),
            _folder: None,
        }
    }

    /// CPU time and memory so far, of all that fan out together, if it is known which processes they are.
    pub fn usage(&self) -> Result<Option<Usage>, UsageError> {
        let own = self.pid.map(usage_of).transpose()?;
        self.joined
            .iter()
            .try_fold(own, |sum, server| Ok(sum.zip(server.usage()?).map(|(sum, more)| sum.with(more))))
    }

    /// The addresses of the counters of all that fan out together.
    pub fn counters(&self) -> Vec<SocketAddr> {
        std::iter::once(self).chain(&self.joined).filter_map(|server| server.metrics).collect()
    }

    /// The process, if it was started for this run.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Describes its end, if it has ended, with its last words; said once. Nothing is known of a server that ran
    /// before this run.
    pub fn failure(&mut self) -> Option<String> {
        let own = self.process.as_mut().and_then(Process::failure);
        own.or_else(|| self.joined.iter_mut().find_map(Server::failure))
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
        self.joined.into_iter().for_each(Server::stop);
    }
}
