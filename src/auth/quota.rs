//! Quotas of users, and what counts against them: the sessions of a user on all shards together. The shards share the figures of
//! a user as atomic counters; a user without quotas has none, and costs nothing.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use corecast_executors::MonotonicNs;

use crate::limits::QUOTA_RATE_BURST;

/// Limits on the sessions of one user together. `None`: no limit of its own.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Quotas {
    /// Open sessions.
    pub sessions: Option<u64>,
    /// Subscriptions in force.
    pub subscriptions: Option<u64>,
    /// Bytes that wait in their egress queues.
    pub bytes_waiting: Option<u64>,
    /// Messages that they publish in a second.
    pub publish_rate: Option<u64>,
}

impl Quotas {
    /// True if no quota is set.
    pub fn are_none(&self) -> bool {
        *self == Quotas::default()
    }

    /// Each quota with its key in a file of users.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Option<u64>)> {
        [
            ("sessions", self.sessions),
            ("subscriptions", self.subscriptions),
            ("bytes_waiting", self.bytes_waiting),
            ("publish_rate", self.publish_rate),
        ]
        .into_iter()
    }
}

/// The quotas that are set, as a file of users has them.
impl fmt::Display for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (key, most) in self.iter() {
            if let Some(most) = most {
                write!(f, "{separator}{key} = {most}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

/// The figures of one user.
#[derive(Default, Debug)]
struct Usage {
    sessions: AtomicU64,
    subscriptions: AtomicU64,
    bytes_waiting: AtomicU64,
    /// The time at which everything published so far is within the rate.
    published_until_ns: AtomicU64,
}

/// The figures of a user, which the next set of users takes over. All are equal: they are no part of what a file says.
#[derive(Clone, Default, Debug)]
pub(super) struct Account(OnceLock<Arc<Usage>>);

impl Account {
    /// Shares the figures of that account, unless this one has its own already.
    pub(super) fn take_over(&self, before: &Account) {
        // Figures that sessions use already stay.
        let _ = self.0.set(Arc::clone(before.usage()));
    }

    fn usage(&self) -> &Arc<Usage> {
        self.0.get_or_init(Arc::default)
    }
}

impl PartialEq for Account {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Account {}

/// The use that an open session makes of the quotas of its user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) subscriptions: u64,
    pub(crate) bytes_waiting: u64,
}

/// One session's part in the figures of its user. Dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Share {
    quotas: Quotas,
    usage: Arc<Usage>,
    subscriptions: u64,
    bytes_waiting: u64,
    /// True while its publisher waits for the rate.
    waits: bool,
}

impl Share {
    /// The share of a new session, if the quotas allow one. `None`: the user has no quotas.
    ///
    /// # Errors
    /// The quota of sessions is used up; the text is for the client.
    pub(super) fn take(name: &str, quotas: Quotas, account: &Account) -> Result<Option<Box<Share>>, String> {
        if quotas.are_none() {
            return Ok(None);
        }
        let usage = account.usage();
        if let Err(most) = add_one(&usage.sessions, quotas.sessions) {
            return Err(format!("the user `{name}` has reached its quota of {most} sessions"));
        }
        Ok(Some(Box::new(Share::of(quotas, Arc::clone(usage)))))
    }

    /// The share of a session that is open and uses so much, which it keeps even over the quotas. It follows the share `before`:
    /// what both count is counted throughout, so that nobody else takes it between the two.
    pub(super) fn keep(
        quotas: Quotas,
        account: &Account,
        used: Used,
        before: Option<Box<Share>>,
    ) -> Option<Box<Share>> {
        if quotas.are_none() {
            return None;
        }
        let usage = account.usage();
        let mut share = match before {
            Some(share) if Arc::ptr_eq(&share.usage, usage) => share,
            before => {
                usage.sessions.fetch_add(1, Ordering::Relaxed);
                let mut share = Share::of(quotas, Arc::clone(usage));
                // It is held still, and is let go once.
                share.waits = before.is_some_and(|before| before.waits);
                Box::new(share)
            }
        };
        share.quotas = quotas;
        count_as(&usage.subscriptions, &mut share.subscriptions, used.subscriptions);
        // Nobody notes what waits where there is no such quota.
        let bytes_waiting = if quotas.bytes_waiting.is_some() { used.bytes_waiting } else { 0 };
        count_as(&usage.bytes_waiting, &mut share.bytes_waiting, bytes_waiting);
        Some(share)
    }

    fn of(quotas: Quotas, usage: Arc<Usage>) -> Share {
        Share { quotas, usage, subscriptions: 0, bytes_waiting: 0, waits: false }
    }

    /// Counts a new subscription.
    ///
    /// # Errors
    /// The quota is used up; the text is for the client.
    pub(crate) fn add_subscription(&mut self) -> Result<(), String> {
        add_one(&self.usage.subscriptions, self.quotas.subscriptions)
            .map_err(|most| format!("your user has reached its quota of {most} subscriptions"))?;
        self.subscriptions += 1;
        Ok(())
    }

    /// Gives so many subscriptions back.
    pub(crate) fn remove_subscriptions(&mut self, count: u64) {
        assert!(count <= self.subscriptions, "each was counted");
        self.subscriptions -= count;
        self.usage.subscriptions.fetch_sub(count, Ordering::Relaxed);
    }

    /// The subscriptions that this share counts.
    pub(crate) fn subscriptions(&self) -> u64 {
        self.subscriptions
    }

    /// Notes the bytes that wait for this session now.
    ///
    /// # Errors
    /// The sessions of its user are over the quota together, and this one has a part in it; the text is for the client.
    pub(crate) fn note_waiting(&mut self, bytes: u64) -> Result<(), String> {
        let Some(most) = self.quotas.bytes_waiting else { return Ok(()) };
        count_as(&self.usage.bytes_waiting, &mut self.bytes_waiting, bytes);
        let all = self.usage.bytes_waiting.load(Ordering::Relaxed);
        match bytes > 0 && all > most {
            true => Err(format!("{all} bytes wait for your user, over its quota of {most}")),
            false => Ok(()),
        }
    }

    /// Counts messages that were published. `false`: the user is ahead of its rate, and the session is to wait until
    /// [`Share::is_within_rate`].
    pub(crate) fn publish(&self, messages: u64, now: MonotonicNs) -> bool {
        let Some(rate) = self.quotas.publish_rate else { return true };
        let cost = u128::from(messages) * 1_000_000_000 / u128::from(rate.max(1));
        let cost = u64::try_from(cost).unwrap_or(u64::MAX);
        let pay = |until: u64| Some(until.max(now.0).saturating_add(cost));
        // It always takes.
        let _ = self.usage.published_until_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
        self.is_within_rate(now)
    }

    /// Notes that the session waits for the rate. `false`: it did already.
    pub(crate) fn begins_to_wait(&mut self) -> bool {
        !std::mem::replace(&mut self.waits, true)
    }

    /// Notes that the session no longer waits.
    pub(crate) fn has_waited(&mut self) {
        self.waits = false;
    }

    /// True if its user may publish now.
    pub(crate) fn is_within_rate(&self, now: MonotonicNs) -> bool {
        let until = self.usage.published_until_ns.load(Ordering::Relaxed);
        self.quotas.publish_rate.is_none()
            || Duration::from_nanos(until.saturating_sub(now.0)) <= QUOTA_RATE_BURST
    }
}

/// Adds one, unless the count has reached the most, which is then the error.
fn add_one(count: &AtomicU64, most: Option<u64>) -> Result<(), u64> {
    let most = most.unwrap_or(u64::MAX);
    let add = |count: u64| (count < most).then_some(count + 1);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).map(drop).map_err(|_| most)
}

/// Counts a part as what it is now: for a moment as both, never as less.
fn count_as(count: &AtomicU64, part: &mut u64, now: u64) {
    count.fetch_add(now, Ordering::Relaxed);
    count.fetch_sub(std::mem::replace(part, now), Ordering::Relaxed);
}

impl Drop for Share {
    fn drop(&mut self) {
        self.usage.sessions.fetch_sub(1, Ordering::Relaxed);
        self.usage.subscriptions.fetch_sub(self.subscriptions, Ordering::Relaxed);
        self.usage.bytes_waiting.fetch_sub(self.bytes_waiting, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: MonotonicNs = MonotonicNs(1_000_000_000);

    fn share(quotas: Quotas, account: &Account) -> Box<Share> {
        Share::take("a", quotas, account).expect("there is room").expect("it has quotas")
    }

    fn used(subscriptions: u64) -> Used {
        Used { subscriptions, bytes_waiting: 0 }
    }

    #[test]
    fn what_a_session_has_is_given_back_with_it() {
        let account = Account::default();
        let quotas = Quotas { sessions: Some(2), subscriptions: Some(3), ..Quotas::default() };
        let (mut one, mut other) = (share(quotas, &account), share(quotas, &account));
        let refused = Share::take("a", quotas, &account).expect_err("a third");
        assert!(refused.contains("`a` has reached its quota of 2 sessions"), "{refused}");
        one.add_subscription().expect("the first");
        other.add_subscription().expect("the second");
        other.add_subscription().expect("the third");
        assert!(one.add_subscription().expect_err("a fourth").contains("quota of 3 subscriptions"));
        other.remove_subscriptions(1);
        one.add_subscription().expect("one was given back");
        drop(other);
        let mut third = share(quotas, &account);
        third.add_subscription().expect("that of the other was given back as well");
        assert!(third.add_subscription().is_err());
    }

    #[test]
    fn a_user_without_quotas_has_no_share() {
        assert!(Share::take("a", Quotas::default(), &Account::default()).expect("none").is_none());
        assert!(Share::keep(Quotas::default(), &Account::default(), used(7), None).is_none());
    }

    #[test]
    fn a_session_that_is_there_keeps_what_it_has() {
        let account = Account::default();
        let quotas = Quotas { sessions: Some(1), subscriptions: Some(1), ..Quotas::default() };
        let kept = [5, 7].map(|subscriptions| Share::keep(quotas, &account, used(subscriptions), None));
        assert!(Share::take("a", quotas, &account).is_err(), "but there is room for no other");
        drop(kept);
        share(quotas, &account).add_subscription().expect("all was given back");
    }

    #[test]
    fn another_set_of_users_goes_on_counting() {
        let (before, after) = (Account::default(), Account::default());
        let quotas = Quotas { sessions: Some(1), ..Quotas::default() };
        let _there = share(quotas, &before);
        after.take_over(&before);
        assert!(Share::take("a", quotas, &after).is_err());
    }

    #[test]
    fn a_share_that_follows_another_is_never_free_in_between() {
        let quotas = Quotas { sessions: Some(1), subscriptions: Some(1), ..Quotas::default() };
        let account = Account::default();
        let mut kept = Share::keep(quotas, &account, used(1), None);
        std::thread::scope(|scope| {
            let followed = scope.spawn(|| {
                for _ in 0..200_000 {
                    kept = Share::keep(quotas, &account, used(1), kept.take());
                }
            });
            while !followed.is_finished() {
                assert!(Share::take("a", quotas, &account).is_err(), "somebody else got its session");
                let usage = account.usage();
                assert!(add_one(&usage.subscriptions, quotas.subscriptions).is_err(), "or its subscription");
            }
        });
        let usage = account.usage();
        let counts = [&usage.sessions, &usage.subscriptions].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts, [1, 1], "it counts once");
        drop(kept);
        share(quotas, &account).add_subscription().expect("all was given back");
    }

    #[test]
    fn a_share_that_follows_another_has_its_bytes_and_its_wait() {
        let (account, other) = (Account::default(), Account::default());
        let rate = Quotas { publish_rate: Some(1), ..Quotas::default() };
        let mut waiting = share(rate, &account);
        assert!(!waiting.publish(100, START) && waiting.begins_to_wait());
        let bytes = Quotas { bytes_waiting: Some(100), ..rate };
        let used = Used { subscriptions: 0, bytes_waiting: 60 };
        let mut kept = Share::keep(bytes, &account, used, Some(waiting));
        let mut second = share(bytes, &account);
        assert!(second.note_waiting(41).is_err(), "with what waits for the first");
        for account in [&account, &other] {
            kept = Share::keep(bytes, account, used, kept);
            assert!(!kept.as_mut().expect("it has quotas").begins_to_wait(), "it waits already");
        }
        assert!(second.note_waiting(100).is_ok(), "the first is another user's now");
        assert!(share(bytes, &other).note_waiting(41).is_err());
    }

    #[test]
    fn bytes_of_all_sessions_count_and_the_session_that_makes_them_too_many_is_told() {
        let account = Account::default();
        let quotas = Quotas { bytes_waiting: Some(100), ..Quotas::default() };
        let (mut one, mut other) = (share(quotas, &account), share(quotas, &account));
        assert!(one.note_waiting(60).is_ok() && other.note_waiting(40).is_ok());
        assert!(other.note_waiting(41).is_err());
        assert!(other.note_waiting(0).is_ok() && one.note_waiting(100).is_ok());
        drop(one);
        assert!(other.note_waiting(100).is_ok());
    }

    #[test]
    fn a_rate_has_a_burst_and_holds_over_all_sessions() {
        let account = Account::default();
        let quotas = Quotas { publish_rate: Some(1_000), ..Quotas::default() };
        let (one, other) = (share(quotas, &account), share(quotas, &account));
        let burst = u64::try_from(QUOTA_RATE_BURST.as_millis()).expect("short");
        assert!(one.publish(burst, START), "a message each millisecond");
        assert!(!other.publish(500, START) && !one.is_within_rate(START));
        assert!(!one.is_within_rate(START + Duration::from_millis(499)));
        assert!(
            one.is_within_rate(START + Duration::from_millis(500))
                && other.is_within_rate(START + QUOTA_RATE_BURST * 6)
        );
        // Time in which nothing was published is no credit.
        assert!(!one.publish(2 * burst, START + Duration::from_secs(60)));
    }
}
