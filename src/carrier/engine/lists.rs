//! Lists that brokers tell one another whole, and keep in step: of topics to be counted, and of direct publishers. Both ends; owned
//! by those whose lists they are.
//!
//! An entry has a number, and bytes. Each broker is told the list in **rounds**: a round begins with the whole list, and goes on
//! with what changes, in numbered words. The receiver says how many of them it has heard, behind each, and with each beat.
//! If anything was lost, a new round begins.

use std::collections::{BTreeMap, BTreeSet};

use ahash::AHashMap;
use bytes::Bytes;

use super::word::{HeardRound, ListPart, fitting};

/// The longest pause between two rounds, in beats.
const BEATS_MAX: u32 = 8;

/// Beats that an answer may take.
const BEATS_MIN: u32 = 2;

/// Another broker, as it is told.
struct ListReader {
    round: u64,
    /// Words that were said in this round.
    said: u64,
    /// Entries that it is to be told, as they stand then.
    unsaid: BTreeSet<u64>,
    /// The first word of the round is to be said, even if the list is empty.
    is_fresh: bool,
    /// It has heard all.
    is_settled: bool,
    /// Something was lost: the next beat begins a round.
    is_broken: bool,
    /// Beats without an answer to all that was said, and beats until a new round.
    patience: (u32, u32),
}

/// The telling end.
#[derive(Default)]
pub(super) struct ToldList {
    entries: BTreeMap<u64, Bytes>,
    readers: AHashMap<u64, ListReader>,
    /// Rounds with all brokers so far: a broker that was forgotten does not take a new round for an old one.
    rounds: u64,
}

impl ToldList {
    /// Adds an entry, or changes one.
    pub(super) fn set(&mut self, number: u64, entry: Bytes) {
        self.entries.insert(number, entry);
        self.changed(number);
    }

    /// Removes an entry.
    pub(super) fn remove(&mut self, number: u64) {
        if self.entries.remove(&number).is_some() {
            self.changed(number);
        }
    }

    fn changed(&mut self, number: u64) {
        for reader in self.readers.values_mut() {
            reader.unsaid.insert(number);
            reader.is_settled = false;
        }
    }

    /// Notes which other brokers are there. Returns true if some are there no longer.
    pub(super) fn meet(&mut self, here: &[u64]) -> bool {
        for start in here {
            if !self.readers.contains_key(start) {
                let is_needed = !self.entries.is_empty();
                let round = self.begin_round(BEATS_MIN);
                let reader = ListReader { is_fresh: is_needed, is_settled: !is_needed, ..round };
                self.readers.insert(*start, reader);
            }
        }
        let is_left = self.readers.len() > here.len();
        self.readers.retain(|start, _| here.contains(start));
        is_left
    }

    fn begin_round(&mut self, patience: u32) -> ListReader {
        self.rounds += 1;
        ListReader {
            round: self.rounds,
            said: 0,
            unsaid: self.entries.keys().copied().collect(),
            is_fresh: true,
            is_settled: false,
            is_broken: false,
            patience: (0, patience),
        }
    }

    /// A beat has passed: rounds begin with brokers of which something was lost.
    pub(super) fn beat(&mut self) {
        let mut due = Vec::new();
        for (start, reader) in &mut self.readers {
            // A list that is empty, and known to be, needs no sign of life.
            reader.patience.0 += u32::from(!self.entries.is_empty() || !reader.is_settled);
            if reader.is_broken || reader.patience.0 > reader.patience.1 {
                due.push((*start, (2 * reader.patience.1).min(BEATS_MAX)));
            }
        }
        for (start, patience) in due {
            let round = self.begin_round(patience);
            self.readers.insert(start, round);
        }
    }

    /// The next word, and the broker that it is for.
    pub(super) fn next_part(&mut self) -> Option<(u64, ListPart)> {
        let has_news = |reader: &ListReader| reader.is_fresh || !reader.unsaid.is_empty();
        let (start, reader) = self.readers.iter_mut().find(|(_, reader)| has_news(reader))?;
        let entries = &self.entries;
        let fit = fitting(reader.unsaid.iter().map(|number| entries.get(number).map_or(0, Bytes::len)));
        let mut changes = Vec::new();
        while changes.len() < fit
            && let Some(number) = reader.unsaid.pop_first()
        {
            changes.push((number, entries.get(&number).cloned()));
        }
        (reader.said, reader.is_fresh) = (reader.said + 1, false);
        let (round, number, is_whole) = (reader.round, reader.said, reader.unsaid.is_empty());
        Some((*start, ListPart { round, number, is_whole, changes }))
    }

