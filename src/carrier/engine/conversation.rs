//! Orders to the connection, and words on their way out among them: bounded, since brokers repeat what is lost. Owned by the
//! engine's state.

use std::collections::VecDeque;

use super::EngineOrder;
use super::subject::Subjects;
use super::word::{EngineWord, ToldPosition, fitting};
use crate::limits::ENGINE_WORDS_BYTES_MAX;

/// The orders and words that wait.
pub(super) struct Conversation {
    start: u64,
    subjects: Subjects,
    orders: VecDeque<EngineOrder>,
    words_bytes: usize,
    dropped: u64,
    /// False while the engine is away: nothing is kept for it.
    is_open: bool,
}

impl Conversation {
    pub(super) fn new(start: u64, subjects: Subjects) -> Self {
        Conversation { start, subjects, orders: VecDeque::new(), words_bytes: 0, dropped: 0, is_open: false }
    }

    /// Begins anew, on a connection, or without one.
    pub(super) fn reset(&mut self, is_open: bool) {
        self.orders.clear();
        (self.words_bytes, self.is_open) = (0, is_open);
    }

    /// Adds orders that are no words.
    pub(super) fn order(&mut self, orders: impl IntoIterator<Item = EngineOrder>) {
        if self.is_open {
            self.orders.extend(orders);
        }
    }

    /// Says something to all brokers.
    pub(super) fn say_to_all(&mut self, word: &EngineWord) {
        self.say(self.subjects.words_to_all(), word);
    }

    /// Says something to one broker.
    pub(super) fn say_to(&mut self, start: u64, word: &EngineWord) {
        self.say(self.subjects.words_to(start), word);
    }

    fn say(&mut self, subject: String, word: &EngineWord) {
        if !self.is_open {
            return;
        }
        if self.words_bytes > ENGINE_WORDS_BYTES_MAX {
            self.dropped += 1;
            return;
        }
        let payload = word.write(self.start);
        self.words_bytes += payload.len();
        self.orders.push_back(EngineOrder::Publish { subject, payload });
    }

    /// Says positions, in as many words as they need: to one broker as a part of an answer, or to all. Returns their number.
    pub(super) fn say_positions(&mut self, told: Vec<ToldPosition>, answer: Option<(u64, u64)>) -> u32 {
        let (mut rest, mut parts) = (told, 0);
        while !rest.is_empty() {
            let fit = fitting(rest.iter().map(|told| told.topic.len()));
            let others = rest.split_off(fit.min(rest.len()));
            let told = std::mem::replace(&mut rest, others);
            match answer {
                Some((start, to)) => self.say_to(start, &EngineWord::Positions { answer: to, told }),
                None => self.say_to_all(&EngineWord::Positions { answer: 0, told }),
            }
            parts += 1;
        }
        parts
    }

    /// Takes the next order.
    pub(super) fn next(&mut self) -> Option<EngineOrder> {
        let order = self.orders.pop_front()?;
        if let EngineOrder::Publish { payload, .. } = &order {
            self.words_bytes -= payload.len();
        }
        Some(order)
    }

    /// Words that found no room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Memory of the words that wait, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.words_bytes
    }

    /// True if nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }
}
