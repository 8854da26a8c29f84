//! Publishers and subscribers inside an executor: no channel, no other thread, no copy on the way to a sink.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ahash::AHashSet;
use corecast_executors::{TICK, Ticks, end_turn, spawn_local};

use super::config::{ClientConfig, Sessions};
use super::direct_host::DirectHost;
use super::direct_shards::{Placed, place};
use super::message::{Event, EventRef};
use super::queue::EventQueue;
use super::runtime::ClientRuntime;
use super::session::Session;
use super::state::Flushed;
use crate::error::{Error, ErrorKind, Result};
use crate::fanout::OverflowPolicy;
use crate::ids::{PublisherId, SubscriberId};
use crate::limits::LINGER;
use crate::registry::Mode;
use crate::topic::{Filter, Topic};
use crate::wire::{FRAME_BODY_BYTES_MIN, Frame};

/// A client of one broker, in one executor. Clones share it.
#[derive(Clone)]
pub struct LocalClient {
    inner: Rc<Inner>,
}

struct Inner {
    runtime: Rc<ClientRuntime>,
    config: ClientConfig,
    /// The session that all share, while somebody uses it.
    shared: RefCell<Weak<Use>>,
    /// For a direct publisher with executors of its own: where its first shard runs.
    placed: RefCell<Option<Placed>>,
}

/// A use of a session: the last one to go closes it.
struct Use {
    session: Rc<Session>,
    /// Its publishers' own shards, once one of them has a topic that goes direct.
    direct: RefCell<Option<Rc<DirectHost>>>,
}

impl Drop for Use {
    fn drop(&mut self) {
        let Some(direct) = self.direct.take() else { return self.session.close() };
        let session = Rc::clone(&self.session);
        let ending = session.runtime.begin_ending();
        spawn_local(async move {
            direct.end(&session, LINGER).await;
            session.close();
            drop(ending);
        })
        .detach();
    }
}

impl LocalClient {
    /// A client in the executor that calls, which gives its ticks to it. Nothing is connected yet.
    ///
    /// # Panics
    /// Outside an executor.
    pub fn start(config: ClientConfig, ticks: Ticks) -> LocalClient {
        Self::with_runtime(config, ClientRuntime::start(ticks))
    }

    pub(super) fn with_runtime(config: ClientConfig, runtime: Rc<ClientRuntime>) -> LocalClient {
        let (shared, placed) = (RefCell::default(), RefCell::default());
        LocalClient { inner: Rc::new(Inner { runtime, config, shared, placed }) }
    }

    /// This client's direct publisher has executors of its own, and this is the first of them.
    pub(super) fn place(&self, placed: Placed) {
        *self.inner.placed.borrow_mut() = Some(placed);
    }

    fn session(&self) -> Rc<Use> {
        let inner = &self.inner;
        let fresh = || {
            let session = Session::start(&inner.runtime, inner.config.clone());
            Rc::new(Use { session, direct: RefCell::default() })
        };
        match inner.config.sessions {
            Sessions::PerSubscriber => fresh(),
            Sessions::PerExecutor => {
                let shared =
                    inner.shared.borrow().upgrade().filter(|u| u.session.state.borrow().alive().is_ok());
                if let Some(used) = &shared {
                    // Whoever paused it alone is not alone any more: at its next event it will see.
                    used.session.set_paused(false);
                }
                shared.unwrap_or_else(|| {
                    let made = fresh();
                    *inner.shared.borrow_mut() = Rc::downgrade(&made);
                    made
                })
            }
        }
    }

    /// A publisher, when its session is open.
    ///
    /// # Errors
    /// `Unreachable` when nobody answers within the connect timeout, `Refused`, `Protocol`.
    pub async fn publisher(&self) -> Result<LocalPublisher> {
        let used = self.session();
        used.session.until(|state| state.is_open().then_some(())).await?;
        let losses_told = used.session.state.borrow().losses;
        Ok(LocalPublisher {
            client: self.clone(),
            used,
            id: PublisherId(fastrand::u64(1..)),
            sequence: 0,
            losses_told,
            begun: AHashSet::new(),
            proxied: false,
        })
    }

