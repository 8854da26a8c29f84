//! Interest that is passed on first on, last off: the next hop hears of a key when the first subscriber asks for it, and
//! when the last has gone. Owned by the sender.

use std::borrow::Borrow;
use std::hash::Hash;

use ahash::AHashMap;

use crate::slack::give_back;

/// Keys, and how many ask for each.
#[derive(Debug)]
pub(crate) struct Counted<K> {
    asking: AHashMap<K, u32>,
}

impl<K> Default for Counted<K> {
    fn default() -> Self {
        Counted { asking: AHashMap::new() }
    }
}

impl<K: Hash + Eq> Counted<K> {
    /// Counts one more that asks for this key. `true`: it is the first. `keep` makes the key to keep then.
    pub(crate) fn add<Q>(&mut self, key: &Q, keep: impl FnOnce(&Q) -> K) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some(asking) = self.asking.get_mut(key) {
            *asking += 1;
            return false;
        }
        self.asking.insert(keep(key), 1);
        true
    }

    /// Counts one less. `true`: it was the last. A key that nobody asks for stays as it is.
    pub(crate) fn remove<Q>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Some(asking) = self.asking.get_mut(key) else { return false };
        *asking -= 1;
        let is_last = *asking == 0;
        if is_last {
            self.asking.remove(key);
            give_back(&mut self.asking);
        }
        is_last
    }

    /// The keys that are asked for, in no order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.asking.keys()
    }

    /// The same with how many ask for each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, u32)> {
        self.asking.iter().map(|(key, asking)| (key, *asking))
    }

    /// The number of keys.
    pub(crate) fn len(&self) -> usize {
        self.asking.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_and_the_last_are_passed_on() {
        let mut counted: Counted<String> = Counted::default();
        let kept = |key: &str| key.to_owned();
        assert!(counted.add("a", kept));
        assert!(!counted.add("a", |_| unreachable!("it is kept already")));
        assert!(counted.add("b", kept));
        assert!(!counted.remove("a"));
        assert!(counted.remove("a") && counted.remove("b"));
        assert!(!counted.remove("a"), "nobody asks for it");
        assert_eq!(counted.len(), 0);
    }
}
