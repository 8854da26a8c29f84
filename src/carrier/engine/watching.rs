//! The counts of subscribers that shards here ask of other brokers: which topics, and what each broker has said of them. Owned by
//! the engine's state. A broker that has not answered counts for nothing, so that nobody waits for it.

use std::collections::BTreeMap;

use ahash::AHashMap;
use bytes::Bytes;

use super::lists::ToldList;
use super::word::ListPart;
use crate::carrier::link_item::LinkItem;
use crate::ids::ShardId;
use crate::limits::ENGINE_WATCHES_MAX;
use crate::slack::give_back;

/// A shard, with its number for a topic.
type Asker = (ShardId, u64);

/// A topic that some shard wants the count of.
struct WatchedTopic {
    /// The number by which the other brokers know it.
    number: u64,
    /// The shards, and what each was told.
    askers: BTreeMap<Asker, u32>,
    /// By broker: its subscribers.
    counts: AHashMap<u64, u32>,
}

impl WatchedTopic {
    fn sum(&self) -> u32 {
        self.counts.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The items for shards that were told something else.
    fn news(&mut self, items: &mut Vec<(ShardId, LinkItem)>) {
        let count = self.sum();
        for ((shard, watch), told) in &mut self.askers {
            if std::mem::replace(told, count) != count {
                items.push((*shard, LinkItem::Count { watch: *watch, count }));
            }
        }
    }
}

/// All that is asked.
#[derive(Default)]
pub(super) struct Watching {
    topics: BTreeMap<Bytes, WatchedTopic>,
    numbers: AHashMap<u64, Bytes>,
    asking: AHashMap<Asker, Bytes>,
    list: ToldList,
    /// By broker: the round that it answers, and its words with counts that were heard in it.
    heard: AHashMap<u64, (u64, u64)>,
    next_number: u64,
}

impl Watching {
    /// A shard asks for the count of a topic, unless that `stays` here. Returns what is known of it.
    pub(super) fn watch(&mut self, asker: Asker, topic: Bytes, stays: bool) -> LinkItem {
        let is_new = !self.topics.contains_key(&topic);
        let mut count = 0;
        if !stays && (!is_new || self.topics.len() < ENGINE_WATCHES_MAX) {
            if is_new {
                self.next_number += 1;
                self.numbers.insert(self.next_number, topic.clone());
                self.list.set(self.next_number, topic.clone());
            }
            let number = self.next_number;
            let fresh = || WatchedTopic { number, askers: BTreeMap::new(), counts: AHashMap::new() };
            let watched = self.topics.entry(topic.clone()).or_insert_with(fresh);
            count = watched.sum();
            watched.askers.insert(asker, count);
            self.asking.insert(asker, topic);
        }
        LinkItem::Count { watch: asker.1, count }
    }

    /// It does so no longer.
    pub(super) fn unwatch(&mut self, asker: Asker) {
        let Some(topic) = self.asking.remove(&asker) else { return };
        let Some(watched) = self.topics.get_mut(&topic) else { return };
        watched.askers.remove(&asker);
        if watched.askers.is_empty() {
            let number = watched.number;
            self.topics.remove(&topic);
            self.numbers.remove(&number);
            self.list.remove(number);
            give_back(&mut self.numbers);
            give_back(&mut self.asking);
        }
    }

    /// Notes which other brokers are there. Returns what changes for shards.
    pub(super) fn meet(&mut self, here: &[u64]) -> Vec<(ShardId, LinkItem)> {
        let mut items = Vec::new();
        if self.list.meet(here) {
            self.heard.retain(|start, _| here.contains(start));
            for watched in self.topics.values_mut() {
                watched.counts.retain(|start, _| here.contains(start));
                watched.news(&mut items);
            }
        }
        items
    }

    /// A beat has passed.
    pub(super) fn beat(&mut self) {
        self.list.beat();
    }

    /// The next word of the list of topics, and the broker that it is for.
    pub(super) fn next_part(&mut self) -> Option<(u64, ListPart)> {
        self.list.next_part()
    }

