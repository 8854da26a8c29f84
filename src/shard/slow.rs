//! Sessions that have become slow, until the log has named them, one by one, and the metrics have them.

use std::collections::{BTreeMap, VecDeque};

use crate::ids::SessionId;
use crate::limits::{SLOW_UNNAMED_MAX, SLOW_USERS_MAX};

/// The label of sessions whose peers are no users.
const NOBODY: &str = "anonymous";

/// The label of the users for whom there is no label of their own.
const OTHERS: &str = "(others)";

/// Sessions that have become slow, until the log has named them and the metrics have them.
#[derive(Default, Debug)]
pub struct SlowNews {
    unnamed: VecDeque<SessionId>,
    /// Sessions that became slow when too many waited to be named.
    left_out: u64,
    /// By user: how often a session of it has become slow, and how many of these the metrics have.
    users: BTreeMap<Box<str>, (u64, u64)>,
}

impl SlowNews {
    pub(super) fn note(&mut self, id: SessionId, user: Option<&str>) {
        if self.unnamed.len() < SLOW_UNNAMED_MAX {
            self.unnamed.push_back(id);
        } else {
            self.left_out += 1;
        }
        let user = user.unwrap_or(NOBODY);
        let label =
            if self.users.contains_key(user) || self.users.len() < SLOW_USERS_MAX { user } else { OTHERS };
        match self.users.get_mut(label) {
            Some((all, _)) => *all += 1,
            None => drop(self.users.insert(label.into(), (1, 0))),
        }
    }

    /// Calls `count` with each user that has news, and how often a session of it has become slow since the last call.
    pub fn export(&mut self, mut count: impl FnMut(&str, u64)) {
        for (user, (all, exported)) in &mut self.users {
            if all > exported {
                count(user, *all - *exported);
                *exported = *all;
            }
        }
    }

    /// The next session to be named, and the number of those that will not be.
    pub fn take_next(&mut self) -> Option<(SessionId, u64)> {
        let id = self.unnamed.pop_front()?;
        Some((id, std::mem::take(&mut self.left_out)))
    }

    /// Sessions that wait to be named.
    pub fn waiting(&self) -> usize {
        self.unnamed.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(news: &mut SlowNews) -> Vec<(String, u64)> {
        let mut told = Vec::new();
        news.export(|user, times| told.push((user.to_owned(), times)));
        told
    }

    #[test]
    fn names_and_labels_are_bounded() {
        let mut news = SlowNews::default();
        let id = |slot| SessionId { slot, generation: 1 };
        for n in 0..2 * SLOW_UNNAMED_MAX.max(SLOW_USERS_MAX) {
            news.note(id(u32::try_from(n).unwrap()), Some(&format!("user {n:04}")));
        }
        news.note(id(0), Some("user 0000"));
        assert_eq!(news.waiting(), SLOW_UNNAMED_MAX);
        let all = 2 * SLOW_UNNAMED_MAX.max(SLOW_USERS_MAX);
        let left_out = all + 1 - SLOW_UNNAMED_MAX;
        assert_eq!((news.take_next(), news.take_next()), (Some((id(0), left_out as u64)), Some((id(1), 0))));
        let told = users(&mut news);
        assert_eq!(told.len(), SLOW_USERS_MAX + 1);
        assert_eq!(told[0], ("(others)".to_owned(), (all - SLOW_USERS_MAX) as u64));
        assert_eq!(told[1], ("user 0000".to_owned(), 2));
        assert_eq!(users(&mut news), []);
    }
}
