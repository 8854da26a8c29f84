//! Numbered changes that go to all neighbours, how far each has seen them, and what waits until every neighbour has seen
//! one. Owned by the sender.

use std::collections::VecDeque;

use crate::ids::Neighbour;

/// Changes, and how far each neighbour has seen them.
pub(crate) struct Acks {
    /// Changes so far.
    seq: u64,
    /// The last change that each neighbour has seen.
    seen: Vec<u64>,
}

impl Acks {
    /// No changes yet, for so many neighbours.
    pub(crate) fn new(neighbours: usize) -> Self {
        Acks { seq: 0, seen: vec![0; neighbours] }
    }

    /// The same among so many neighbours of which one is the owner itself, which has seen everything.
    pub(crate) fn among(neighbours: usize, me: impl Into<Neighbour>) -> Self {
        let mut acks = Acks::new(neighbours);
        acks.seen[usize::from(me.into().0)] = u64::MAX;
        acks
    }

    /// The number of changes so far.
    pub(crate) fn count(&self) -> u64 {
        self.seq
    }

    /// A new change, with its number.
    pub(crate) fn next(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// A neighbour has seen all changes up to `seq`.
    pub(crate) fn seen_by(&mut self, neighbour: impl Into<Neighbour>, seq: u64) {
        let seen = &mut self.seen[usize::from(neighbour.into().0)];
        assert!(*seen <= seq, "a link keeps order");
        *seen = seq;
    }

    /// The last change that all neighbours have seen.
    pub(crate) fn confirmed(&self) -> u64 {
        self.seen.iter().copied().min().unwrap_or(u64::MAX)
    }
}

/// Those that wait until all neighbours have seen a change, in order.
pub(crate) struct Unconfirmed<T> {
    waiting: VecDeque<(u64, T)>,
}

impl<T> Default for Unconfirmed<T> {
    fn default() -> Self {
        Unconfirmed { waiting: VecDeque::new() }
    }
}

impl<T> Unconfirmed<T> {
    /// Lets `who` wait until all changes so far are seen.
    pub(crate) fn add(&mut self, acks: &Acks, who: T) {
        self.waiting.push_back((acks.count(), who));
    }

    /// Takes the next of those that need not wait any more.
    pub(crate) fn pop(&mut self, acks: &Acks) -> Option<T> {
        let (change, _) = self.waiting.front()?;
        if *change > acks.confirmed() {
            return None;
        }
        self.waiting.pop_front().map(|(_, who)| who)
    }

    /// Nobody waits any more.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;

    #[test]
    fn what_waits_goes_on_when_the_last_neighbour_has_seen_its_change() {
        let (mut acks, mut waiting) = (Acks::among(3, ShardId(1)), Unconfirmed::default());
        waiting.add(&acks, "before all changes");
        assert_eq!(waiting.pop(&acks), Some("before all changes"));
        assert_eq!(acks.next(), 1);
        waiting.add(&acks, "one");
        waiting.add(&acks, "one as well");
        assert_eq!(acks.next(), 2);
        waiting.add(&acks, "two");
        acks.seen_by(ShardId(0), 2);
        assert_eq!(
            (acks.confirmed(), waiting.pop(&acks)),
            (0, None),
            "nobody waits for itself, but for all others"
        );
        acks.seen_by(ShardId(2), 1);
        assert_eq!((waiting.pop(&acks), waiting.pop(&acks)), (Some("one"), Some("one as well")));
        assert_eq!(waiting.pop(&acks), None);
        acks.seen_by(ShardId(2), 2);
        assert_eq!(waiting.pop(&acks), Some("two"));
    }
}
