//! Publishers inside an executor: through the broker, or, for topics that go direct, through shards of their own.

use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ahash::AHashSet;
use corecast_executors::{Either, end_turn, first};

use super::used::Use;
use crate::client::connection_events::ConnectionEvents;
use crate::client::deadline::Deadline;
use crate::client::direct::{DirectHost, Doors, place};
use crate::client::session::{Flushed, Session};
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::ids::PublisherId;
use crate::limits::{ADDRESS_IN_USE_RETRY, ADDRESS_IN_USE_RETRY_PAUSE, DIRECT_SETTLE, LINGER};
use crate::registry::{Mode, ModeRules};
use crate::topic::Topic;
use crate::wire::{FRAME_BODY_BYTES_MIN, Frame};

/// A publisher.
pub struct LocalPublisher {
    used: Use,
    id: PublisherId,
    sequence: u64,
    /// The session's losses that this publisher's flushes have reported.
    losses_told: u64,
    /// The modes by which topics were begun: with others, all begin again.
    modes: Rc<ModeRules>,
    /// Direct topics that are known to the broker, and whose subscribers were waited for.
    begun: AHashSet<Topic>,
    /// Messages went through the broker since the last flush.
    proxied: bool,
}

/// A publisher whose session is opening.
pub(in crate::client) struct OpeningPublisher {
    used: Use,
    id: PublisherId,
}

impl OpeningPublisher {
    pub(super) fn new(used: Use, id: PublisherId) -> Self {
        OpeningPublisher { used, id }
    }

    pub(in crate::client) fn session(&self) -> Rc<Session> {
        Rc::clone(self.used.session())
    }

    /// The publisher, when its session is open.
    pub(in crate::client) async fn open(self) -> Result<LocalPublisher> {
        self.used.session().until_connected(|state| state.is_open().then_some(())).await?;
        Ok(LocalPublisher::new(self.used, self.id))
    }
}

impl LocalPublisher {
    /// A publisher of an open session.
    fn new(used: Use, id: PublisherId) -> Self {
        let (losses_told, modes) = {
            let state = used.session().state.borrow();
            (state.losses, Rc::clone(&state.modes))
        };
        LocalPublisher { used, id, sequence: 0, losses_told, modes, begun: AHashSet::new(), proxied: false }
    }

    /// The publisher's number in its messages.
    pub fn id(&self) -> PublisherId {
        self.id
    }

    /// Longest frame body that is taken, in bytes: by the broker, and, if some topics go direct, by this publisher's
    /// own configuration.
    pub fn frame_bytes_max(&self) -> usize {
        let state = self.used.session().state.borrow();
        let by_broker = state.terms.frame_bytes_max;
        if state.modes.is_all_proxy() {
            return by_broker;
        }
        by_broker.min(self.used.session().config.direct.frame_bytes_max)
    }

    /// The mode of this topic, by the broker's last word.
    pub fn mode_of(&self, topic: &Topic) -> Mode {
        self.used.session().state.borrow().modes.mode_of(topic.as_bytes())
    }

    /// A stream of what becomes of the connection to the broker: connected, disconnected and why, slow; and what is refused.
    pub fn connection_events(&self) -> ConnectionEvents {
        let (watcher, events) = ConnectionEvents::make();
        self.used.session().report.watch(watcher);
        events
    }

    /// Queues a message and gives its sequence number. Waits while too much is queued, also while the session is
    /// connecting again; and at the first message of a topic that goes direct, for its subscribers to come.
    ///
    /// # Errors
    /// `Invalid` for a message longer than the broker takes; `Unreachable` when too much is queued and the broker has been
    /// away for longer than [`publish_timeout`](crate::ClientConfig::publish_timeout): the message is not queued; what
    /// the session has failed with.
    pub async fn publish(&mut self, topic: &Topic, payload: &[u8]) -> Result<u64> {
        self.publish_when(topic, payload, Session::until_room).await
    }

