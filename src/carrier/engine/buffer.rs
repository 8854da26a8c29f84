//! Crossings that wait to leave: bounded in bytes, and the oldest are given up for the newest. Owned by the way out.
//!
//! Nothing notes what was given up: positions have counted it, so whoever gets the next crossing of the topic sees that it is
//! missing.

use std::collections::VecDeque;

use bytes::Bytes;

use super::head::TopicPlace;
use crate::limits::ENGINE_ITEM_BYTES;
use crate::slack::give_back_queue;

/// A crossing on its way out.
#[derive(Clone, Debug)]
pub(super) struct WaitingCrossing {
    pub(super) topic: Bytes,
    /// The place behind its messages.
    pub(super) end: TopicPlace,
    /// With its head. Empty: nothing leaves, and what is behind it is missing elsewhere.
    pub(super) payload: Bytes,
    pub(super) messages: u64,
}

impl WaitingCrossing {
    fn held_bytes(&self) -> usize {
        self.topic.len() + self.payload.len() + ENGINE_ITEM_BYTES
    }
}

/// The queue.
pub(super) struct Buffer {
    items: VecDeque<WaitingCrossing>,
    bytes: usize,
    bytes_max: usize,
    messages: u64,
}

impl Buffer {
    /// Room for so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Buffer { items: VecDeque::new(), bytes: 0, bytes_max, messages: 0 }
    }

    /// Adds a crossing. Returns those that are given up for it, oldest first; it is one of them if it finds no room at all.
    pub(super) fn push(&mut self, departure: WaitingCrossing) -> Vec<WaitingCrossing> {
        self.bytes += departure.held_bytes();
        self.messages += departure.messages;
        self.items.push_back(departure);
        let mut given_up = Vec::new();
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.pop()
        {
            given_up.push(oldest);
        }
        given_up
    }

    /// Takes the crossing that goes next.
    pub(super) fn pop(&mut self) -> Option<WaitingCrossing> {
        let next = self.items.pop_front()?;
        self.bytes -= next.held_bytes();
        self.messages -= next.messages;
        give_back_queue(&mut self.items);
        Some(next)
    }

    /// Memory that it holds, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// Messages in it.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn departure(bytes: usize, messages: u64) -> WaitingCrossing {
        let payload = vec![0; bytes - ENGINE_ITEM_BYTES].into();
        WaitingCrossing { topic: Bytes::new(), end: TopicPlace::default(), payload, messages }
    }

    fn push(buffer: &mut Buffer, departure: WaitingCrossing) -> u64 {
        buffer.push(departure).iter().map(|given_up| given_up.messages).sum()
    }

    #[test]
    fn the_oldest_are_given_up_for_the_newest() {
        let mut buffer = Buffer::new(1_000);
        assert_eq!(push(&mut buffer, departure(400, 1)), 0);
        assert_eq!(push(&mut buffer, departure(600, 2)), 0);
        assert_eq!((buffer.held_bytes(), buffer.messages()), (1_000, 3));
        assert_eq!(push(&mut buffer, departure(500, 4)), 3);
        assert_eq!(push(&mut buffer, departure(1_001, 8)), 12, "it has no room at all");
        assert_eq!((buffer.held_bytes(), buffer.messages()), (0, 0));
        push(&mut buffer, departure(200, 5));
        assert_eq!(buffer.pop().map(|next| next.messages), Some(5));
        assert!(buffer.pop().is_none());
    }
}