    /// A broker says that it has heard so many words of a round. Returns true if that is the round of now.
    pub(super) fn on_heard(&mut self, start: u64, (round, heard): (u64, u64)) -> bool {
        let is_idle = self.entries.is_empty();
        let Some(reader) = self.readers.get_mut(&start) else { return false };
        if round != reader.round {
            // It keeps a list that is over.
            reader.is_broken |= is_idle && round < reader.round;
            return false;
        }
        if heard == reader.said && reader.unsaid.is_empty() && !reader.is_broken {
            (reader.is_settled, reader.patience) = (true, (0, BEATS_MIN));
        }
        true
    }

    /// Notes that an answer of a broker was lost: a new round begins with the next beat.
    pub(super) fn break_off(&mut self, start: u64) {
        if let Some(reader) = self.readers.get_mut(&start) {
            reader.is_broken = true;
        }
    }
}

/// The meaning of a word of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ListNews {
    /// It begins a list: what was known before is over, unless it comes again.
    Begins,
    /// It goes on.
    GoesOn,
    /// It came before, or something before it did not: nothing follows.
    Nothing,
}

impl HeardRound {
    /// Hears a word.
    pub(super) fn hear(&mut self, part: &ListPart) -> ListNews {
        match (part.round, part.number) {
            (round, 1) if round > self.round => {
                *self = HeardRound { round, heard: 1 };
                ListNews::Begins
            }
            (round, number) if (round, number) == (self.round, self.heard + 1) && round > 0 => {
                self.heard += 1;
                ListNews::GoesOn
            }
            _ => ListNews::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Bytes = Bytes::from_static(b"a");

    fn told() -> ToldList {
        let mut list = ToldList::default();
        assert!(!list.meet(&[7]));
        list.set(1, A);
        list
    }

    fn next(list: &mut ToldList) -> ListPart {
        let (start, part) = list.next_part().expect("there is news");
        assert_eq!(start, 7);
        part
    }

    #[test]
    fn a_broker_that_does_not_answer_is_told_again_in_growing_pauses() {
        let mut list = told();
        let first = next(&mut list);
        assert!(first.is_whole && list.next_part().is_none());
        let mut beats = Vec::new();
        for beat in 1..=30 {
            list.beat();
            if let Some((_, part)) = list.next_part() {
                assert!(part.round > first.round && part.changes == first.changes);
                beats.push(beat);
            }
        }
        assert_eq!(beats, [3, 8, 17, 26]);
    }

    #[test]
    fn a_list_is_told_as_it_stands_and_an_empty_one_once_more() {
        let mut list = told();
        let part = next(&mut list);
        assert!(list.on_heard(7, (part.round, 1)));
        list.set(2, A);
        list.remove(1);
        list.remove(9);
        list.set(2, Bytes::from_static(b"b"));
        let changes = vec![(1, None), (2, Some(Bytes::from_static(b"b")))];
        assert_eq!(next(&mut list), ListPart { number: 2, changes, ..part.clone() });
        list.remove(2);
        next(&mut list);
        assert!(list.on_heard(7, (part.round, 2)), "not all yet");
        (0..3).for_each(|_| list.beat());
        let fresh = next(&mut list);
        assert_eq!((fresh.number, fresh.changes.len()), (1, 0));
        assert!(!list.on_heard(7, (part.round, 3)), "of the round before");
        assert!(list.on_heard(7, (fresh.round, 1)));
        list.beat();
        assert!(next(&mut list).round > fresh.round, "it seemed to keep a list that is over");
        assert!(list.meet(&[]) && list.next_part().is_none());
    }

    #[test]
    fn words_are_heard_in_order_and_once() {
        let mut heard = HeardRound::default();
        let part = |round, number| ListPart { round, number, is_whole: true, changes: Vec::new() };
        assert_eq!(heard.hear(&part(3, 2)), ListNews::Nothing, "the first is missing");
        assert_eq!(heard.hear(&part(3, 1)), ListNews::Begins);
        assert_eq!(heard.hear(&part(3, 1)), ListNews::Nothing, "twice");
        assert_eq!(heard.hear(&part(3, 3)), ListNews::Nothing, "one is missing");
        assert_eq!(heard.hear(&part(3, 2)), ListNews::GoesOn);
        assert_eq!(heard.hear(&part(4, 1)), ListNews::Begins);
        assert_eq!(heard.hear(&part(3, 3)), ListNews::Nothing, "late");
        assert_eq!(HeardRound::default().hear(&part(0, 1)), ListNews::Nothing, "no broker says it so");
    }
}