    /// As [`LocalPublisher::publish`], for a message that its publisher has been told is taken: it waits for a broker that
    /// is away. One of a topic that was refused is dropped, and the next flush tells of it.
    pub(in crate::client) async fn publish_taken(&mut self, topic: &Topic, payload: &[u8]) -> Result<()> {
        let room =
            async |session: &Session| session.until(|state| Session::has_room(state).then_some(())).await;
        match self.publish_when(topic, payload, room).await {
            Err(error)
                if error.kind() == ErrorKind::Refused(ErrorCode::NotPermitted)
                    && self.used.session().state.borrow().alive().is_ok() =>
            {
                self.sequence += 1;
                Ok(())
            }
            done => done.map(drop),
        }
    }

    async fn publish_when(
        &mut self,
        topic: &Topic,
        payload: &[u8],
        room: impl AsyncFnOnce(&Session) -> Result<()>,
    ) -> Result<u64> {
        if let Some(direct) = self.direct_for(topic).await? {
            return self.publish_direct(&direct, topic, payload).await;
        }
        check_length(topic, payload.len(), self.frame_bytes_max())?;
        let session = self.used.session();
        let ready = {
            let mut state = session.state.borrow_mut();
            state.alive()?;
            state.refused_topics.check(self.id, topic.as_bytes(), || session.runtime.clock.now())?;
            Session::has_room(&state)
        };
        if !ready {
            session.send_soon();
            room(session).await?;
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
        check_length(topic, payload.len(), self.frame_bytes_max())?;
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
        let session = self.used.session();
        let mut is_changed = false;
        {
            let state = session.state.borrow();
            if !Rc::ptr_eq(&state.modes, &self.modes) {
                // Another start of the broker, with other rules.
                self.modes = Rc::clone(&state.modes);
                self.begun.clear();
                is_changed = true;
            }
        }
        let before = self.used.direct().filter(|_| is_changed);
        if let Some(before) = before {
            // What went direct comes before what goes through the broker now; for as long as subscribers wait for either.
            first(before.flush(), session.runtime.clock.until(session.runtime.clock.now() + DIRECT_SETTLE))
                .await;
        }
        if self.begun.contains(topic) {
            return Ok(self.used.direct());
        }
        if self.modes.mode_of(topic.as_bytes()) == Mode::Proxy {
            return Ok(None);
        }
        let there = self.used.direct();
        let direct = match there {
            Some(direct) => direct,
            None => self.start_direct().await?,
        };
        direct.begin_topic(session, topic).await?;
        self.begun.insert(topic.clone());
        Ok(Some(direct))
    }

    async fn start_direct(&self) -> Result<Rc<DirectHost>> {
        let session = self.used.session();
        let config = &session.config.direct;
        let doors = Doors::look_up(session, config, self.id).await?;
        let placed = place(session, self.id, config).await?;
        let clock = &session.runtime.clock;
        let give_up = clock.now() + ADDRESS_IN_USE_RETRY;
        let open = loop {
            // Another publisher of this session may have been quicker. Executors without a publisher end.
            let there = self.used.direct();
            if let Some(direct) = there {
                return Ok(direct);
            }
            match doors.open() {
                // The kernel may keep the address of one that was killed for a moment.
                Err(error) if error.kind() == ErrorKind::AddressInUse && clock.now() < give_up => {
                    clock.until(clock.now() + ADDRESS_IN_USE_RETRY_PAUSE).await;
                }
                opened => break opened?,
            }
        };
        let made = DirectHost::start(session, config, open, placed);
        self.used.set_direct(Some(Rc::clone(&made)));
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
        self.wait_until_there(topic, n, Deadline::after(timeout)).await
    }

    pub(in crate::client) async fn wait_until_there(
        &mut self,
        topic: &Topic,
        n: usize,
        deadline: Deadline,
    ) -> Result<usize> {
        let session = self.session();
        let begun = match first(self.direct_for(topic), session.runtime.clock.until(deadline.at)).await {
            Either::Left(begun) => begun?,
            Either::Right(()) => return Err(too_few(topic, 0, n, deadline)),
        };
        if let Some(direct) = begun {
            let count = direct.wait_for_subscribers(&session, topic, n, deadline).await;
            return if count >= n { Ok(count) } else { Err(too_few(topic, count, n, deadline)) };
        }
        let count = session.count_subscribers(topic);
        let mut last = 0;
        let waited = session
            .until_by(deadline, "the subscribers are not there", |state| {
                last = count.of(state).unwrap_or(0) as usize;
                (last >= n).then_some(last)
            })
            .await;
        waited.map_err(|error| match error.kind() {
            ErrorKind::TimedOut => too_few(topic, last, n, deadline),
            _ => error,
        })
    }

    /// Waits until the broker has taken for delivery all that was published.
    ///
    /// # Errors
    /// `Lost` if the connection was lost since the last flush with messages not known to be taken: their
    /// subscribers were told of a gap. `TimedOut`; what the session has failed with.
    pub async fn flush(&mut self, timeout: Duration) -> Result<()> {
        self.flush_until(Deadline::after(timeout)).await
    }

    pub(in crate::client) async fn flush_until(&mut self, deadline: Deadline) -> Result<()> {
        let session = self.used.session();
        let direct = self.used.direct();
        if let Some(direct) = direct {
            let flushed = first(direct.flush(), session.runtime.clock.until(deadline.at)).await;
            if let Either::Right(()) = flushed {
                let text = "a subscriber with the policy `block` has not taken all in time";
                return Err(Error::new(ErrorKind::TimedOut, text));
            }
        }
        if !self.proxied {
            // Nothing went through the broker: it need not be there.
            return session.state.borrow_mut().refused_topics.tell(self.id);
        }
        let mut asked = None;
        let flushed = session
            .until_by(deadline, "the broker has not taken all", |state| {
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
        session.state.borrow_mut().refused_topics.tell(self.id)
    }

    /// Flushes, and ends the session if nobody else uses it.
    ///
    /// # Errors
    /// As for [`LocalPublisher::flush`].
    pub async fn close(self, timeout: Duration) -> Result<()> {
        self.close_until(Deadline::after(timeout)).await
    }

    pub(in crate::client) async fn close_until(mut self, deadline: Deadline) -> Result<()> {
        let flushed = self.flush_until(deadline).await;
        let session = self.session();
        let last = self.used.retire_if_last();
        let direct = self.used.direct().filter(|_| last);
        if let Some(direct) = direct {
            direct.end(&session, deadline.left()).await;
            self.used.set_direct(None);
        }
        drop(self);
        if last {
            let clock = &session.runtime.clock;
            first(session.closed(), clock.until(deadline.at.min(clock.now() + LINGER))).await;
        }
        flushed
    }

    pub(in crate::client) fn session(&self) -> Rc<Session> {
        Rc::clone(self.used.session())
    }
}

fn too_few(topic: &Topic, there: usize, n: usize, deadline: Deadline) -> Error {
    let within_ms = deadline.within.as_millis();
    let text = format!("{there} of {n} subscribers of `{topic}` came within {within_ms} ms");
    Error::new(ErrorKind::TimedOut, text)
}

/// The longest payload of a message of this topic that fits a frame body of `frame_bytes_max` bytes.
pub(super) fn payload_bytes_max(topic: &Topic, frame_bytes_max: usize) -> usize {
    frame_bytes_max.saturating_sub(FRAME_BODY_BYTES_MIN + topic.as_bytes().len())
}

pub(in crate::client) fn check_length(
    topic: &Topic,
    payload_bytes: usize,
    frame_bytes_max: usize,
) -> Result<()> {
    let most = payload_bytes_max(topic, frame_bytes_max);
    if payload_bytes <= most {
        return Ok(());
    }
    let text = format!(
        "a payload of {payload_bytes} bytes is too long: with this topic the broker takes {most} (--frame-bytes-max {frame_bytes_max})"
    );
    Err(Error::new(ErrorKind::Invalid, text))
}

/// A number for a publisher that no other has.
pub(in crate::client) fn fresh_id() -> PublisherId {
    PublisherId(fastrand::u64(1..))
}

/// The wall clock, in nanoseconds since 1970-01-01 UTC.
fn unix_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}
