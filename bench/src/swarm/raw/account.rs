//! Owns what the subscribers of one thread have got: the tally of the run that goes on, and how far each session is.

use super::dialect::sink::Sink;
use crate::measure::payload::{self, PublisherIndex, RunId};
use crate::measure::tally::Tally;
use corecast_executors::MonotonicNs;
use std::ops::Range;

/// The only publisher.
const PUBLISHER: PublisherIndex = PublisherIndex(0);

/// The account of one thread.
#[derive(Debug)]
pub struct Account {
    run: RunId,
    /// Runs before this one: their messages may still come, and are none of its business.
    earlier: Vec<RunId>,
    tally: Tally,
    subscribers: usize,
    /// Messages of this run that each session has got, or was told it missed.
    received: Vec<u64>,
}

impl Account {
    /// An account before any run.
    pub fn new(sessions: usize, subscribers: usize) -> Self {
        let run = RunId(fastrand::u64(..));
        Account {
            run,
            earlier: Vec::new(),
            tally: Tally::new(run, subscribers, 1),
            subscribers,
            received: vec![0; sessions],
        }
    }

    /// Begins another run.
    pub fn begin(&mut self, run: RunId) {
        self.earlier.push(std::mem::replace(&mut self.run, run));
        self.received.fill(0);
        self.tally = Tally::new(run, self.subscribers, 1);
    }

    /// Ends the run: its measurements.
    pub fn finish(&mut self) -> Tally {
        let nothing = self.tally.empty_copy();
        std::mem::replace(&mut self.tally, nothing)
    }

    /// The measurements of the run so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Messages accounted for at the session that has least.
    pub fn least(&self) -> u64 {
        self.received.iter().copied().min().unwrap_or(0)
    }

    fn is_of_earlier_run(&self, payload: &[u8]) -> bool {
        self.earlier.iter().any(|run| payload::check(payload, *run).is_some())
    }
}

/// The account, as one session writes to it while it reads.
#[derive(Debug)]
pub struct SessionSink<'a> {
    account: &'a mut Account,
    session: usize,
    subscribers: Range<usize>,
    now: MonotonicNs,
    ready: bool,
}

impl<'a> SessionSink<'a> {
    /// The account of a session that has read something at `now`, on behalf of those subscribers.
    pub fn new(
        account: &'a mut Account,
        session: usize,
        subscribers: Range<usize>,
        now: MonotonicNs,
    ) -> Self {
        SessionSink { account, session, subscribers, now, ready: false }
    }

    /// True if the session has become ready.
    pub fn is_ready(&self) -> bool {
        self.ready
    }
}

impl Sink for SessionSink<'_> {
    fn ready(&mut self) {
        self.ready = true;
    }

    #[inline]
    fn message(&mut self, payload: &[u8]) {
        for subscriber in self.subscribers.clone() {
            if !self.account.tally.message(subscriber, payload, self.now) {
                if self.account.is_of_earlier_run(payload) {
                    return;
                }
                self.account.tally.corrupted(subscriber, Some(PUBLISHER));
            }
        }
        self.account.received[self.session] += 1;
    }

    fn gap(&mut self, missed: Option<u64>) {
        for subscriber in self.subscribers.clone() {
            self.account.tally.gap(subscriber, Some(PUBLISHER), missed, self.now);
        }
        // One of unknown size is settled by the end of the run.
        self.account.received[self.session] += missed.unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::payload::Payload;

    fn deliver(account: &mut Account, session: usize, payload: &[u8]) {
        SessionSink::new(account, session, session..session + 1, MonotonicNs(9)).message(payload);
    }

    #[test]
    fn what_comes_late_from_an_earlier_run_is_not_held_against_this_one() {
        let (one, two) = (RunId(1), RunId(2));
        let mut account = Account::new(2, 2);
        account.begin(one);
        let mut payload = Payload::new(one, PUBLISHER, 64).unwrap();
        deliver(&mut account, 0, payload.stamp(0, MonotonicNs(1)));
        assert_eq!((account.tally().oracle().accounted(), account.least()), (1, 0));
        let before = account.finish();
        account.begin(two);
        assert_eq!((before.totals(&[1]).delivered, before.totals(&[1]).lost), (1, 1));
        deliver(&mut account, 1, payload.stamp(0, MonotonicNs(1)));
        assert_eq!(account.tally().oracle().accounted(), 0);
        deliver(&mut account, 0, &[0; 64]);
        let mut payload = Payload::new(two, PUBLISHER, 64).unwrap();
        deliver(&mut account, 1, payload.stamp(0, MonotonicNs(1)));
        assert_eq!((account.tally().oracle().accounted(), account.least()), (2, 1));
        let totals = account.finish().totals(&[1]);
        assert_eq!((totals.delivered, totals.corrupted, totals.lost), (1, 1, 0));
    }

    #[test]
    fn a_shared_session_counts_for_all_its_subscribers() {
        let mut account = Account::new(1, 3);
        account.begin(RunId(1));
        let mut payload = Payload::new(RunId(1), PUBLISHER, 64).unwrap();
        let stamped = payload.stamp(0, MonotonicNs(1)).to_vec();
        let mut entry = SessionSink::new(&mut account, 0, 0..3, MonotonicNs(9));
        entry.message(&stamped);
        entry.gap(Some(2));
        assert_eq!((account.tally().oracle().accounted(), account.least()), (9, 3));
        let totals = account.finish().totals(&[3]);
        assert_eq!((totals.delivered, totals.gaps_reported, totals.lost), (3, 6, 0));
    }
}
