//! What waits for one subscriber in its own process. Filled by its session's pump, emptied by the subscriber.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::message::{Event, EventRef, Gap, GapReason};
use super::waiters::Waiters;
use crate::limits::GAP_TOPICS_MAX;

/// A bounded queue of events. At its bound it either asks for its session to be paused, or drops the oldest and
/// tells: who fills it decides.
#[derive(Debug)]
pub(super) struct EventQueue {
    events: RefCell<VecDeque<Event>>,
    frames_max: usize,
    /// Dropped here, by topic; told before the next event.
    dropped: RefCell<BTreeMap<Option<Bytes>, Dropped>>,
    pub(super) changed: Waiters,
}

#[derive(Default, Debug)]
struct Dropped {
    messages: u64,
    /// A gap of unknown size was dropped, of this reason.
    unknown: Option<GapReason>,
}

impl EventQueue {
    pub(super) fn new(frames_max: usize) -> Self {
        EventQueue {
            events: RefCell::default(),
            frames_max: frames_max.max(1),
            dropped: RefCell::default(),
            changed: Waiters::default(),
        }
    }

    /// Adds an event and gives whether the queue is now at its bound.
    pub(super) fn push(&self, event: EventRef<'_>) -> bool {
        let mut events = self.events.borrow_mut();
        events.push_back(event.to_event());
        let full = events.len() >= self.frames_max;
        drop(events);
        self.changed.wake_all();
        full
    }

    /// Drops the oldest events over the bound, to be told.
    pub(super) fn drop_oldest(&self) {
        let mut events = self.events.borrow_mut();
        while events.len() > self.frames_max {
            let (topic, missed, reason) = match events.pop_front() {
                Some(Event::Message(message)) => (Some(message.topic), Some(1), GapReason::Subscriber),
                Some(Event::Gap(gap)) => (gap.topic, gap.missed, gap.reason),
                None => return,
            };
            let mut dropped = self.dropped.borrow_mut();
            let known = dropped.len() < GAP_TOPICS_MAX || dropped.contains_key(&topic);
            let entry = dropped.entry(topic.filter(|_| known)).or_default();
            match missed {
                Some(messages) => entry.messages += messages,
                None => entry.unknown = Some(reason),
            }
        }
    }

    /// The next event; gaps of what was dropped come first.
    pub(super) fn pop(&self) -> Option<Event> {
        self.pop_dropped().map(Event::Gap).or_else(|| self.events.borrow_mut().pop_front())
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
        Some(Gap { topic, missed: Some(entry.messages), reason: GapReason::Subscriber })
    }

    /// Whether a paused session may go on: half is free again.
    pub(super) fn has_room(&self) -> bool {
        self.events.borrow().len() <= self.frames_max / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::MessageRef;
    use crate::ids::PublisherId;

    #[test]
    fn what_is_dropped_is_told_before_what_is_kept() {
        let queue = EventQueue::new(2);
        for sequence in 1..=5 {
            let (topic, payload) = (b"t", b"p");
            let message = MessageRef { topic, payload, publisher: PublisherId(1), sequence, sent_at_ns: 0 };
            queue.push(EventRef::Message(message));
            queue.drop_oldest();
        }
        let gap = Gap { topic: Some(Bytes::from("t")), missed: Some(3), reason: GapReason::Subscriber };
        assert_eq!(queue.pop(), Some(Event::Gap(gap)));
        let kept: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert!(
            matches!(&kept[..], [Event::Message(a), Event::Message(b)] if (a.sequence, b.sequence) == (4, 5))
        );
    }
}
