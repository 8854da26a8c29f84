//! The counts of subscribers that other brokers ask of the shards here: who asks for which topic, and what each was told. Owned
//! by the engine's state. The other end is `watching`.

use std::collections::BTreeMap;

use ahash::AHashMap;
use bytes::Bytes;

use super::lists::ListNews;
use super::word::{EngineWord, HeardRound, ListPart, fitting};
use crate::carrier::link_item::LinkItem;
use crate::ids::ShardId;
use crate::limits::ENGINE_WATCHES_MAX;
use crate::slack::give_back;

/// A topic that other brokers want the count of.
struct CountedTopic {
    /// The number by which shards know it.
    watch: u64,
    /// By shard; `None` until it has answered.
    counts: Vec<Option<u32>>,
    /// The brokers, each with its number for it and what it was told.
    askers: BTreeMap<(u64, u64), Option<u32>>,
}

impl CountedTopic {
    fn sum(&self) -> Option<u32> {
        let mut counts = self.counts.iter().copied();
        counts.try_fold(0_u32, |sum, count| count.map(|count| sum.saturating_add(count)))
    }
}

/// Another broker that asks.
#[derive(Default)]
struct AskingBroker {
    round: HeardRound,
    /// Words with counts that were said in this round.
    said: u64,
    /// By its numbers: the topics.
    topics: AHashMap<u64, Bytes>,
    /// By its numbers: counts that it is to be told, each once it has answered so many changes of the interest here. What it
    /// publishes behind such a count reaches all whom it counts, or is seen to be missing.
    untold: BTreeMap<u64, (u64, u32)>,
    /// It is to have a sign of life.
    is_due: bool,
}

/// All that is counted.
pub(super) struct Counting {
    shards: usize,
    topics: AHashMap<Bytes, CountedTopic>,
    watches: AHashMap<u64, Bytes>,
    brokers: AHashMap<u64, AskingBroker>,
    next_watch: u64,
}

impl Counting {
    /// Nobody asks so many shards.
    pub(super) fn new(shards: usize) -> Self {
        let (topics, watches, brokers) = (AHashMap::new(), AHashMap::new(), AHashMap::new());
        Counting { shards, topics, watches, brokers, next_watch: 0 }
    }

    /// A broker asks for counts, or does so no longer, after so many changes of the interest here. Returns what to say to all shards.
    pub(super) fn on_watch(&mut self, start: u64, (part, to): (ListPart, u64)) -> Vec<LinkItem> {
        let mut items = Vec::new();
        let mut round = self.brokers.get(&start).map_or_else(HeardRound::default, |broker| broker.round);
        match round.hear(&part) {
            ListNews::Nothing => return items,
            ListNews::Begins => self.forget(start, &mut items),
            ListNews::GoesOn => {}
        }
        let broker = self.brokers.entry(start).or_default();
        (broker.round, broker.is_due) = (round, true);
        for (number, topic) in part.changes {
            match topic {
                Some(topic) => self.add((start, number), (topic, to), &mut items),
                None => self.remove((start, number), &mut items),
            }
        }
        items
    }

    fn add(&mut self, asker: (u64, u64), (topic, to): (Bytes, u64), items: &mut Vec<LinkItem>) {
        let Some(broker) = self.brokers.get_mut(&asker.0) else { return };
        if broker.topics.len() >= ENGINE_WATCHES_MAX || broker.topics.contains_key(&asker.1) {
            return;
        }
        broker.topics.insert(asker.1, topic.clone());
        let (next, watches, shards) = (&mut self.next_watch, &mut self.watches, self.shards);
        let counted = self.topics.entry(topic.clone()).or_insert_with(|| {
            *next += 1;
            watches.insert(*next, topic.clone());
            items.push(LinkItem::Watch { watch: *next, topic });
            CountedTopic { watch: *next, counts: vec![None; shards], askers: BTreeMap::new() }
        });
        counted.askers.insert(asker, None);
        if let Some(sum) = counted.sum() {
            broker.untold.insert(asker.1, (to, sum));
        }
    }

