//! The state of a transfer: of a session on its way from a broker that is about to end to another one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use corecast_executors::MonotonicNs;

use super::overlap::Overlap;
use crate::transport::{Endpoint, Stream};

/// The streams of messages of a session.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Streams {
    /// There is one.
    #[default]
    One,
    /// The one that is about to end.
    Old,
    /// That one, and the new one, which waits.
    Both,
    /// The new one, some of whose messages the old one may have brought, until then.
    New(MonotonicNs),
}

/// The transfer of a session, while there is one.
#[derive(Default)]
pub(super) struct Transfer {
    /// The connection that it leaves.
    pub(super) from: RefCell<Option<Rc<Stream>>>,
    /// The one on which it goes on.
    pub(super) to: RefCell<Option<(Rc<Stream>, Endpoint)>>,
    /// Epochs of the brokers that have the same messages.
    pub(super) joined: RefCell<Vec<u64>>,
    pub(super) streams: Cell<Streams>,
    pub(super) overlap: RefCell<Overlap>,
}

impl Transfer {
    /// Takes the connection on which to go on, if it stands already.
    pub(super) fn take_next(&self) -> Option<(Rc<Stream>, Endpoint)> {
        self.to.take()
    }

    /// True if each frame goes to the subscribers as it comes.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.streams.get() == Streams::One
    }
}