    /// A subscriber with a queue, when its filters are in force on every shard of the broker.
    ///
    /// # Errors
    /// As for [`LocalClient::publisher`]; `Invalid` without a filter.
    pub async fn subscriber(&self, filters: &[Filter]) -> Result<LocalSubscriber> {
        let queue = Rc::new(EventQueue::new(self.inner.config.queue_frames, self.inner.config.queue_bytes));
        let filled = Rc::clone(&queue);
        let used = self.session();
        let shared = Rc::downgrade(&used);
        let sink = move |event: EventRef<'_>| {
            let Some(used) = shared.upgrade() else { return };
            if !filled.push(event) {
                return;
            }
            // On a shared session a slow subscriber may not hold the others, publishers among them, whose answers
            // come over it: unless that was asked for. One use is the subscriber's, one is this sink's.
            let alone = Rc::strong_count(&used) <= 2;
            if alone || used.session.state.borrow().terms.overflow == OverflowPolicy::Block {
                used.session.set_paused(true);
            } else {
                filled.drop_oldest();
            }
        };
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

async fn subscribe(used: Rc<Use>, filters: &[Filter], sink: super::sinks::Sink) -> Result<Subscription> {
    let mut filters = filters.to_vec();
    filters.sort_unstable();
    filters.dedup();
    if filters.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "a subscriber needs a filter"));
    }
    let session = Rc::clone(&used.session);
    let id = session.state.borrow_mut().subscribe(&filters);
    session.introduce_everywhere(id, &filters);
    session.sinks.insert(id, &filters, sink);
    let subscription = Subscription { used, id, filters };
    session.send_soon();
    session.until(|state| (state.is_in_force(id) && session.is_settled(id)).then_some(())).await?;
    Ok(subscription)
}

/// A sink's place at its session. Dropped, it is unsubscribed.
pub struct Subscription {
    used: Rc<Use>,
    id: SubscriberId,
    filters: Vec<Filter>,
}

impl Subscription {
    /// Waits until the session has failed for good, and says why.
    pub async fn failed(&self) -> Error {
        let ended = self.used.session.until(|_| None::<()>).await;
        ended.err().unwrap_or_else(|| Error::new(ErrorKind::Closed, "the session has ended"))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let session = &self.used.session;
        drop(session.sinks.remove(self.id, &self.filters));
        session.unsubscribe_everywhere(self.id);
        session.set_paused(false);
    }
}

/// A subscriber with a queue.
pub struct LocalSubscriber {
    subscription: Subscription,
    queue: Rc<EventQueue>,
}

impl LocalSubscriber {
    /// The next event.
    ///
    /// # Errors
    /// When the session has failed for good and the queue is empty.
    pub async fn recv(&mut self) -> Result<Event> {
        if let Some(event) = self.try_recv() {
            return Ok(event);
        }
        let session = &self.subscription.used.session;
        let queued = self.queue.changed.until(|| self.queue.pop().map(Ok));
        let ended = async { Err(self.subscription.failed().await) };
        let event = match corecast_executors::first(queued, ended).await {
            corecast_executors::Either::Left(event) => event,
            corecast_executors::Either::Right(error) => self.queue.pop().map_or(error, Ok),
        };
        if self.queue.has_room() {
            session.set_paused(false);
        }
        event
    }

    /// An event that is there now.
    pub fn try_recv(&mut self) -> Option<Event> {
        let event = self.queue.pop();
        if self.queue.has_room() {
            self.subscription.used.session.set_paused(false);
        }
        event
    }
}

/// A publisher.
pub struct LocalPublisher {
    client: LocalClient,
    used: Rc<Use>,
    id: PublisherId,
    sequence: u64,
    /// The session's losses that this publisher's flushes have reported.
    losses_told: u64,
    /// Direct topics that are known to the broker, and whose subscribers were waited for.
    begun: AHashSet<Topic>,
    /// Messages went through the broker since the last flush.
    proxied: bool,
}

impl LocalPublisher {
    /// Who this is in the messages.
    pub fn id(&self) -> PublisherId {
        self.id
    }

