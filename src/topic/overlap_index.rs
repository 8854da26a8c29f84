//! Owns the index from a filter to the filters that overlap it, which introduces publishers to subscribers: both sides
//! are filters. A look-up costs nothing for filters that do not overlap.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

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

    /// True if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// The targets of the filters that overlap this one, sorted and without duplicates, and the number of visited
    /// nodes.
    pub fn overlapping(&self, filter: &Filter) -> (Vec<T>, usize) {
        let mut found = Vec::new();
        let visited = self.walk(filter, usize::MAX, |_, targets| {
            targets.append_to(&mut found);
            ControlFlow::Continue(())
        });
        found.sort_unstable();
        found.dedup();
        (found, visited)
    }

    /// The entries whose filter overlaps this one, in no particular order, and the number of visited nodes.
    pub fn entries_overlapping(&self, filter: &Filter) -> (Vec<(Filter, T)>, usize) {
        let mut found = Vec::new();
        let visited = self.walk(filter, usize::MAX, |place, targets| {
            let filter = place.filter();
            found.extend(targets.iter().map(|target| (filter.clone(), target)));
            ControlFlow::Continue(())
        });
        (found, visited)
    }

    /// True if a filter overlaps this one, or if that is still open after so many nodes; and the number of visited nodes.
    pub fn overlaps(&self, filter: &Filter, visits_max: usize) -> (bool, usize) {
        let mut found = false;
        let visited = self.walk(filter, visits_max, |_, _| {
            found = true;
            ControlFlow::Break(())
        });
        (found || visited >= visits_max, visited)
    }

    /// Calls `each` with the targets of every filter that overlaps this one, until it breaks or so many nodes are
    /// visited. Returns their number.
    fn walk(
        &self,
        filter: &Filter,
        visits_max: usize,
        mut each: impl FnMut(&Place<'_>, &Targets<T>) -> ControlFlow<()>,
    ) -> usize {
        let mut walk = Walk { path: Vec::new(), visited: 0, visits_max, each: &mut each };
        let _ = self.root.find(&levels(filter), &mut walk);
        walk.visited
    }
}

/// The end of a filter in the tree.
struct Place<'a> {
    /// The levels down to the node, with a dot after each.
    path: &'a [u8],
    end: End<'a>,
}

#[derive(Clone, Copy)]
enum End<'a> {
    Here,
    Rest,
    Begun(&'a [u8]),
}

impl Place<'_> {
    /// The filter that ends here.
    fn filter(&self) -> Filter {
        let of =
            |kind, bytes: &[u8]| Filter::from_wire(kind, bytes).expect("the bytes are those of a filter");
        match self.end {
            End::Here => of(Filter::WIRE_PATTERN, &self.path[..self.path.len() - 1]),
            End::Rest => of(Filter::WIRE_PATTERN, &[self.path, &[ALL_THE_REST]].concat()),
            End::Begun(begun) => of(Filter::WIRE_PREFIX, &[self.path, begun].concat()),
        }
    }
}

/// A search under way.
struct Walk<'a, T> {
    /// The levels down to the node at hand, with a dot after each.
    path: Vec<u8>,
    visited: usize,
    visits_max: usize,
    each: &'a mut dyn FnMut(&Place<'_>, &Targets<T>) -> ControlFlow<()>,
}

