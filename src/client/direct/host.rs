//! A direct publisher's own shards: the broker's fan-out core with its messages put in by hand. Used by the
//! publishers of one client that have topics which go direct.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::mem;
use std::rc::{Rc, Weak};
use std::time::Duration;

use corecast_executors::{Either, MonotonicNs, TICK, Wake, end_turn, first, spawn_local};
use tracing::{info, warn};

use super::doors::OpenDoors;
use super::executors::Placed;
use crate::auth::{Permissions, TicketRules};
use crate::broker::{Listener, LocalHost};
use crate::client::config::DirectConfig;
use crate::client::deadline::Deadline;
use crate::client::session::{Announcement, Session};
use crate::client::waiters::Waiters;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::PublisherId;
use crate::limits::{DIRECT_SETTLE, READ_BYTES_PER_TURN};
use crate::shard::Door;
use crate::topic::Topic;
use crate::transport::SocketFile;
use crate::wire::{Frame, RunWriter, encode, splitter};

/// Messages that wait for the shard. Those that wait together share frames.
struct Waiting {
    frames: Vec<u8>,
    /// Behind them, messages that the next may join.
    run: RunWriter,
}

impl Waiting {
    fn push(&mut self, message: &Frame<'_>) {
        self.run.push(message, &mut self.frames);
    }

    fn bytes(&self) -> usize {
        self.frames.len() + self.run.bytes()
    }

    fn take(&mut self) -> Vec<u8> {
        self.run.write(&mut self.frames);
        mem::take(&mut self.frames)
    }
}

/// The direct publishers of one client.
pub(in crate::client) struct DirectHost {
    id: PublisherId,
    host: LocalHost,
    /// Messages of this turn.
    out: RefCell<Waiting>,
    /// Messages are on their way into the shard.
    taking: Cell<bool>,
    send: Wake,
    changed: Waiters,
    /// By request: subscribers of a watched topic.
    counts: RefCell<BTreeMap<u32, u32>>,
    next_request: Cell<u32>,
    ended: Cell<bool>,
    /// Removed when it ends.
    socket_files: RefCell<Vec<SocketFile>>,
}

impl DirectHost {
    /// Starts the first shard, and has the session announce it.
    pub(in crate::client) fn start(
        session: &Rc<Session>,
        config: &DirectConfig,
        OpenDoors { listeners, socket_files, fingerprint }: OpenDoors,
        placed: Placed,
    ) -> Rc<DirectHost> {
        let Placed { context, commands, config: executor_config, id } = placed;
        for Listener { endpoint, .. } in listeners.iter().filter(|listener| listener.door != Door::Native) {
            info!(endpoint = endpoint.to_zmq(), "ZeroMQ subscribers may connect");
        }
        let at = &listeners.first().expect("the first door is the native one").endpoint;
        let advertised = config.advertise.clone().unwrap_or_else(|| at.clone()).seen_by_others(at);
        // What somebody else encrypts on the way is advertised with that certificate.
        let pin = advertised.pin().or(fingerprint);
        let advertised = advertised.pinned(pin);
        let host = LocalHost::start(context, commands, &executor_config, listeners);
        let announcement = Announcement::new(id, &advertised, session.runtime.clock.now());
        session.state.borrow_mut().announcement = Some(announcement);
        let direct = Rc::new(DirectHost {
            id,
            host,
            out: RefCell::new(Waiting {
                frames: Vec::new(),
                run: RunWriter::for_bodies_of(config.frame_bytes_max),
            }),
            taking: Cell::new(false),
            send: Wake::new(),
            changed: Waiters::default(),
            counts: RefCell::default(),
            next_request: Cell::new(1),
            ended: Cell::new(false),
            socket_files: RefCell::new(socket_files),
        });
        spawn_local(Rc::clone(&direct).take_pump()).detach();
        spawn_local(Rc::clone(&direct).answer_pump()).detach();
        let told = RulesWatch { session: Rc::downgrade(session), changed: Rc::clone(&session.changed) };
        spawn_local(Rc::clone(&direct).follow_rules(told, executor_config.shard.permissions.clone()))
            .detach();
        direct
    }

