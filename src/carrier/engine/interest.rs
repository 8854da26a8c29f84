//! The interest of this broker: what its shards want, since which change, and the subscriptions at the engine for it. Owned by the
//! engine's state.

use std::collections::VecDeque;

use ahash::AHashMap;

use super::EngineOrder;
use super::cover::Cover;
use super::subject::{Subjects, widen};
use super::word::{EngineWord, fitting};
use crate::topic::Filter;

/// All of it.
#[derive(Default)]
pub(super) struct OwnInterest {
    /// By filter: the change with which it came to be wanted.
    wanted: AHashMap<Filter, u64>,
    cover: Cover,
    /// Changes that no broker was told yet.
    untold: VecDeque<(u64, Filter, bool)>,
    /// The number of the last change that was told.
    told: u64,
    /// The number of the last change.
    changes: u64,
    /// The number of the last change that began something.
    begun: u64,
}

impl OwnInterest {
    /// Notes a change. Returns what to do at the engine, before the others are told.
    pub(super) fn change(
        &mut self,
        (filter, wanted): (Filter, bool),
        (change, crosses): (u64, bool),
        subjects: &Subjects,
    ) -> Vec<EngineOrder> {
        self.changes = change;
        if !crosses {
            return Vec::new();
        }
        let wide = widen(&filter);
        let orders = if wanted {
            self.wanted.insert(filter.clone(), change);
            self.begun = change;
            self.cover.add(&wide, subjects)
        } else {
            self.wanted.remove(&filter);
            self.cover.remove(&wide, subjects)
        };
        self.untold.push_back((change, filter, wanted));
        orders
    }

    /// The subscriptions of a new connection.
    pub(super) fn restate_orders(&mut self, subjects: &Subjects) -> Vec<EngineOrder> {
        self.cover.restate(subjects)
    }

    /// A number for a subscription of another kind.
    pub(super) fn next_number(&mut self) -> u32 {
        self.cover.next_number()
    }

    /// Notes that changes happened which concern nobody else.
    pub(super) fn count(&mut self, changes: u64) {
        self.changes = changes;
    }

    /// The words for changes that nobody was told yet.
    pub(super) fn next_word(&mut self) -> Option<EngineWord> {
        if self.told == self.changes {
            return None;
        }
        let fit = fitting(self.untold.iter().map(|(_, filter, _)| filter.as_bytes().len()));
        let told = self.untold.drain(..fit.min(self.untold.len()));
        let changes = told.map(|(_, filter, wanted)| (filter, wanted)).collect();
        let from = self.told;
        self.told = self.untold.front().map_or(self.changes, |(next, ..)| next - 1);
        Some(EngineWord::Interest { from, to: self.told, changes })
    }

    /// The words of the whole list for all: nothing is left to be told.
    pub(super) fn restated_to_all(&mut self) -> Vec<EngineWord> {
        self.untold.clear();
        self.told = self.changes;
        self.restated()
    }

    /// The words of the whole list, for one broker. Changes that nobody was told yet are told to it once more.
    pub(super) fn restated(&self) -> Vec<EngineWord> {
        let filters: Vec<Filter> = self.wanted.keys().cloned().collect();
        let (mut parts, mut rest) = (Vec::new(), &filters[..]);
        loop {
            let fit = fitting(rest.iter().map(|filter| filter.as_bytes().len())).min(rest.len());
            let (first, others) = rest.split_at(fit);
            let part = u32::try_from(parts.len()).expect("few parts");
            parts.push((part, others.is_empty(), first.to_vec()));
            rest = others;
            if rest.is_empty() {
                break;
            }
        }
        let to = self.told;
        let word = |(part, is_last, filters)| EngineWord::Restated { to, part, is_last, filters };
        parts.into_iter().map(word).collect()
    }

    /// The number of the last change that was told.
    pub(super) fn told(&self) -> u64 {
        self.told
    }

    /// True if a broker that routes by so many changes knows of a filter for this topic, which is wanted.
    pub(super) fn is_answered(&self, topic: &[u8], seen: u64) -> bool {
        // Most of the time all is answered.
        seen >= self.begun
            || self.wanted.iter().any(|(filter, since)| *since <= seen && filter.matches(topic))
    }

    /// The number of filters.
    pub(super) fn len(&self) -> usize {
        self.wanted.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Filter {
        Filter::parse(text).unwrap()
    }

    #[test]
    fn a_change_is_told_once_and_a_filter_counts_from_its_answer_on() {
        let (mut interest, subjects) = (OwnInterest::default(), Subjects::new("c"));
        assert!(!interest.change((filter("a.*"), true), (1, true), &subjects).is_empty());
        let word = EngineWord::Interest { from: 0, to: 1, changes: vec![(filter("a.*"), true)] };
        assert_eq!((interest.next_word(), interest.next_word()), (Some(word), None));
        interest.change((filter("b"), true), (3, true), &subjects);
        assert!(
            interest.is_answered(b"a.b", 1)
                && !interest.is_answered(b"b", 2)
                && interest.is_answered(b"b", 3)
        );
        assert!(interest.change((filter("c"), true), (4, false), &subjects).is_empty(), "it does not cross");
        let word = EngineWord::Interest { from: 1, to: 4, changes: vec![(filter("b"), true)] };
        assert_eq!(interest.next_word(), Some(word));
        interest.count(5);
        let word = EngineWord::Interest { from: 4, to: 5, changes: Vec::new() };
        assert_eq!(interest.next_word(), Some(word));
    }

    #[test]
    fn many_changes_are_told_in_parts_each_with_the_number_that_is_complete() {
        let (mut interest, subjects) = (OwnInterest::default(), Subjects::new("c"));
        let all = 5_000_u64;
        for n in 1..=all {
            interest.change((filter(&format!("{n:0>100}")), true), (2 * n, true), &subjects);
        }
        let (mut told, mut last) = (0, 0);
        while let Some(word) = interest.next_word() {
            let EngineWord::Interest { from, to, changes } = word else { unreachable!() };
            assert_eq!(from, last);
            (told, last) = (told + changes.len() as u64, to);
            assert!(told == all || to == 2 * told + 1, "{to} of {told}");
        }
        assert_eq!((told, last), (all, 2 * all));
        let parts = interest.restated();
        assert!(parts.len() > 5);
        for (at, word) in (0..).zip(&parts) {
            let EngineWord::Restated { to, part, is_last, .. } = word else { unreachable!() };
            assert_eq!((*to, *part, *is_last), (2 * all, at, at as usize == parts.len() - 1));
        }
    }
}
