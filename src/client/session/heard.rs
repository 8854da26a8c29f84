//! The direct publishers that a session has heard of. One that has left and is not among them came and went while the
//! session was away.

use std::collections::VecDeque;

use ahash::AHashSet;

use crate::ids::PublisherId;
use crate::limits::HEARD_PUBLISHERS_MAX;

/// The last [`HEARD_PUBLISHERS_MAX`] of them.
#[derive(Default, Debug)]
pub(super) struct Heard {
    publishers: AHashSet<PublisherId>,
    /// In the order in which they were heard of first.
    order: VecDeque<PublisherId>,
}

impl Heard {
    /// Adds a publisher; false if it was heard of before.
    pub(super) fn add(&mut self, publisher: PublisherId) -> bool {
        if !self.publishers.insert(publisher) {
            return false;
        }
        if self.order.len() == HEARD_PUBLISHERS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.publishers.remove(&oldest);
        }
        self.order.push_back(publisher);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn very_many_are_remembered_and_no_more() {
        let mut heard = Heard::default();
        for publisher in 0..2 * HEARD_PUBLISHERS_MAX as u64 {
            assert!(heard.add(PublisherId(publisher)));
            assert!(!heard.add(PublisherId(publisher)));
        }
        assert_eq!((heard.publishers.len(), heard.order.len()), (HEARD_PUBLISHERS_MAX, HEARD_PUBLISHERS_MAX));
        assert!(heard.add(PublisherId(0)), "forgotten");
    }
}
