//! A session with a broker or a direct publisher: who uses it, and one connection after another until it is closed or
//! refused for good. Its users are the publishers and subscribers of its executor.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

use corecast_executors::{Either, Link, MonotonicNs, TICK, Wake, first, spawn_local};
use tracing::warn;

use super::dials::DialPermit;
use super::holds::{Blocking, Holds};
use super::introductions::Introductions;
use super::peer::Peer;
use super::returning::Returning;
use super::runtime::{ClientRuntime, Ticked};
use super::sinks::Sinks;
use super::state::State;
use crate::client::config::ClientConfig;
use crate::client::connection_events::{ConnectionEvent, ConnectionReport};
use crate::client::deadline::Deadline;
use crate::client::waiters::Waiters;
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::limits::{
    HEARTBEATS_UNHEARD_MAX, LINGER, PUBLISH_BYTES_MAX, READ_BYTES_PER_TURN, RECONNECT_PAUSE_MAX,
    RECONNECT_PAUSE_MIN,
};
use crate::registry::Registration;
use crate::transport::{Endpoint, Stream};

pub(in crate::client) struct Session {
    pub(in crate::client) runtime: Rc<ClientRuntime>,
    pub(in crate::client) config: ClientConfig,
    pub(in crate::client) state: RefCell<State>,
    pub(in crate::client) peer: Peer,
    /// Where the peer is; the first that answers.
    pub(in crate::client) endpoints: Vec<Endpoint>,
    /// Shared with the sessions to direct publishers.
    pub(in crate::client) sinks: Rc<Sinks>,
    /// Direct publishers that the broker has introduced.
    pub(super) introductions: RefCell<Introductions<Session>>,
    /// Subscribers that are in force at the broker again, and wait for direct publishers.
    pub(super) returning: RefCell<Returning>,
    /// Users wait here for answers, room, or the end.
    pub(in crate::client) changed: Rc<Waiters>,
    pub(super) stream: RefCell<Option<Rc<Stream>>>,
    /// Raised when there is something to send.
    pub(in crate::client) send: Wake,
    /// The kernel takes no more for now, and the send pump waits for it.
    pub(super) send_waits: Cell<bool>,
    /// The report of what becomes of the connection to the broker. Shared with the sessions to direct publishers.
    pub(in crate::client) report: Rc<ConnectionReport>,
    /// Subscribers' queues without room. Shared with the sessions to direct publishers.
    pub(in crate::client) holds: Rc<Holds>,
    /// Its peer is given up because it has said nothing for too long.
    pub(super) fell_silent: Cell<bool>,
    /// Its part in whether full queues may hold others.
    pub(super) blocking: Blocking,
    /// Everybody has left.
    pub(super) closing: Cell<bool>,
    /// Since when it is not open, if it is not.
    down_since: Cell<MonotonicNs>,
    /// Why the last connection that was open ended; `None` until one has.
    lost: RefCell<Option<Loss>>,
    /// Why the last connection failed or ended.
    last_failure: RefCell<String>,
    /// The endpoint of its connection, with the address that it leads to, for errors.
    pub(super) place: RefCell<String>,
    /// The address from which the broker is reached, while it is.
    pub(in crate::client) local_ip: Cell<Option<IpAddr>>,
    /// When the first connection is given up; later ones are tried until it is closed.
    pub(in crate::client) give_up: Cell<Option<MonotonicNs>>,
}

/// The state that a session to the broker shares with those to direct publishers.
#[derive(Default)]
struct Shared {
    sinks: Rc<Sinks>,
    changed: Rc<Waiters>,
    holds: Rc<Holds>,
    report: Rc<ConnectionReport>,
}

/// The time for which a broker may give no sign of life, from `earliest` at the earliest. On a connection that stands that
/// is a word, for which so many heartbeats are waited at the least.
#[derive(Clone, Copy)]
struct Silence {
    earliest: MonotonicNs,
    time: Duration,
    heartbeats: u32,
}

/// The end of one connection, or of an attempt to make one.
pub(super) struct ConnectionEnd {
    pub(super) error: Error,
    /// The time for which the session was open; `None` if it was not.
    pub(super) held_for: Option<Duration>,
}

