//! Owns the index from a filter to the filters that overlap it, which introduces publishers to subscribers: both sides
//! are filters. A look-up costs nothing for filters that do not overlap.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::Filter;
use super::name::{ALL_THE_REST, ANY_LEVEL, SEPARATOR};
use super::targets::Targets;

/// Filters and their targets: one entry for each pair of the two.
#[derive(Debug)]
pub struct OverlapIndex<T> {
    root: Node<T>,
}

/// Filters that share their levels down to here. A filter has at most half as many levels as bytes, which bounds the
/// recursion.
#[derive(Debug)]
struct Node<T> {
    /// Targets of filters that end here.
    here: Targets<T>,
    /// Targets of filters that go on with `>`.
    rest: Targets<T>,
    /// Filters that go on with `*`.
    any: Option<Box<Node<T>>>,
    /// Filters that go on with a name.
    named: BTreeMap<Bytes, Node<T>>,
    /// Targets of prefixes whose last level begins with these bytes.
    begun: BTreeMap<Bytes, Targets<T>>,
}

/// One level of a filter, or the start of one.
#[derive(Clone, Copy)]
enum Level<'a> {
    Any,
    Rest,
    Name(&'a [u8]),
    /// The last level of a prefix, which may be the start of a longer one.
    Begun(&'a [u8]),
}

fn levels(filter: &Filter) -> Vec<Level<'_>> {
    let is_prefix = matches!(filter, Filter::Prefix(_));
    let names = filter.as_bytes().split(|b| *b == SEPARATOR);
    let mut levels: Vec<Level<'_>> = names
        .map(|name| match name {
            [ANY_LEVEL] if !is_prefix => Level::Any,
            [ALL_THE_REST] if !is_prefix => Level::Rest,
            name => Level::Name(name),
        })
        .collect();
    if is_prefix && let Some(Level::Name(begun)) = levels.pop() {
        levels.push(Level::Begun(begun));
    }
    levels
}

impl<T: Copy + Ord> Default for OverlapIndex<T> {
    fn default() -> Self {
        OverlapIndex { root: Node::new() }
    }
}

impl<T: Copy + Ord> OverlapIndex<T> {
    /// Adds an entry; false if it was there.
    pub fn insert(&mut self, filter: &Filter, target: T) -> bool {
        self.root.insert(&levels(filter), target)
    }

    /// Removes an entry; false if it was not there.
    pub fn remove(&mut self, filter: &Filter, target: T) -> bool {
        self.root.remove(&levels(filter), target)
    }

    /// The targets of the filters that overlap this one, sorted and without duplicates, and the number of visited
    /// nodes.
    pub fn overlapping(&self, filter: &Filter) -> (Vec<T>, usize) {
        let mut found = Found { targets: Vec::new(), visited: 0 };
        self.root.find(&levels(filter), &mut found);
        found.targets.sort_unstable();
        found.targets.dedup();
        (found.targets, found.visited)
    }
}

struct Found<T> {
    targets: Vec<T>,
    visited: usize,
}

impl<T: Copy + Ord> Found<T> {
    fn take(&mut self, targets: &Targets<T>) {
        targets.append_to(&mut self.targets);
    }

    fn take_all<'a>(&mut self, all: impl Iterator<Item = &'a Targets<T>>)
    where
        T: 'a,
    {
        for targets in all {
            self.visited += 1;
            self.take(targets);
        }
    }
}

