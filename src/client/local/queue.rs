//! The events that wait for one subscriber in its own process. Filled by its session's pump, emptied by the subscriber.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::client::message::{Event, EventRef, Gap, GapReason, known_count};
use crate::client::session::Hold;
use crate::client::waiters::Waiters;
use crate::limits::{CLIENT_QUEUE_BYTES_FREED, CLIENT_QUEUE_FRAMES_FREED, GAP_TOPICS_MAX};

/// A queue of events that is bounded in number and in bytes. At its bound it either holds the session that fills it, until
/// there is room for a turn's worth, or drops the oldest and tells.
#[derive(Debug)]
pub(in crate::client) struct EventQueue {
    hold: Hold,
    /// Nobody shares its session.
    has_own_session: bool,
    events: RefCell<VecDeque<Event>>,
    /// Bytes of the events.
    bytes: Cell<usize>,
    frames_max: usize,
    bytes_max: usize,
    /// Dropped here, by topic; told before the next event.
    dropped: RefCell<BTreeMap<Option<Bytes>, Dropped>>,
    pub(in crate::client) changed: Waiters,
}

#[derive(Default, Debug)]
struct Dropped {
    messages: u64,
    /// A gap of unknown size was dropped, of this reason.
    unknown: Option<GapReason>,
}

impl EventQueue {
    pub(in crate::client) fn new(
        frames_max: usize,
        bytes_max: usize,
        hold: Hold,
        has_own_session: bool,
    ) -> Self {
        EventQueue {
            hold,
            has_own_session,
            events: RefCell::default(),
            bytes: Cell::new(0),
            frames_max: frames_max.max(1),
            bytes_max: bytes_max.max(1),
            dropped: RefCell::default(),
            changed: Waiters::default(),
        }
    }

    /// Adds an event. At its bound the queue holds its session if nobody else shares that, or under `block`.
    pub(in crate::client) fn push(&self, event: EventRef<'_>) {
        let event = event.to_event();
        self.bytes.set(self.bytes.get() + event.bytes());
        let mut events = self.events.borrow_mut();
        events.push_back(event);
        let full = events.len() >= self.frames_max || self.bytes.get() >= self.bytes_max;
        drop(events);
        if full && (self.has_own_session || self.hold.may_hold_others()) {
            self.hold.hold();
        } else if full {
            self.drop_oldest();
        }
        self.changed.wake_all();
    }

    fn pop_oldest(&self) -> Option<Event> {
        let event = self.events.borrow_mut().pop_front()?;
        self.bytes.set(self.bytes.get() - event.bytes());
        Some(event)
    }

    /// Drops the oldest events over the bound, to be told. The newest stays, however long it is.
    fn drop_oldest(&self) {
        loop {
            let waiting = self.events.borrow().len();
            let over = waiting > self.frames_max || self.bytes.get() > self.bytes_max;
            if !over || waiting == 1 {
                return;
            }
            let Some(oldest) = self.pop_oldest() else { return };
            let Some(Gap { topic, missed, reason }) = oldest.into_gap() else { continue };
            let mut dropped = self.dropped.borrow_mut();
            let known = dropped.len() < GAP_TOPICS_MAX || dropped.contains_key(&topic);
            let entry = dropped.entry(topic.filter(|_| known)).or_default();
            match missed {
                Some(messages) => entry.messages = entry.messages.saturating_add(messages),
                None => entry.unknown = Some(reason),
            }
        }
    }

    /// The next event; gaps of what was dropped come first.
    pub(in crate::client) fn pop(&self) -> Option<Event> {
        let event = self.pop_dropped().map(Event::Gap).or_else(|| self.pop_oldest());
        if self.has_room() {
            self.hold.release();
        }
        event
    }

    fn pop_dropped(&self) -> Option<Gap> {
        let mut dropped = self.dropped.borrow_mut();
        let (topic, entry) = dropped.pop_first()?;
        if let Some(reason) = entry.unknown {
            if entry.messages > 0 {
                dropped.insert(topic.clone(), Dropped { messages: entry.messages, unknown: None });
            }
            return Some(Gap { topic, missed: None, reason });
        }
        Some(Gap { topic, missed: known_count(entry.messages), reason: GapReason::Subscriber })
    }

