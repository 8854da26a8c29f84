//! The times at which a session last heard and said something: when a ping is due, and when the peer has been silent for too
//! long. Pure; part of a session's state.

use std::time::Duration;

use corecast_executors::MonotonicNs;

use crate::limits::{HEARING_GAP_MAX, HEARTBEATS_MISSED_MAX};

#[derive(Debug)]
pub(super) struct Hearing {
    /// The time that counts for silence: without that in which nothing could be heard.
    last_heard: MonotonicNs,
    /// The time at which something was received last.
    received_at: MonotonicNs,
    last_said: MonotonicNs,
    ticked: MonotonicNs,
}

impl Hearing {
    pub(super) fn new(now: MonotonicNs) -> Self {
        Hearing { last_heard: now, received_at: now, last_said: now, ticked: now }
    }

    /// The time from which the silence of the peer counts.
    pub(super) fn last_heard(&self) -> MonotonicNs {
        self.last_heard
    }

    /// The time at which something was received last.
    pub(super) fn received_at(&self) -> MonotonicNs {
        self.received_at
    }

    /// A connection stands.
    pub(super) fn on_connected(&mut self, now: MonotonicNs) {
        (self.last_heard, self.last_said) = (now, now);
    }

    /// Something has come.
    pub(super) fn on_received(&mut self, now: MonotonicNs) {
        (self.last_heard, self.received_at) = (now, now);
    }

    /// A tick while the session is not open: silence is judged by others.
    pub(super) fn on_idle_tick(&mut self, now: MonotonicNs) {
        self.ticked = now;
    }

    /// A tick before which the session had something to send, or not. True if a ping is due.
    pub(super) fn wants_ping(&mut self, now: MonotonicNs, is_sending: bool, heartbeat: Duration) -> bool {
        if is_sending {
            self.last_said = now;
        }
        let is_due = now.saturating_since(self.last_said) >= heartbeat;
        if is_due {
            self.last_said = now;
        }
        is_due
    }

    /// A tick of an open session, which reads or is held up. True if the peer has been silent for too long.
    pub(super) fn is_too_silent(&mut self, now: MonotonicNs, reading: bool, heartbeat: Duration) -> bool {
        // While this process was stopped it could hear nobody: its own silence is not the broker's.
        let stopped = now.saturating_since(self.ticked).saturating_sub(HEARING_GAP_MAX);
        self.ticked = now;
        self.last_heard = if reading { self.last_heard + stopped } else { now };
        now.saturating_since(self.last_heard) > heartbeat * HEARTBEATS_MISSED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_secs(1);

    #[test]
    fn a_ping_is_due_a_heartbeat_after_the_last_word() {
        let start = MonotonicNs(1);
        let mut hearing = Hearing::new(start);
        let before = start + (HEARTBEAT - Duration::from_nanos(1));
        assert!(!hearing.wants_ping(before, false, HEARTBEAT));
        assert!(hearing.wants_ping(start + HEARTBEAT, false, HEARTBEAT));
        assert!(!hearing.wants_ping(start + HEARTBEAT, false, HEARTBEAT), "it was said just now");
        assert!(!hearing.wants_ping(start + 2 * HEARTBEAT, true, HEARTBEAT), "what is sent says as much");
        assert!(hearing.wants_ping(start + 3 * HEARTBEAT, false, HEARTBEAT));
    }

    #[test]
    fn a_session_that_is_held_up_hears_nobody_and_blames_nobody() {
        let start = MonotonicNs(1);
        let mut hearing = Hearing::new(start);
        let mut silent = |reading| {
            hearing.on_connected(start);
            hearing.on_idle_tick(start);
            let ticks = (1..100_u32).map(|tick| start + HEARING_GAP_MAX * tick);
            ticks.into_iter().any(|now| hearing.is_too_silent(now, reading, HEARING_GAP_MAX))
        };
        assert!(silent(true) && !silent(false));
    }
}
