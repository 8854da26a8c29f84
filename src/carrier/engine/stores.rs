//! The way into the stores of history: messages of the topics of rules, which leave a second time, to be stored, and wait for the
//! confirmation of that; and the publishers that wait for it with them. Owned by the way out. Pure.
//!
//! Orders leave in order, and a bounded number of them is under way. One that is refused leaves again after a pause, as do all without
//! an answer on the next connection: so a store may have some twice, or behind later ones. Their positions tell.

use std::collections::VecDeque;

use ahash::{AHashMap, AHashSet};
use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::subject::Subjects;
use super::{EngineOrder, StoredHistory};
use crate::ids::{SessionId, ShardId};
use crate::limits::{
    ENGINE_BEAT, ENGINE_ITEM_BYTES, ENGINE_STORE_BYTES_MAX, ENGINE_STORES_IN_FLIGHT_MAX, ENGINE_WATCHES_MAX,
};
use crate::slack::{give_back, give_back_queue};
use crate::topic::Filter;

/// Bytes that a store takes for each payload besides it and its subject, as far as it counts them against its bound: JetStream's files have
/// a record of some 30 bytes.
const RECORD_BYTES: usize = 64;

/// Crossings for which there is room in every store, if their messages are not longer: it gives them up one by one.
const CROSSINGS_MIN: u64 = 16;

/// A rule whose topics are stored.
#[derive(Clone, Debug)]
struct StoredRule {
    filter: Filter,
    /// Most bytes of all that is stored by it.
    bytes_max: u64,
    /// A flush of a publisher waits until what it has said by this rule is stored.
    is_confirmed: bool,
}

/// The state of a crossing on its way into a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Progress {
    Waits,
    /// It has left on this connection.
    Left,
    Stored,
}

/// A crossing on its way into a store.
struct Storing {
    /// The place of its rule.
    rule: usize,
    /// The publisher that has said it.
    by: Author,
    topic: Bytes,
    payload: Bytes,
    messages: u64,
    progress: Progress,
}

impl Storing {
    fn held_bytes(&self) -> usize {
        self.topic.len() + self.payload.len() + ENGINE_ITEM_BYTES
    }
}

/// A publisher of a shard.
type Author = (ShardId, SessionId);

/// The news for a publisher that has waited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Settled {
    pub(super) shard: ShardId,
    pub(super) publisher: SessionId,
    /// All that it has said is stored.
    pub(super) is_stored: bool,
}

/// Messages, as the stores have seen them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct StoreCounts {
    /// Confirmed to be stored.
    pub(super) stored: u64,
    /// Given up, for want of room or since they are longer than the engine takes.
    pub(super) unstored: u64,
    /// Refused, and to be tried again.
    pub(super) refused: u64,
}

/// All rules.
#[derive(Default)]
pub(super) struct Stores {
    rules: Vec<StoredRule>,
    /// In order; the first has the number `first`.
    items: VecDeque<Storing>,
    first: u64,
    /// The numbers of those by confirmed rules, some of which are stored.
    confirmed: VecDeque<u64>,
    /// By publisher: how many of those are not stored.
    unconfirmed: AHashMap<Author, usize>,
    bytes: usize,
    /// Messages that are not stored.
    messages: u64,
    in_flight: usize,
    /// Everything before this number has left, or leaves again.
    next: u64,
    /// The time before which nothing leaves: something was refused.
    paused_until: Option<MonotonicNs>,
    /// Publishers that wait until all that they have said by confirmed rules is stored, and how often they have asked. They are not read
    /// meanwhile.
    waiting: AHashMap<Author, usize>,
    /// Those that wait until all before this number is stored, in order.
    waiting_for_all: VecDeque<(Author, u64)>,
    /// Publishers that have said something by a confirmed rule that was given up since they were told so last.
    short: AHashSet<Author>,
    /// There were more of these than are known: nothing is confirmed to anybody any more.
    all_are_short: bool,
    settled: Vec<Settled>,
    counts: StoreCounts,
}

