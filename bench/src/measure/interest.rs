//! Owns which topics each of some subscribers wants, as the account looks them up. A topic that a subscriber wants is a
//! place, and places are numbered through all of these subscribers.

use super::workload::Workload;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The topics that each of some subscribers wants.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Interest {
    /// The first place of each subscriber, and the end of the last one's.
    starts: Vec<usize>,
    /// The topic of each place; rising for each subscriber.
    topics: Vec<u32>,
    /// The number of topics if every subscriber wants all of them: then nothing is searched for.
    all: Option<u32>,
}

impl Interest {
    /// The interest of these subscribers of the swarm. Here they are numbered from 0.
    pub fn of(workload: &Workload, subscribers: Range<usize>) -> Self {
        let (mut starts, mut topics) = (vec![0], Vec::new());
        for subscriber in subscribers {
            topics.extend(workload.wanted_by(subscriber));
            starts.push(topics.len());
        }
        let all = workload.topics() as u32;
        let all = (topics.len() == all as usize * (starts.len() - 1)).then_some(all);
        Interest { starts, topics, all }
    }

    /// Number of subscribers.
    pub fn subscribers(&self) -> usize {
        self.starts.len() - 1
    }

    /// Number of places.
    pub fn places(&self) -> usize {
        self.topics.len()
    }

    /// The places of a subscriber.
    pub fn places_of(&self, subscriber: usize) -> Range<usize> {
        self.starts[subscriber]..self.starts[subscriber + 1]
    }

    /// The topics that a subscriber wants, rising.
    pub fn topics_of(&self, subscriber: usize) -> &[u32] {
        &self.topics[self.places_of(subscriber)]
    }

    /// The topic of each place.
    pub fn topics(&self) -> &[u32] {
        &self.topics
    }

    /// The place of a topic that the subscriber wants; `None` if it does not.
    #[inline]
    pub fn place(&self, subscriber: usize, topic: u32) -> Option<usize> {
        if let Some(all) = self.all {
            return (topic < all).then_some(subscriber * all as usize + topic as usize);
        }
        let at = self.topics_of(subscriber).binary_search(&topic).ok()?;
        Some(self.starts[subscriber] + at)
    }

    /// True if it belongs together, and names topics below `topics` only: one that came from another host may not.
    pub fn is_whole(&self, topics: usize) -> bool {
        self.starts.first() == Some(&0)
            && self.starts.is_sorted()
            && self.starts.last() == Some(&self.topics.len())
            && self.topics.iter().all(|topic| (*topic as usize) < topics)
    }
}

#[cfg(test)]
mod tests {
    use super::super::workload::tests::shared;
    use super::*;

    #[test]
    fn a_place_is_found_for_every_topic_that_is_wanted_and_for_no_other() {
        for workload in [Workload::own(5), shared(1, 40, 40), shared(3, 40, 7)] {
            let interest = Interest::of(&workload, 3..9);
            assert_eq!(interest.subscribers(), 6);
            let mut places = 0;
            for subscriber in 0..6 {
                let wanted = workload.wanted_by(3 + subscriber);
                for topic in 0..50 {
                    let place = interest.place(subscriber, topic);
                    assert_eq!(place.is_some(), wanted.contains(&topic), "{topic} of {wanted:?}");
                    if let Some(place) = place {
                        assert_eq!((place, interest.topics()[place]), (places, topic));
                        places += 1;
                    }
                }
            }
            assert_eq!(places, interest.places());
        }
    }

    #[test]
    fn one_that_does_not_belong_together_is_seen() {
        let good = Interest::of(&shared(1, 10, 3), 0..2);
        assert!(good.is_whole(10) && !good.is_whole(1));
        let torn = [
            Interest { starts: Vec::new(), ..good.clone() },
            Interest { starts: vec![0, 7, 6], ..good.clone() },
            Interest { topics: vec![1; 5], ..good.clone() },
        ];
        assert!(torn.iter().all(|torn| !torn.is_whole(10)));
    }
}