impl<T: Copy + Ord> Node<T> {
    fn new() -> Self {
        Node {
            here: Targets::new(),
            rest: Targets::new(),
            any: None,
            named: BTreeMap::new(),
            begun: BTreeMap::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.here.is_empty()
            && self.rest.is_empty()
            && self.any.is_none()
            && self.named.is_empty()
            && self.begun.is_empty()
    }

    fn insert(&mut self, levels: &[Level<'_>], target: T) -> bool {
        let Some((level, levels)) = levels.split_first() else { return self.here.insert(target) };
        match level {
            Level::Rest => self.rest.insert(target),
            Level::Any => self.any.get_or_insert_with(|| Box::new(Node::new())).insert(levels, target),
            Level::Name(name) => {
                let name = Bytes::copy_from_slice(name);
                self.named.entry(name).or_insert_with(Node::new).insert(levels, target)
            }
            Level::Begun(begun) => {
                let begun = Bytes::copy_from_slice(begun);
                self.begun.entry(begun).or_insert_with(Targets::new).insert(target)
            }
        }
    }

    fn remove(&mut self, levels: &[Level<'_>], target: T) -> bool {
        let Some((level, levels)) = levels.split_first() else { return self.here.remove(target) };
        match level {
            Level::Rest => self.rest.remove(target),
            Level::Any => {
                let Some(node) = &mut self.any else { return false };
                let removed = node.remove(levels, target);
                if node.is_empty() {
                    self.any = None;
                }
                removed
            }
            Level::Name(name) => {
                let Some(node) = self.named.get_mut(*name) else { return false };
                let removed = node.remove(levels, target);
                if node.is_empty() {
                    self.named.remove(*name);
                }
                removed
            }
            Level::Begun(begun) => {
                let Some(targets) = self.begun.get_mut(*begun) else { return false };
                let removed = targets.remove(target);
                if targets.is_empty() {
                    self.begun.remove(*begun);
                }
                removed
            }
        }
    }

    fn find(&self, levels: &[Level<'_>], found: &mut Found<T>) {
        found.visited += 1;
        let Some((level, levels)) = levels.split_first() else { return found.take(&self.here) };
        found.take(&self.rest);
        match level {
            Level::Rest => self.take_children(found),
            Level::Any => {
                found.take_all(self.begun.values());
                let children = self.any.iter().map(|node| &**node).chain(self.named.values());
                children.for_each(|node| node.find(levels, found));
            }
            Level::Name(name) => {
                // A prefix whose last level is the start of this name.
                let shorter = (0..=name.len()).filter_map(|length| self.begun.get(&name[..length]));
                found.take_all(shorter);
                let children = self.any.iter().map(|node| &**node).chain(self.named.get(*name));
                children.for_each(|node| node.find(levels, found));
            }
            Level::Begun(begun) => {
                let shorter = (0..begun.len()).filter_map(|length| self.begun.get(&begun[..length]));
                found.take_all(shorter);
                let from = (Bound::Included(*begun), Bound::Unbounded);
                let longer =
                    self.begun.range::<[u8], _>(from).take_while(|(other, _)| other.starts_with(begun));
                found.take_all(longer.map(|(_, targets)| targets));
                let named = self.named.range::<[u8], _>(from).take_while(|(name, _)| name.starts_with(begun));
                let children = self.any.iter().map(|node| &**node).chain(named.map(|(_, node)| node));
                children.for_each(|node| node.take_below(found));
            }
        }
    }

    /// Takes all targets with at least one level more than down to here, except those that go on with `>`.
    fn take_children(&self, found: &mut Found<T>) {
        found.take_all(self.begun.values());
        let children = self.any.iter().map(|node| &**node).chain(self.named.values());
        children.for_each(|node| node.take_below(found));
    }

    /// Takes all targets with these levels down to here.
    fn take_below(&self, found: &mut Found<T>) {
        found.visited += 1;
        found.take(&self.here);
        found.take(&self.rest);
        self.take_children(found);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_filter() -> impl Strategy<Value = Filter> {
        let bytes = prop::collection::vec(prop::sample::select(b"ab.*".to_vec()), 0..6);
        prop_oneof![
            "(a|b|ab|\\*)(\\.(a|b|ab|\\*)){0,3}(\\.>)?"
                .prop_map(|text| Filter::parse(&text).expect("a filter")),
            Just(Filter::parse(">").expect("a filter")),
            bytes.prop_map(|bytes| Filter::prefix(&bytes).expect("a short prefix")),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_scan(
            steps in prop::collection::vec((any_filter(), 0..4_u8, any::<bool>()), 0..60),
            asked in prop::collection::vec(any_filter(), 1..20),
        ) {
            let mut index = OverlapIndex::default();
            let mut entries: Vec<(Filter, u8)> = Vec::new();
            for (filter, target, adds) in steps {
                let there = entries.iter().position(|entry| *entry == (filter.clone(), target));
                if adds {
                    prop_assert_eq!(index.insert(&filter, target), there.is_none());
                    if there.is_none() {
                        entries.push((filter, target));
                    }
                } else {
                    prop_assert_eq!(index.remove(&filter, target), there.is_some());
                    there.map(|at| entries.swap_remove(at));
                }
            }
            for filter in asked {
                let mut scan: Vec<u8> =
                    entries.iter().filter(|(there, _)| there.overlaps(&filter)).map(|(_, target)| *target).collect();
                scan.sort_unstable();
                scan.dedup();
                prop_assert_eq!(index.overlapping(&filter).0, scan, "{:?}", filter);
            }
            for (filter, target) in entries {
                prop_assert!(index.remove(&filter, target));
            }
            prop_assert!(index.root.is_empty());
        }
    }

    #[test]
    fn a_topic_among_very_many_is_found_at_once() {
        let mut index = OverlapIndex::default();
        for n in 0..50_000 {
            index.insert(&Filter::parse(&format!("t.{n}")).expect("a filter"), n);
        }
        for asked in ["t.77", "t.77.>", "*.77"] {
            let (found, visited) = index.overlapping(&Filter::parse(asked).expect("a filter"));
            assert_eq!(found, if asked == "t.77.>" { vec![] } else { vec![77] }, "{asked}");
            assert!(visited < 10, "{visited}");
        }
    }
}
