//! Publishers that wait for subscribers: who asked for the count of which topic, and what each shard last said.
//! Owned by a shard.

use bytes::Bytes;

use crate::ids::{RequestId, SessionId, ShardId};

/// A watch that a session of this shard asked for.
pub(super) struct Watch {
    pub(super) id: u64,
    pub(super) session: SessionId,
    pub(super) request: RequestId,
    pub(super) topic: Bytes,
    /// By shard; `None` until it has answered.
    counts: Vec<Option<u32>>,
    told: Option<u32>,
}

/// A watch that another shard asked for.
struct Asked {
    from: ShardId,
    id: u64,
    topic: Bytes,
    answered: Option<u32>,
}

#[derive(Default)]
pub(super) struct Watches {
    own: Vec<Watch>,
    asked: Vec<Asked>,
    next_id: u64,
}

impl Watches {
    pub(super) fn add(&mut self, session: SessionId, request: RequestId, topic: Bytes, shards: usize) -> u64 {
        self.next_id += 1;
        let counts = vec![None; shards];
        self.own.push(Watch { id: self.next_id, session, request, topic, counts, told: None });
        self.next_id
    }

    /// Removes the watches that `ends` says, and gives their numbers.
    pub(super) fn remove(&mut self, ends: impl Fn(&Watch) -> bool) -> Vec<u64> {
        let mut ended = Vec::new();
        self.own.retain(|watch| {
            let end = ends(watch);
            if end {
                ended.push(watch.id);
            }
            !end
        });
        ended
    }

    pub(super) fn add_asked(&mut self, from: ShardId, id: u64, topic: Bytes) {
        self.asked.push(Asked { from, id, topic, answered: None });
    }

    pub(super) fn remove_asked(&mut self, from: ShardId, id: u64) {
        self.asked.retain(|asked| (asked.from, asked.id) != (from, id));
    }

    /// How many watches sessions of this shard have asked for.
    pub(super) fn own_count(&self) -> usize {
        self.own.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.asked.is_empty()
    }

    /// That shard has so many subscribers for the watch.
    pub(super) fn counted(&mut self, shard: ShardId, id: u64, count: u32) {
        if let Some(watch) = self.own.iter_mut().find(|watch| watch.id == id) {
            watch.counts[usize::from(shard.0)] = Some(count);
        }
    }

    /// Asks `count` for each topic again. Answers to other shards that have changed go to `answer`, which may
    /// refuse them (`false`). Gives whether it took all.
    pub(super) fn recount(
        &mut self,
        me: ShardId,
        mut count: impl FnMut(&[u8]) -> u32,
        mut answer: impl FnMut(ShardId, u64, u32) -> bool,
    ) -> bool {
        for watch in &mut self.own {
            watch.counts[usize::from(me.0)] = Some(count(&watch.topic));
        }
        let mut all = true;
        for asked in &mut self.asked {
            let now = count(&asked.topic);
            if asked.answered != Some(now) {
                if answer(asked.from, asked.id, now) {
                    asked.answered = Some(now);
                } else {
                    all = false;
                }
            }
        }
        all
    }

    /// Gives `tell` each sum that is complete and not what was told before.
    pub(super) fn tell(&mut self, mut tell: impl FnMut(SessionId, RequestId, u32)) {
        for watch in &mut self.own {
            let mut counts = watch.counts.iter().copied();
            let sum = counts.try_fold(0_u32, |sum, count| count.map(|count| sum.saturating_add(count)));
            if let Some(sum) = sum
                && watch.told != Some(sum)
            {
                watch.told = Some(sum);
                tell(watch.session, watch.request, sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::OverflowPolicy;
    use super::super::rig::{Rig, subscribe, unsubscribe};
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
        let _ = rig.shards[1].on_closed(shared, false);
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
        let _ = rig.shards[0].on_closed(publisher, false);
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
                most = most.max(rig.shards[0].egress(publisher).unwrap().answer_bytes());
            }
            rig.hears(0, subscriber);
        }
        assert!(most < CONTROL_BYTES_MAX + 1_000, "{most} bytes of counts wait");
        assert!(rig.hears(0, publisher).ends_with("slow_subscriber"));
    }
}
