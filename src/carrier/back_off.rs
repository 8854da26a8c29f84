//! The time of the next attempt to connect. Owned by the side that connects.

use std::time::Duration;

use corecast_executors::MonotonicNs;

/// Pauses between attempts, doubled from the shortest to the longest. Time is an input; a caller with many connections adds
/// jitter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BackOff {
    min: Duration,
    max: Duration,
    /// The pause after the next failure.
    pause: Duration,
    due: MonotonicNs,
}

impl BackOff {
    /// A first attempt that is due at once.
    pub(crate) fn new(min: Duration, max: Duration, now: MonotonicNs) -> Self {
        BackOff { min, max, pause: min, due: now }
    }

    /// Notes that an attempt has failed, or that the connection is lost. Returns the time of the next attempt.
    pub(crate) fn failed(&mut self, now: MonotonicNs) -> MonotonicNs {
        self.due = now + self.pause;
        self.pause = (self.pause * 2).min(self.max);
        self.due
    }

    /// Notes that the other end has answered: the next pause is the shortest again.
    pub(crate) fn succeeded(&mut self) {
        self.pause = self.min;
    }

    /// True if it is time for an attempt.
    pub(crate) fn is_due(&self, now: MonotonicNs) -> bool {
        self.due <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_again() {
        let ms = Duration::from_millis;
        let now = MonotonicNs(1);
        let mut back_off = BackOff::new(ms(20), ms(50), now);
        assert!(back_off.is_due(now));
        for pause in [20, 40, 50, 50] {
            assert_eq!(back_off.failed(now), now + ms(pause));
        }
        assert!(!back_off.is_due(now + ms(49)) && back_off.is_due(now + ms(50)));
        back_off.succeeded();
        assert_eq!(back_off.failed(now), now + ms(20));
    }
}