    /// Makes a topic known, and waits until the subscribers that the broker knows of are here: so the first message
    /// reaches them all, as it would through the broker. Whoever does not come within [`DIRECT_SETTLE`], or while
    /// the broker is away, is not waited for.
    ///
    /// # Errors
    /// `Invalid` when the broker does not take the registration; what the session has failed with.
    pub(in crate::client) async fn begin_topic(
        self: &Rc<Self>,
        session: &Rc<Session>,
        topic: &Topic,
    ) -> Result<()> {
        {
            let mut state = session.state.borrow_mut();
            let modes = Rc::clone(&state.modes);
            if let Some(announcement) = &mut state.announcement {
                announcement.add(topic, &modes);
            }
            state.announce();
        }
        session.send_later();
        let clock = &session.runtime.clock;
        if self.is_registered(session, clock.now() + DIRECT_SETTLE).await? {
            // Subscribers have their time from when they hear of it: not from the last tick.
            self.subscribers_are_here(session, topic, MonotonicNs::now() + DIRECT_SETTLE).await;
        }
        Ok(())
    }

    /// Waits until the broker has taken the registration; `false` if it has not answered by then.
    async fn is_registered(&self, session: &Session, deadline: MonotonicNs) -> Result<bool> {
        let clock = &session.runtime.clock;
        let registered = session.until(|state| {
            let Some(announcement) = &state.announcement else { return Some(Ok(false)) };
            if let Some(refused) = &announcement.refused {
                let text = format!("the broker refuses publisher {}: {refused}", self.id);
                return Some(Err(Error::new(ErrorKind::Invalid, text)));
            }
            let too_late = clock.now() >= deadline && !announcement.is_undecided();
            (announcement.is_known() || too_late).then(|| Ok(announcement.is_known()))
        });
        let ticks = async {
            loop {
                clock.until(clock.now() + TICK).await;
                session.changed.wake_all();
            }
        };
        match first(registered, ticks).await {
            Either::Left(registered) => registered?,
            Either::Right(never) => never,
        }
    }

    /// Waits until those that the broker counts are here. It is asked behind the registration: who subscribes later
    /// than it counts has heard of this publisher before its subscription was in force, and waits for it.
    async fn subscribers_are_here(
        self: &Rc<Self>,
        session: &Rc<Session>,
        topic: &Topic,
        deadline: MonotonicNs,
    ) {
        let expected = session.count_subscribers(topic);
        let here = self.count_here(topic).await;
        let met = async {
            let mut there = None;
            // Until then the counts here are of no interest.
            while there.is_none_or(|there| here.get() < there) {
                let (was, count) = (there, here.get());
                let elsewhere = session.changed.until(|| {
                    let now = expected.of(&session.state.borrow());
                    (now != was).then_some(now)
                });
                let more = self.changed.until(|| (here.get() != count).then_some(()));
                if let Either::Left(now) = first(elsewhere, more).await {
                    there = now;
                }
            }
        };
        first(met, session.runtime.clock.until(deadline)).await;
    }

    /// True if a publisher may put in more.
    fn has_room(&self) -> bool {
        self.out.borrow().bytes() < READ_BYTES_PER_TURN
    }

    /// Puts a message in; it leaves when this turn is over.
    pub(in crate::client) async fn publish(&self, frame: &Frame<'_>) {
        if !self.has_room() {
            self.changed.until(|| self.has_room().then_some(())).await;
        }
        self.out.borrow_mut().push(frame);
        self.send.raise();
    }

    async fn take_pump(self: Rc<Self>) {
        loop {
            self.send.wait().await;
            if self.ended.get() {
                return;
            }
            loop {
                let frames = self.out.borrow_mut().take();
                if frames.is_empty() {
                    break;
                }
                let is_much = frames.len() >= READ_BYTES_PER_TURN;
                self.taking.set(true);
                self.host.take(frames).await;
                self.taking.set(false);
                self.changed.wake_all();
                if is_much {
                    // A publisher that never waits for anything else would let nobody else of this executor have a turn.
                    end_turn().await;
                }
            }
        }
    }

