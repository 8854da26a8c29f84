//! Publishers that wait for subscribers: who asked for the count of which topic, and what each neighbour last said. A
//! change of subscriptions costs the topics that it is about, and what is to be counted or told is done in turns.
//! Owned by a shard.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use ahash::AHashMap;
use bytes::Bytes;

use super::base::Base;
use super::membership::Membership;
use crate::auth::Action;
use crate::carrier::LinkItem;
use crate::error::ErrorCode;
use crate::ids::{Neighbour, RequestId, SessionId};
use crate::limits::{TOPIC_BYTES_MAX, WATCHES_PER_SESSION_MAX};
use crate::topic::Filter;
use crate::wire::Frame;

/// One who asked for a count: a request of a session.
type Watcher = (SessionId, RequestId);

/// A topic that somebody wants the count of, here or on another shard.
struct Watched {
    /// The number by which neighbours know that sessions here watch it; 0: none does.
    number: u64,
    /// By neighbour, for the watchers here; `None` until it has answered.
    counts: Vec<Option<u32>>,
    /// Those of this shard, and what each was told.
    watchers: BTreeMap<Watcher, Option<u32>>,
    /// Neighbours, with their numbers for it and what each was told.
    asked: BTreeMap<(Neighbour, u64), Option<u32>>,
    /// It stands among those that are to be counted.
    is_stale: bool,
    /// It stands among those whose watchers are to be told; with something new since the first of them was.
    telling: Telling,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Telling {
    No,
    Once,
    Again,
}

impl Watched {
    fn sum(&self) -> Option<u32> {
        let mut counts = self.counts.iter().copied();
        counts.try_fold(0_u32, |sum, count| count.map(|count| sum.saturating_add(count)))
    }

    fn is_unwatched(&self) -> bool {
        self.watchers.is_empty() && self.asked.is_empty()
    }
}

/// All of a shard.
#[derive(Default)]
pub(super) struct Watches {
    topics: BTreeMap<Bytes, Watched>,
    own: BTreeMap<Watcher, Bytes>,
    /// By the numbers that neighbours answer to, and by those that they asked with.
    numbers: AHashMap<u64, Bytes>,
    asked: AHashMap<(Neighbour, u64), Bytes>,
    next_number: u64,
    /// Topics to count again.
    stale: VecDeque<Bytes>,
    /// A pattern has changed: so many topics more are to be counted again, those after this one and then from the first.
    swept: (usize, Bytes),
    /// Topics whose watchers may have to be told, each with the watcher that was looked at last.
    untold: VecDeque<(Bytes, Option<Watcher>)>,
}

impl Watches {
    /// A session watches a topic. Gives the number to ask the neighbours with, if they do not know of the topic.
    fn add(&mut self, watcher: Watcher, topic: Bytes, neighbours: usize) -> Option<u64> {
        let watched = watched(&mut self.topics, &mut self.swept.0, &topic);
        watched.watchers.insert(watcher, None);
        let is_first = watched.number == 0;
        if is_first {
            self.next_number += 1;
            watched.number = self.next_number;
            watched.counts = vec![None; neighbours];
            self.numbers.insert(self.next_number, topic.clone());
        }
        mark(watched, &mut self.stale, &topic);
        self.own.insert(watcher, topic);
        is_first.then_some(self.next_number)
    }

    /// True if a session has asked so.
    fn has(&self, watcher: Watcher) -> bool {
        self.own.contains_key(&watcher)
    }

    /// A watcher leaves. Gives the number to take back from the neighbours, if it was the topic's last.
    fn remove(&mut self, watcher: Watcher) -> Option<u64> {
        let topic = self.own.remove(&watcher)?;
        let watched = self.topics.get_mut(&topic)?;
        watched.watchers.remove(&watcher);
        let last = watched.watchers.is_empty().then(|| std::mem::take(&mut watched.number));
        if let Some(number) = last {
            watched.counts = Vec::new();
            self.numbers.remove(&number);
        }
        if watched.is_unwatched() {
            self.topics.remove(&topic);
        }
        last
    }

    /// The requests of a session.
    fn of_session(&self, session: SessionId) -> Vec<RequestId> {
        let all = (session, RequestId(0))..=(session, RequestId(u32::MAX));
        self.own.range(all).map(|((_, request), _)| *request).collect()
    }

