//! The figures of the engine, for those who look at it.

use super::super::EngineCounts;
use super::super::view::PeerView;
use super::Engine;

impl Engine {
    /// Memory of what waits on its way out and in, in bytes.
    pub fn held_bytes(&self) -> usize {
        let loading = self.loading.as_ref().map_or(0, |loading| loading.held_bytes());
        self.departures.held_bytes() + self.arrivals.held_bytes() + self.conversation.held_bytes() + loading
    }

    /// Filters that this broker wants, and topics of its publishers whose positions it keeps.
    pub fn sizes(&self) -> (usize, usize) {
        (self.interest.len(), self.departures.topics())
    }

    /// The counts of messages that have crossed, and of those that have not.
    pub fn counts(&self) -> EngineCounts {
        let (departed, arrived) = (self.departures.departed(), self.arrivals.arrived());
        let stored = self.departures.store_counts();
        EngineCounts {
            sent: departed.sent,
            received: arrived.received,
            missing: arrived.missing,
            unknown_gaps: arrived.unknown,
            behind: arrived.behind,
            overrun: arrived.overrun,
            given_up: departed.given_up,
            too_large: departed.too_large,
            junk: self.junk,
            words_dropped: self.conversation.dropped(),
            stored: stored.stored,
            unstored: stored.unstored,
            store_refused: stored.refused,
            loaded: self.loading.as_ref().map_or(self.loaded.map_or(0, |(_, loaded)| loaded), |l| l.loaded()),
        }
    }

    /// The other brokers that are known, sorted by name.
    pub fn peers(&self) -> Vec<PeerView> {
        let sizes = |start| (self.arrivals.topics_of(start), self.exchange.publishers_of(start));
        let view = |(start, peer)| PeerView::of((start, peer), sizes(start), self.now);
        let mut peers: Vec<PeerView> = self.peers.iter().filter_map(view).collect();
        peers.sort_unstable_by(|a, b| (&a.name, a.start).cmp(&(&b.name, b.start)));
        peers
    }
}