    /// True if a session that is held may go on: half is free again, or as much as is worth a turn.
    fn has_room(&self) -> bool {
        let below = |bound: usize, freed_max: usize| bound - (bound / 2).clamp(1, freed_max);
        self.events.borrow().len() <= below(self.frames_max, CLIENT_QUEUE_FRAMES_FREED)
            && self.bytes.get() <= below(self.bytes_max, CLIENT_QUEUE_BYTES_FREED)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::client::MessageRef;
    use crate::client::session::{Blocking, Holds};
    use crate::ids::PublisherId;

    /// A queue that shares its session with nobody.
    fn queue(frames_max: usize, bytes_max: usize, holds: &Rc<Holds>) -> EventQueue {
        EventQueue::new(frames_max, bytes_max, Hold::new(Rc::clone(holds)), true)
    }

    fn shared_queue(frames_max: usize, bytes_max: usize) -> EventQueue {
        EventQueue::new(frames_max, bytes_max, Hold::new(Rc::default()), false)
    }

    fn push(queue: &EventQueue, sequence: u64, payload: &[u8]) {
        let message = MessageRef {
            topic: b"t",
            payload,
            multipart: false,
            publisher: PublisherId(1),
            sequence,
            sent_at_ns: 0,
            from_history: false,
            lent: None,
        };
        queue.push(EventRef::Message(message));
    }

    #[test]
    fn bytes_bound_it_as_well() {
        let queue = shared_queue(1000, 100);
        for (sequence, payload) in (1..).zip([&[0; 30][..], &[0; 60], &[0; 200]]) {
            push(&queue, sequence, payload);
        }
        let gap = Gap { topic: Some(Bytes::from("t")), missed: Some(2), reason: GapReason::Subscriber };
        assert_eq!(queue.pop(), Some(Event::Gap(gap)));
        assert!(matches!(queue.pop(), Some(Event::Message(message)) if message.sequence == 3));
        assert_eq!((queue.pop(), queue.bytes.get()), (None, 0));
    }

    #[test]
    fn what_is_dropped_is_told_before_what_is_kept() {
        let queue = shared_queue(2, usize::MAX);
        for sequence in 1..=5 {
            push(&queue, sequence, b"p");
        }
        let gap = Gap { topic: Some(Bytes::from("t")), missed: Some(3), reason: GapReason::Subscriber };
        assert_eq!(queue.pop(), Some(Event::Gap(gap)));
        let kept: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert!(
            matches!(&kept[..], [Event::Message(a), Event::Message(b)] if (a.sequence, b.sequence) == (4, 5))
        );
    }

    #[test]
    fn a_long_queue_holds_its_session_no_longer_than_for_a_turn() {
        let holds = Rc::default();
        let frames_max = 64 * CLIENT_QUEUE_FRAMES_FREED;
        let long = queue(frames_max, usize::MAX, &holds);
        for sequence in 1..=frames_max as u64 {
            push(&long, sequence, b"p");
        }
        let taken_until_released = |queue: &EventQueue| {
            assert!(holds.any());
            (1..).find(|_| queue.pop().is_some() && !holds.any()).expect("it has an end")
        };
        assert_eq!(taken_until_released(&long), CLIENT_QUEUE_FRAMES_FREED);
        drop(long);
        let large = queue(usize::MAX, 64 * CLIENT_QUEUE_BYTES_FREED, &holds);
        // With its topic a quarter.
        let payload = vec![0; CLIENT_QUEUE_BYTES_FREED / 4 - 1];
        for sequence in 1..=256 {
            push(&large, sequence, &payload);
        }
        assert_eq!(taken_until_released(&large), 4);
    }

    #[test]
    fn a_shared_session_is_held_under_block_alone() {
        let holds: Rc<Holds> = Rc::default();
        let queue = EventQueue::new(2, usize::MAX, Hold::new(Rc::clone(&holds)), false);
        let [first, second] = [(); 2].map(|()| Blocking::new(Rc::clone(&holds)));
        let fills = |blocks: bool| {
            (1..=3).for_each(|sequence| push(&queue, sequence, b"p"));
            assert_eq!(holds.any(), blocks);
            while queue.pop().is_some() {}
        };
        fills(false);
        [&first, &second].into_iter().for_each(|session| session.set(true));
        fills(true);
        first.set(false);
        fills(true);
        drop(second);
        fills(false);
    }

    #[test]
    fn a_session_is_held_until_each_of_its_queues_has_room() {
        let holds = Rc::default();
        let [fast, slow, leaves] = [(); 3].map(|()| queue(4, 1000, &holds));
        for sequence in 1..=4 {
            assert!(!holds.any(), "none is full before message {sequence}");
            for queue in [&fast, &slow, &leaves] {
                push(queue, sequence, b"p");
            }
        }
        assert!(holds.any());
        while fast.pop().is_some() {}
        assert!(holds.any(), "two have no room");
        drop(leaves);
        slow.pop();
        assert!(holds.any(), "a half must be free");
        slow.pop();
        assert!(!holds.any());
        for sequence in 5..=6 {
            push(&slow, sequence, &[0; 990]);
        }
        let kept: Vec<_> = std::iter::from_fn(|| slow.pop()).collect();
        assert_eq!(kept.len(), 4, "nothing was dropped");
        assert!(!holds.any());
    }
}
