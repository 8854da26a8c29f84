//! The stretches of a batch that somebody gets, by their numbers.

use std::ops::Range;

/// Numbers of stretches, in order. Those that follow one another from the first on are a range: all of them, where everybody
/// wants the same topics.
#[derive(Default)]
pub(super) struct Selection {
    range: Range<u32>,
    /// Those behind the first hole.
    others: Vec<u32>,
}

impl Selection {
    /// Adds a stretch behind all that it has.
    #[inline]
    pub(super) fn add(&mut self, number: u32) {
        if self.others.is_empty() && (self.range.end == number || self.range.is_empty()) {
            if self.range.is_empty() {
                self.range.start = number;
            }
            self.range.end = number + 1;
        } else {
            self.others.push(number);
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.range.len() + self.others.len()
    }

    /// The first number and the last, unless there is none.
    #[inline]
    pub(super) fn ends(&self) -> Option<(u32, u32)> {
        let last = self.others.last().copied().or_else(|| self.range.end.checked_sub(1));
        (!self.is_empty()).then_some(self.range.start).zip(last)
    }

    #[inline]
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.range.clone().chain(self.others.iter().copied())
    }

    /// Forgets all but memory for so many numbers.
    pub(super) fn clear(&mut self, kept: usize) {
        self.range = 0..0;
        self.others.clear();
        self.others.shrink_to(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_in_order_with_holes_or_without() {
        for numbers in
            [vec![], vec![0], vec![3], vec![0, 1, 2], vec![2, 3, 5], vec![1, 3, 4, 5], vec![0, 2, 3]]
        {
            let mut selection = Selection::default();
            numbers.iter().for_each(|number| selection.add(*number));
            assert_eq!(selection.numbers().collect::<Vec<_>>(), numbers);
            assert_eq!((selection.len(), selection.is_empty()), (numbers.len(), numbers.is_empty()));
            assert_eq!(selection.ends(), numbers.first().copied().zip(numbers.last().copied()));
            selection.clear(0);
            assert!(selection.is_empty() && selection.others.capacity() == 0);
        }
    }
}
