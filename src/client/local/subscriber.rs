//! Subscribers inside an executor: a sink that is called in place, or a queue that such a sink fills.

use std::rc::Rc;

use corecast_executors::{Either, first};

use super::queue::EventQueue;
use super::used::Use;
use crate::client::connection_events::ConnectionEvents;
use crate::client::deadline::Deadline;
use crate::client::message::Event;
use crate::client::session::{Session, Sink};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::SubscriberId;
use crate::topic::Filter;

/// Adds a sink to a session; ready when its filters are in force.
pub(super) async fn subscribe(used: Use, filters: &[Filter], sink: Sink) -> Result<Subscription> {
    let mut filters = filters.to_vec();
    filters.sort_unstable();
    filters.dedup();
    if filters.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "a subscriber needs a filter"));
    }
    let session = Rc::clone(used.session());
    let deadline = Deadline::after(session.config.connect_timeout);
    let id = session.state.borrow_mut().subscribe(&filters, session.runtime.clock.now());
    session.introduce_everywhere(id);
    session.sinks.insert(id, &filters, sink);
    let subscription = Subscription { used, id, filters };
    session.send_soon();
    session
        .until_confirmed(deadline, "the subscription", |state| {
            let refused = state.refusal_of(id).map(Err);
            refused.or_else(|| state.is_in_force(id).then_some(Ok(())))
        })
        .await??;
    session.settle(id, deadline).await;
    Ok(subscription)
}

/// A sink's place at its session. Dropped, it is unsubscribed.
pub struct Subscription {
    used: Use,
    id: SubscriberId,
    filters: Vec<Filter>,
}

impl Subscription {
    /// Waits until the session has failed for good, or the broker has refused the subscription, which it may do after a
    /// reconnect, and says why.
    pub async fn failed(&self) -> Error {
        match self.used.session().until(|state| state.refusal_of(self.id)).await {
            Ok(error) | Err(error) => error,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let session = self.used.session();
        drop(session.sinks.remove(self.id, &self.filters));
        session.unsubscribe_everywhere(self.id);
    }
}

/// A subscriber with a queue.
pub struct LocalSubscriber {
    pub(in crate::client) subscription: Subscription,
    pub(in crate::client) queue: Rc<EventQueue>,
}

impl LocalSubscriber {
    pub(in crate::client) fn session(&self) -> Rc<Session> {
        Rc::clone(self.subscription.used.session())
    }

    /// A stream of what becomes of the connection to the broker: connected, disconnected and why, slow.
    pub fn connection_events(&self) -> ConnectionEvents {
        let (watcher, events) = ConnectionEvents::make();
        self.subscription.used.session().report.watch(watcher);
        events
    }

    /// The next event.
    ///
    /// # Errors
    /// When the session has failed for good and the queue is empty.
    pub async fn recv(&mut self) -> Result<Event> {
        if let Some(event) = self.try_recv() {
            return Ok(event);
        }
        let queued = self.queue.changed.until(|| self.queue.pop().map(Ok));
        let ended = async { Err(self.subscription.failed().await) };
        match first(queued, ended).await {
            Either::Left(event) => event,
            Either::Right(error) => self.queue.pop().map_or(error, Ok),
        }
    }

    /// An event that is there now.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.queue.pop()
    }
}