/// The end of an open connection.
struct Loss {
    kind: ErrorKind,
    why: String,
    /// It was logged. Then its end is, too.
    is_logged: bool,
}

impl Session {
    /// A session that connects by itself, and again when it is lost, until it is closed or refused for good.
    pub(in crate::client) fn start(runtime: &Rc<ClientRuntime>, config: ClientConfig) -> Rc<Self> {
        let give_up = runtime.clock.now() + config.connect_timeout;
        let broker = (Peer::Broker, vec![config.broker.clone()]);
        let session = Self::make(runtime, config, broker, Some(give_up), Shared::default());
        spawn_local(Rc::clone(&session).run()).detach();
        session
    }

    /// A session to a direct publisher for the subscribers of this one. It has one connection, and makes none by itself.
    pub(super) fn start_direct(&self, registration: &Registration) -> Rc<Self> {
        let endpoints = &registration.endpoints;
        let mut config = self.config.clone();
        config.broker = endpoints.first().cloned().unwrap_or_default();
        let shared = Shared {
            sinks: Rc::clone(&self.sinks),
            changed: Rc::clone(&self.changed),
            holds: Rc::clone(&self.holds),
            report: Rc::clone(&self.report),
        };
        let peer = Peer::Publisher(registration.publisher);
        Self::make(&self.runtime, config, (peer, endpoints.clone()), None, shared)
    }

    fn make(
        runtime: &Rc<ClientRuntime>,
        config: ClientConfig,
        (peer, endpoints): (Peer, Vec<Endpoint>),
        give_up: Option<MonotonicNs>,
        Shared { sinks, changed, holds, report }: Shared,
    ) -> Rc<Self> {
        let session = Rc::new(Session {
            runtime: Rc::clone(runtime),
            place: RefCell::new(config.broker.to_string()),
            config,
            peer,
            endpoints,
            introductions: RefCell::default(),
            returning: RefCell::default(),
            down_since: Cell::new(runtime.clock.now()),
            lost: RefCell::default(),
            last_failure: RefCell::default(),
            local_ip: Cell::new(None),
            state: RefCell::new(State::new(runtime.clock.now())),
            sinks,
            changed,
            stream: RefCell::default(),
            send: Wake::new(),
            send_waits: Cell::new(false),
            report,
            blocking: Blocking::new(Rc::clone(&holds)),
            holds,
            fell_silent: Cell::new(false),
            closing: Cell::new(false),
            give_up: Cell::new(give_up),
        });
        let filed: Weak<Session> = Rc::downgrade(&session);
        runtime.file(filed);
        spawn_local(Rc::clone(&session).send_pump()).detach();
        session
    }