    /// Longest frame body that the broker takes, in bytes.
    pub fn frame_bytes_max(&self) -> usize {
        self.used.session.state.borrow().terms.frame_bytes_max
    }

    /// Queues a message and gives its sequence number. Waits while too much is queued, also while the session is
    /// connecting again; and at the first message of a topic that goes direct, for its subscribers to come.
    ///
    /// # Errors
    /// `Invalid` for a message longer than the broker takes; what the session has failed with.
    pub async fn publish(&mut self, topic: &Topic, payload: &[u8]) -> Result<u64> {
        if let Some(direct) = self.direct_for(topic).await? {
            return self.publish_direct(&direct, topic, payload).await;
        }
        let session = &self.used.session;
        let ready = {
            let state = session.state.borrow();
            state.alive()?;
            check_length(topic, payload, state.terms.frame_bytes_max)?;
            Session::has_room(&state)
        };
        if !ready {
            session.send_soon();
            session.until(|state| Session::has_room(state).then_some(())).await?;
        }
        self.sequence += 1;
        self.proxied = true;
        let name = topic.to_bytes();
        let frame = self.message(topic, payload);
        session.state.borrow_mut().publish(&frame, &name);
        if session.send_soon() {
            // A turn's worth has been sent: the reactor and the others have theirs.
            end_turn().await;
        }
        Ok(self.sequence)
    }

    async fn publish_direct(&mut self, direct: &DirectHost, topic: &Topic, payload: &[u8]) -> Result<u64> {
        check_length(topic, payload, self.client.inner.config.direct.frame_bytes_max)?;
        self.sequence += 1;
        direct.publish(&self.message(topic, payload)).await;
        Ok(self.sequence)
    }

    fn message<'a>(&self, topic: &'a Topic, payload: &'a [u8]) -> Frame<'a> {
        Frame::Message {
            topic: topic.as_bytes(),
            payload,
            publisher: self.id.0,
            sequence: self.sequence,
            sent_at_ns: unix_ns(),
        }
    }

    /// The shards for a topic that goes direct, with the topic begun; `None` for one that is proxied.
    async fn direct_for(&mut self, topic: &Topic) -> Result<Option<Rc<DirectHost>>> {
        let session = &self.used.session;
        {
            let state = session.state.borrow();
            if state.modes.is_all_proxy() && self.begun.is_empty() {
                return Ok(None);
            }
        }
        if self.begun.contains(topic) {
            return Ok(self.used.direct.borrow().clone());
        }
        // Only an open session knows the modes; one that was never open gives no publisher.
        session.until(|state| state.is_open().then_some(())).await?;
        let mode = session.state.borrow().modes.mode_of(topic.as_bytes());
        if mode == Mode::Proxy {
            return Ok(None);
        }
        let there = self.used.direct.borrow().clone();
        let direct = match there {
            Some(direct) => direct,
            None => self.start_direct().await?,
        };
        direct.begin_topic(session, topic).await?;
        self.begun.insert(topic.clone());
        Ok(Some(direct))
    }

    async fn start_direct(&self) -> Result<Rc<DirectHost>> {
        let (session, config) = (&self.used.session, &self.client.inner.config.direct);
        let given = self.client.inner.placed.borrow_mut().take();
        let placed = match given {
            Some(placed) => placed,
            None => place(session, self.id, config).await?,
        };
        // Another publisher of this session may have been quicker. Executors without a publisher end.
        let there = self.used.direct.borrow().clone();
        if let Some(direct) = there {
            return Ok(direct);
        }
        let made = DirectHost::start(session, config, placed)?;
        *self.used.direct.borrow_mut() = Some(Rc::clone(&made));
        Ok(made)
    }

