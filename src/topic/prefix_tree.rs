//! Owns the byte prefixes of an index: a radix tree, so that a look-up costs the length of the topic, however many
//! prefixes there are and however long. Only the index uses it.

use super::targets::Targets;

/// One prefix, or the point at which two of them diverge. Each node below the root has at least one byte of label, so
/// depth is at most `TOPIC_BYTES_MAX`, and so is recursion. Except at the root, a node without targets has two branches
/// or more.
#[derive(Debug)]
pub(super) struct PrefixNode<T> {
    /// The bytes after the label of the node above.
    label: Box<[u8]>,
    /// Targets of the prefix that ends here.
    targets: Targets<T>,
    /// The branches, sorted by the first byte of the label, which differs from branch to branch.
    branches: Vec<PrefixNode<T>>,
}

impl<T: Copy + Ord> PrefixNode<T> {
    /// The root of an empty tree.
    pub(super) fn new() -> Self {
        Self::with_label(&[])
    }

    fn with_label(label: &[u8]) -> Self {
        PrefixNode { label: label.into(), targets: Targets::new(), branches: Vec::new() }
    }

    fn branch_of(&self, first: u8) -> Result<usize, usize> {
        self.branches.binary_search_by_key(&first, |branch| branch.label[0])
    }

    /// Adds an entry; false if it was there.
    pub(super) fn insert(&mut self, prefix: &[u8], target: T) -> bool {
        let mut node = self;
        let mut prefix = prefix;
        while let Some(first) = prefix.first() {
            let at = match node.branch_of(*first) {
                Ok(at) => at,
                Err(at) => {
                    node.branches.insert(at, PrefixNode::with_label(prefix));
                    at
                }
            };
            node = &mut node.branches[at];
            let common = common_length(&node.label, prefix);
            if common < node.label.len() {
                node.split(common);
            }
            prefix = &prefix[common..];
        }
        node.targets.insert(target)
    }

    /// Makes this the node of the label's first `at` bytes, and moves all its contents into one branch below.
    fn split(&mut self, at: usize) {
        assert!(at > 0 && at < self.label.len(), "neither part may be empty");
        let mut above = Self::with_label(&self.label[..at]);
        above.branches.reserve_exact(2);
        std::mem::swap(self, &mut above);
        let mut below = above;
        below.label = below.label[at..].into();
        self.branches.push(below);
    }

    /// Removes an entry; false if it was not there.
    pub(super) fn remove(&mut self, prefix: &[u8], target: T) -> bool {
        let Some(first) = prefix.first() else { return self.targets.remove(target) };
        let Ok(at) = self.branch_of(*first) else { return false };
        let branch = &mut self.branches[at];
        let Some(prefix) = prefix.strip_prefix(&*branch.label) else { return false };
        let removed = branch.remove(prefix, target);
        if removed && branch.targets.is_empty() {
            match branch.branches.len() {
                0 => {
                    self.branches.remove(at);
                }
                1 => branch.join_with_its_branch(),
                _ => {}
            }
        }
        removed
    }

    fn join_with_its_branch(&mut self) {
        let Some(mut below) = self.branches.pop() else { return };
        below.label = [&*self.label, &*below.label].concat().into();
        *self = below;
    }

    /// True for the root of a tree without prefixes.
    pub(super) fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.branches.is_empty()
    }

    /// Appends the targets of the prefixes with which the topic begins, unsorted; a target of two prefixes appears
    /// twice. Returns the number of visited nodes.
    pub(super) fn append_matches(&self, topic: &[u8], out: &mut Vec<T>) -> usize {
        let mut node = self;
        let mut topic = topic;
        let mut visited = 1;
        loop {
            node.targets.append_to(out);
            let Some(first) = topic.first() else { return visited };
            let Ok(at) = node.branch_of(*first) else { return visited };
            node = &node.branches[at];
            visited += 1;
            match topic.strip_prefix(&*node.label) {
                Some(rest) => topic = rest,
                None => return visited,
            }
        }
    }

    /// True if the topic begins with one of the prefixes.
    pub(super) fn has_match(&self, topic: &[u8]) -> bool {
        let mut node = self;
        let mut topic = topic;
        loop {
            if !node.targets.is_empty() {
                return true;
            }
            let Some(Ok(at)) = topic.first().map(|first| node.branch_of(*first)) else { return false };
            node = &node.branches[at];
            let Some(rest) = topic.strip_prefix(&*node.label) else { return false };
            topic = rest;
        }
    }

    /// Calls `each` with every prefix with which the topic begins.
    pub(super) fn for_each_match(&self, topic: &[u8], mut each: impl FnMut(&[u8])) {
        let (mut node, mut length) = (self, 0);
        loop {
            if !node.targets.is_empty() {
                each(&topic[..length]);
            }
            let Some(Ok(at)) = topic.get(length).map(|first| node.branch_of(*first)) else { return };
            node = &node.branches[at];
            if !topic[length..].starts_with(&node.label) {
                return;
            }
            length += node.label.len();
        }
    }
}

fn common_length(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::TOPIC_BYTES_MAX;

    fn matches(tree: &PrefixNode<u32>, topic: &[u8]) -> Vec<u32> {
        let mut out = Vec::new();
        tree.append_matches(topic, &mut out);
        out
    }

    #[test]
    fn labels_split_and_join_again() {
        let mut tree = PrefixNode::new();
        assert!(
            tree.insert(b"abcd", 4)
                && tree.insert(b"abxy", 5)
                && tree.insert(b"ab", 2)
                && tree.insert(b"", 0)
        );
        assert!(!tree.insert(b"ab", 2));
        assert_eq!(matches(&tree, b"abcde"), [0, 2, 4]);
        assert_eq!(matches(&tree, b"abc"), [0, 2]);
        assert_eq!(matches(&tree, b"a"), [0]);
        assert!(!tree.remove(b"abc", 4) && !tree.remove(b"a", 2) && !tree.remove(b"abcd", 5));
        assert!(tree.remove(b"ab", 2) && tree.remove(b"abcd", 4));
        assert_eq!((tree.branches.len(), &*tree.branches[0].label), (1, &b"abxy"[..]));
        assert_eq!(matches(&tree, b"abxyz"), [0, 5]);
        assert!(tree.remove(b"abxy", 5) && tree.remove(b"", 0));
        assert!(tree.is_empty());
    }

    #[test]
    fn the_deepest_tree_fits_the_stack() {
        let longest = vec![b'a'; TOPIC_BYTES_MAX];
        let mut tree = PrefixNode::new();
        for length in 0..=TOPIC_BYTES_MAX {
            assert!(tree.insert(&longest[..length], 1));
        }
        assert_eq!(matches(&tree, &longest).len(), TOPIC_BYTES_MAX + 1);
        for length in (0..=TOPIC_BYTES_MAX).rev() {
            assert!(tree.remove(&longest[..length], 1));
        }
        assert!(tree.is_empty());
    }
}
