//! A direct publisher that the broker has introduced: its registration, the subscribers that want it, and its stream.
//! Between two connections only a few bytes are kept of a stream, so that very many publishers that are not there cost
//! little. It does no I/O.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use corecast_executors::MonotonicNs;

use super::paused::PausedStream;
use super::promise::Promise;
use super::state::State;
use crate::client::message::GapReason;
use crate::ids::SubscriberId;
use crate::limits::{DIAL_PAUSE_MAX, DIRECT_SETTLE, RECONNECT_PAUSE_MIN};
use crate::registry::Registration;
use crate::topic::Filter;

/// Most failures that are counted: after so many, the pause is the longest.
pub(super) const FAILURES_MAX: u8 = 8;

/// The session of one connection to a publisher.
pub(super) trait DirectSession {
    /// Its state.
    fn state(&self) -> &RefCell<State>;

    /// Something is to be sent when this turn is over.
    fn send_later(&self);
}

/// A publisher that some subscribers want.
pub(super) struct Introduced<S> {
    registration: Arc<Registration>,
    stream: Stream<S>,
    /// Attempts that failed since its stream last held, or since it has registered again.
    failures: u8,
    /// A lost or failed connection is tried again.
    keeps_trying: bool,
    /// Its last stream ended without a farewell.
    cut_off: bool,
    /// Its last connection ended for want of a ticket.
    lacks_ticket: bool,
    /// The time at which its last stream ended, or at which it was introduced: later by that in which it could not be heard.
    down_since: MonotonicNs,
}

/// The stream of a publisher.
enum Stream<S> {
    /// There is no connection.
    Paused(PausedStream),
    /// A connection stands, or is being made.
    Begun(Rc<S>),
}

/// The end of a connection to a publisher.
pub(super) struct StreamEnd {
    /// The time for which it was open; `None` if it never was.
    pub(super) held_for: Option<Duration>,
    /// It ended without a farewell.
    pub(super) cut_off: bool,
    /// It ended for want of a ticket that counts.
    pub(super) lacks_ticket: bool,
    pub(super) down_since: MonotonicNs,
    pub(super) paused: PausedStream,
}

impl<S: DirectSession> Introduced<S> {
    pub(super) fn new(registration: Arc<Registration>, now: MonotonicNs) -> Self {
        let paused =
            PausedStream { subscribers: Vec::new(), previous: (0, 0), lost_by: GapReason::Reconnect };
        Introduced {
            registration,
            stream: Stream::Paused(paused),
            failures: 0,
            keeps_trying: true,
            cut_off: false,
            lacks_ticket: false,
            down_since: now,
        }
    }

    pub(super) fn registration(&self) -> &Arc<Registration> {
        &self.registration
    }

    pub(super) fn failures(&self) -> u8 {
        self.failures
    }

    /// The session of its stream, if a connection stands or is being made.
    pub(super) fn session(&self) -> Option<&Rc<S>> {
        match &self.stream {
            Stream::Begun(session) => Some(session),
            Stream::Paused(_) => None,
        }
    }

    /// True if its stream flows.
    pub(super) fn flows(&self) -> bool {
        self.session().is_some_and(|session| session.state().borrow().is_open())
    }

    pub(super) fn keeps_trying(&self) -> bool {
        self.keeps_trying
    }

    /// True if its last connection ended for want of a ticket.
    pub(super) fn lacks_ticket(&self) -> bool {
        self.lacks_ticket
    }

    /// It is not there, as far as the broker knows: a stream that is lost is not tried again.
    pub(super) fn give_up(&mut self) {
        self.keeps_trying = false;
    }

    /// It has registered, for the first time or again.
    pub(super) fn on_registered(&mut self, registration: Arc<Registration>) {
        self.registration = registration;
        self.keeps_trying = true;
        self.failures = 0;
    }

    /// True if it is one of this subscriber's.
    pub(super) fn has(&self, id: SubscriberId) -> bool {
        match &self.stream {
            Stream::Begun(session) => session.state().borrow().subscribers.has(id),
            Stream::Paused(paused) => paused.subscribers.iter().any(|(known, _)| *known == id),
        }
    }

    /// True if nobody wants it any more.
    pub(super) fn is_unwanted(&self) -> bool {
        match &self.stream {
            Stream::Begun(session) => session.state().borrow().subscribers.is_empty(),
            Stream::Paused(paused) => paused.subscribers.is_empty(),
        }
    }

    /// Adds a subscriber, with the promise that it has.
    pub(super) fn subscribe(&mut self, id: SubscriberId, filters: &Rc<[Filter]>, promise: Promise) {
        match &mut self.stream {
            Stream::Begun(session) => {
                session.state().borrow_mut().subscribe_as(id, filters, promise);
                session.send_later();
            }
            Stream::Paused(paused) => {
                paused.subscribers.reserve_exact(1);
                paused.subscribers.push((id, promise));
            }
        }
    }

    /// Asks a stream that flows to confirm a subscriber behind all that it has sent.
    pub(super) fn mark(&self, id: SubscriberId) {
        if let Stream::Begun(session) = &self.stream {
            session.state().borrow_mut().mark(id);
            session.send_later();
        }
    }

