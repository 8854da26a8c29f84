//! The swarm: publishers and subscribers on pinned executors, and what they measure.
//!
//! | file | owns |
//! |---|---|
//! | [`topics`] | the names that a run publishes under |
//! | [`schedule`] | when each message should be sent |
//! | `crew` | executors that obey commands |
//! | [`subscribers`] | the executors that receive |
//! | [`slow`] | subscribers that are slow on purpose, and not measured |
//! | [`publishers`] | the executors that send |
//! | [`raw`] | subscribers and a publisher over bare sockets, for peers |
//! | [`reports`] | reports of executors to the thread that drives them |
//!
//! Publishers have executors of their own: a publisher's pace must not depend on how much the subscribers beside
//! it have to read. Whoever drives a swarm does so from a plain thread, by commands and reports.

mod crew;
pub mod publishers;
pub mod raw;
pub mod reports;
pub mod schedule;
pub mod slow;
pub mod subscribers;
pub mod topics;

use crate::measure::payload::RunId;
use crate::measure::workload::Workload;
use corecast::{ClientConfig, DirectConfig, Endpoint, OverflowPolicy, Reactor, Sessions, TlsClient};
use std::ops::Range;
use std::time::Duration;

/// Parameters that publishers and subscribers of a run share.
#[derive(Clone, Debug)]
pub struct Common {
    /// The broker's endpoint.
    pub broker: Endpoint,
    /// The endpoint of a second one, at which the subscribers of every other executor are, the first among them.
    pub far: Option<Endpoint>,
    /// Trust in its certificate; `None`: it has none, or one that this host trusts.
    pub tls: Option<TlsClient>,
    /// The run's identity.
    pub run: RunId,
    /// The publishers and the topics, on all hosts and executors together.
    pub workload: Workload,
    /// A session for each subscriber, or one for each executor.
    pub sessions: Sessions,
    /// The reactor that their executors wait with.
    pub reactor: Reactor,
    /// The policy that subscribers ask the broker for when their queue is full; `None` leaves it to the broker.
    pub overflow: Option<OverflowPolicy>,
    /// Options with which publishers of direct topics fan out; their cores are chosen for each executor.
    pub direct: DirectConfig,
    /// Time that connecting, subscribing and waiting for everybody may take.
    pub setup_timeout: Duration,
}

impl Common {
    fn client_config(&self, name: &str) -> ClientConfig {
        let mut config = ClientConfig::new(self.broker.clone());
        config.name = name.to_owned();
        config.connect.tls = self.tls.clone();
        config.sessions = self.sessions;
        config.reactor = self.reactor;
        config.overflow = self.overflow;
        config.direct = self.direct.clone();
        config.connect_timeout = self.setup_timeout;
        config
    }
}

/// The part of `total` for the executor at `index` of `executors`: as even as can be, the first ones one more.
fn share(total: usize, index: usize, executors: usize) -> Range<usize> {
    let start = |index: usize| index * (total / executors) + index.min(total % executors);
    start(index)..start(index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_complete() {
        for (total, executors) in [(512, 2), (512, 3), (1, 4), (0, 2), (7, 7)] {
            let shares: Vec<_> = (0..executors).map(|index| share(total, index, executors)).collect();
            assert!(shares.iter().cloned().flatten().eq(0..total), "{shares:?}");
            let lengths = || shares.iter().map(Range::len);
            let (least, most) = (lengths().min().unwrap(), lengths().max().unwrap());
            assert!(most - least <= 1, "{shares:?}");
        }
    }
}
