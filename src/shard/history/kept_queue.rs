//! The stretches of one topic that are kept, in order. The newest stands in the queue itself: a topic of which one is kept, as by
//! a rule of the last message, has no memory of its own for them. Pure; owned by a shelf.

use std::collections::VecDeque;
use std::ops::Range;

use super::kept_stretch::Kept;
use crate::slack::give_back_queue;

/// The stretches of one topic, the oldest first.
#[derive(Default)]
pub(super) struct KeptQueue {
    /// All but the newest.
    older: VecDeque<Kept>,
    newest: Option<Kept>,
}

impl KeptQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.newest.is_none()
    }

    pub(super) fn len(&self) -> usize {
        self.older.len() + usize::from(self.newest.is_some())
    }

    pub(super) fn oldest(&self) -> Option<&Kept> {
        self.older.front().or(self.newest.as_ref())
    }

    pub(super) fn newest(&self) -> Option<&Kept> {
        self.newest.as_ref()
    }

    pub(super) fn newest_mut(&mut self) -> Option<&mut Kept> {
        self.newest.as_mut()
    }

    /// Adds a stretch that is newer than all.
    pub(super) fn push(&mut self, kept: Kept) {
        self.older.extend(self.newest.replace(kept));
    }

    /// Takes the oldest out.
    pub(super) fn pop_oldest(&mut self) -> Option<Kept> {
        let oldest = self.older.pop_front();
        give_back_queue(&mut self.older);
        oldest.or_else(|| self.newest.take())
    }

    pub(super) fn get(&self, at: usize) -> Option<&Kept> {
        self.older.get(at).or(self.newest.as_ref().filter(|_| at == self.older.len()))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.range(0..self.len())
    }

    /// Those at these places, which are no farther than the end.
    pub(super) fn range(&self, range: Range<usize>) -> impl Iterator<Item = &Kept> {
        let older = range.start.min(self.older.len())..range.end.min(self.older.len());
        let newest = self.newest.as_ref().filter(|_| range.contains(&self.older.len()));
        self.older.range(older).chain(newest)
    }

    /// The number of those for which a condition holds that holds for none behind the first for which it does not.
    pub(super) fn partition_point(&self, mut holds: impl FnMut(&Kept) -> bool) -> usize {
        match &self.newest {
            Some(newest) if holds(newest) => self.len(),
            // Most topics have one.
            _ if self.older.is_empty() => 0,
            _ => self.older.partition_point(holds),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn orders<'a>(kept: impl Iterator<Item = &'a Kept>) -> Vec<u64> {
        kept.map(Kept::order).collect()
    }

    proptest! {
        #[test]
        fn it_is_a_queue(steps in prop::collection::vec(any::<bool>(), 0..40), cut in 0..40_u64) {
            let (mut queue, mut model) = (KeptQueue::default(), VecDeque::new());
            for (order, is_push) in (0..).zip(steps) {
                if is_push {
                    queue.push(Kept::of_order(order));
                    model.push_back(order);
                } else {
                    prop_assert_eq!(queue.pop_oldest().map(|kept| kept.order()), model.pop_front());
                }
                prop_assert_eq!((queue.len(), queue.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(queue.oldest().map(Kept::order), model.front().copied());
                prop_assert_eq!(queue.newest().map(Kept::order), model.back().copied());
                prop_assert_eq!(queue.newest_mut().map(|kept| kept.order()), model.back().copied());
                prop_assert_eq!(orders(queue.iter()), Vec::from(model.clone()));
                let point = queue.partition_point(|kept| kept.order() < cut);
                prop_assert_eq!(point, model.partition_point(|order| *order < cut));
                for range in [0..point, point..model.len(), point / 2..point] {
                    let wanted: Vec<u64> = model.range(range.clone()).copied().collect();
                    prop_assert_eq!(orders(queue.range(range)), wanted);
                }
                for at in 0..=model.len() {
                    prop_assert_eq!(queue.get(at).map(Kept::order), model.get(at).copied());
                }
            }
        }
    }
}
