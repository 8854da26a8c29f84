//! Changes of interest that wait until the next hop reads again. Owned by their sender.

use std::borrow::Borrow;
use std::hash::Hash;

use ahash::AHashMap;

/// The change that waits for each key, if any. A change and its opposite cancel out, so a hop that reads nothing costs no
/// more than there are keys, however often they come and go.
#[derive(Debug)]
pub(crate) struct Late<K> {
    changes: AHashMap<K, bool>,
}

impl<K> Default for Late<K> {
    fn default() -> Self {
        Late { changes: AHashMap::new() }
    }
}

impl<K: Hash + Eq> Late<K> {
    /// True if nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// A key has come to be wanted, or ceased to be. The change before, if it is late too, was the opposite. `keep` makes
    /// the key to keep.
    pub(crate) fn add<Q>(&mut self, key: &Q, wanted: bool, keep: impl FnOnce(&Q) -> K)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if self.changes.remove(key).is_none() {
            self.changes.insert(keep(key), wanted);
        }
    }

    /// Takes all changes, in no order, to be sent now.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (K, bool)> + use<K> {
        std::mem::take(&mut self.changes).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opposite_changes_cancel_out() {
        let mut late: Late<String> = Late::default();
        let mut add = |key: &str, wanted| late.add(key, wanted, str::to_owned);
        add("a", true);
        add("b", false);
        add("a", false);
        add("b", true);
        add("b", false);
        assert_eq!(late.take().collect::<Vec<_>>(), [("b".to_owned(), false)]);
        assert!(late.is_empty());
    }
}