    /// Waits until at least `n` subscribers of this topic are in force on every shard, and gives how many are.
    ///
    /// # Errors
    /// `TimedOut`, saying how many there were; what the session has failed with.
    pub async fn wait_for_subscribers(
        &mut self,
        topic: &Topic,
        n: usize,
        timeout: Duration,
    ) -> Result<usize> {
        if let Some(direct) = self.direct_for(topic).await? {
            let count = direct.wait_for_subscribers(&self.used.session, topic, n, timeout).await;
            return if count >= n { Ok(count) } else { Err(too_few(topic, count, n, timeout)) };
        }
        let session = &self.used.session;
        let request = session.state.borrow_mut().watch(topic.to_bytes());
        session.send_soon();
        let mut last = 0;
        let waited = session
            .until_in(timeout, "the subscribers are not there", |state| {
                last = state.watched(request).unwrap_or(0) as usize;
                (last >= n).then_some(last)
            })
            .await;
        session.state.borrow_mut().unwatch(request);
        session.send_soon();
        waited.map_err(|error| match error.kind() {
            ErrorKind::TimedOut => too_few(topic, last, n, timeout),
            _ => error,
        })
    }

    /// Waits until the broker has taken for delivery all that was published.
    ///
    /// # Errors
    /// `Lost` if the connection was lost since the last flush with messages not known to be taken: their
    /// subscribers were told of a gap. `TimedOut`; what the session has failed with.
    pub async fn flush(&mut self, timeout: Duration) -> Result<()> {
        let session = &self.used.session;
        let direct = self.used.direct.borrow().clone();
        if let Some(direct) = direct {
            let clock = &session.runtime.clock;
            let flushed = corecast_executors::first(direct.flush(), clock.until(clock.now() + timeout)).await;
            if let corecast_executors::Either::Right(()) = flushed {
                let text = "a subscriber with the policy `block` has not taken all in time";
                return Err(Error::new(ErrorKind::TimedOut, text));
            }
        }
        if !self.proxied {
            // Nothing went through the broker: it need not be there.
            return Ok(());
        }
        let mut asked = None;
        let flushed = session
            .until_in(timeout, "the broker has not taken all", |state| {
                if asked.is_none() {
                    asked = state.flush();
                    // Only when there is something to send: what is sent wakes whoever looks here.
                    if asked.is_some() {
                        session.send_later();
                    }
                }
                asked.as_ref().and_then(|flushed| flushed.get())
            })
            .await?;
        self.proxied = false;
        let losses = session.state.borrow().losses;
        if flushed == Flushed::Lost || losses != self.losses_told {
            self.losses_told = losses;
            let text = "the connection was lost; messages sent just before may not have been taken";
            return Err(Error::new(ErrorKind::Lost, text));
        }
        Ok(())
    }

    /// Flushes, and ends the session if nobody else uses it.
    ///
    /// # Errors
    /// As for [`LocalPublisher::flush`].
    pub async fn close(mut self, timeout: Duration) -> Result<()> {
        let flushed = self.flush(timeout).await;
        let session = Rc::clone(&self.used.session);
        let last = Rc::strong_count(&self.used) == 1;
        let direct = self.used.direct.borrow().clone().filter(|_| last);
        if let Some(direct) = direct {
            direct.end(&session, timeout).await;
            *self.used.direct.borrow_mut() = None;
        }
        drop(self);
        if last {
            let clock = &session.runtime.clock;
            corecast_executors::first(session.closed(), clock.until(clock.now() + LINGER)).await;
        }
        flushed
    }
}

fn too_few(topic: &Topic, there: usize, n: usize, timeout: Duration) -> Error {
    let text = format!("{there} of {n} subscribers of `{topic}` came within {} ms", timeout.as_millis());
    Error::new(ErrorKind::TimedOut, text)
}

/// The longest payload of a message of this topic that fits a frame body of `frame_bytes_max` bytes.
pub(super) fn payload_bytes_max(topic: &Topic, frame_bytes_max: usize) -> usize {
    frame_bytes_max.saturating_sub(FRAME_BODY_BYTES_MIN + topic.as_bytes().len())
}

pub(super) fn check_length(topic: &Topic, payload: &[u8], frame_bytes_max: usize) -> Result<()> {
    let most = payload_bytes_max(topic, frame_bytes_max);
    if payload.len() <= most {
        return Ok(());
    }
    let text = format!(
        "a payload of {} bytes is too long: with this topic the broker takes {most} (--frame-bytes-max {frame_bytes_max})",
        payload.len()
    );
    Err(Error::new(ErrorKind::Invalid, text))
}

/// The wall clock, in nanoseconds since 1970-01-01 UTC.
fn unix_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}
