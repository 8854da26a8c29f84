//! Owns the set of targets of one filter. Only the parts of the index use it.

/// A sorted list without duplicates. Ids mostly come in rising order, so that an insert is a push; a match is a copy of
/// the whole list.
#[derive(Debug)]
pub(super) struct Targets<T>(Vec<T>);

impl<T: Copy + Ord> Targets<T> {
    pub(super) const fn new() -> Self {
        Targets(Vec::new())
    }

    /// Adds a target; false if it was there.
    pub(super) fn insert(&mut self, target: T) -> bool {
        match self.0.binary_search(&target) {
            Ok(_) => false,
            Err(at) => {
                self.0.insert(at, target);
                true
            }
        }
    }

    /// Removes a target; false if it was not there.
    pub(super) fn remove(&mut self, target: T) -> bool {
        match self.0.binary_search(&target) {
            Ok(at) => {
                self.0.remove(at);
                true
            }
            Err(_) => false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = T> {
        self.0.iter().copied()
    }

    pub(super) fn append_to(&self, out: &mut Vec<T>) {
        out.extend_from_slice(&self.0);
    }
}