impl<T: Copy + Ord> Walk<'_, T> {
    /// Counts a node; breaks if it is one too many.
    fn visit(&mut self) -> ControlFlow<()> {
        if self.visited >= self.visits_max {
            return ControlFlow::Break(());
        }
        self.visited += 1;
        ControlFlow::Continue(())
    }

    fn take(&mut self, targets: &Targets<T>, end: End<'_>) -> ControlFlow<()> {
        if targets.is_empty() {
            return ControlFlow::Continue(());
        }
        (self.each)(&Place { path: &self.path, end }, targets)
    }

    fn take_begun<'b>(&mut self, begun: impl Iterator<Item = (&'b Bytes, &'b Targets<T>)>) -> ControlFlow<()>
    where
        T: 'b,
    {
        for (begun, targets) in begun {
            self.visit()?;
            self.take(targets, End::Begun(begun))?;
        }
        ControlFlow::Continue(())
    }

    /// Goes on below each of these nodes.
    fn descend<'n>(
        &mut self,
        children: impl Iterator<Item = (&'n [u8], &'n Node<T>)>,
        mut below: impl FnMut(&'n Node<T>, &mut Self) -> ControlFlow<()>,
    ) -> ControlFlow<()>
    where
        T: 'n,
    {
        let length = self.path.len();
        for (name, node) in children {
            self.path.extend_from_slice(name);
            self.path.push(SEPARATOR);
            below(node, self)?;
            self.path.truncate(length);
        }
        ControlFlow::Continue(())
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

    fn any(&self) -> impl Iterator<Item = (&[u8], &Node<T>)> {
        self.any.iter().map(|node| (&[ANY_LEVEL][..], &**node))
    }

    fn children(&self) -> impl Iterator<Item = (&[u8], &Node<T>)> {
        self.any().chain(self.named.iter().map(|(name, node)| (&name[..], node)))
    }

    /// The prefixes whose last level is the start of this name, shorter than `below` bytes.
    fn shorter<'n>(&'n self, name: &[u8], below: usize) -> impl Iterator<Item = (&'n Bytes, &'n Targets<T>)> {
        (0..below).filter_map(move |length| self.begun.get_key_value(&name[..length]))
    }

    fn find(&self, levels: &[Level<'_>], walk: &mut Walk<'_, T>) -> ControlFlow<()> {
        walk.visit()?;
        let Some((level, levels)) = levels.split_first() else { return walk.take(&self.here, End::Here) };
        walk.take(&self.rest, End::Rest)?;
        match level {
            Level::Rest => self.take_children(walk),
            Level::Any => {
                walk.take_begun(self.begun.iter())?;
                walk.descend(self.children(), |node, walk| node.find(levels, walk))
            }
            Level::Name(name) => {
                walk.take_begun(self.shorter(name, name.len() + 1))?;
                let named = self.named.get_key_value(*name).map(|(name, node)| (&name[..], node));
                walk.descend(self.any().chain(named), |node, walk| node.find(levels, walk))
            }
            Level::Begun(begun) => {
                walk.take_begun(self.shorter(begun, begun.len()))?;
                let from = (Bound::Included(*begun), Bound::Unbounded);
                let longer =
                    self.begun.range::<[u8], _>(from).take_while(|(other, _)| other.starts_with(begun));
                walk.take_begun(longer)?;
                let named = self.named.range::<[u8], _>(from).take_while(|(name, _)| name.starts_with(begun));
                let named = named.map(|(name, node)| (&name[..], node));
                walk.descend(self.any().chain(named), Self::take_below)
            }
        }
    }

    /// Takes all targets with at least one level more than down to here, except those that go on with `>`.
    fn take_children(&self, walk: &mut Walk<'_, T>) -> ControlFlow<()> {
        walk.take_begun(self.begun.iter())?;
        walk.descend(self.children(), Self::take_below)
    }

    /// Takes all targets with these levels down to here.
    fn take_below(&self, walk: &mut Walk<'_, T>) -> ControlFlow<()> {
        walk.visit()?;
        walk.take(&self.here, End::Here)?;
        walk.take(&self.rest, End::Rest)?;
        self.take_children(walk)
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
                let mut there: Vec<(Filter, u8)> =
                    entries.iter().filter(|(there, _)| there.overlaps(&filter)).cloned().collect();
                there.sort_unstable();
                let (mut found, visited) = index.entries_overlapping(&filter);
                found.sort_unstable();
                prop_assert_eq!(found, there, "{:?}", filter);
                prop_assert_eq!(index.overlaps(&filter, usize::MAX).0, !scan.is_empty(), "{:?}", filter);
                prop_assert!(index.overlaps(&filter, visited + 1).1 <= visited);
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

    #[test]
    fn one_overlap_is_enough_and_none_is_looked_for_in_bounded_work() {
        let mut index = OverlapIndex::default();
        for n in 0..50_000 {
            index.insert(&Filter::prefix(format!("{n}.a").as_bytes()).expect("a short prefix"), n);
        }
        let overlaps = |text: &str, most| index.overlaps(&Filter::parse(text).expect("a filter"), most);
        for wide in [">", "*.>", "*.a", "77.*"] {
            let (found, visited) = overlaps(wide, 1_000);
            assert!(found && visited < 10, "{wide}: {visited}");
        }
        assert!(!overlaps("77.b", 1_000).0);
        // Each of the names may lead to a `b`: it is taken for granted rather than looked for in all of them.
        assert_eq!(overlaps("*.b", 1_000), (true, 1_000));
        assert!(!overlaps("*.b", usize::MAX).0);
    }
}
