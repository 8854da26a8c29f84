//! Changes that the other shards are told, and who waits until all of them have seen one. Owned by a shard.

use std::collections::VecDeque;

use crate::ids::ShardId;

pub(super) struct Acks<T> {
    /// How many changes the other shards have been told.
    seq: u64,
    /// Up to which change each shard has seen; this shard itself has seen all.
    seen: Vec<u64>,
    /// Who waits until all shards have seen a change, in order.
    waiting: VecDeque<(u64, T)>,
}

impl<T> Acks<T> {
    pub(super) fn new(me: ShardId, shards: usize) -> Self {
        let mut seen = vec![0; shards];
        seen[usize::from(me.0)] = u64::MAX;
        Acks { seq: 0, seen, waiting: VecDeque::new() }
    }

    /// How many changes there have been.
    pub(super) fn changes(&self) -> u64 {
        self.seq
    }

    /// A new change, with its number.
    pub(super) fn next(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// `who` waits until all changes so far are seen.
    pub(super) fn wait(&mut self, who: T) {
        self.waiting.push_back((self.seq, who));
    }

    /// That shard has seen all changes up to `seq`.
    pub(super) fn seen_by(&mut self, shard: ShardId, seq: u64) {
        let seen = &mut self.seen[usize::from(shard.0)];
        debug_assert!(*seen <= seq, "a link keeps order");
        *seen = seq;
    }

    /// The next who need not wait any more.
    pub(super) fn pop_done(&mut self) -> Option<T> {
        let all = self.seen.iter().copied().min().unwrap_or(u64::MAX);
        if self.waiting.front()?.0 > all {
            return None;
        }
        self.waiting.pop_front().map(|(_, who)| who)
    }
}
