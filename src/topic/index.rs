//! Owns the index from a topic to its targets. A shard's router owns an index and caches its answers as routes.

use ahash::AHashMap;

use super::targets::Targets;
use super::{Filter, Pattern, Shape, Topic, pattern_trie, prefix_tree};
use crate::slack::give_back;

/// Filters and their targets: one entry for each pair of the two. Exact names are one hash look-up, prefixes a walk
/// down the bytes, patterns a walk down the levels that follows names and `*` at once: it visits no more nodes than
/// there are arrangements of wildcards, so the owner of an index bounds its [`Shape`]s.
#[derive(Debug)]
pub struct Index<T> {
    exact: AHashMap<Topic, Targets<T>>,
    patterns: pattern_trie::PatternNode<T>,
    prefixes: prefix_tree::PrefixNode<T>,
    /// The number of entries of each shape.
    shapes: AHashMap<Shape, usize>,
    len: usize,
}

impl<T: Copy + Ord> Default for Index<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Copy + Ord> Index<T> {
    /// An index without entries.
    pub fn new() -> Self {
        Index {
            exact: AHashMap::new(),
            patterns: pattern_trie::PatternNode::new(),
            prefixes: prefix_tree::PrefixNode::new(),
            shapes: AHashMap::new(),
            len: 0,
        }
    }

    /// Adds an entry; false if it was there.
    pub fn insert(&mut self, filter: &Filter, target: T) -> bool {
        let added = match filter {
            Filter::Exact(name) => self.exact.entry(name.clone()).or_insert_with(Targets::new).insert(target),
            Filter::Pattern(pattern) => self.patterns.insert(pattern, target),
            Filter::Prefix(prefix) => self.prefixes.insert(prefix.as_bytes(), target),
        };
        self.len += usize::from(added);
        if let Some(shape) = filter.shape().filter(|_| added) {
            *self.shapes.entry(shape).or_insert(0) += 1;
        }
        added
    }

    /// Removes an entry, and everything that served it alone; false if it was not there.
    pub fn remove(&mut self, filter: &Filter, target: T) -> bool {
        let removed = match filter {
            Filter::Exact(name) => match self.exact.get_mut(name) {
                Some(targets) => {
                    let removed = targets.remove(target);
                    if targets.is_empty() {
                        self.exact.remove(name);
                        give_back(&mut self.exact);
                    }
                    removed
                }
                None => false,
            },
            Filter::Pattern(pattern) => self.patterns.remove(pattern, target),
            Filter::Prefix(prefix) => self.prefixes.remove(prefix.as_bytes(), target),
        };
        self.len -= usize::from(removed);
        if let Some(shape) = filter.shape().filter(|_| removed)
            && let Some(entries) = self.shapes.get_mut(&shape)
        {
            *entries -= 1;
            if *entries == 0 {
                self.shapes.remove(&shape);
            }
        }
        removed
    }

    /// Replaces the contents of `out` with the targets of this topic, sorted and without duplicates. The topic may be
    /// any bytes. Allocates only to grow `out`. Returns the cost: nodes visited, and targets found there.
    pub fn matches(&self, topic: &[u8], out: &mut Vec<T>) -> usize {
        out.clear();
        if let Some(targets) = self.exact.get(topic) {
            targets.append_to(out);
        }
        let sorted = out.len();
        let visited =
            self.patterns.append_matches(Some(topic), out) + self.prefixes.append_matches(topic, out);
        let work = visited + out.len();
        // The targets of one exact name are sorted already, which is the usual case.
        if out.len() > sorted {
            out.sort_unstable();
            out.dedup();
        }
        work
    }

    /// All filters that match a topic, in no particular order.
    pub fn filters_of(&self, topic: &[u8]) -> Vec<Filter> {
        let exact = self.exact.get_key_value(topic).map(|(name, _)| Filter::Exact(name.clone()));
        let mut found: Vec<Filter> = exact.into_iter().collect();
        self.patterns.for_each_match(Some(topic), &mut Vec::new(), &mut |pattern| {
            found.push(Filter::Pattern(Pattern::of_levels(pattern)));
        });
        self.prefixes.for_each_match(topic, |prefix| {
            found.extend(Filter::prefix(prefix));
        });
        found
    }

    /// The number of different shapes of its patterns, of those that count against the limits.
    pub fn shapes(&self) -> usize {
        self.shapes.len()
    }

    /// True if there is a pattern of this shape.
    pub fn has_shape(&self, shape: &Shape) -> bool {
        self.shapes.contains_key(shape)
    }

