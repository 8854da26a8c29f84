//! Owns what the subscribers of one thread have got: the tally of the run that goes on, and how far each session is.

use super::dialect::sink::Sink;
use crate::measure::interest::Interest;
use crate::measure::payload::{self, RunId};
use crate::measure::tally::Tally;
use crate::swarm::topics::Topics;
use corecast_executors::MonotonicNs;
use std::ops::Range;

/// The account of one thread.
#[derive(Debug)]
pub struct Account {
    run: RunId,
    /// Runs before this one: their messages may still come, and are none of its business.
    earlier: Vec<RunId>,
    tally: Tally,
    topics: Topics,
    /// Messages of this run that each session has got, or was told it missed.
    received: Vec<u64>,
}

impl Account {
    /// An account of these subscribers before any run.
    pub fn new(sessions: usize, subscribers: Range<usize>, topics: Topics) -> Self {
        let run = RunId(fastrand::u64(..));
        let workload = *topics.workload();
        let tally = Tally::new(run, workload, Interest::of(&workload, subscribers));
        Account { run, earlier: Vec::new(), tally, topics, received: vec![0; sessions] }
    }

    /// Begins another run.
    pub fn begin(&mut self, run: RunId) {
        self.earlier.push(std::mem::replace(&mut self.run, run));
        self.received.fill(0);
        let interest = self.tally.oracle().interest().clone();
        self.tally = Tally::new(run, *self.topics.workload(), interest);
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

    /// Messages of the run accounted for at a session.
    pub fn received(&self, session: usize) -> u64 {
        self.received[session]
    }

    fn is_of_earlier_run(&self, payload: &[u8]) -> bool {
        let head = self.topics.workload().head();
        self.earlier.iter().any(|run| payload::check(payload, *run, head).is_some())
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
                self.account.tally.corrupted(subscriber, None);
            }
        }
        self.account.received[self.session] += 1;
    }

    fn gap(&mut self, topic: &[u8], missed: Option<u64>) {
        let topic = self.account.topics.topic_of(topic);
        for subscriber in self.subscribers.clone() {
            self.account.tally.gap(subscriber, topic, missed, self.now);
        }
        // One of unknown size is settled by the end of the run.
        self.account.received[self.session] += missed.unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::messages::Messages;
    use crate::measure::payload::PublisherIndex;
    use crate::measure::workload::Workload;

    fn account(sessions: usize, subscribers: usize) -> Account {
        Account::new(sessions, 0..subscribers, Topics::of_peers(Workload::own(1), '.'))
    }

    fn messages(run: RunId) -> Messages {
        Messages::new(run, &Workload::own(1), PublisherIndex(0), 64).unwrap()
    }

    fn deliver(account: &mut Account, session: usize, payload: &[u8]) {
        SessionSink::new(account, session, session..session + 1, MonotonicNs(9)).message(payload);
    }

    #[test]
    fn what_comes_late_from_an_earlier_run_is_not_held_against_this_one() {
        let (one, two) = (RunId(1), RunId(2));
        let mut account = account(2, 2);
        account.begin(one);
        let late = messages(one).next(MonotonicNs(1)).1.to_vec();
        deliver(&mut account, 0, &late);
        assert_eq!(
            (account.tally().oracle().accounted(), account.received(0), account.received(1)),
            (1, 1, 0)
        );
        let before = account.finish();
        account.begin(two);
        assert_eq!((before.totals(&[1]).delivered, before.totals(&[1]).lost), (1, 1));
        deliver(&mut account, 1, &late);
        assert_eq!((account.tally().oracle().accounted(), account.received(1)), (0, 0));
        deliver(&mut account, 0, &[0; 64]);
        deliver(&mut account, 1, messages(two).next(MonotonicNs(1)).1);
        assert_eq!(
            (account.tally().oracle().accounted(), account.received(0), account.received(1)),
            (2, 1, 1)
        );
        let totals = account.finish().totals(&[1]);
        assert_eq!((totals.delivered, totals.corrupted, totals.lost), (1, 1, 0));
    }

    #[test]
    fn a_shared_session_counts_for_all_its_subscribers() {
        let mut account = account(1, 3);
        account.begin(RunId(1));
        let stamped = messages(RunId(1)).next(MonotonicNs(1)).1.to_vec();
        let mut entry = SessionSink::new(&mut account, 0, 0..3, MonotonicNs(9));
        entry.message(&stamped);
        entry.gap(b"", Some(2));
        assert_eq!((account.tally().oracle().accounted(), account.received(0)), (9, 3));
        let totals = account.finish().totals(&[3]);
        assert_eq!((totals.delivered, totals.gaps_reported, totals.lost), (3, 6, 0));
    }
}