    fn remove(&mut self, asker: (u64, u64), items: &mut Vec<LinkItem>) {
        let Some(broker) = self.brokers.get_mut(&asker.0) else { return };
        broker.untold.remove(&asker.1);
        let Some(topic) = broker.topics.remove(&asker.1) else { return };
        let counted = self.topics.get_mut(&topic).expect("it is counted for this broker");
        counted.askers.remove(&asker);
        if counted.askers.is_empty() {
            let watch = counted.watch;
            self.topics.remove(&topic);
            self.watches.remove(&watch);
            give_back(&mut self.topics);
            give_back(&mut self.watches);
            items.push(LinkItem::Unwatch { watch });
        }
    }

    fn forget(&mut self, start: u64, items: &mut Vec<LinkItem>) {
        let Some(broker) = self.brokers.get(&start) else { return };
        let numbers: Vec<u64> = broker.topics.keys().copied().collect();
        for number in numbers {
            self.remove((start, number), items);
        }
        self.brokers.remove(&start);
        give_back(&mut self.brokers);
    }

    /// Forgets a broker. Returns what to say to all shards.
    pub(super) fn drop_broker(&mut self, start: u64) -> Vec<LinkItem> {
        let mut items = Vec::new();
        self.forget(start, &mut items);
        items
    }

    /// A shard has so many subscribers, after so many changes of the interest here.
    pub(super) fn on_count(&mut self, shard: ShardId, (watch, count): (u64, u32), to: u64) {
        let Some(topic) = self.watches.get(&watch) else { return };
        let counted = self.topics.get_mut(topic).expect("its number is known");
        counted.counts[usize::from(shard.0)] = Some(count);
        let Some(sum) = counted.sum() else { return };
        for ((start, number), told) in &counted.askers {
            if *told != Some(sum) {
                // One that waits goes first: else none would leave while there is always a newer one.
                let broker = self.brokers.get_mut(start).expect("it asks");
                broker.untold.entry(*number).or_insert((to, sum));
            }
        }
    }

    /// Each broker that asks is to have a sign of life.
    pub(super) fn beat(&mut self) {
        for broker in self.brokers.values_mut() {
            broker.is_due = !broker.topics.is_empty();
        }
    }

