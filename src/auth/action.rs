//! Actions of sessions: each is a question to the rules.

use std::fmt;

use crate::printable::printable;
use crate::topic::Filter;

/// An action that a session wants to take, or goes on with.
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

/// Names what is to be done, in full: "subscribe to `prices.>`".
impl fmt::Display for Action<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Publish(topic) => write!(f, "publish on `{}`", printable(topic)),
            Action::Subscribe(filter) => write!(f, "subscribe to `{filter}`"),
            Action::WatchSubscribers(topic) => write!(f, "watch the subscribers of `{}`", printable(topic)),
            Action::WatchPublishers(filter) => write!(f, "watch the publishers of `{filter}`"),
            Action::Register(filter) => write!(f, "register as a publisher of `{filter}`"),
        }
    }
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

impl From<bool> for Verdict {
    fn from(is_allowed: bool) -> Self {
        if is_allowed { Verdict::Allowed } else { Verdict::Refused }
    }
}
