//! Slack: the room of a table that was larger once. Tables give most of it back as they empty, so that memory follows
//! what is there and not the most that ever was.

use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};

use slab::Slab;

/// Elements up to which a table keeps its room.
const KEEP: usize = 64;

/// True if so little of a table's room is in use that the move to less room costs less than the removals before.
fn is_slack(len: usize, capacity: usize) -> bool {
    capacity > KEEP && len < capacity / 8
}

/// Gives room of a map back, if it has much more than it needs. To be called after removals.
pub(crate) fn give_back<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    if is_slack(map.len(), map.capacity()) {
        map.shrink_to(2 * map.len());
    }
}

/// The same for a queue.
pub(crate) fn give_back_queue<T>(queue: &mut VecDeque<T>) {
    if is_slack(queue.len(), queue.capacity()) {
        queue.shrink_to(2 * queue.len());
    }
}

/// The same for a heap.
pub(crate) fn give_back_heap<T: Ord>(heap: &mut BinaryHeap<T>) {
    if is_slack(heap.len(), heap.capacity()) {
        heap.shrink_to(2 * heap.len());
    }
}

/// The same for a slab, as far as its last elements let it: they stay in their places.
pub(crate) fn give_back_slab<T>(slab: &mut Slab<T>) {
    // Each time that it has halved, since the places before the last element are looked at.
    let has_halved = slab.is_empty() || slab.len().is_power_of_two();
    if has_halved && is_slack(slab.len(), slab.capacity()) {
        slab.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 10_000;

    #[test]
    fn tables_follow_what_is_in_them_and_move_seldom() {
        let mut map: HashMap<usize, ()> = (0..MANY).map(|n| (n, ())).collect();
        let mut queue: VecDeque<usize> = (0..MANY).collect();
        let mut slab: Slab<usize> = (0..MANY).map(|n| (n, n)).collect();
        let mut heap: BinaryHeap<usize> = (0..MANY).collect();
        let mut moves = [0; 4];
        for n in (0..MANY).rev() {
            let before = [map.capacity(), queue.capacity(), slab.capacity(), heap.capacity()];
            map.remove(&n);
            queue.pop_front();
            slab.remove(n);
            heap.pop();
            give_back(&mut map);
            give_back_queue(&mut queue);
            give_back_slab(&mut slab);
            give_back_heap(&mut heap);
            let now = [map.capacity(), queue.capacity(), slab.capacity(), heap.capacity()];
            for kind in 0..4 {
                assert!(now[kind] <= KEEP.max(8 * 2 * n.max(1)), "{now:?} for {n}");
                // A map counts a place that is free and cannot be used yet as none.
                moves[kind] += usize::from(2 * now[kind] < before[kind]);
            }
        }
        assert!(moves.iter().all(|moves| (2..16).contains(moves)), "{moves:?}");
    }

    #[test]
    fn a_slab_keeps_the_places_of_what_is_left() {
        let mut slab: Slab<usize> = (0..MANY).map(|n| (n, n)).collect();
        slab.retain(|n, _| n == MANY / 2);
        give_back_slab(&mut slab);
        assert_eq!(slab.get(MANY / 2), Some(&(MANY / 2)));
        assert!(slab.capacity() <= MANY / 2 + 1);
        assert!(slab.insert(7) < MANY / 2, "free places are used again");
    }
}
