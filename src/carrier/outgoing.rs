//! Items that wait to go to one neighbour, and the publishers that are held while too many do. Owned by the sender.

use std::collections::VecDeque;

use crate::limits::LINK_ITEMS_PER_TURN;

/// A queue that takes every item, and back-pressure for the origins of the items.
#[derive(Debug)]
pub(crate) struct Outgoing<T, O> {
    items: VecDeque<T>,
    /// Items that hold nobody, however many wait.
    excused: usize,
    /// Held until half of the bound is free.
    held: Vec<O>,
}

impl<T, O> Default for Outgoing<T, O> {
    fn default() -> Self {
        Outgoing { items: VecDeque::new(), excused: 0, held: Vec::new() }
    }
}

impl<T, O: PartialEq> Outgoing<T, O> {
    /// Adds an item. `true`: it is the only one, so the neighbour's link is to be looked after.
    pub(crate) fn push(&mut self, item: T) -> bool {
        self.items.push_back(item);
        self.items.len() == 1
    }

    /// Takes the item that goes next.
    pub(crate) fn next(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    /// The neighbour had no room for the item that [`Outgoing::next`] gave: it stays first.
    pub(crate) fn put_back(&mut self, item: T) {
        self.items.push_front(item);
    }

    /// The item that would go last, to be made to say more.
    pub(crate) fn last_mut(&mut self) -> Option<&mut T> {
        self.items.back_mut()
    }

    /// The items that wait, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    /// Takes all items that wait, to be replaced by others.
    pub(crate) fn items_mut(&mut self) -> &mut VecDeque<T> {
        &mut self.items
    }

    /// Sets how many of the items hold nobody.
    pub(crate) fn excuse(&mut self, items: usize) {
        self.excused = items;
    }

    fn counted(&self) -> usize {
        self.items.len() - self.excused
    }

    /// True if nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// True if too much waits: nothing more should be made that can be made later.
    pub(crate) fn is_backed_up(&self) -> bool {
        self.counted() > LINK_ITEMS_PER_TURN
    }

    /// Holds an origin if too much waits. `true`: it was not held by this queue before.
    pub(crate) fn hold_if_backed_up(&mut self, origin: O) -> bool {
        let holds = self.is_backed_up() && !self.held.contains(&origin);
        if holds {
            self.held.push(origin);
        }
        holds
    }

    /// Takes the origins that may go on, if there is room again.
    pub(crate) fn take_released(&mut self) -> Vec<O> {
        if self.counted() > LINK_ITEMS_PER_TURN / 2 {
            return Vec::new();
        }
        std::mem::take(&mut self.held)
    }

    /// The origins that are held.
    pub(crate) fn held(&self) -> impl Iterator<Item = &O> {
        self.held.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_that_are_excused_hold_nobody() {
        let mut outgoing: Outgoing<usize, char> = Outgoing::default();
        (0..=LINK_ITEMS_PER_TURN).for_each(|n| _ = outgoing.push(n));
        outgoing.excuse(1);
        assert!(!outgoing.is_backed_up() && !outgoing.hold_if_backed_up('a'));
        outgoing.excuse(0);
        assert!(outgoing.hold_if_backed_up('a'));
        outgoing.excuse(LINK_ITEMS_PER_TURN);
        assert_eq!(outgoing.take_released(), ['a']);
    }

    #[test]
    fn an_origin_is_held_once_and_until_half_is_free() {
        let mut outgoing: Outgoing<usize, char> = Outgoing::default();
        assert!(outgoing.push(0) && !outgoing.push(1));
        assert!(!outgoing.hold_if_backed_up('a'));
        (2..=LINK_ITEMS_PER_TURN).for_each(|n| _ = outgoing.push(n));
        assert!(outgoing.hold_if_backed_up('a') && !outgoing.hold_if_backed_up('a'));
        let first = outgoing.next().expect("many wait");
        outgoing.put_back(first);
        for n in 0..=LINK_ITEMS_PER_TURN / 2 {
            assert!(outgoing.take_released().is_empty());
            assert_eq!(outgoing.next(), Some(n));
        }
        assert_eq!(outgoing.take_released(), ['a']);
        assert_eq!(outgoing.held().count(), 0);
    }
}
