//! A client inside an executor: its publishers and subscribers use its sessions without a channel in between.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use corecast_executors::{TICK, Ticks};

use super::publisher::{LocalPublisher, OpeningPublisher, fresh_id};
use super::queue::EventQueue;
use super::registry::LocalRegistryView;
use super::subscriber::{LocalSubscriber, Subscription, subscribe};
use super::used::{SharedSession, Use};
use crate::client::config::ClientConfig;
use crate::client::message::EventRef;
use crate::client::session::{ClientRuntime, Hold, Session};
use crate::error::Result;
use crate::ids::PublisherId;
use crate::limits::LINGER;
use crate::topic::Filter;

/// A client of one broker, in one executor. Clones share it.
#[derive(Clone)]
pub struct LocalClient {
    pub(in crate::client) inner: Rc<Inner>,
}

pub(in crate::client) struct Inner {
    runtime: Rc<ClientRuntime>,
    pub(in crate::client) config: ClientConfig,
    /// The session that all share, while somebody uses it.
    shared: RefCell<Weak<SharedSession>>,
}

impl LocalClient {
    /// A client in the executor that calls, which gives its ticks to it. Nothing is connected yet.
    ///
    /// # Panics
    /// Outside an executor.
    pub fn start(config: ClientConfig, ticks: Ticks) -> LocalClient {
        Self::with_runtime(config, ClientRuntime::start(ticks))
    }

    pub(in crate::client) fn with_runtime(config: ClientConfig, runtime: Rc<ClientRuntime>) -> LocalClient {
        LocalClient { inner: Rc::new(Inner { runtime, config, shared: RefCell::default() }) }
    }

    fn session(&self) -> Use {
        let inner = &self.inner;
        let fresh = || Use::first(Session::start(&inner.runtime, inner.config.clone()));
        if inner.config.has_own_sessions() {
            return fresh();
        }
        let joined = Use::join(&inner.shared.borrow());
        joined.unwrap_or_else(|| {
            let made = fresh();
            *inner.shared.borrow_mut() = made.shared();
            made
        })
    }

    /// A publisher, when its session is open.
    ///
    /// # Errors
    /// `Unreachable` when nobody answers within the connect timeout, `Refused`, `Protocol`.
    pub async fn publisher(&self) -> Result<LocalPublisher> {
        self.opening_publisher(fresh_id()).open().await
    }

    /// A publisher with this number, whose session is opening.
    pub(in crate::client) fn opening_publisher(&self, id: PublisherId) -> OpeningPublisher {
        OpeningPublisher::new(self.session(), id)
    }

    /// A view of the broker's registry, on a session of its own.
    ///
    /// # Errors
    /// As for [`LocalClient::publisher`]; `TimedOut` when the broker has not confirmed it within the connect timeout.
    pub async fn registry_view(&self) -> Result<LocalRegistryView> {
        let session = Session::start(&self.inner.runtime, self.inner.config.clone());
        LocalRegistryView::open(Use::first(session)).await
    }

    /// A subscriber with a queue, when its filters are in force on every shard of the broker.
    ///
    /// # Errors
    /// As for [`LocalClient::publisher`]; `TimedOut` when the broker has not confirmed them within the connect timeout;
    /// `Invalid` without a filter.
    pub async fn subscriber(&self, filters: &[Filter]) -> Result<LocalSubscriber> {
        let used = self.session();
        let config = &self.inner.config;
        let hold = Hold::new(Rc::clone(&used.session().holds));
        let has_own_session = config.has_own_sessions();
        let queue = EventQueue::new(config.queue_frames, config.queue_bytes, hold, has_own_session);
        let queue = Rc::new(queue);
        let filled = Rc::clone(&queue);
        let sink = move |event: EventRef<'_>| filled.push(event);
        let subscription = subscribe(used, filters, Box::new(sink)).await?;
        Ok(LocalSubscriber { subscription, queue })
    }

    /// Waits, for 2 s at the most, until the sessions that nobody uses any more have sent what was queued and are
    /// closed in order. Call it before the executor's body returns.
    pub async fn close(&self) {
        let clock = &self.inner.runtime.clock;
        let deadline = clock.now() + LINGER;
        while clock.now() < deadline && self.inner.runtime.is_closing() {
            clock.until(clock.now() + TICK).await;
        }
    }

    /// Calls `sink` in place with every event, in the turn of the session's pump; ready when the filters are in
    /// force on every shard of the broker. The sink must be quick: it holds up its executor.
    ///
    /// # Errors
    /// As for [`LocalClient::subscriber`].
    pub async fn subscribe_with(
        &self,
        filters: &[Filter],
        sink: impl FnMut(EventRef<'_>) + 'static,
    ) -> Result<Subscription> {
        subscribe(self.session(), filters, Box::new(sink)).await
    }
}
