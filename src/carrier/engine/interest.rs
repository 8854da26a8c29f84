//! The interest of this broker: what its shards want, since which change, and the subscriptions at the engine for it. Owned by the
//! engine's state.

use std::collections::VecDeque;

use super::EngineOrder;
use super::cover::Cover;
use super::heard::Footing;
use super::subject::{Subjects, widen};
use super::wanted::{WantedFilter, WantedFilters};
use super::word::{EngineWord, fitting};
use crate::limits::ENGINE_OWN_PATTERNS_MAX;
use crate::topic::Filter;

/// All of it.
pub(super) struct OwnInterest {
    wanted: WantedFilters,
    cover: Cover,
    /// The change with which everything came to be wanted, if there are more filters than the others are to be told of.
    everything: Option<u64>,
    /// Most filters that the others are told of, and most of these that are no topics.
    bounds: (usize, usize),
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
    /// No interest, which is told in at most so many filters.
    pub(super) fn new(filters_max: usize) -> Self {
        OwnInterest {
            wanted: WantedFilters::default(),
            cover: Cover::default(),
            everything: None,
            bounds: (filters_max, filters_max.min(ENGINE_OWN_PATTERNS_MAX)),
            untold: VecDeque::new(),
            told: 0,
            changes: 0,
            begun: 0,
        }
    }
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
        if wanted { self.begin(filter, change, subjects) } else { self.end(&filter, change, subjects) }
    }

    fn begin(&mut self, filter: Filter, change: u64, subjects: &Subjects) -> Vec<EngineOrder> {
        let is_told = self.everything.is_none();
        self.wanted.insert(filter.clone(), WantedFilter { since: change, is_told });
        if !is_told {
            return Vec::new();
        }
        let mut orders = self.tell((filter, true), change, subjects);
        if self.wanted.len() > self.bounds.0 || self.wanted.wild() > self.bounds.1 {
            self.everything = Some(change);
            orders.extend(self.tell((Filter::everything(), true), change, subjects));
        }
        orders
    }

    fn end(&mut self, filter: &Filter, change: u64, subjects: &Subjects) -> Vec<EngineOrder> {
        let mut orders = Vec::new();
        let before = self.wanted.remove(filter);
        if before.is_some_and(|wanted| wanted.is_told) {
            orders = self.tell((filter.clone(), false), change, subjects);
        }
        let is_few = self.wanted.len() <= self.bounds.0 / 2 && self.wanted.wild() <= self.bounds.1 / 2;
        if self.everything.is_some() && is_few {
            orders.extend(self.end_everything(change, subjects));
        }
        orders
    }

    /// Few filters are left: the others are told of each again. They never cease to send what these match, so none of them waits for
    /// another answer: it counts from that on by which everything was wanted.
    fn end_everything(&mut self, change: u64, subjects: &Subjects) -> Vec<EngineOrder> {
        let mut orders = Vec::new();
        let Some(since) = self.everything.take() else { return orders };
        let untold = self.wanted.iter().filter(|(_, wanted)| !wanted.is_told);
        for filter in untold.map(|(filter, _)| filter).collect::<Vec<_>>() {
            self.wanted.insert(filter.clone(), WantedFilter { since, is_told: true });
            orders.extend(self.tell((filter, true), change, subjects));
        }
        orders.extend(self.tell((Filter::everything(), false), change, subjects));
        orders
    }

    fn tell(
        &mut self,
        (filter, wanted): (Filter, bool),
        change: u64,
        subjects: &Subjects,
    ) -> Vec<EngineOrder> {
        let wide = widen(&filter);
        // Everything may be wanted for two reasons.
        let stays =
            filter == Filter::everything() && (self.everything.is_some() || self.wanted.contains(&filter));
        if wanted || !stays {
            self.untold.push_back((change, filter, wanted));
        }
        if wanted {
            self.begun = change;
            self.cover.add(&wide, subjects)
        } else {
            self.cover.remove(&wide, subjects)
        }
    }

    /// True if the others are told that everything is wanted.
    pub(super) fn is_of_everything(&self) -> bool {
        self.everything.is_some()
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
        let told = self.wanted.iter().filter(|(_, wanted)| wanted.is_told).map(|(filter, _)| filter);
        let filters: Vec<Filter> = told.chain(self.everything.map(|_| Filter::everything())).collect();
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

    /// The footing of the subscriptions to this topic, which is wanted, with a broker that has answered so many changes; so many are
    /// confirmed to those who have them.
    pub(super) fn footing(&self, topic: &[u8], (seen, confirmed): (u64, u64)) -> Footing {
        // Most of the time all is answered.
        if seen >= self.begun {
            return Footing::Answered;
        }
        let matching = self.wanted.matching(topic).filter(|wanted| wanted.is_told);
        match matching.map(|wanted| wanted.since).chain(self.everything).min() {
            Some(first) if first <= seen => Footing::Answered,
            Some(first) if first <= confirmed => Footing::Confirmed,
            _ => Footing::Open,
        }
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
        let (mut interest, subjects) = (OwnInterest::new(10_000), Subjects::new("c"));
        assert!(!interest.change((filter("a.*"), true), (1, true), &subjects).is_empty());
        let word = EngineWord::Interest { from: 0, to: 1, changes: vec![(filter("a.*"), true)] };
        assert_eq!((interest.next_word(), interest.next_word()), (Some(word), None));
        interest.change((filter("b"), true), (3, true), &subjects);
        let footing = |interest: &OwnInterest, topic: &[u8], seen| interest.footing(topic, (seen, 2));
        assert_eq!(footing(&interest, b"a.b", 1), Footing::Answered);
        assert_eq!(footing(&interest, b"a.b", 0), Footing::Confirmed);
        assert_eq!(footing(&interest, b"b", 2), Footing::Open);
        assert_eq!(footing(&interest, b"b", 3), Footing::Answered);
        assert!(interest.change((filter("c"), true), (4, false), &subjects).is_empty(), "it does not cross");
        let word = EngineWord::Interest { from: 1, to: 4, changes: vec![(filter("b"), true)] };
        assert_eq!(interest.next_word(), Some(word));
        interest.count(5);
        let word = EngineWord::Interest { from: 4, to: 5, changes: Vec::new() };
        assert_eq!(interest.next_word(), Some(word));
    }

    #[test]
    fn beyond_the_bound_everything_is_wanted_until_few_filters_are_left() {
        let (mut interest, subjects) = (OwnInterest::new(10_000), Subjects::new("c"));
        (interest.bounds, interest.told) = ((4, 2), 0);
        let mut change = 0;
        let mut act = |interest: &mut OwnInterest, text: &str, wanted: bool| {
            change += 1;
            interest.change((filter(text), wanted), (change, true), &subjects);
            let mut told = Vec::new();
            while let Some(EngineWord::Interest { changes, .. }) = interest.next_word() {
                let sign = |wanted| if wanted { '+' } else { '-' };
                told.extend(
                    changes.iter().map(|(filter, wanted)| format!("{}{}", sign(*wanted), filter.text())),
                );
            }
            told.join(" ")
        };
        for n in 0..4 {
            act(&mut interest, &n.to_string(), true);
        }
        assert!(!interest.is_of_everything());
        assert_eq!(act(&mut interest, "4", true), format!("+4 +{}", Filter::everything().text()));
        assert!(interest.is_of_everything());
        assert_eq!(act(&mut interest, "5", true), "", "everything is wanted");
        assert_eq!(interest.footing(b"5", (5, 0)), Footing::Answered);
        assert_eq!(interest.footing(b"5", (4, 5)), Footing::Confirmed);
        let EngineWord::Restated { filters, .. } = &interest.restated()[0] else { unreachable!() };
        assert_eq!(filters.len(), 6, "five of them, and everything");
        for n in 0..3 {
            assert_eq!(act(&mut interest, &n.to_string(), false), format!("-{n}"));
        }
        assert!(interest.is_of_everything());
        let told = act(&mut interest, "3", false);
        assert_eq!(told, format!("-3 +5 -{}", Filter::everything().text()), "what replaces it comes first");
        assert!(!interest.is_of_everything());
        assert_eq!(interest.footing(b"5", (6, 0)), Footing::Answered, "it was wanted all the time");
        assert_eq!(interest.footing(b"5", (4, 5)), Footing::Confirmed);
        for pattern in ["a.*", "b.*", "c.*"] {
            act(&mut interest, pattern, true);
        }
        assert!(interest.is_of_everything(), "patterns cost more");
        assert_eq!(interest.wanted.wild(), 3);
    }

    #[test]
    fn many_changes_are_told_in_parts_each_with_the_number_that_is_complete() {
        let (mut interest, subjects) = (OwnInterest::new(10_000), Subjects::new("c"));
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
