//! Topics with messages that the broker is not known to have taken: whose subscribers are told of a gap should the
//! connection be lost. Part of a session's state.

use ahash::AHashSet;
use bytes::Bytes;
use corecast_executors::MonotonicNs;

use crate::limits::{ACK_PERIOD, UNACKED_TOPICS_MAX};

/// Two sets, so that publishing goes on while an acknowledgement is on its way.
#[derive(Debug)]
pub(super) struct Unacked {
    /// Published since the last acknowledgement was asked for.
    since: AHashSet<Bytes>,
    /// Published before that.
    before: AHashSet<Bytes>,
    asked: bool,
    last_asked: MonotonicNs,
}

impl Unacked {
    pub(super) fn new(now: MonotonicNs) -> Self {
        Unacked { since: AHashSet::new(), before: AHashSet::new(), asked: false, last_asked: now }
    }

    /// A message of this topic is on its way.
    pub(super) fn add(&mut self, topic: &Bytes) {
        if !self.since.contains(topic) {
            self.since.insert(topic.clone());
        }
    }

    /// A tick. `true`: ask for an acknowledgement of all that was published before.
    pub(super) fn wants_ack(&mut self, now: MonotonicNs) -> bool {
        let full = self.since.len() >= UNACKED_TOPICS_MAX;
        let due = full || now.saturating_since(self.last_asked) >= ACK_PERIOD;
        if !due || self.asked || self.since.is_empty() {
            return false;
        }
        self.last_asked = now;
        self.asked = true;
        self.before = std::mem::take(&mut self.since);
        true
    }

    /// The broker has taken what was published before the acknowledgement was asked for.
    pub(super) fn on_ack(&mut self) {
        self.asked = false;
        self.before.clear();
    }

    /// The broker has taken everything that was published.
    pub(super) fn on_all_taken(&mut self) {
        self.on_ack();
        self.since.clear();
    }

    /// The connection is lost. Gives whether messages may be lost with it.
    pub(super) fn on_disconnected(&mut self) -> bool {
        self.asked = false;
        !self.since.is_empty() || !self.before.is_empty()
    }

    /// All of them: their subscribers are being told, and that may be lost as well, so they stay until it is acknowledged.
    pub(super) fn tell(&mut self) -> impl Iterator<Item = &Bytes> {
        self.since.extend(self.before.drain());
        self.since.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_acknowledgement_covers_what_was_published_before_it_was_asked_for() {
        let start = MonotonicNs(0);
        let mut unacked = Unacked::new(start);
        unacked.add(&Bytes::from("a"));
        assert!(!unacked.wants_ack(start + Duration::from_millis(10)));
        assert!(unacked.wants_ack(start + ACK_PERIOD));
        unacked.add(&Bytes::from("b"));
        assert!(!unacked.wants_ack(start + 3 * ACK_PERIOD), "one is on its way");
        unacked.on_ack();
        assert!(unacked.on_disconnected());
        assert_eq!(unacked.tell().collect::<Vec<_>>(), ["b"]);
        // The gap may be lost with the next connection, and is told again until it is taken.
        assert!(unacked.on_disconnected());
        assert_eq!(unacked.tell().collect::<Vec<_>>(), ["b"]);
        assert!(unacked.wants_ack(start + 9 * ACK_PERIOD));
        unacked.on_ack();
        assert!(!unacked.on_disconnected() && unacked.tell().next().is_none());
    }
}