    /// The next word to another broker. `seen` gives the number of changes of the interest here that a broker has answered; there
    /// are `now` so many.
    pub(super) fn next_word(&mut self, now: u64, seen: impl Fn(u64) -> u64) -> Option<(u64, EngineWord)> {
        let (start, told) = self.brokers.iter().find_map(|(start, broker)| {
            let seen = seen(*start);
            let ripe = broker.untold.iter().filter(|(_, (to, _))| *to <= seen);
            let ripe = ripe.map(|(number, (_, count))| (*number, *count));
            let counts: Vec<(u64, u32)> = ripe.take(fitting(std::iter::repeat(0))).collect();
            (broker.is_due || !counts.is_empty()).then_some((*start, counts))
        })?;
        let broker = self.brokers.get_mut(&start).expect("it was just seen");
        for (number, count) in &told {
            broker.untold.remove(number);
            let counted = self.topics.get_mut(&broker.topics[number]).expect("it is counted for this broker");
            counted.askers.insert((start, *number), Some(*count));
            if let Some(sum) = counted.sum().filter(|sum| sum != count) {
                broker.untold.insert(*number, (now, sum));
            }
        }
        broker.is_due = false;
        broker.said += u64::from(!told.is_empty());
        let (HeardRound { round, heard }, number) = (broker.round, broker.said);
        Some((start, EngineWord::Counts { round, number, heard, counts: told }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: Bytes = Bytes::from_static(b"a");

    fn part(round: u64, number: u64, changes: Vec<(u64, Option<Bytes>)>, to: u64) -> (ListPart, u64) {
        (ListPart { round, number, is_whole: true, changes }, to)
    }

    /// An answer: the broker asked for it, its number, and the counts by watch.
    type Said = (u64, u64, Vec<(u64, u32)>);

    fn said(counting: &mut Counting) -> Vec<Said> {
        let words = std::iter::from_fn(|| counting.next_word(3, |_| 3));
        let mut said: Vec<_> = words
            .map(|(start, word)| match word {
                EngineWord::Counts { number, counts, .. } => (start, number, counts),
                other => unreachable!("{other:?}"),
            })
            .collect();
        said.sort_unstable();
        said
    }

    #[test]
    fn a_topic_is_counted_once_for_all_that_ask_and_each_is_told_what_is_new() {
        let mut counting = Counting::new(2);
        let asks = counting.on_watch(7, part(1, 1, vec![(4, Some(TOPIC))], 0));
        assert!(matches!(&asks[..], [LinkItem::Watch { watch: 1, .. }]));
        assert_eq!(said(&mut counting), [(7, 0, vec![])], "it was heard");
        counting.on_count(ShardId(0), (1, 2), 0);
        assert_eq!(said(&mut counting), [], "not before every shard has counted");
        counting.on_count(ShardId(1), (1, 1), 0);
        assert_eq!(said(&mut counting), [(7, 1, vec![(4, 3)])]);
        assert!(counting.on_watch(8, part(5, 1, vec![(9, Some(TOPIC))], 0)).is_empty());
        assert_eq!(said(&mut counting), [(8, 1, vec![(9, 3)])]);
        counting.on_count(ShardId(1), (1, 1), 0);
        assert_eq!(said(&mut counting), [], "as before");
        counting.on_count(ShardId(1), (1, 0), 0);
        assert_eq!(said(&mut counting), [(7, 2, vec![(4, 2)]), (8, 2, vec![(9, 2)])]);
        assert!(counting.drop_broker(8).is_empty());
        let ends = counting.on_watch(7, part(1, 2, vec![(4, None)], 0));
        assert!(matches!(&ends[..], [LinkItem::Unwatch { watch: 1 }]));
        counting.beat();
        assert_eq!(said(&mut counting), [], "nobody asks");
    }

    #[test]
    fn a_count_waits_until_the_interest_that_it_was_counted_with_is_answered() {
        let mut counting = Counting::new(1);
        counting.on_watch(7, part(1, 1, vec![(4, Some(TOPIC))], 0));
        assert!(matches!(counting.next_word(0, |_| 0), Some((7, EngineWord::Counts { number: 0, .. }))));
        counting.on_count(ShardId(0), (1, 2), 5);
        counting.on_count(ShardId(0), (1, 3), 6);
        assert_eq!(counting.next_word(6, |_| 4), None);
        let mut said = |seen| match counting.next_word(6, |_| seen) {
            Some((7, EngineWord::Counts { counts, .. })) => counts,
            other => unreachable!("{other:?}"),
        };
        assert_eq!((said(5), said(6)), (vec![(4, 2)], vec![(4, 3)]), "in order");
    }

    #[test]
    fn a_word_that_was_lost_leaves_what_follows_unheard_until_a_new_round() {
        let mut counting = Counting::new(1);
        counting.on_watch(7, part(1, 1, vec![(4, Some(TOPIC))], 0));
        assert!(counting.on_watch(7, part(1, 3, vec![(5, Some(Bytes::from_static(b"b")))], 0)).is_empty());
        assert!(counting.on_watch(7, part(2, 2, vec![(5, Some(Bytes::from_static(b"b")))], 0)).is_empty());
        counting.on_count(ShardId(0), (1, 1), 0);
        let (_, word) = counting.next_word(0, |_| 0).expect("a word");
        assert!(matches!(word, EngineWord::Counts { round: 1, heard: 1, .. }));
        let items = counting.on_watch(7, part(2, 1, vec![(5, Some(Bytes::from_static(b"b")))], 0));
        assert!(matches!(&items[..], [LinkItem::Unwatch { watch: 1 }, LinkItem::Watch { watch: 2, .. }]));
        assert!(counting.on_watch(7, part(1, 1, vec![(4, Some(TOPIC))], 0)).is_empty(), "late");
        assert_eq!((counting.topics.len(), counting.watches.len()), (1, 1));
    }
}