    async fn answer_pump(self: Rc<Self>) {
        loop {
            let answers = self.host.answers().await;
            if self.ended.get() {
                return;
            }
            for (_, frame) in splitter::frames(&answers) {
                if let Frame::SubscriberCount { request, count } = frame
                    && let Some(known) = self.counts.borrow_mut().get_mut(&request)
                {
                    *known = count;
                }
            }
            self.changed.wake_all();
        }
    }

    /// Has the shards ask for the tickets that the broker says, whenever it says something else.
    async fn follow_rules(self: Rc<Self>, told: RulesWatch, mut permissions: Permissions) {
        loop {
            let look = || match told.rules() {
                _ if self.ended.get() => Some(None),
                None => Some(None),
                Some(rules) => (permissions.tickets() != rules.as_ref()).then_some(Some(rules)),
            };
            let Some(rules) = told.changed.until(look).await else { return };
            permissions = permissions.asking_for(rules);
            self.host.follow(&permissions).await;
        }
    }

    async fn ask(&self, frame: &Frame<'_>) {
        let mut bytes = Vec::new();
        encode(frame, &mut bytes);
        self.host.ask(bytes).await;
    }

    /// A number for a count that is asked for now.
    pub(super) fn next_count(&self) -> u32 {
        let request = self.next_request.get();
        self.next_request.set(request.wrapping_add(1));
        self.counts.borrow_mut().insert(request, 0);
        request
    }

    pub(in crate::client) async fn watch(&self, topic: &Topic, request: u32) {
        self.ask(&Frame::WatchSubscribers { topic: topic.as_bytes(), request }).await;
    }

    pub(in crate::client) async fn unwatch(&self, request: u32) {
        self.counts.borrow_mut().remove(&request);
        self.ask(&Frame::UnwatchSubscribers { request }).await;
    }

    pub(in crate::client) fn count(&self, request: u32) -> u32 {
        self.counts.borrow().get(&request).copied().unwrap_or(0)
    }

    /// Waits until so many subscribers of a topic are here; gives how many are, the wait over or not.
    pub(in crate::client) async fn wait_for_subscribers(
        self: &Rc<Self>,
        session: &Session,
        topic: &Topic,
        n: usize,
        deadline: Deadline,
    ) -> usize {
        let here = self.count_here(topic).await;
        let there = self.changed.until(|| (here.get() as usize >= n).then_some(()));
        first(there, session.runtime.clock.until(deadline.at)).await;
        here.get() as usize
    }

    /// Waits until all that was put in has been taken for delivery.
    pub(in crate::client) async fn flush(&self) {
        self.changed.until(|| (self.out.borrow().bytes() == 0 && !self.taking.get()).then_some(())).await;
    }

    /// Leaves the registry, sends what was put in, tells every subscriber, and ends; all in so long.
    pub(in crate::client) async fn end(&self, session: &Session, drain: Duration) {
        {
            let mut state = session.state.borrow_mut();
            if let Some(announcement) = state.announcement.take()
                && state.is_open()
            {
                announcement.unregister(&mut state.out);
            }
        }
        session.send_later();
        let clock = &session.runtime.clock;
        let deadline = clock.now() + drain;
        first(self.flush(), clock.until(deadline)).await;
        // While it still listens: see there.
        drop(self.socket_files.take());
        self.host.end(deadline.saturating_since(clock.now())).await;
        self.ended.set(true);
        self.send.raise();
        session.changed.wake_all();
        self.host.stop_answers();
    }
}

/// The tickets that a session's broker wants to be asked for.
struct RulesWatch {
    session: Weak<Session>,
    changed: Rc<Waiters>,
}

impl RulesWatch {
    /// Those of now, if it asks for any. `None`: the session is gone.
    fn rules(&self) -> Option<Option<TicketRules>> {
        Some(self.session.upgrade()?.state.borrow().tickets.rules())
    }
}

impl Session {
    /// Says that the broker does not take this publisher's registration any more: subscribers that it has stay, new
    /// ones do not find it.
    pub(in crate::client) fn warn_of_complaint(&self, now: MonotonicNs) {
        let state = self.state.borrow();
        let Some(why) = state.announcement.as_ref().and_then(Announcement::complaint) else { return };
        if self.runtime.log_limit.borrow_mut().allow("not_registered", now).is_some() {
            warn!(broker = %self.config.broker, why, "the broker does not take the registration of a direct publisher");
        }
    }
}