    /// The number of entries: pairs of a filter and a target.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are no entries.
    pub fn is_empty(&self) -> bool {
        assert_eq!(
            self.len == 0,
            self.exact.is_empty()
                && self.patterns.is_empty()
                && self.prefixes.is_empty()
                && self.shapes.is_empty(),
            "nothing stays behind when the last entry goes"
        );
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::limits::{FREE_WILDCARD_LEVELS, TURN_STEPS_MAX, WILDCARD_SHAPES_MAX};

    fn filter(text: &str) -> Filter {
        Filter::parse(text).expect(text)
    }

    fn matches(index: &Index<u32>, topic: &[u8]) -> Vec<u32> {
        let mut out = vec![99];
        index.matches(topic, &mut out);
        out
    }

    #[test]
    fn the_three_kinds_meet() {
        let mut index = Index::new();
        assert!(index.is_empty());
        let entries = [
            (filter("a.b"), 5),
            (filter("a.*"), 4),
            (filter("a.>"), 3),
            (filter(">"), 2),
            (Filter::prefix(b"a.").expect("a prefix"), 1),
            (Filter::prefix(b"a.b").expect("a prefix"), 5),
        ];
        for (filter, target) in &entries {
            assert!(index.insert(filter, *target) && !index.insert(filter, *target));
        }
        assert_eq!(index.len(), entries.len());
        assert_eq!(matches(&index, b"a.b"), [1, 2, 3, 4, 5]);
        assert_eq!(matches(&index, b"a.c"), [1, 2, 3, 4]);
        assert_eq!(matches(&index, b"a"), [2]);
        assert_eq!(matches(&index, b"a.b.c"), [1, 2, 3, 5]);
        for (filter, target) in &entries {
            assert!(index.remove(filter, *target) && !index.remove(filter, *target));
        }
        assert!(index.is_empty());
        assert!(matches(&index, b"a.b").is_empty());
    }

    /// Only a scan over all of them would depend on their number: this stays quick in a debug build.
    #[test]
    fn ten_thousand_prefixes_are_cheap_to_ask() {
        let mut index = Index::new();
        for i in 0..10_000_u32 {
            index.insert(&Filter::prefix(format!("{i:05}").as_bytes()).expect("a prefix"), i);
        }
        let mut out = Vec::new();
        for i in 0..100_000_u32 {
            index.matches(format!("{:05}.x", i % 10_000).as_bytes(), &mut out);
            assert_eq!(out, [i % 10_000]);
        }
    }

    /// Patterns that branch at each level, and end in a name that no topic has: the most that shapes allow.
    #[test]
    fn a_look_up_visits_no_more_than_the_shapes_allow() {
        const LEVELS: u32 = 16;
        let mut index = Index::new();
        for wildcards in 0..1_u32 << LEVELS {
            let levels = (0..LEVELS).map(|level| if wildcards >> level & 1 == 1 { "*" } else { "a" });
            let pattern = filter(&levels.chain(["z"]).collect::<Vec<_>>().join("."));
            let is_new = pattern.shape().is_some_and(|shape| !index.has_shape(&shape));
            if index.shapes() < WILDCARD_SHAPES_MAX || !is_new {
                index.insert(&pattern, 1);
            }
        }
        let mut out = Vec::new();
        let topic = vec!["a"; LEVELS as usize + 1].join(".");
        let work = index.matches(topic.as_bytes(), &mut out);
        assert!(out.is_empty());
        let most = (1 << (FREE_WILDCARD_LEVELS + 1))
            + WILDCARD_SHAPES_MAX * (LEVELS as usize + 1 - FREE_WILDCARD_LEVELS);
        assert!(work <= most, "{work} of {most}");
        assert!(work < TURN_STEPS_MAX, "one topic is no more than a turn: {work}");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(Filter, u8),
        Remove(Filter, u8),
        /// Removes the entry at this position, modulo the number of entries, if there is any.
        RemoveAt(usize),
        Ask(Vec<u8>),
    }

    fn any_filter() -> impl Strategy<Value = Filter> {
        let bytes = prop::collection::vec(prop::sample::select(b"ab.*\xff".to_vec()), 0..6);
        prop_oneof![
            "(a|b|ab)(\\.(a|b)){0,3}".prop_map(|text| filter(&text)),
            "(a|b|\\*)(\\.(a|b|\\*)){0,3}(\\.>)?".prop_map(|text| filter(&text)),
            Just(filter(">")),
            bytes.prop_map(|bytes| Filter::prefix(&bytes).expect("a short prefix")),
        ]
    }

    fn any_topic() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            "(a|b|ab)(\\.(a|b)){0,4}".prop_map(String::into_bytes),
            prop::collection::vec(prop::sample::select(b"ab..*>\xff".to_vec()), 0..8),
            prop::collection::vec(any::<u8>(), 0..8),
        ]
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (any_filter(), 0..6_u8).prop_map(|(filter, target)| Step::Insert(filter, target)),
            1 => (any_filter(), 0..6_u8).prop_map(|(filter, target)| Step::Remove(filter, target)),
            2 => any::<usize>().prop_map(Step::RemoveAt),
            4 => any_topic().prop_map(Step::Ask),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_scan(steps in prop::collection::vec(any_step(), 0..120)) {
            let mut index = Index::new();
            let mut entries: Vec<(Filter, u8)> = Vec::new();
            let mut out = Vec::new();
            for step in steps {
                match step {
                    Step::Insert(filter, target) => {
                        let new = !entries.contains(&(filter.clone(), target));
                        prop_assert_eq!(index.insert(&filter, target), new);
                        if new {
                            entries.push((filter, target));
                        }
                    }
                    Step::Remove(filter, target) => {
                        let there = entries.iter().position(|entry| *entry == (filter.clone(), target));
                        prop_assert_eq!(index.remove(&filter, target), there.is_some());
                        there.map(|at| entries.swap_remove(at));
                    }
                    Step::RemoveAt(at) => {
                        if !entries.is_empty() {
                            let (filter, target) = entries.swap_remove(at % entries.len());
                            prop_assert!(index.remove(&filter, target));
                        }
                    }
                    Step::Ask(topic) => {
                        let mut scan: Vec<u8> =
                            entries.iter().filter(|(f, _)| f.matches(&topic)).map(|(_, target)| *target).collect();
                        scan.sort_unstable();
                        scan.dedup();
                        index.matches(&topic, &mut out);
                        prop_assert_eq!(&out, &scan);
                        let found: BTreeSet<Filter> = index.filters_of(&topic).into_iter().collect();
                        let there = entries.iter().filter(|(f, _)| f.matches(&topic));
                        prop_assert_eq!(found, there.map(|(filter, _)| filter.clone()).collect());
                    }
                }
                prop_assert_eq!(index.len(), entries.len());
            }
            for (filter, target) in entries {
                prop_assert!(index.remove(&filter, target));
            }
            prop_assert!(index.is_empty());
        }
    }
}
