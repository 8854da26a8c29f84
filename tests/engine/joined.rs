//! Two hosts under load, whose messages are all accounted for in the end.

use super::broker_process::BrokerProcess;
use super::nats_server::NatsServer;
use super::oracle::{Listener, Load, publisher};
use super::two_brokers;

/// A load on one host, a listener there and one on the other.
pub(crate) struct Joined {
    pub(crate) brokers: [BrokerProcess; 2],
    pub(crate) near: Listener,
    pub(crate) far: Listener,
    load: Load,
}

impl Joined {
    /// All is well, and some messages have come.
    pub(crate) fn begin(server: &NatsServer) -> Self {
        Self::of(two_brokers(server, &[]))
    }

    /// The same with these, which have met.
    pub(crate) fn of(brokers: [BrokerProcess; 2]) -> Self {
        let mut near = Listener::new(brokers[0].client(), "load");
        let mut far = Listener::new(brokers[1].client(), "load");
        let load = Load::start(publisher(brokers[0].client()), "load");
        near.until_after(100);
        far.until_after(100);
        Joined { brokers, near, far, load }
    }

    /// Waits until both brokers are connected again after they were not.
    pub(crate) fn until_back(&self, connects: u64) {
        for broker in &self.brokers {
            broker.until(|page| {
                page.sum("corecast_engine_connects_total") > connects
                    && page.sum("corecast_engine_connected") == 1
            });
        }
    }

    pub(crate) fn connects(&self) -> u64 {
        self.brokers
            .iter()
            .map(|broker| broker.page().sum("corecast_engine_connects_total"))
            .max()
            .unwrap_or(0)
    }

    /// Messages flow again, and all are accounted for.
    pub(crate) fn end(mut self) {
        // What is published from here on comes.
        let now = self.near.last();
        self.near.until_after(now + 200);
        let now = self.near.last();
        self.far.until_after(now);
        let sent = self.load.stop();
        self.near.until_all(sent);
        self.far.until_all(sent);
        assert_eq!(self.near.missed, 0, "the own host does not notice");
    }
}
