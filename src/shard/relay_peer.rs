//! A direct publisher of which this end is the client. Owned by its session.

use std::time::Duration;

use corecast_executors::MonotonicNs;

use super::silence::{Sign, Silence};
use crate::ids::PublisherId;
use crate::limits::HEARTBEATS_MISSED_MAX;

/// The state of a session to a direct publisher, beside what all sessions have.
#[derive(Debug)]
pub(super) struct RelayPeer {
    pub(super) publisher: PublisherId,
    /// The interval at which the publisher wants to hear something.
    pub(super) heartbeat: Duration,
    /// When it was last told that this end lives.
    pub(super) pinged: MonotonicNs,
}

impl RelayPeer {
    /// A direct publisher to which a connection stands. `heartbeat` holds until it says its own.
    pub(super) fn new(publisher: PublisherId, heartbeat: Duration, now: MonotonicNs) -> Self {
        RelayPeer { publisher, heartbeat, pinged: now }
    }

    /// Judges the silence of an open session: a publisher is a client's other end, so it is told that this end lives.
    pub(super) fn judge(&self, silence: Silence) -> Sign {
        if !silence.is_held && silence.silent > self.heartbeat * HEARTBEATS_MISSED_MAX {
            return Sign::Gone;
        }
        let is_due = silence.now.saturating_since(self.pinged) >= self.heartbeat;
        if is_due { Sign::Due } else { Sign::Alive }
    }
}