    /// Takes counts of a broker, or its sign of life: it answers a round of which it has heard so many words, and these are the
    /// counts of its word of this number, or there are none since. Returns what changes for shards.
    pub(super) fn on_counts(
        &mut self,
        start: u64,
        (round, number, heard): (u64, u64, u64),
        counts: Vec<(u64, u32)>,
    ) -> Vec<(ShardId, LinkItem)> {
        let mut items = Vec::new();
        if !self.list.on_heard(start, (round, heard)) {
            return items;
        }
        let last = self.heard.entry(start).or_default();
        if last.0 != round {
            *last = (round, 0);
        }
        let expected = last.1 + u64::from(!counts.is_empty());
        if number > expected {
            self.list.break_off(start);
        }
        if number != expected {
            return items;
        }
        last.1 = number;
        for (number, count) in counts {
            let Some(topic) = self.numbers.get(&number) else { continue };
            let watched = self.topics.get_mut(topic).expect("its number is known");
            watched.counts.insert(start, count);
            watched.news(&mut items);
        }
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: Bytes = Bytes::from_static(b"a");

    fn counts(items: &[(ShardId, LinkItem)]) -> Vec<(u16, u64, u32)> {
        let count = |(shard, item): &(ShardId, LinkItem)| match item {
            LinkItem::Count { watch, count } => (shard.0, *watch, *count),
            other => unreachable!("{other:?}"),
        };
        items.iter().map(count).collect()
    }

    /// One shard that asks for the topic, and a broker that was asked, with the round.
    fn asking() -> (Watching, u64) {
        let mut watching = Watching::default();
        assert!(watching.meet(&[7]).is_empty());
        let known = watching.watch((ShardId(1), 5), TOPIC, false);
        assert_eq!(counts(&[(ShardId(1), known)]), [(1, 5, 0)], "nobody waits for the others");
        let round = said(&mut watching);
        (watching, round)
    }

    fn said(watching: &mut Watching) -> u64 {
        let (start, ListPart { round, number, changes, .. }) = watching.next_part().expect("there is news");
        assert_eq!((start, number, changes), (7, 1, vec![(1, Some(TOPIC))]));
        round
    }

    #[test]
    fn a_topic_is_asked_for_once_and_each_shard_is_told_what_is_new() {
        let (mut watching, round) = asking();
        assert_eq!(counts(&watching.on_counts(7, (round, 1, 1), vec![(1, 2)])), [(1, 5, 2)]);
        let known = watching.watch((ShardId(0), 9), TOPIC, false);
        assert_eq!(counts(&[(ShardId(0), known)]), [(0, 9, 2)]);
        assert_eq!(watching.next_part(), None, "it was asked already");
        assert_eq!(counts(&watching.on_counts(7, (round, 2, 1), vec![(1, 3)])), [(0, 9, 3), (1, 5, 3)]);
        assert!(watching.on_counts(7, (round, 3, 1), vec![(1, 3), (9, 9)]).is_empty(), "as before");
    }

    #[test]
    fn what_is_lost_begins_a_round_and_what_comes_late_changes_nothing() {
        let (mut watching, first) = asking();
        assert!(!watching.on_counts(7, (first, 1, 1), vec![(1, 2)]).is_empty());
        assert!(watching.on_counts(7, (first, 1, 1), vec![(1, 9)]).is_empty(), "twice");
        assert!(watching.on_counts(7, (first, 3, 1), vec![(1, 9)]).is_empty(), "one is missing");
        watching.beat();
        let second = said(&mut watching);
        assert!(watching.on_counts(7, (first, 2, 1), vec![(1, 9)]).is_empty(), "of the old round");
        assert_eq!(counts(&watching.on_counts(7, (second, 1, 1), vec![(1, 4)])), [(1, 5, 4)]);
        // A sign of life that tells of a word which has not come.
        assert!(watching.on_counts(7, (second, 2, 1), Vec::new()).is_empty());
        watching.beat();
        assert!(said(&mut watching) > second);
    }

    #[test]
    fn a_broker_that_is_gone_counts_no_more_and_an_unwatched_topic_is_taken_back() {
        let (mut watching, round) = asking();
        watching.on_counts(7, (round, 1, 1), vec![(1, 2)]);
        assert_eq!(counts(&watching.meet(&[])), [(1, 5, 0)]);
        watching.meet(&[7]);
        said(&mut watching);
        watching.unwatch((ShardId(1), 5));
        let (_, part) = watching.next_part().expect("news");
        assert_eq!((part.number, part.changes), (2, vec![(1, None)]));
        assert!(watching.topics.is_empty() && watching.numbers.is_empty() && watching.asking.is_empty());
        let stays = watching.watch((ShardId(1), 6), TOPIC, true);
        assert_eq!((counts(&[(ShardId(1), stays)]), watching.next_part()), (vec![(1, 6, 0)], None));
    }
}