    /// The gap of a subscriber is told now.
    pub(super) fn release(&mut self, id: SubscriberId) {
        match &mut self.stream {
            Stream::Begun(session) => session.state().borrow_mut().release(id),
            Stream::Paused(paused) => {
                let promises = paused.subscribers.iter_mut();
                promises.filter(|(known, _)| *known == id).for_each(|(_, promise)| promise.release(false));
            }
        }
    }

    /// Takes a subscriber out.
    pub(super) fn unsubscribe(&mut self, id: SubscriberId) {
        match &mut self.stream {
            Stream::Begun(session) => {
                session.state().borrow_mut().unsubscribe(id);
                session.send_later();
            }
            Stream::Paused(paused) => paused.subscribers.retain(|(known, _)| *known != id),
        }
    }

    /// Whoever has that subscriber relies on it from now on.
    pub(super) fn promise(&mut self, id: SubscriberId) {
        match &mut self.stream {
            Stream::Begun(session) => session.state().borrow_mut().promise(id),
            Stream::Paused(paused) => {
                let promises = paused.subscribers.iter_mut();
                promises.filter(|(known, _)| *known == id).for_each(|(_, promise)| promise.make());
            }
        }
    }

    /// Makes the promise to subscribers which have waited for [`DIRECT_SETTLE`]. Returns the time at which the next of the
    /// others is due.
    pub(super) fn promise_overdue(&mut self, now: MonotonicNs) -> Option<MonotonicNs> {
        match &mut self.stream {
            Stream::Begun(session) => session.state().borrow_mut().promise_overdue(now, DIRECT_SETTLE),
            Stream::Paused(paused) => {
                let promises = paused.subscribers.iter_mut();
                promises.filter_map(|(_, promise)| promise.make_if_overdue(now, DIRECT_SETTLE)).min()
            }
        }
    }

    /// True if a new subscriber need not wait for it: its subscription is in force there, or the publisher has
    /// not answered for so long that it is taken for dead.
    pub(super) fn is_settled(&self, id: SubscriberId, now: MonotonicNs) -> bool {
        let is_silent = now.saturating_since(self.down_since) >= DIRECT_SETTLE;
        let Stream::Begun(session) = &self.stream else { return is_silent || !self.has(id) };
        let state = session.state().borrow();
        match state.is_open() {
            true => !state.subscribers.has(id) || state.is_in_force(id),
            false => is_silent || !state.subscribers.has(id),
        }
    }

    /// For so long it could not be heard, for no fault of its own.
    pub(super) fn excuse(&mut self, stopped: Duration) {
        self.down_since = self.down_since + stopped;
    }

    /// Subscribers that have missed something, should it not come back.
    pub(super) fn who_missed(&self) -> Vec<SubscriberId> {
        match &self.stream {
            Stream::Begun(session) => {
                let state = session.state().borrow();
                state.subscribers.who_missed(self.cut_off && !state.is_open())
            }
            Stream::Paused(paused) => {
                let missed =
                    paused.subscribers.iter().filter(|(_, promise)| promise.has_missed(self.cut_off));
                missed.map(|(id, _)| *id).collect()
            }
        }
    }

    /// All its subscribers.
    pub(super) fn subscribers(&self) -> Vec<SubscriberId> {
        match &self.stream {
            Stream::Begun(session) => session.state().borrow().subscribers.iter().map(|(id, _)| id).collect(),
            Stream::Paused(paused) => paused.subscribers.iter().map(|(id, _)| *id).collect(),
        }
    }

    /// Makes the session of its next connection from what was kept. `None` if there is one.
    pub(super) fn begin(&mut self, make: impl FnOnce(&PausedStream) -> Rc<S>) -> Option<Rc<S>> {
        let Stream::Paused(paused) = &self.stream else { return None };
        let session = make(paused);
        self.stream = Stream::Begun(Rc::clone(&session));
        Some(session)
    }

    /// The connection of that session has ended. Returns the pause before the next; `None` if the session is not its own.
    pub(super) fn on_ended(&mut self, session: &Rc<S>, end: StreamEnd) -> Option<Duration> {
        if !self.session().is_some_and(|own| Rc::ptr_eq(own, session)) {
            return None;
        }
        if end.held_for.is_some() {
            (self.cut_off, self.down_since) = (end.cut_off, end.down_since);
        }
        self.lacks_ticket = end.lacks_ticket;
        self.stream = Stream::Paused(end.paused);
        Some(self.back_off(end.held_for))
    }

    /// Counts a connection that held for so long, or never stood. Returns the pause before the next.
    pub(super) fn back_off(&mut self, held_for: Option<Duration>) -> Duration {
        if held_for.is_some_and(|time| time >= DIRECT_SETTLE) {
            self.failures = 0;
            return RECONNECT_PAUSE_MIN;
        }
        let pause = (RECONNECT_PAUSE_MIN * (1 << self.failures)).min(DIAL_PAUSE_MAX);
        self.failures = (self.failures + 1).min(FAILURES_MAX);
        pause
    }
}
