//! The monotonic clock as a value. The data path takes it from ticks; only edges read it.

use std::ops::Add;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

const NS_PER_S: u64 = 1_000_000_000;

/// Nanoseconds on CLOCK_MONOTONIC. Comparable between processes of one host, not between hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MonotonicNs(pub u64);

impl MonotonicNs {
    /// Reads the clock: about 25 ns, through the vDSO.
    #[must_use]
    pub fn now() -> Self {
        // The call fails only for an unknown clock or a bad pointer.
        let read = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux has CLOCK_MONOTONIC");
        // Neither is ever negative on this clock, which starts at 0 with the host.
        Self(read.tv_sec() as u64 * NS_PER_S + read.tv_nsec() as u64)
    }

    /// The time since `earlier`; zero if `earlier` is in the future.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Saturates at the end of the clock, 584 years after the host started.
impl Add<Duration> for MonotonicNs {
    type Output = Self;

    fn add(self, later_by: Duration) -> Self {
        let ns = u64::try_from(later_by.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back() {
        let mut last = MonotonicNs::now();
        for _ in 0..10_000 {
            let now = MonotonicNs::now();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn sums_and_differences_saturate() {
        let start = MonotonicNs(1_000);
        assert_eq!(start + Duration::from_micros(2), MonotonicNs(3_000));
        assert_eq!(start.saturating_since(MonotonicNs(400)), Duration::from_nanos(600));
        assert_eq!(start.saturating_since(MonotonicNs(4_000)), Duration::ZERO);
        assert_eq!(start + Duration::MAX, MonotonicNs(u64::MAX));
    }
}