impl Stores {
    /// The stores of these rules; the first that matches a topic applies.
    pub(super) fn of(rules: &[StoredHistory]) -> Self {
        let rule = |rule: &StoredHistory| StoredRule {
            filter: rule.filter.clone(),
            bytes_max: rule.bytes,
            is_confirmed: rule.is_confirmed,
        };
        Stores::new(rules.iter().map(rule).collect())
    }

    fn new(rules: Vec<StoredRule>) -> Self {
        Stores { rules, first: 1, next: 1, ..Stores::default() }
    }

    /// True if nothing is stored.
    pub(super) fn are_none(&self) -> bool {
        self.rules.is_empty()
    }

    /// The filters of all rules.
    pub(super) fn filters(&self) -> impl Iterator<Item = &Filter> {
        self.rules.iter().map(|rule| &rule.filter)
    }

    /// The place of the rule of a topic.
    pub(super) fn rule_of(&self, topic: &[u8]) -> Option<usize> {
        self.rules.iter().position(|rule| rule.filter.matches(topic))
    }

    /// The bytes that crossings of a topic should have at the most, so that its store has room for several.
    pub(super) fn crossing_bytes_max(&self, topic: &[u8]) -> usize {
        let rule = self.rule_of(topic).map(|rule| self.rules[rule].bytes_max / CROSSINGS_MIN);
        rule.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    fn end(&self) -> u64 {
        self.first + self.items.len() as u64
    }

    /// All before the first of these numbers is stored, or given up; what comes next has the second.
    pub(super) fn numbers(&self) -> (u64, u64) {
        (self.first, self.end())
    }

    /// Queues a crossing of a topic of this rule. The oldest are given up if there is no room.
    pub(super) fn push(
        &mut self,
        (rule, by): (usize, Author),
        (topic, payload): (Bytes, Bytes),
        messages: u64,
    ) {
        let storing = Storing { rule, by, topic, payload, messages, progress: Progress::Waits };
        self.bytes += storing.held_bytes();
        self.messages += messages;
        if self.rules[rule].is_confirmed {
            self.confirmed.push_back(self.end());
            *self.unconfirmed.entry(by).or_default() += 1;
        }
        self.items.push_back(storing);
        while self.bytes > ENGINE_STORE_BYTES_MAX && self.give_up_first() {}
    }

    /// Gives up the first that waits; false if there is none.
    fn give_up_first(&mut self) -> bool {
        let Some(first) = self.items.front() else { return false };
        if first.progress == Progress::Stored {
            self.settle_stored();
            return true;
        }
        self.give_up(self.first);
        self.settle_stored();
        true
    }

    /// Gives up what has this number, and tells the publishers that wait for it.
    fn give_up(&mut self, number: u64) {
        let Some(place) = self.place_of(number) else { return };
        let is_confirmed = self.rules[self.items[place].rule].is_confirmed;
        let storing = &mut self.items[place];
        if storing.progress == Progress::Left {
            self.in_flight -= 1;
        }
        storing.progress = Progress::Stored;
        self.messages -= storing.messages;
        self.counts.unstored += storing.messages;
        let by = storing.by;
        if is_confirmed {
            let is_lost = |(_, before): &(Author, u64)| *before > number;
            let waiting = std::mem::take(&mut self.waiting_for_all).into_iter();
            let (lost, others): (VecDeque<_>, VecDeque<_>) = waiting.partition(is_lost);
            self.waiting_for_all = others;
            let is_awaited = self.waiting.contains_key(&by) || lost.iter().any(|(waiting, _)| *waiting == by);
            lost.into_iter().for_each(|(waiting, _)| self.tell(waiting, false, 1));
            self.settle(by, false);
            if !is_awaited {
                self.all_are_short |= self.short.len() >= ENGINE_WATCHES_MAX;
                if !self.all_are_short {
                    self.short.insert(by);
                }
            }
            self.confirm_one(by);
        }
    }

    /// One by a confirmed rule less is not stored of this publisher.
    fn confirm_one(&mut self, by: Author) {
        let Some(left) = self.unconfirmed.get_mut(&by) else { return };
        *left -= 1;
        if *left == 0 {
            self.unconfirmed.remove(&by);
            give_back(&mut self.unconfirmed);
            self.settle(by, true);
        }
    }

    /// Lets a publisher go on that waits for what it has said, if it does.
    fn settle(&mut self, by: Author, is_stored: bool) {
        let times = self.waiting.remove(&by).unwrap_or(0);
        self.tell(by, is_stored, times);
    }

    fn tell(&mut self, (shard, publisher): Author, is_stored: bool, times: usize) {
        self.settled.extend(std::iter::repeat_n(Settled { shard, publisher, is_stored }, times));
    }

    fn place_of(&self, number: u64) -> Option<usize> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (place < self.items.len()).then_some(place)
    }

