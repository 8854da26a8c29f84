//! Owns the progress of a flood: how much was sent on each topic, and how much each session of raw subscribers has of it. So
//! publishers do not run ahead of the slowest. Each counter of a session is written by its thread alone.

use crate::measure::interest::Interest;
use crate::measure::workload::Workload;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of all threads. Clones share them.
#[derive(Clone, Debug)]
pub struct Gauges(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    /// The topics that each session wants.
    interest: Interest,
    /// Messages of the run, by topic.
    sent: Vec<AtomicU64>,
    /// Messages of the run accounted for, by session.
    received: Vec<AtomicU64>,
}

impl Gauges {
    /// Counters for so many sessions, each of which wants what the subscriber of its number does.
    pub fn new(workload: &Workload, sessions: usize) -> Self {
        let counters = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        let interest = Interest::of(workload, 0..sessions);
        Gauges(Arc::new(Counters {
            interest,
            sent: counters(workload.topics()),
            received: counters(sessions),
        }))
    }

    /// Nothing has been sent.
    pub fn begin(&self) {
        self.0.sent.iter().for_each(|sent| sent.store(0, Ordering::Relaxed));
    }

    /// A message on this topic is about to be sent.
    pub fn add_sent(&self, topic: u32) {
        self.0.sent[topic as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Stores the messages of the run accounted for at a session.
    pub fn set_received(&self, session: usize, messages: u64) {
        self.0.received[session].store(messages, Ordering::Relaxed);
    }

    /// Messages of the run that were sent, as far as it is known: the floor does not say.
    pub fn sent(&self) -> u64 {
        sum(&self.0.sent)
    }

    /// Messages of the run accounted for at the session that has fewest.
    pub fn least(&self) -> u64 {
        self.0.received.iter().map(|received| received.load(Ordering::Relaxed)).min().unwrap_or(0)
    }

    /// Messages on their way to the session that has most of these. `slowest` is the one for which that was so when it was
    /// last asked: if it has `enough`, the others are not looked at.
    pub fn under_way(&self, enough: u64, slowest: &mut usize) -> u64 {
        let of_slowest = self.under_way_to(*slowest);
        if of_slowest >= enough {
            return of_slowest;
        }
        let sessions = (0..self.0.received.len()).map(|session| (self.under_way_to(session), session));
        let (most, session) = sessions.max().unwrap_or_default();
        *slowest = session;
        most
    }

    fn under_way_to(&self, session: usize) -> u64 {
        let sent = |topic: &u32| self.0.sent[*topic as usize].load(Ordering::Relaxed);
        let wanted: u64 = self.0.interest.topics_of(session).iter().map(sent).sum();
        wanted.saturating_sub(self.0.received[session].load(Ordering::Relaxed))
    }
}

fn sum(counters: &[AtomicU64]) -> u64 {
    counters.iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::workload::tests::shared;

    #[test]
    fn what_is_under_way_is_what_the_slowest_wants_and_has_not_got() {
        let workload = shared(1, 4, 2);
        let gauges = Gauges::new(&workload, 3);
        let wanted = [0, 1, 2].map(|session| workload.wanted_by(session));
        let mut slowest = 0;
        assert_eq!(gauges.under_way(1, &mut slowest), 0);
        for topic in 0..4 {
            (0..=topic).for_each(|_| gauges.add_sent(topic));
        }
        let sent = |session: usize| wanted[session].iter().map(|topic| u64::from(topic + 1)).sum::<u64>();
        let most = |received: [u64; 3]| {
            (0..3).for_each(|session| gauges.set_received(session, received[session]));
            (0..3).map(|session| sent(session) - received[session]).max().unwrap()
        };
        for received in [[0, 0, 0], [sent(0), 0, 1], [sent(0), sent(1), 0], [0, sent(1), sent(2)]] {
            let most = most(received);
            assert_eq!(gauges.under_way(u64::MAX, &mut slowest), most);
            assert_eq!(gauges.under_way(1, &mut slowest), most, "it remembers who that was");
        }
        assert_eq!((gauges.sent(), gauges.least()), (10, 0));
        gauges.begin();
        assert_eq!(gauges.sent(), 0);
    }
}