    /// The topics that a session watches.
    pub(super) fn topics_of(&self, session: SessionId) -> impl Iterator<Item = &Bytes> {
        let all = (session, RequestId(0))..=(session, RequestId(u32::MAX));
        self.own.range(all).map(|(_, topic)| topic)
    }

    pub(super) fn add_asked(&mut self, from: Neighbour, number: u64, topic: Bytes) {
        let watched = watched(&mut self.topics, &mut self.swept.0, &topic);
        watched.asked.insert((from, number), None);
        mark(watched, &mut self.stale, &topic);
        self.asked.insert((from, number), topic);
    }

    pub(super) fn remove_asked(&mut self, from: Neighbour, number: u64) {
        let Some(topic) = self.asked.remove(&(from, number)) else { return };
        let Some(watched) = self.topics.get_mut(&topic) else { return };
        watched.asked.remove(&(from, number));
        if watched.is_unwatched() {
            self.topics.remove(&topic);
        }
    }

    /// The number of watches that sessions of this shard have asked for.
    pub(super) fn own_count(&self) -> usize {
        self.own.len()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Subscribers of this filter have come or gone.
    pub(super) fn changed(&mut self, filter: &Filter) {
        match filter {
            Filter::Exact(topic) => {
                if let Some(watched) = self.topics.get_mut(topic.as_bytes()) {
                    mark(watched, &mut self.stale, &topic.to_bytes());
                }
            }
            Filter::Pattern(_) | Filter::Prefix(_) => self.all_changed(),
        }
    }

    /// Subscribers of any filters have come or gone.
    pub(super) fn all_changed(&mut self) {
        self.swept.0 = self.topics.len();
    }

    /// True if something is to be counted or told.
    pub(super) fn has_work(&self) -> bool {
        !self.stale.is_empty() || self.swept.0 > 0 || !self.untold.is_empty()
    }

    /// The next topic to count.
    fn next_stale(&mut self) -> Option<Bytes> {
        while let Some(topic) = self.stale.pop_front() {
            if let Some(watched) = self.topics.get_mut(&topic) {
                watched.is_stale = false;
                return Some(topic);
            }
        }
        let (left, last) = &mut self.swept;
        *left = left.checked_sub(1)?;
        let behind = (Bound::Excluded(&last[..]), Bound::Unbounded);
        let next = self.topics.range::<[u8], _>(behind).next().or_else(|| self.topics.first_key_value());
        *last = next?.0.clone();
        Some(last.clone())
    }

    /// This shard has so many subscribers for the topic. Gives whom to tell: neighbours, with their numbers for it.
    fn counted_here(&mut self, me: Neighbour, topic: &Bytes, count: u32) -> Vec<(Neighbour, u64)> {
        let Some(watched) = self.topics.get_mut(topic) else { return Vec::new() };
        let mut concerned = Vec::new();
        for (asked, told) in &mut watched.asked {
            if told.replace(count) != Some(count) {
                concerned.push(*asked);
            }
        }
        if let Some(own) = watched.counts.get_mut(usize::from(me.0)) {
            *own = Some(count);
            list(watched, &mut self.untold, topic);
        }
        concerned
    }

    /// That neighbour has so many subscribers for the topic of this number.
    pub(super) fn counted(&mut self, from: Neighbour, number: u64, count: u32) {
        let Some(topic) = self.numbers.get(&number) else { return };
        let Some(watched) = self.topics.get_mut(topic) else { return };
        if let Some(there) = watched.counts.get_mut(usize::from(from.0)) {
            *there = Some(count);
            list(watched, &mut self.untold, topic);
        }
    }

    /// Looks at the next watcher that may have to be told. `None`: there is none; else what it is to be told, if that is
    /// complete and not what it was told before.
    fn next_untold(&mut self) -> Option<Option<(Watcher, u32)>> {
        let (topic, last) = self.untold.front_mut()?;
        let Some(watched) = self.topics.get_mut(topic) else {
            self.untold.pop_front();
            return Some(None);
        };
        let sum = watched.sum();
        let behind = last.map_or(Bound::Unbounded, Bound::Excluded);
        let next = watched.watchers.range_mut((behind, Bound::Unbounded)).next();
        let (Some(sum), Some((watcher, told))) = (sum, next) else {
            // Changed meanwhile: all are looked at once more, after the topics that wait.
            let again = watched.telling == Telling::Again && sum.is_some();
            watched.telling = if again { Telling::Once } else { Telling::No };
            let done = self.untold.pop_front();
            self.untold.extend(done.filter(|_| again).map(|(topic, _)| (topic, None)));
            return Some(None);
        };
        *last = Some(*watcher);
        let is_news = told.replace(sum) != Some(sum);
        Some(is_news.then_some((*watcher, sum)))
    }

    /// A session asks for the number of subscribers of a topic, now and whenever it changes.
    pub(super) fn watch(
        &mut self,
        base: &mut Base,
        membership: &mut Membership,
        (id, topic, request): (SessionId, &[u8], RequestId),
    ) {
        if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX {
            return base.end(id, ErrorCode::BadTopic, "a watch's topic must have 1 to 1,024 bytes");
        }
        if !base.may(id, Action::WatchSubscribers(topic)) {
            return;
        }
        // The same number again is another watch in the place of the first.
        self.unwatch(base, id, request);
        let Some(session) = base.sessions.get_mut(id) else { return };
        // A direct publisher's own session stands for any number of publishers of its process.
        if session.watches as usize >= WATCHES_PER_SESSION_MAX && !session.kind.is_local() {
            return base.end(id, ErrorCode::Unexpected, "too many watches");
        }
        session.watches += 1;
        let topic = Bytes::copy_from_slice(topic);
        if let Some(watch) = self.add((id, request), topic.clone(), base.links.len()) {
            for neighbour in base.links.neighbours() {
                base.send_link(neighbour, LinkItem::Watch { watch, topic: topic.clone() });
            }
        }
        self.count(base, membership);
    }

    /// Ends a watch, if the session has it.
    pub(super) fn unwatch(&mut self, base: &mut Base, id: SessionId, request: RequestId) {
        if !self.has((id, request)) {
            return;
        }
        if let Some(session) = base.sessions.get_mut(id) {
            session.watches -= 1;
        }
        self.forget(base, (id, request));
    }

    /// Ends all watches of a session that has left.
    pub(super) fn leave(&mut self, base: &mut Base, id: SessionId) {
        let Some(session) = base.sessions.get_mut(id) else { return };
        if std::mem::take(&mut session.watches) > 0 {
            for request in self.of_session(id) {
                self.forget(base, (id, request));
            }
        }
    }

    fn forget(&mut self, base: &mut Base, watcher: Watcher) {
        let Some(watch) = self.remove(watcher) else { return };
        for neighbour in base.links.neighbours() {
            base.send_link(neighbour, LinkItem::Unwatch { watch });
        }
    }

    /// Counts the subscribers of watched topics again, and tells whom it concerns, for as long as this turn has work
    /// left. While a neighbour takes nothing for now, nothing is counted: it is told with a later tick, what is true then.
    pub(super) fn count(&mut self, base: &mut Base, membership: &mut Membership) {
        while !base.turn.is_over()
            && !base.links.is_backed_up()
            && let Some(topic) = self.next_stale()
        {
            let count = membership.count_subscribers(base, &topic);
            for (to, watch) in self.counted_here(base.id.into(), &topic, count) {
                base.send_link(to, LinkItem::Count { watch, count });
            }
        }
        self.tell(base);
    }

    /// Tells watchers what has changed, for as long as this turn has work left.
    pub(super) fn tell(&mut self, base: &mut Base) {
        while !base.turn.is_over()
            && let Some(untold) = self.next_untold()
        {
            base.turn.spend(1);
            let Some(((id, request), count)) = untold else { continue };
            base.answer(id, &Frame::SubscriberCount { request: request.0, count });
            base.close_if_answers_pile_up(id);
        }
    }
}

/// The topic, which may be new. A sweep that is under way has one more to come by then, or its last would be left out.
fn watched<'a>(
    topics: &'a mut BTreeMap<Bytes, Watched>,
    left_to_sweep: &mut usize,
    topic: &Bytes,
) -> &'a mut Watched {
    topics.entry(topic.clone()).or_insert_with(|| {
        *left_to_sweep += usize::from(*left_to_sweep > 0);
        Watched {
            number: 0,
            counts: Vec::new(),
            watchers: BTreeMap::new(),
            asked: BTreeMap::new(),
            is_stale: false,
            telling: Telling::No,
        }
    })
}