    /// A publisher waits until all that it has said before is stored. One that has come back has said some in another session: it waits
    /// for all that anybody has said before.
    pub(super) fn wait(&mut self, (shard, publisher): Author, has_come_back: bool) {
        let is_short = self.short.remove(&(shard, publisher)) || self.all_are_short;
        if is_short {
            return self.settled.push(Settled { shard, publisher, is_stored: false });
        }
        let by = (shard, publisher);
        if has_come_back {
            self.waiting_for_all.push_back((by, self.end()));
            return self.settle_waiting();
        }
        *self.waiting.entry(by).or_default() += 1;
        if !self.unconfirmed.contains_key(&by) {
            self.settle(by, true);
        }
    }

    /// Takes the next order, if there is one now.
    pub(super) fn next_order(
        &mut self,
        subjects: &Subjects,
        (payload_bytes_max, now): (usize, MonotonicNs),
    ) -> Option<EngineOrder> {
        if self.paused_until.is_some_and(|until| now < until) || self.in_flight >= ENGINE_STORES_IN_FLIGHT_MAX
        {
            return None;
        }
        self.paused_until = None;
        while let Some(place) = self.place_of(self.next) {
            let number = self.next;
            self.next += 1;
            if self.items[place].progress != Progress::Waits {
                continue;
            }
            let storing = &mut self.items[place];
            let rule = &self.rules[storing.rule];
            let subject = subjects.of_stored(&rule.filter, &storing.topic);
            // A store has its own bytes around it, and would drop one for which it has no room without a word.
            let stored_bytes = storing.payload.len() + subject.len() + RECORD_BYTES;
            if storing.payload.len() > payload_bytes_max || stored_bytes as u64 > rule.bytes_max {
                self.give_up(number);
                continue;
            }
            storing.progress = Progress::Left;
            self.in_flight += 1;
            return Some(EngineOrder::Store { number, subject, payload: storing.payload.clone() });
        }
        self.settle_stored();
        None
    }

    /// Notes the answer to an order.
    pub(super) fn on_answer(&mut self, number: u64, is_stored: bool, now: MonotonicNs) {
        let Some(place) = self.place_of(number) else { return };
        let storing = &mut self.items[place];
        if storing.progress != Progress::Left {
            return;
        }
        self.in_flight -= 1;
        if is_stored {
            storing.progress = Progress::Stored;
            self.messages -= storing.messages;
            self.counts.stored += storing.messages;
            let (by, is_confirmed) = (storing.by, self.rules[storing.rule].is_confirmed);
            if is_confirmed {
                self.confirm_one(by);
            }
        } else {
            storing.progress = Progress::Waits;
            self.counts.refused += storing.messages;
            self.next = self.next.min(number);
            self.paused_until = Some(now + ENGINE_BEAT);
        }
        self.settle_stored();
    }

    /// Begins a connection: all that is not confirmed leaves again.
    pub(super) fn on_connected(&mut self) {
        for storing in &mut self.items {
            if storing.progress == Progress::Left {
                storing.progress = Progress::Waits;
            }
        }
        (self.in_flight, self.next, self.paused_until) = (0, self.first, None);
    }

    /// Takes the first that are stored out, and lets those go on that have waited for them.
    fn settle_stored(&mut self) {
        while self.items.front().is_some_and(|storing| storing.progress == Progress::Stored)
            && let Some(stored) = self.items.pop_front()
        {
            self.first += 1;
            self.bytes -= stored.held_bytes();
        }
        self.next = self.next.max(self.first);
        give_back_queue(&mut self.items);
        self.settle_waiting();
    }

