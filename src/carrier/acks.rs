//! Numbered changes that go to all neighbours, and requests that wait until every neighbour has seen one. Owned by the
//! sender.

use std::collections::VecDeque;

use crate::ids::Neighbour;

/// Changes, and how far each neighbour has seen them.
pub(crate) struct Acks<T> {
    /// Changes so far.
    seq: u64,
    /// The last change that each neighbour has seen.
    seen: Vec<u64>,
    /// Those that wait until all have seen a change, in order.
    waiting: VecDeque<(u64, T)>,
}

impl<T> Acks<T> {
    /// No changes yet, for so many neighbours.
    pub(crate) fn new(neighbours: usize) -> Self {
        Acks { seq: 0, seen: vec![0; neighbours], waiting: VecDeque::new() }
    }

    /// The same among so many neighbours of which one is the owner itself, which has seen everything.
    pub(crate) fn among(neighbours: usize, me: impl Into<Neighbour>) -> Self {
        let mut acks = Acks::new(neighbours);
        acks.seen[usize::from(me.into().0)] = u64::MAX;
        acks
    }

    /// The number of changes so far.
    pub(crate) fn changes(&self) -> u64 {
        self.seq
    }

    /// A new change, with its number.
    pub(crate) fn next(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Lets `who` wait until all changes so far are seen.
    pub(crate) fn wait(&mut self, who: T) {
        self.waiting.push_back((self.seq, who));
    }

    /// A neighbour has seen all changes up to `seq`.
    pub(crate) fn seen_by(&mut self, neighbour: impl Into<Neighbour>, seq: u64) {
        let seen = &mut self.seen[usize::from(neighbour.into().0)];
        assert!(*seen <= seq, "a link keeps order");
        *seen = seq;
    }

    /// Takes the next of those that need not wait any more.
    pub(crate) fn pop_done(&mut self) -> Option<T> {
        let all = self.seen.iter().copied().min().unwrap_or(u64::MAX);
        if self.waiting.front()?.0 > all {
            return None;
        }
        self.waiting.pop_front().map(|(_, who)| who)
    }

    /// Nobody waits any more.
    pub(crate) fn forget_waiting(&mut self) {
        self.waiting.clear();
    }
}