fn list(watched: &mut Watched, untold: &mut VecDeque<(Bytes, Option<Watcher>)>, topic: &Bytes) {
    if watched.telling == Telling::No {
        watched.telling = Telling::Once;
        untold.push_back((topic.clone(), None));
    } else {
        watched.telling = Telling::Again;
    }
}

fn mark(watched: &mut Watched, stale: &mut VecDeque<Bytes>, topic: &Bytes) {
    if !watched.is_stale {
        watched.is_stale = true;
        stale.push_back(topic.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::super::rig::{Rig, subscribe, unsubscribe};
    use crate::fanout::OverflowPolicy;
    use crate::ids::SessionId;
    use crate::limits::{CONTROL_BYTES_MAX, WATCHES_PER_SESSION_MAX};
    use crate::wire::Frame;

    fn watch(topic: &str, request: u32) -> Frame<'_> {
        Frame::WatchSubscribers { topic: topic.as_bytes(), request }
    }

    fn by(subscriber: u32, filter: &str) -> Frame<'_> {
        Frame::Subscribe { filter: filter.as_bytes(), request: 0, subscriber, kind: 1 }
    }

    fn settle(rig: &mut Rig) {
        rig.travel();
        rig.wait(corecast_executors::TICK);
        rig.travel();
    }

    /// Two shards; a watching publisher on the first.
    fn watching() -> (Rig, SessionId) {
        let mut rig = Rig::with_shards(2);
        let publisher = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, publisher, &[watch("a.b", 9)]);
        assert_eq!(rig.hears(0, publisher), "", "not before every shard has counted");
        rig.travel();
        assert_eq!(rig.hears(0, publisher), "9:0");
        (rig, publisher)
    }

    #[test]
    fn subscribers_are_counted_not_sessions_nor_filters() {
        let (mut rig, publisher) = watching();
        let shared = rig.open(1, OverflowPolicy::DropOldest);
        let frames =
            [by(1, "a.b"), by(1, "a.*"), by(1, ">"), by(2, "a.b"), by(3, "a.*"), by(4, "c"), by(5, "*.*")];
        rig.say(1, shared, &frames);
        settle(&mut rig);
        assert_eq!(rig.hears(0, publisher), "9:4", "1, 2, 3 and 5");
        let alone = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, alone, &[by(1, "a.b")]);
        settle(&mut rig);
        assert_eq!(rig.hears(0, publisher), "9:5", "another session's 1 is another subscriber");
        let not_by_1 = Frame::Unsubscribe { filter: b"a.b", request: 0, subscriber: 1, kind: 1 };
        rig.say(1, shared, &[not_by_1]);
        settle(&mut rig);
        assert_eq!(rig.hears(0, publisher), "", "it has two more filters that match");
        let _ = rig.shards[1].on_closed(shared, None);
        settle(&mut rig);
        assert_eq!(rig.hears(0, publisher), "9:1");
    }

    #[test]
    fn a_count_comes_after_the_subscriptions_it_counts() {
        let (mut rig, publisher) = watching();
        let subscriber = rig.open(1, OverflowPolicy::DropOldest);
        rig.say(1, subscriber, &[subscribe("a.b", 1)]);
        rig.wait(corecast_executors::TICK);
        let mut told = String::new();
        while rig.travel_once(1, 0) {
            told = rig.hears(0, publisher);
        }
        assert_eq!(told, "9:1", "the count is the last on the link");
        rig.say(0, publisher, &[super::super::rig::message("a.b", 1)]);
        rig.travel();
        assert_eq!(rig.hears(1, subscriber), "!1 a.b=1");
    }

    #[test]
    fn a_watch_ends_with_its_request_or_its_session_and_with_no_other() {
        let (mut rig, publisher) = watching();
        // Nobody asked for that one: it ends nothing, and makes no room for more.
        rig.say(0, publisher, &[Frame::UnwatchSubscribers { request: 8 }]);
        let subscriber = rig.open(1, OverflowPolicy::DropOldest);
        rig.say(1, subscriber, &[subscribe("a.b", 1)]);
        settle(&mut rig);
        assert_eq!(rig.hears(0, publisher), "9:1");
        let _ = rig.shards[0].on_closed(publisher, None);
        rig.travel();
        assert!(rig.shards.iter().all(|shard| shard.watches.is_empty()), "no shard counts for it any more");
        rig.say(1, subscriber, &[unsubscribe("a.b", 2)]);
        settle(&mut rig);
    }

    #[test]
    fn one_session_may_not_watch_any_number_of_topics() {
        let mut rig = Rig::with_shards(1);
        let publisher = rig.open(0, OverflowPolicy::DropOldest);
        let most = u32::try_from(WATCHES_PER_SESSION_MAX).unwrap();
        for request in 0..most {
            rig.say(0, publisher, &[watch("a", request), Frame::UnwatchSubscribers { request: u32::MAX }]);
        }
        assert!(!rig.hears(0, publisher).contains("unexpected"));
        rig.say(0, publisher, &[Frame::UnwatchSubscribers { request: 3 }, watch("b", 3)]);
        assert_eq!(rig.hears(0, publisher), "3:0");
        rig.say(0, publisher, &[watch("b", most)]);
        assert_eq!(rig.hears(0, publisher), "unexpected");
        assert!(rig.shards[0].watches.is_empty());
    }

    #[test]
    fn a_count_is_no_work_for_the_filters_and_the_watches_of_others() {
        let mut rig = Rig::with_shards(1);
        let rich = rig.open(0, OverflowPolicy::DropOldest);
        let topics: Vec<String> = (0..5_000).map(|n| format!("t.{n}")).collect();
        for some in topics.chunks(500) {
            let frames: Vec<Frame<'_>> = some.iter().map(|topic| subscribe(topic, 1)).collect();
            rig.say(0, rich, &frames);
            rig.hears(0, rich);
        }
        rig.say(0, rich, &[by(1, "t.*"), by(2, "t.*"), by(2, ">")]);
        for first in (0..512).step_by(WATCHES_PER_SESSION_MAX) {
            let publisher = rig.open(0, OverflowPolicy::DropOldest);
            let watched = topics[first..first + WATCHES_PER_SESSION_MAX].iter().zip(0..);
            let frames: Vec<Frame<'_>> = watched.map(|(topic, request)| watch(topic, request)).collect();
            rig.say(0, publisher, &frames);
            assert!(rig.shards[0].base.turn.spent() < 2_000, "{} steps", rig.shards[0].base.turn.spent());
            assert!(rig.hears(0, publisher).starts_with("0:2 1:2 "));
        }
        // One more subscriber of one topic, and one more of all of them.
        let last = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, last, &[subscribe("t.7", 1)]);
        rig.shards[0].on_tick(rig.now);
        assert!(rig.shards[0].base.turn.spent() < 200, "{} steps", rig.shards[0].base.turn.spent());
        assert!(!rig.shards[0].wants_tick());
        rig.say(0, last, &[subscribe("t.*", 1)]);
        let mut steps = 0;
        while rig.shards[0].wants_tick() {
            rig.shards[0].on_tick(rig.now);
            steps += rig.shards[0].base.turn.spent();
        }
        assert!((512..50_000).contains(&steps), "each topic is counted once: {steps}");
    }

    #[test]
    fn counts_that_nobody_reads_do_not_pile_up() {
        let mut rig = Rig::with_shards(1);
        let publisher = rig.open(0, OverflowPolicy::DropOldest);
        let subscriber = rig.open(0, OverflowPolicy::DropOldest);
        for request in 0..u32::try_from(WATCHES_PER_SESSION_MAX).unwrap() {
            rig.say(0, publisher, &[watch("a", request)]);
        }
        let mut most = 0;
        for _ in 0..200 {
            for frame in [subscribe("a", 1), unsubscribe("a", 2)] {
                rig.say(0, subscriber, &[frame]);
                rig.wait(corecast_executors::TICK);
                most = most.max(rig.shards[0].sessions().egress(publisher).unwrap().answer_bytes());
            }
            rig.hears(0, subscriber);
        }
        assert!(most < CONTROL_BYTES_MAX + 1_000, "{most} bytes of counts wait");
        assert!(rig.hears(0, publisher).ends_with("slow_subscriber"));
    }
}