    /// Lets those go on that have waited for all that anybody has said.
    fn settle_waiting(&mut self) {
        while let Some(number) = self.confirmed.front()
            && self.place_of(*number).is_none_or(|at| self.items[at].progress == Progress::Stored)
        {
            self.confirmed.pop_front();
        }
        give_back_queue(&mut self.confirmed);
        let awaited = self.confirmed.front().copied().unwrap_or(u64::MAX);
        while let Some((by, before)) = self.waiting_for_all.front().copied()
            && before <= awaited
        {
            self.tell(by, true, 1);
            self.waiting_for_all.pop_front();
        }
    }

    /// Takes the news for publishers that have waited.
    pub(super) fn take_settled(&mut self) -> Vec<Settled> {
        std::mem::take(&mut self.settled)
    }

    /// Messages that are not confirmed.
    pub(super) fn waiting_messages(&self) -> u64 {
        self.messages
    }

    /// Memory that it holds, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// The counts.
    pub(super) fn counts(&self) -> StoreCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ENGINE_CROSSING_BYTES_MAX;

    const NOW: MonotonicNs = MonotonicNs(1);
    const SHARD: ShardId = ShardId(1);
    const PUBLISHER: SessionId = SessionId { slot: 3, generation: 1 };

    fn stores() -> Stores {
        let rule = |filter: &str, bytes_max, is_confirmed| {
            let filter = Filter::parse(filter).unwrap();
            StoredRule { filter, bytes_max, is_confirmed }
        };
        Stores::new(vec![rule("a.>", u64::MAX, true), rule("b", u64::MAX, false), rule("c.>", 4 << 10, true)])
    }

    fn push(stores: &mut Stores, topic: &'static str, bytes: usize) {
        let rule = stores.rule_of(topic.as_bytes()).expect("a rule");
        stores.push(
            (rule, (SHARD, PUBLISHER)),
            (Bytes::from_static(topic.as_bytes()), vec![0; bytes].into()),
            1,
        );
    }

    /// The numbers of the orders that leave now.
    fn leave(stores: &mut Stores, now: MonotonicNs) -> Vec<u64> {
        let subjects = Subjects::new("c");
        let orders = std::iter::from_fn(|| stores.next_order(&subjects, (100, now)));
        orders
            .map(|order| {
                let EngineOrder::Store { number, subject, .. } = order else { panic!("{order:?}") };
                assert!(subject.starts_with("cc.c.h."), "{subject}");
                number
            })
            .collect()
    }

    fn settled(stores: &mut Stores) -> Vec<bool> {
        stores.take_settled().iter().map(|settled| settled.is_stored).collect()
    }

    #[test]
    fn a_publisher_waits_for_what_its_rule_confirms_and_for_nothing_else() {
        let mut stores = stores();
        stores.wait((SHARD, PUBLISHER), false);
        assert_eq!(settled(&mut stores), [true], "there is nothing");
        push(&mut stores, "b", 10);
        stores.wait((SHARD, PUBLISHER), false);
        assert_eq!(settled(&mut stores), [true], "nobody waits for this rule");
        push(&mut stores, "a.x", 10);
        push(&mut stores, "a.y", 10);
        stores.wait((SHARD, PUBLISHER), false);
        stores.wait((SHARD, PUBLISHER), false);
        assert_eq!(leave(&mut stores, NOW), [1, 2, 3]);
        stores.on_answer(3, true, NOW);
        assert!(settled(&mut stores).is_empty(), "one before it is not stored");
        stores.on_answer(2, true, NOW);
        assert_eq!(settled(&mut stores), [true, true], "it has asked twice");
        assert_eq!((stores.waiting_messages(), stores.held_bytes() > 0), (1, true));
        stores.on_answer(1, true, NOW);
        assert_eq!((stores.waiting_messages(), stores.held_bytes()), (0, 0));
        assert_eq!(stores.counts(), StoreCounts { stored: 3, ..StoreCounts::default() });
    }

