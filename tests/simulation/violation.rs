//! Owns the report of a broken invariant.

use std::fmt;

/// The kind of a broken promise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A message or a frame arrived that nobody sent so.
    Corrupted,
    /// A message or a gap arrived at a session that had not subscribed to its topic, or no longer.
    Unasked,
    /// Something was done, or a session goes on, that the rules do not permit.
    Forbidden,
    /// A message arrived a second time.
    Duplicated,
    /// A message arrived after a later one of its publisher and topic.
    Reordered,
    /// Messages are missing at a place of the stream, and another number is reported there.
    Misplaced,
    /// Messages neither arrived nor were reported as missing.
    Lost,
    /// More is reported as missing than can be.
    Overtold,
    /// A gap at a session whose policy drops nothing.
    DroppedDespitePolicy,
    /// With `latest`, the newest message of a topic did not arrive.
    NotNewest,
    /// A session was ended that nobody meant to end, or with the wrong words.
    WrongClose,
    /// Something was refused that no rules forbid.
    WrongRefusal,
    /// A request has no answer though all is at rest.
    Unanswered,
    /// A flush was answered before all before it was taken.
    EarlyDone,
    /// A watch reported another number of subscribers than there are.
    WrongCount,
    /// Nothing moves any more, and not all is done.
    Stuck,
    /// A queue is over its bound.
    OverBound,
    /// The counters do not say what happened.
    WrongCounters,
}

/// A broken promise, and where.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    text: String,
}

impl Violation {
    /// A violation of this kind; `text` says where.
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Violation { kind, text: text.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.text)
    }
}

/// The result of most checks.
pub(crate) type Checked<T = ()> = Result<T, Violation>;

/// An error of this kind unless `true_`.
pub(crate) fn ensure(true_: bool, kind: Kind, text: impl FnOnce() -> String) -> Checked {
    if true_ { Ok(()) } else { Err(Violation::new(kind, text())) }
}
