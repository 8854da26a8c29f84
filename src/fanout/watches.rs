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