    #[test]
    fn nobody_waits_for_what_others_have_said_but_who_may_have_said_it_in_another_session() {
        let mut stores = stores();
        let [other, back] = [4, 5].map(|slot| SessionId { slot, ..PUBLISHER });
        for is_stored in [true, false] {
            push(&mut stores, "a.x", 10);
            let number = *leave(&mut stores, NOW + ENGINE_BEAT).first().expect("it leaves");
            stores.wait((SHARD, other), false);
            assert_eq!(settled(&mut stores), [true]);
            stores.wait((SHARD, back), true);
            assert!(settled(&mut stores).is_empty());
            if is_stored {
                stores.on_answer(number, true, NOW);
            } else {
                stores.give_up(number);
            }
            assert_eq!(settled(&mut stores), [is_stored]);
        }
    }

    #[test]
    fn one_for_which_its_store_has_no_room_at_all_is_not_stored() {
        let mut stores = stores();
        let subjects = Subjects::new("c");
        for (bytes, is_stored) in [(4 << 10, false), (3 << 10, true)] {
            push(&mut stores, "c.x", bytes);
            stores.wait((SHARD, PUBLISHER), false);
            let order = stores.next_order(&subjects, (usize::MAX, NOW));
            assert_eq!(order.is_some(), is_stored, "{bytes} bytes by a rule of 4 KiB");
            if let Some(EngineOrder::Store { number, .. }) = order {
                stores.on_answer(number, true, NOW);
            }
            assert_eq!(settled(&mut stores), [is_stored]);
        }
    }

    #[test]
    fn what_is_refused_leaves_again_after_a_pause_and_what_has_no_answer_on_the_next_connection() {
        let mut stores = stores();
        (0..3).for_each(|_| push(&mut stores, "a.x", 10));
        stores.wait((SHARD, PUBLISHER), false);
        assert_eq!(leave(&mut stores, NOW), [1, 2, 3]);
        stores.on_answer(2, false, NOW);
        stores.on_answer(1, true, NOW);
        stores.on_answer(1, true, NOW);
        assert!(leave(&mut stores, NOW).is_empty(), "it is too early");
        let later = NOW + ENGINE_BEAT;
        assert_eq!(leave(&mut stores, later), [2], "the third is under way");
        stores.on_connected();
        assert_eq!(leave(&mut stores, later), [2, 3]);
        stores.on_answer(2, true, later);
        stores.on_answer(3, true, later);
        assert_eq!(settled(&mut stores), [true]);
    }

    #[test]
    fn what_is_given_up_is_confirmed_to_nobody() {
        let mut stores = stores();
        let other = SessionId { slot: 4, ..PUBLISHER };
        push(&mut stores, "a.x", 101);
        stores.wait((SHARD, PUBLISHER), false);
        push(&mut stores, "b", 101);
        assert!(leave(&mut stores, NOW).is_empty(), "both are longer than the engine takes");
        assert_eq!(settled(&mut stores), [false]);
        stores.wait((SHARD, other), false);
        assert_eq!(settled(&mut stores), [true], "it has said nothing");
        push(&mut stores, "a.x", 101);
        assert!(leave(&mut stores, NOW).is_empty());
        stores.wait((SHARD, PUBLISHER), false);
        assert_eq!(settled(&mut stores), [false], "it asks when that is over");
        push(&mut stores, "a.x", 100);
        assert_eq!(leave(&mut stores, NOW), [4]);
        stores.wait((SHARD, PUBLISHER), false);
        while stores.counts().unstored < 4 {
            push(&mut stores, "b", ENGINE_CROSSING_BYTES_MAX);
        }
        assert_eq!(settled(&mut stores), [false], "there was no room");
        assert!(stores.held_bytes() <= ENGINE_STORE_BYTES_MAX);
        stores.on_answer(4, true, NOW);
        assert_eq!(stores.counts().stored, 0, "it does not count twice");
    }

    #[test]
    fn a_bounded_number_is_under_way() {
        let mut stores = stores();
        (0..2 * ENGINE_STORES_IN_FLIGHT_MAX).for_each(|_| push(&mut stores, "b", 1));
        assert_eq!(leave(&mut stores, NOW).len(), ENGINE_STORES_IN_FLIGHT_MAX);
        stores.on_answer(1, true, NOW);
        assert_eq!(leave(&mut stores, NOW), [ENGINE_STORES_IN_FLIGHT_MAX as u64 + 1]);
    }
}
