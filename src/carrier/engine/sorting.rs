//! Messages and words on their way out of stores of history, until nothing is to come any more that belongs before them. Owned by
//! loading. Pure.
//!
//! A store has what it refused at first behind later messages, within what one broker may have unconfirmed. So that much waits here: the
//! first that has come leaves when there is more, behind all that stands before it in its topic.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::head::TopicPlace;
use super::landings::{Key, KeyKind, Landing};
use crate::limits::ENGINE_STORE_BYTES_MAX;
use crate::slack::give_back_queue;

/// The way by which something has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CameBy {
    /// From a store, which it reached at this time.
    Stored(MonotonicNs),
    /// From its broker, at this time.
    Live(MonotonicNs),
}

impl CameBy {
    pub(super) fn is_live(self) -> bool {
        matches!(self, CameBy::Live(_))
    }

    /// The same, but not after that time.
    pub(super) fn no_later_than(self, latest: MonotonicNs) -> CameBy {
        match self {
            CameBy::Stored(at) => CameBy::Stored(at.min(latest)),
            CameBy::Live(at) => CameBy::Live(at.min(latest)),
        }
    }

    /// The time at which it was said, as far as that is known.
    pub(super) fn at(self) -> MonotonicNs {
        let (CameBy::Stored(at) | CameBy::Live(at)) = self;
        at
    }
}

/// All that waits.
#[derive(Default)]
pub(super) struct Sorting {
    waiting: BTreeMap<Key, (Landing, CameBy)>,
    /// In the order in which they came; some of them have left.
    order: VecDeque<Key>,
    bytes: usize,
}

impl Sorting {
    /// Adds something, unless it is here already.
    pub(super) fn add(&mut self, landing: Landing, came: CameBy) {
        let (key, bytes) = (landing.key(), landing.held_bytes());
        if self.waiting.contains_key(&key) {
            return;
        }
        self.bytes += bytes;
        self.order.push_back(key.clone());
        self.waiting.insert(key, (landing, came));
    }

    /// True if more waits than has to.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > ENGINE_STORE_BYTES_MAX
    }

    /// Takes the first that has come, or what stands before it in its topic.
    pub(super) fn next(&mut self) -> Option<(Landing, CameBy)> {
        while self.order.front().is_some_and(|key| !self.waiting.contains_key(key)) {
            self.order.pop_front();
        }
        let key = self.order.front()?.clone();
        let from = (key.0, key.1.clone(), TopicPlace::default(), KeyKind::Notice);
        let first = self.waiting.range(from..=key).next()?.0.clone();
        let taken = self.waiting.remove(&first)?;
        self.bytes -= taken.0.held_bytes();
        give_back_queue(&mut self.order);
        Some(taken)
    }

    /// The places of a topic of this broker, in order, each with its number of messages.
    pub(super) fn places_of(&self, start: u64, topic: &Bytes) -> impl Iterator<Item = (TopicPlace, u64)> {
        let end = TopicPlace { base: u64::MAX, position: u64::MAX };
        let from = (start, topic.clone(), TopicPlace::default(), KeyKind::Notice);
        let of_topic = self.waiting.range(from..=(start, topic.clone(), end, KeyKind::Word));
        of_topic.map(|(_, (landing, _))| (landing.place, landing.count))
    }

    /// Memory that it holds, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes
    }
}
