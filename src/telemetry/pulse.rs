//! Owns the time of a shard's last turn, and its drain flag. The shard updates them on its ticks; any thread may read
//! them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use corecast_executors::MonotonicNs;

/// The value in place of a time when the shard has ended in order.
const ENDED: u64 = u64::MAX;

/// The pulse of one shard. Clones refer to the same shard.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Signs>);

#[derive(Debug, Default)]
struct Signs {
    /// The time of the last turn, or [`ENDED`].
    turned: AtomicU64,
    /// True if it no longer takes connections and frames.
    drains: AtomicBool,
    /// True if it sends its clients to another broker, before it drains.
    sends_off: AtomicBool,
}

impl Pulse {
    /// A pulse that counts from `now`, before its shard has begun.
    pub fn starting(now: MonotonicNs) -> Self {
        Pulse(Arc::new(Signs { turned: AtomicU64::new(now.0), ..Signs::default() }))
    }

    /// Records a turn. Only the shard itself calls it.
    pub fn beat(&self, now: MonotonicNs) {
        self.0.turned.store(now.0, Ordering::Relaxed);
    }

    /// Records that the shard drains from now on.
    pub fn drain(&self) {
        self.0.drains.store(true, Ordering::Relaxed);
    }

    /// True once the shard drains.
    pub fn drains(&self) -> bool {
        self.0.drains.load(Ordering::Relaxed)
    }

    /// Records that the shard sends its clients to another broker from now on.
    pub fn send_off(&self) {
        self.0.sends_off.store(true, Ordering::Relaxed);
    }

    /// True once the shard wants no more clients: it drains, or is about to.
    pub fn is_leaving(&self) -> bool {
        self.drains() || self.0.sends_off.load(Ordering::Relaxed)
    }

    /// Records that the shard has ended in order: it will not turn again, and nothing is wrong.
    pub fn end(&self) {
        self.0.turned.store(ENDED, Ordering::Relaxed);
    }

    /// The time since the shard last turned; `None` if it has ended in order.
    pub fn silence(&self, now: MonotonicNs) -> Option<Duration> {
        match self.0.turned.load(Ordering::Relaxed) {
            ENDED => None,
            last => Some(now.saturating_since(MonotonicNs(last))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_from_the_last_beat_until_the_end() {
        let at = |s: u64| MonotonicNs(1) + Duration::from_secs(s);
        let pulse = Pulse::starting(at(1));
        let asked = pulse.clone();
        assert_eq!(asked.silence(at(3)), Some(Duration::from_secs(2)));
        pulse.beat(at(5));
        assert_eq!(asked.silence(at(6)), Some(Duration::from_secs(1)));
        assert_eq!(asked.silence(at(4)), Some(Duration::ZERO));
        pulse.end();
        assert_eq!(asked.silence(at(9)), None);
    }
}
