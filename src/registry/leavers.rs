//! The publishers that left last, for subscribers that were away meanwhile: a returning subscriber learns of them, and
//! so that it may have missed something.

use std::collections::VecDeque;
use std::sync::Arc;

use corecast_executors::MonotonicNs;

use super::registration::Registration;
use crate::ids::PublisherId;
use crate::limits::LEAVERS_MAX;
use crate::topic::Filter;

/// The number on the wire for a publisher that has left.
pub const DOWN_LEFT: u8 = 1;
/// The number for one whose lease ran out.
const DOWN_EXPIRED: u8 = 2;
/// The number for one whose registration was taken back: its user is gone, or may not have it any more. Peers that do not know
/// it take it for a lease that ran out.
pub const DOWN_REVOKED: u8 = 4;
/// The number for all publishers that left before those which are remembered. It comes with publisher 0, and in place of the
/// epoch are the milliseconds since the last of them left.
pub const DOWN_FORGOTTEN: u8 = 3;

/// The reason for which a publisher is not registered any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GoneReason {
    /// It left.
    Left,
    /// Its lease ran out.
    Expired,
    /// Its registration was taken back.
    Revoked,
}

impl GoneReason {
    /// The number on the wire.
    pub fn to_wire(self) -> u8 {
        match self {
            GoneReason::Left => DOWN_LEFT,
            GoneReason::Expired => DOWN_EXPIRED,
            GoneReason::Revoked => DOWN_REVOKED,
        }
    }
}

/// The last [`LEAVERS_MAX`] publishers that left, or whose registrations ended otherwise.
#[derive(Default, Debug)]
pub struct Leavers {
    /// The publishers, in the order in which they left.
    left: VecDeque<Leaver>,
    /// The time at which the last of those left that are not remembered any more.
    forgotten_until: Option<MonotonicNs>,
}

/// A departed publisher.
#[derive(Clone, Debug)]
pub struct Leaver {
    /// Its last registration.
    pub registration: Arc<Registration>,
    /// The reason for which it is gone.
    pub reason: GoneReason,
    /// The time at which it left.
    at: MonotonicNs,
}

impl Leavers {
    /// Records a publisher that has left.
    pub fn add(&mut self, registration: Arc<Registration>, reason: GoneReason, at: MonotonicNs) {
        if self.left.len() == LEAVERS_MAX
            && let Some(oldest) = self.left.pop_front()
        {
            self.forgotten_until = Some(oldest.at);
        }
        self.left.push_back(Leaver { registration, reason, at });
    }

    /// The time at which the last publisher left that is not remembered any more, if there is one. Whoever has been away
    /// since before that cannot be told of all.
    pub fn forgotten_until(&self) -> Option<MonotonicNs> {
        self.forgotten_until
    }

    /// Removes a publisher that is back.
    pub fn remove(&mut self, publisher: PublisherId) {
        self.left.retain(|leaver| leaver.registration.publisher != publisher);
    }

    /// The number of remembered publishers, which is the cost of scanning all.
    pub fn len(&self) -> usize {
        self.left.len()
    }

    /// True if nobody has left.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// The departed publishers of something that the filter asks for.
    pub fn overlapping<'a>(&'a self, filter: &'a Filter) -> impl Iterator<Item = &'a Leaver> {
        self.left.iter().filter(|leaver| leaver.registration.overlaps(filter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration(publisher: u64, topic: &str) -> Arc<Registration> {
        let topics = vec![Filter::parse(topic).unwrap()];
        Arc::new(Registration { publisher: PublisherId(publisher), epoch: 1, endpoints: Vec::new(), topics })
    }

    fn publishers(leavers: &Leavers, filter: &str) -> Vec<u64> {
        let filter = Filter::parse(filter).unwrap();
        leavers.overlapping(&filter).map(|leaver| leaver.registration.publisher.0).collect()
    }

    #[test]
    fn the_last_that_left_are_remembered_until_they_are_back() {
        let mut leavers = Leavers::default();
        leavers.add(registration(1, "a.b"), GoneReason::Left, MonotonicNs(1));
        leavers.add(registration(2, "b"), GoneReason::Expired, MonotonicNs(2));
        assert_eq!(publishers(&leavers, "a.*"), [1]);
        assert_eq!(publishers(&leavers, ">"), [1, 2]);
        leavers.remove(PublisherId(1));
        assert_eq!(publishers(&leavers, ">"), [2]);
        assert_eq!(leavers.forgotten_until(), None, "the first has come back");
        for publisher in 0..LEAVERS_MAX as u64 {
            leavers.add(registration(100 + publisher, "c"), GoneReason::Revoked, MonotonicNs(3 + publisher));
        }
        assert_eq!((leavers.len(), publishers(&leavers, "b")), (LEAVERS_MAX, vec![]));
        assert_eq!(leavers.forgotten_until(), Some(MonotonicNs(2)));
    }
}
