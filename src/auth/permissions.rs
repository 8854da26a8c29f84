//! Actions of sessions, and the verdict on each. [`Permissions::permit`] is the only place that decides: publishing,
//! subscribing, watching and registering all come through it.

use super::Identity;
use crate::topic::Filter;

/// An action that a session wants to take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action<'a> {
    /// Publish messages of this topic.
    Publish(&'a [u8]),
    /// Receive the messages of all topics of this filter.
    Subscribe(&'a Filter),
    /// Be told how many subscribers this topic has.
    WatchSubscribers(&'a [u8]),
    /// Be told of the direct publishers of this filter's topics.
    WatchPublishers(&'a Filter),
    /// Be known as a direct publisher of this filter's topics.
    Register(&'a Filter),
}

/// The answer to an action. It holds for a whole run of messages of one topic.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It may go on.
    Allowed,
    /// It must not happen, neither in part.
    Refused,
}

/// The rules that verdicts follow. The same for all shards of a process.
#[derive(Clone, Debug)]
pub enum Permissions {
    /// Everybody may do everything.
    All,
    /// The rule of a test.
    #[cfg(test)]
    Test(fn(&Identity, Action<'_>) -> Verdict),
}

impl Permissions {
    /// Decides whether `identity` may take an action.
    #[inline]
    pub fn permit(&self, identity: &Identity, action: Action<'_>) -> Verdict {
        match self {
            Permissions::All => {
                let _ = (identity, action);
                Verdict::Allowed
            }
            #[cfg(test)]
            Permissions::Test(decide) => decide(identity, action),
        }
    }
}
