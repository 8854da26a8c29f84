//! Failed logins, counted for each host: the connections of one that fails again and again are read late. Owned by a shard.

use ahash::AHashMap;
use corecast_executors::MonotonicNs;

use crate::auth::PeerHost;
use crate::limits::{
    LOGIN_FAILURES_HERE_MAX, LOGIN_FAILURES_HOSTS_MAX, LOGIN_FAILURES_MAX, LOGIN_FAILURES_PERIOD,
};

/// The hosts whose logins have failed lately.
#[derive(Default, Debug)]
pub(super) struct FailedLogins(AHashMap<PeerHost, Failures>);

/// The failed logins of one host.
#[derive(Clone, Copy, Debug)]
struct Failures {
    /// Within a period, until it is too many.
    count: u32,
    /// The end of the period: that of the first failure, and once there were too many, of the last.
    until: MonotonicNs,
}

impl FailedLogins {
    /// Notes one. With as many hosts as are remembered, others are not.
    pub(super) fn note(&mut self, host: PeerHost, now: MonotonicNs) {
        if self.0.len() >= LOGIN_FAILURES_HOSTS_MAX && !self.0.contains_key(&host) {
            self.0.retain(|_, failures| failures.until > now);
            if self.0.len() >= LOGIN_FAILURES_HOSTS_MAX {
                return;
            }
        }
        let until = now + LOGIN_FAILURES_PERIOD;
        let failures = self.0.entry(host).or_insert(Failures { count: 0, until });
        if failures.until <= now {
            *failures = Failures { count: 0, until };
        }
        failures.count = failures.count.saturating_add(1);
        if failures.count >= too_many(host) {
            failures.until = until;
        }
    }

    /// True if too many of a host have failed, and the last of them not long ago.
    pub(super) fn are_too_many(&self, host: PeerHost, now: MonotonicNs) -> bool {
        self.0.get(&host).is_some_and(|failures| failures.count >= too_many(host) && failures.until > now)
    }
}

fn too_many(host: PeerHost) -> u32 {
    if host == PeerHost::Here { LOGIN_FAILURES_HERE_MAX } else { LOGIN_FAILURES_MAX }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    fn host(number: u32) -> PeerHost {
        PeerHost::V4(Ipv4Addr::from_bits(number))
    }

    #[test]
    fn a_host_is_slowed_down_after_many_failures_and_until_a_period_after_the_last() {
        let start = MonotonicNs(1);
        let mut failed = FailedLogins::default();
        for n in 0..LOGIN_FAILURES_MAX {
            assert!(!failed.are_too_many(host(1), start));
            failed.note(host(1), start + Duration::from_millis(u64::from(n)));
        }
        assert!(failed.are_too_many(host(1), start) && !failed.are_too_many(host(2), start));
        let later = start + LOGIN_FAILURES_PERIOD / 2;
        failed.note(host(1), later);
        assert!(failed.are_too_many(host(1), start + LOGIN_FAILURES_PERIOD + Duration::from_secs(1)));
        assert!(!failed.are_too_many(host(1), later + LOGIN_FAILURES_PERIOD));
        failed.note(host(1), later + LOGIN_FAILURES_PERIOD);
        assert!(!failed.are_too_many(host(1), later + LOGIN_FAILURES_PERIOD), "it begins again");
    }

    #[test]
    fn this_host_may_fail_more_often() {
        let mut failed = FailedLogins::default();
        for _ in 0..LOGIN_FAILURES_HERE_MAX {
            assert!(!failed.are_too_many(PeerHost::Here, MonotonicNs(1)));
            failed.note(PeerHost::Here, MonotonicNs(1));
        }
        assert!(failed.are_too_many(PeerHost::Here, MonotonicNs(1)));
    }

    #[test]
    fn failures_now_and_then_slow_nobody_down() {
        let mut failed = FailedLogins::default();
        let mut now = MonotonicNs(1);
        for _ in 0..10 * LOGIN_FAILURES_MAX {
            now = now + LOGIN_FAILURES_PERIOD / (LOGIN_FAILURES_MAX - 1) + Duration::from_nanos(1);
            failed.note(host(1), now);
            assert!(!failed.are_too_many(host(1), now));
        }
    }

    #[test]
    fn no_more_hosts_are_remembered_than_may_be_and_old_ones_make_room() {
        let start = MonotonicNs(1);
        let mut failed = FailedLogins::default();
        let most = u32::try_from(LOGIN_FAILURES_HOSTS_MAX).expect("a few thousand");
        (0..most + 10).for_each(|number| failed.note(host(number), start));
        assert_eq!(failed.0.len(), LOGIN_FAILURES_HOSTS_MAX);
        failed.note(host(most), start + LOGIN_FAILURES_PERIOD);
        assert_eq!(failed.0.len(), 1);
    }
}
