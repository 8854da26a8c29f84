//! Owns the patterns with wildcards of an index: a trie with one node for each level. Only the index uses it.

use ahash::AHashMap;
use bytes::Bytes;

use super::filter::Pattern;
use super::name::{ALL_THE_REST, ANY_LEVEL, SEPARATOR};
use super::targets::Targets;
use crate::slack::give_back;

/// A node: the common start of patterns, up to some level. Depth, and so recursion, is at most `TOPIC_LEVELS_MAX`.
#[derive(Debug)]
pub(super) struct PatternNode<T> {
    /// Targets of patterns that end here.
    here: Targets<T>,
    /// Targets of patterns that go on with `>`.
    rest: Targets<T>,
    /// Patterns that go on with `*`.
    any: Option<Box<PatternNode<T>>>,
    /// Patterns that go on with a name.
    named: AHashMap<Bytes, PatternNode<T>>,
}

impl<T: Copy + Ord> PatternNode<T> {
    pub(super) fn new() -> Self {
        PatternNode { here: Targets::new(), rest: Targets::new(), any: None, named: AHashMap::new() }
    }

    /// Adds an entry; false if it was there.
    pub(super) fn insert(&mut self, pattern: &Pattern, target: T) -> bool {
        let mut node = self;
        for level in pattern.levels() {
            node = match level {
                [ALL_THE_REST] => return node.rest.insert(target),
                [ANY_LEVEL] => node.any.get_or_insert_with(|| Box::new(PatternNode::new())),
                name => node.named.entry(Bytes::copy_from_slice(name)).or_insert_with(PatternNode::new),
            };
        }
        node.here.insert(target)
    }

    /// Removes an entry; false if it was not there.
    pub(super) fn remove(&mut self, pattern: &Pattern, target: T) -> bool {
        self.remove_below(&mut pattern.levels(), target)
    }

    fn remove_below(&mut self, levels: &mut dyn Iterator<Item = &[u8]>, target: T) -> bool {
        match levels.next() {
            None => self.here.remove(target),
            Some([ALL_THE_REST]) => self.rest.remove(target),
            Some([ANY_LEVEL]) => {
                let Some(node) = &mut self.any else { return false };
                let removed = node.remove_below(levels, target);
                if node.is_empty() {
                    self.any = None;
                }
                removed
            }
            Some(name) => {
                let Some(node) = self.named.get_mut(name) else { return false };
                let removed = node.remove_below(levels, target);
                if node.is_empty() {
                    self.named.remove(name);
                    give_back(&mut self.named);
                }
                removed
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.here.is_empty() && self.rest.is_empty() && self.any.is_none() && self.named.is_empty()
    }

    /// Appends the targets of the patterns that match, unsorted; a target of two patterns appears twice. `topic` is the
    /// rest of the topic, and `None` after its last level. Returns the number of visited nodes.
    pub(super) fn append_matches(&self, topic: Option<&[u8]>, out: &mut Vec<T>) -> usize {
        let Some(topic) = topic else {
            self.here.append_to(out);
            return 1;
        };
        self.rest.append_to(out);
        if self.any.is_none() && self.named.is_empty() {
            return 1;
        }
        let (level, topic) = split_level(topic);
        let mut visited = 1;
        if let Some(node) = &self.any {
            visited += node.append_matches(topic, out);
        }
        if let Some(node) = self.named.get(level) {
            visited += node.append_matches(topic, out);
        }
        visited
    }

    /// True if a pattern matches. `topic` is as for [`PatternNode::append_matches`].
    pub(super) fn has_match(&self, topic: Option<&[u8]>) -> bool {
        let Some(topic) = topic else { return !self.here.is_empty() };
        if !self.rest.is_empty() {
            return true;
        }
        let (level, topic) = split_level(topic);
        self.any.as_ref().is_some_and(|node| node.has_match(topic))
            || self.named.get(level).is_some_and(|node| node.has_match(topic))
    }

    /// True if one of the patterns covers a pattern whole. `asked` is the rest of that pattern, and `None` after its last
    /// level.
    pub(super) fn covers(&self, asked: Option<&[u8]>) -> bool {
        let Some(asked) = asked else { return !self.here.is_empty() };
        if !self.rest.is_empty() {
            return true;
        }
        let (level, asked) = split_level(asked);
        let is_covered_by_any =
            level != [ALL_THE_REST] && self.any.as_ref().is_some_and(|node| node.covers(asked));
        // No name is a wildcard.
        is_covered_by_any || self.named.get(level).is_some_and(|node| node.covers(asked))
    }

    /// True if one of the patterns covers all topics that begin with the levels down to here and then with `prefix`.
    pub(super) fn covers_prefix(&self, prefix: &[u8]) -> bool {
        if !self.rest.is_empty() {
            return true;
        }
        // The last level of a prefix may be the start of a longer one, and only `>` covers what is open.
        let (level, Some(prefix)) = split_level(prefix) else { return false };
        self.any.as_ref().is_some_and(|node| node.covers_prefix(prefix))
            || self.named.get(level).is_some_and(|node| node.covers_prefix(prefix))
    }

    /// Calls `each` with the bytes of every pattern that matches. `path` leads here, with a dot after each level.
    pub(super) fn for_each_match(
        &self,
        topic: Option<&[u8]>,
        path: &mut Vec<u8>,
        each: &mut impl FnMut(&[u8]),
    ) {
        let Some(topic) = topic else {
            if !self.here.is_empty() {
                each(&path[..path.len() - 1]);
            }
            return;
        };
        let length = path.len();
        if !self.rest.is_empty() {
            path.push(ALL_THE_REST);
            each(path);
            path.truncate(length);
        }
        let (level, topic) = split_level(topic);
        if let Some(node) = &self.any {
            path.extend([ANY_LEVEL, SEPARATOR]);
            node.for_each_match(topic, path, each);
            path.truncate(length);
        }
        if let Some(node) = self.named.get(level) {
            path.extend_from_slice(level);
            path.push(SEPARATOR);
            node.for_each_match(topic, path, each);
            path.truncate(length);
        }
    }
}

/// The first level, and what follows its dot.
fn split_level(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    match bytes.iter().position(|b| *b == SEPARATOR) {
        Some(dot) => (&bytes[..dot], Some(&bytes[dot + 1..])),
        None => (bytes, None),
    }
}