    /// Waits until `look` finds something, or the session has failed.
    pub(in crate::client) async fn until<T>(
        &self,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T> {
        self.changed
            .until(|| {
                let mut state = self.state.borrow_mut();
                match state.alive() {
                    Err(error) => Some(Err(error)),
                    Ok(()) => look(&mut state).map(Ok),
                }
            })
            .await
    }

    /// As [`Session::until`], for whoever comes to a session: without a sign of the broker for as long as a first connection
    /// would be tried, it is an error. Those that have the session already wait on.
    pub(in crate::client) async fn until_connected<T>(
        &self,
        look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T> {
        let called = self.runtime.clock.now();
        let silence = Silence { earliest: called, time: self.config.connect_timeout, heartbeats: 0 };
        match first(self.until(look), self.until_silent(silence)).await {
            Either::Left(done) => done,
            Either::Right(error) => Err(error),
        }
    }

    /// As [`Session::until_connected`], for something that the broker is to confirm by the deadline, however much else it
    /// says until then.
    ///
    /// # Errors
    /// `TimedOut` if it does not; those of a broker that gives no sign of life.
    pub(in crate::client) async fn until_confirmed<T>(
        &self,
        deadline: Deadline,
        subject: &str,
        look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T> {
        match first(self.until_connected(look), self.until_overdue(deadline, subject)).await {
            Either::Left(done) => done,
            Either::Right(error) => Err(error),
        }
    }

    /// Waits until a confirmation is overdue, and returns the reason. A session that was never open gives itself up.
    async fn until_overdue(&self, deadline: Deadline, subject: &str) -> Error {
        let clock = &self.runtime.clock;
        let called = clock.now();
        clock.until(deadline.at).await;
        let was_open = || self.give_up.get().is_none() || self.state.borrow().is_open();
        self.changed.until(|| was_open().then_some(())).await;
        let silence = Silence { earliest: called, time: deadline.within, heartbeats: 0 };
        if self.end_of(silence).is_some_and(|end| end <= clock.now()) {
            return self.unreachable();
        }
        self.too_late(deadline, &format!("the broker has not confirmed {subject}"))
    }

    /// The error for something that was not there by the deadline.
    fn too_late(&self, deadline: Deadline, what: &str) -> Error {
        let broker = &self.config.broker;
        let text = format!("{what}: not within {} ms ({broker})", deadline.within.as_millis());
        Error::new(ErrorKind::TimedOut, text)
    }

    /// Waits until there has been no sign of the broker for so long, and says why.
    async fn until_silent(&self, silence: Silence) -> Error {
        let clock = &self.runtime.clock;
        loop {
            let was_open = self.state.borrow().is_open();
            let changed = self.changed.until(|| (self.state.borrow().is_open() != was_open).then_some(()));
            match self.end_of(silence) {
                Some(end) if end <= clock.now() => return self.unreachable(),
                Some(end) => drop(first(clock.until(end), changed).await),
                None => changed.await,
            }
        }
    }

    /// When the silence of the broker is over, by what it has said so far. `None` for a session that was never open, which
    /// gives itself up, and for one that has failed.
    fn end_of(&self, Silence { earliest, time, heartbeats }: Silence) -> Option<MonotonicNs> {
        let state = self.state.borrow();
        let (since, time) = if state.is_open() {
            (state.last_heard(), time.max(state.terms.heartbeat * heartbeats))
        } else if self.give_up.get().is_none() && state.alive().is_ok() {
            (self.down_since.get(), time)
        } else {
            return None;
        };
        Some(since.max(earliest) + time)
    }

    /// The silence of the broker after which publishers wait no more.
    fn silence_of_publishers(&self) -> Silence {
        let time = self.config.publish_timeout;
        Silence { earliest: MonotonicNs(0), time, heartbeats: HEARTBEATS_UNHEARD_MAX }
    }

    /// Waits until there is room for another message.
    ///
    /// # Errors
    /// `Unreachable` when the broker is away for longer than this client's publishers wait.
    pub(in crate::client) async fn until_room(&self) -> Result<()> {
        let room = self.until(|state| Session::has_room(state).then_some(()));
        match first(room, self.until_silent(self.silence_of_publishers())).await {
            Either::Left(done) => done,
            Either::Right(error) => Err(error),
        }
    }

    /// Gives the error of a broker that is away for longer than publishers wait to whoever takes it, for as long as it is.
    pub(in crate::client) async fn complain_while_away(&self, complaints: Link<Error>) {
        let clock = &self.runtime.clock;
        let silence = self.silence_of_publishers();
        let until_back = async || {
            while self.end_of(silence).is_some_and(|end| end <= clock.now()) {
                clock.until(clock.now() + TICK).await;
            }
        };
        loop {
            self.until_silent(silence).await;
            let complain = async { while complaints.send(self.unreachable()).await.is_ok() {} };
            if let Either::Right(()) = first(until_back(), complain).await {
                // Nobody is there to hear it.
                return std::future::pending().await;
            }
        }
    }

    /// The error for a session that has been without its broker for too long.
    fn unreachable(&self) -> Error {
        if self.state.borrow().is_open() {
            return Error::new(ErrorKind::Unreachable, self.has_fallen_silent().to_string());
        }
        let away = self.runtime.clock.now().saturating_since(self.down_since.get());
        let (broker, why) = (&self.config.broker, self.last_failure.borrow());
        let text = format!("there has been no connection to {broker} for {:.1} s: {why}", away.as_secs_f64());
        Error::new(ErrorKind::Unreachable, text)
    }

    /// As [`Session::until`], and no longer than to the deadline.
    pub(in crate::client) async fn until_by<T>(
        &self,
        deadline: Deadline,
        what: &str,
        look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T> {
        match first(self.until(look), self.runtime.clock.until(deadline.at)).await {
            Either::Left(done) => done,
            Either::Right(()) => Err(self.too_late(deadline, what)),
        }
    }

    /// Something is to be sent: now, if it is a turn's worth, else when this turn is over. `true`: it was sent
    /// now, and the caller should end its turn.
    pub(in crate::client) fn send_soon(&self) -> bool {
        let much = self.state.borrow().out.unsent_bytes() >= READ_BYTES_PER_TURN;
        if much && !self.send_waits.get() && self.send_now() {
            return true;
        }
        self.send_later();
        false
    }

    /// Something is to be sent when this turn is over.
    pub(in crate::client) fn send_later(&self) {
        if !self.send_waits.get() {
            self.send.raise();
        }
    }

    /// Bytes a publisher may still queue before it must wait.
    pub(in crate::client) fn has_room(state: &State) -> bool {
        state.backlog() < PUBLISH_BYTES_MAX
    }

    /// Everybody has left: what is unsent is sent, then the connection is closed in order.
    pub(in crate::client) fn close(self: &Rc<Self>) {
        if self.closing.replace(true) {
            return;
        }
        self.blocking.set(false);
        let session = Rc::clone(self);
        spawn_local(async move {
            session.finish().await;
        })
        .detach();
    }

    async fn finish(self: &Rc<Self>) {
        self.send_the_rest().await;
        let messages = self.state.borrow_mut().unsent_messages();
        if messages > 0 {
            warn!(messages, broker = %self.config.broker, "messages were not sent before their session was closed");
        }
        self.end(&self.closed_by_client());
    }

    /// Sends what waits for this connection, and ends that in order; for [`LINGER`] at the most.
    async fn send_the_rest(self: &Rc<Self>) {
        self.part_from_all();
        self.send.raise();
        let deadline = self.runtime.clock.now() + LINGER;
        let sent = self.changed.until(|| self.state.borrow().out.is_empty().then_some(()));
        first(sent, self.runtime.clock.until(deadline)).await;
        let stream = self.stream.borrow().clone();
        if let Some(stream) = stream {
            // The broker reads to our end, then closes its own: nothing of ours is lost in a reset.
            let _ = stream.shutdown_write();
            let gone = self.changed.until(|| self.stream.borrow().is_none().then_some(()));
            self.holds.look_again();
            first(gone, self.runtime.clock.until(deadline)).await;
            let _ = stream.shutdown_both();
        }
    }

    /// Waits until a closed session's connection is gone.
    pub(in crate::client) async fn closed(&self) {
        self.changed.until(|| self.state.borrow().alive().is_err().then_some(())).await;
    }

    /// True if everybody has left.
    pub(super) fn is_left(&self) -> bool {
        self.closing.get()
    }

    /// Since when it is not open, if it is not.
    pub(super) fn down_since(&self) -> MonotonicNs {
        self.down_since.get()
    }

    /// The session is open, for the first time or again.
    pub(super) fn on_open(&self) {
        if self.peer != Peer::Broker {
            return;
        }
        self.report.change(ConnectionEvent::Connected);
        if self.lost.take().is_some_and(|loss| loss.is_logged) {
            let away = self.runtime.clock.now().saturating_since(self.down_since.get());
            let away = format_args!("{:.1} s", away.as_secs_f64());
            warn!(broker = %self.config.broker, %away, "connected to the broker again");
        }
    }

    /// A connection that was open has ended.
    fn on_lost(&self, error: &Error) {
        self.state.borrow_mut().subscribers.on_lost(error.kind());
        if self.peer != Peer::Broker {
            return;
        }
        let (kind, why) = (error.kind(), error.to_string());
        self.report.change(ConnectionEvent::Disconnected { kind, why: why.clone() });
        // One that is not tried again is an error of whoever uses it.
        let is_logged = is_final(error);
        self.lost.replace(Some(Loss { kind, why, is_logged }));
        self.warn_of_loss();
    }

    /// True if the peer's loss, of this kind, has not been logged lately, by this session or another.
    pub(super) fn is_worth_telling(&self, what: ErrorKind) -> bool {
        let loss = (self.peer, self.config.broker.clone(), what);
        self.runtime.losses_told.borrow_mut().add(loss, self.runtime.clock.now())
    }

    /// Says that the connection is lost, unless that was said of this broker lately: then a tick says it, if it is still so.
    fn warn_of_loss(&self) {
        let mut lost = self.lost.borrow_mut();
        let Some(loss) = lost.as_mut().filter(|loss| !loss.is_logged) else { return };
        if !self.is_left() && self.is_worth_telling(loss.kind) {
            loss.is_logged = true;
            warn!(broker = %self.config.broker, reason = %loss.why, "the connection to the broker is lost: it is tried again");
        }
    }

    /// It is not tried again, for this reason if it has not ended before.
    pub(super) fn end(&self, error: &Error) {
        if self.state.borrow().alive().is_ok() {
            self.state.borrow_mut().fail(error);
        }
        self.send.raise();
        self.changed.wake_all();
    }

    async fn run(self: Rc<Self>) {
        let mut pause = RECONNECT_PAUSE_MIN;
        let mut previous = None;
        while !self.closing.get() {
            let ConnectionEnd { error, held_for } = self.live_once(None).await;
            if held_for.is_some() {
                self.give_up.set(None);
                pause = RECONNECT_PAUSE_MIN;
            }
            self.doubt_introductions();
            let given_up = self.give_up.get().is_some_and(|give_up| self.runtime.clock.now() >= give_up);
            if is_final(&error) || given_up {
                // The last attempt may only have run out of time: the one before it says what is wrong.
                let why = previous.filter(|_| given_up && !is_final(&error));
                return self.end(why.as_ref().unwrap_or(&error));
            }
            previous = Some(error);
            if self.closing.get() {
                break;
            }
            self.runtime.clock.until(self.runtime.clock.now() + jittered(pause)).await;
            pause = (pause * 2).min(RECONNECT_PAUSE_MAX);
        }
        self.end(&self.closed_by_client());
    }

    /// Makes one connection, with a permit that ends once it stands, and serves it until it ends.
    pub(super) async fn live_once(self: &Rc<Self>, permit: Option<DialPermit>) -> ConnectionEnd {
        let connected = self.connect().await;
        drop(permit);
        let error = match connected {
            // Everybody may have left meanwhile: a connection that is served then, nobody would ever end.
            Ok(_) if self.closing.get() => self.closed_by_client(),
            Ok(stream) => self.serve(stream).await,
            Err(error) => error,
        };
        let now = self.runtime.clock.now();
        let open_since = self.state.borrow().open_since();
        if open_since.is_some() {
            self.down_since.set(match self.fell_silent.take() {
                true => self.state.borrow().last_heard(),
                false => now,
            });
            self.on_lost(&error);
        }
        self.last_failure.replace(error.to_string());
        self.state.borrow_mut().on_disconnected();
        self.changed.wake_all();
        ConnectionEnd { error, held_for: open_since.map(|since| now.saturating_since(since)) }
    }

    fn closed_by_client(&self) -> Error {
        Error::new(ErrorKind::Closed, "the client has closed this session")
    }
}

/// A pause, drawn between half and whole of it.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}

impl Ticked for Session {
    fn on_tick(self: Rc<Self>, now: MonotonicNs) {
        self.check_introductions(now);
        self.warn_of_complaint(now);
        self.warn_of_loss();
        if self.peer == Peer::Broker {
            self.report.on_tick(now);
        }
        let silent = self.state.borrow_mut().on_tick(now, !self.holds.any());
        if silent && let Some(stream) = &*self.stream.borrow() {
            self.fell_silent.set(true);
            let _ = stream.shutdown_both();
        }
        if !self.state.borrow().out.is_empty() {
            self.send_soon();
        }
    }

    fn is_closing(&self) -> bool {
        self.closing.get() && self.state.borrow().alive().is_ok()
    }
}

/// True if another attempt would only be refused again.
pub(super) fn is_final(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Refused(code) => !matches!(
            code,
            ErrorCode::ShuttingDown
                | ErrorCode::SlowSubscriber
                | ErrorCode::IdleTimeout
                | ErrorCode::FrameTimeout
                | ErrorCode::HandshakeTimeout
                | ErrorCode::TooManySessions
        ),
        ErrorKind::Protocol | ErrorKind::Invalid => true,
        _ => false,
    }
}
