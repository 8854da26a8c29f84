//! A session with a broker or a direct publisher: who uses it, and one connection after another until it is closed or
//! refused for good. Its users are the publishers and subscribers of its executor.

use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::io;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

use corecast_executors::{MonotonicNs, TICK, TICKS_PER_REST, Wake, first, spawn_local};
use tracing::warn;

use super::announcement::Announcement;
use super::destinations::Destinations;
use super::dials::DialPermit;
use super::holds::{Blocking, Holds};
use super::introductions::Introductions;
use super::patience::Patience;
use super::peer::Peer;
use super::returning::Returning;
use super::runtime::{ClientRuntime, Ticked};
use super::sinks::Sinks;
use super::state::State;
use super::transfer::Transfer;
use crate::auth::Secret;
use crate::client::config::ClientConfig;
use crate::client::connection_events::{ConnectionEvent, ConnectionReport};
use crate::client::token::Token;
use crate::client::waiters::Waiters;
use crate::error::{Error, ErrorCode, ErrorKind};
use crate::limits::{
    LINGER, LOGIN_PAUSE, PUBLISH_BYTES_MAX, READ_BYTES_PER_TURN, RECONNECT_PAUSE_MAX, RECONNECT_PAUSE_MIN,
};
use crate::registry::Registration;
use crate::topic::Topic;
use crate::transport::{Endpoint, Stream};

pub(in crate::client) struct Session {
    pub(in crate::client) runtime: Rc<ClientRuntime>,
    pub(in crate::client) config: ClientConfig,
    pub(in crate::client) state: RefCell<State>,
    pub(in crate::client) peer: Peer,
    /// Where the peer is; the first that answers.
    pub(in crate::client) destinations: Destinations,
    /// Nobody on the way may read along: its client has chosen a broker over TLS.
    pub(super) wants_encryption: bool,
    /// Shared with the sessions to direct publishers.
    pub(in crate::client) sinks: Rc<Sinks>,
    /// The session to the broker, of one to a direct publisher.
    pub(super) introducer: Weak<Session>,
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
    /// The patience of its users while it is not open.
    pub(super) patience: Patience,
    /// Its way to another broker, when its own is about to end.
    pub(super) transfer: Transfer,
    /// Why the last connection that was open ended; `None` until one has.
    lost: RefCell<Option<Loss>>,
    /// The endpoint of its connection, with the address that it leads to, for errors.
    pub(super) place: RefCell<String>,
    /// The address from which the broker is reached, while it is.
    pub(in crate::client) local_ip: Cell<Option<IpAddr>>,
}

/// The state that a session to the broker shares with those to direct publishers.
#[derive(Default)]
struct Shared {
    sinks: Rc<Sinks>,
    changed: Rc<Waiters>,
    holds: Rc<Holds>,
    report: Rc<ConnectionReport>,
    introducer: Weak<Session>,
}

/// The end of one connection, or of an attempt to make one.
pub(super) struct ConnectionEnd {
    pub(super) error: Error,
    /// The time for which the session was open; `None` if it was not.
    pub(super) held_for: Option<Duration>,
    /// The session goes on over another connection, which stands already.
    pub(super) has_left: bool,
}

/// The end of a connection that was served.
pub(super) enum ServedUntil {
    /// It has ended, for this reason.
    Ended(Error),
    /// The session has left it, to go on over another one.
    Left,
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
        let endpoints = config.broker.endpoints().to_vec();
        let broker = (Peer::Broker, endpoints, config.broker.are_encrypted());
        let session = Self::make(runtime, config, broker, Some(give_up), Shared::default());
        spawn_local(Rc::clone(&session).run()).detach();
        session
    }

    /// A session to a direct publisher for the subscribers of this one. It has one connection, and makes none by itself.
    pub(super) fn start_direct(self: &Rc<Self>, registration: &Registration) -> Rc<Self> {
        let endpoints = &registration.endpoints;
        let mut config = self.config.clone().without_credentials();
        config.broker = endpoints.first().cloned().unwrap_or_default().into();
        let shared = Shared {
            sinks: Rc::clone(&self.sinks),
            changed: Rc::clone(&self.changed),
            holds: Rc::clone(&self.holds),
            report: Rc::clone(&self.report),
            introducer: Rc::downgrade(self),
        };
        let peer = Peer::Publisher(registration.publisher);
        Self::make(&self.runtime, config, (peer, endpoints.clone(), self.wants_encryption), None, shared)
    }

    fn make(
        runtime: &Rc<ClientRuntime>,
        config: ClientConfig,
        (peer, endpoints, wants_encryption): (Peer, Vec<Endpoint>, bool),
        give_up: Option<MonotonicNs>,
        Shared { sinks, changed, holds, report, introducer }: Shared,
    ) -> Rc<Self> {
        let session = Rc::new(Session {
            runtime: Rc::clone(runtime),
            place: RefCell::new(config.broker.to_string()),
            config,
            peer,
            destinations: Destinations::new(endpoints),
            wants_encryption,
            introducer,
            introductions: RefCell::default(),
            returning: RefCell::default(),
            patience: Patience::new(runtime.clock.now(), give_up),
            transfer: Transfer::default(),
            lost: RefCell::default(),
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
        });
        let filed: Weak<Session> = Rc::downgrade(&session);
        runtime.file(filed);
        spawn_local(Rc::clone(&session).send_pump()).detach();
        session
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
        // Acknowledgements of what is sent are asked for on ticks.
        self.runtime.clock.end_rest();
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

    /// The session is open, for the first time or again.
    pub(super) fn on_open(&self) {
        if self.peer != Peer::Broker {
            return;
        }
        self.returning.borrow_mut().clear();
        self.on_transferred();
        self.report.change(ConnectionEvent::Connected);
        if self.lost.take().is_some_and(|loss| loss.is_logged) {
            let away = self.patience.away(self.runtime.clock.now());
            let away = format_args!("{:.1} s", away.as_secs_f64());
            warn!(broker = %self.destinations.current(), %away, "connected to the broker again");
        }
    }

    /// A connection that was open has ended.
    fn on_lost(&self, error: &Error) {
        self.state.borrow_mut().subscribers.on_lost(error.kind());
        if may_live_on(error) {
            self.state.borrow_mut().naming.on_cut_off();
        }
        if self.peer != Peer::Broker {
            return;
        }
        let (kind, why) = (error.kind(), error.to_string());
        self.report.change(ConnectionEvent::Disconnected { kind, why: why.clone() });
        // One that is not tried again is an error of whoever uses it.
        let is_logged = is_final(error) && !self.may_be_let_in_later(error, true);
        self.lost.replace(Some(Loss { kind, why, is_logged }));
        self.warn_of_loss();
    }

    /// True if the peer's loss, of this kind, has not been logged lately, by this session or another.
    pub(super) fn is_worth_telling(&self, what: ErrorKind) -> bool {
        let loss = (self.peer, self.config.broker.first().clone(), what);
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

    /// Tells those that watch the connection what the broker refuses to publishers.
    pub(super) fn report_refused(&self) {
        let mut state = self.state.borrow_mut();
        let lost = state.announcement.as_mut().and_then(Announcement::take_lost_right);
        for (publisher, topic, error) in state.refused_topics.take_news() {
            self.report.refused(publisher, Topic::new(&topic).ok(), &error);
        }
        if let Some((publisher, error)) = lost {
            self.report.refused(publisher, None, &error);
        }
    }

    /// It is not tried again, for this reason if it has not ended before.
    pub(super) fn end(&self, error: &Error) {
        if self.state.borrow().alive().is_ok() {
            self.state.borrow_mut().fail(error);
        }
        if self.peer == Peer::Broker {
            self.report.end();
        }
        self.send.raise();
        self.changed.wake_all();
    }

    async fn run(self: Rc<Self>) {
        let mut pause = RECONNECT_PAUSE_MIN;
        let mut previous = None;
        let mut refusals = 0;
        while !self.closing.get() {
            let ConnectionEnd { error, held_for, has_left } = self.live_once(None).await;
            if held_for.is_some() {
                self.patience.on_held();
                (pause, refusals) = (RECONNECT_PAUSE_MIN, 0);
            }
            self.doubt_introductions();
            if has_left {
                continue;
            }
            let given_up = self.patience.is_over(self.runtime.clock.now());
            let may_be_let_in_later = self.may_be_let_in_later(&error, held_for.is_some());
            let is_refused = is_final(&error) && !may_be_let_in_later;
            refusals = if is_refused { refusals + 1 } else { 0 };
            // Where several brokers may be used, each may refuse once.
            if (is_refused && refusals >= self.destinations.in_turn().len()) || given_up {
                // The last attempt may only have run out of time: the one before it says what is wrong.
                let why = previous.filter(|_| given_up && !is_final(&error));
                return self.end(why.as_ref().unwrap_or(&error));
            }
            previous = Some(error);
            if self.closing.get() {
                break;
            }
            if may_be_let_in_later {
                pause = LOGIN_PAUSE;
            }
            self.pause(jittered(pause)).await;
            pause = (pause * 2).min(RECONNECT_PAUSE_MAX);
        }
        self.end(&self.closed_by_client());
    }

    /// True if the token that was refused, or the certificate of either end, may be replaced by another. One that was refused
    /// from the start is an error at once.
    fn may_be_let_in_later(&self, error: &Error, was_open: bool) -> bool {
        let may_log_in = || self.config.token.as_ref().is_some_and(Token::may_change);
        let may_change = match error.kind() {
            ErrorKind::Refused(ErrorCode::Unauthenticated) | ErrorKind::Invalid => may_log_in(),
            ErrorKind::Protocol => is_failed_handshake(error),
            _ => false,
        };
        may_change && (was_open || self.lost.borrow().is_some())
    }

    /// Waits for so long, or until everybody has left.
    pub(super) async fn pause(&self, pause: Duration) {
        let over = self.runtime.clock.until(self.runtime.clock.now() + pause);
        first(over, self.changed.until(|| self.closing.get().then_some(()))).await;
    }

    async fn connect_with_token(&self) -> Result<(Rc<Stream>, Option<Secret>), Error> {
        let login = self.token().await?;
        Ok((self.connect().await?, login))
    }

    /// Makes one connection, with a permit that ends once it stands, and serves it until it ends.
    pub(super) async fn live_once(self: &Rc<Self>, permit: Option<DialPermit>) -> ConnectionEnd {
        let connected = self.connect_with_token().await;
        drop(permit);
        let served = match connected {
            // Everybody may have left meanwhile: a connection that is served then, nobody would ever end.
            Ok(_) if self.closing.get() => ServedUntil::Ended(self.closed_by_client()),
            Ok((stream, login)) => {
                let served = self.serve(stream, login).await;
                self.destinations.on_ended();
                served
            }
            Err(error) => ServedUntil::Ended(error),
        };
        let now = self.runtime.clock.now();
        let open_since = self.state.borrow().open_since();
        let held_for = open_since.map(|since| now.saturating_since(since));
        let error = match served {
            ServedUntil::Ended(error) => error,
            ServedUntil::Left => {
                self.patience.on_lost(now);
                self.state.borrow_mut().subscribers.on_lost(ErrorKind::Lost);
                self.state.borrow_mut().on_disconnected();
                self.changed.wake_all();
                let error = Error::new(ErrorKind::Lost, "the session has left its broker");
                return ConnectionEnd { error, held_for, has_left: true };
            }
        };
        if open_since.is_some() {
            self.patience.on_lost(match self.fell_silent.take() {
                true => self.state.borrow().last_heard(),
                false => now,
            });
            self.on_lost(&error);
        }
        self.patience.on_failed(&error);
        self.state.borrow_mut().on_disconnected();
        self.changed.wake_all();
        ConnectionEnd { error, held_for, has_left: false }
    }

    fn closed_by_client(&self) -> Error {
        Error::new(ErrorKind::Closed, "the client has closed this session")
    }
}

/// The shortest time between two heartbeats or renewals of a session that lets its executor rest: a quarter of it is a
/// rest's tick.
const SHORTEST_PERIOD_AT_REST: Duration = Duration::from_millis(320);
const _: () = assert!(SHORTEST_PERIOD_AT_REST.as_millis() >= 4 * (TICK.as_millis() * TICKS_PER_REST as u128));

/// A pause, drawn between half and whole of it.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}

impl Ticked for Session {
    fn on_tick(self: Rc<Self>, now: MonotonicNs) {
        self.check_introductions(now);
        self.warn_of_complaint(now);
        self.warn_of_loss();
        self.forget_overlap(now);
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

    fn may_rest(&self) -> bool {
        let state = self.state.borrow();
        let renewal = state.announcement.as_ref().and_then(Announcement::renewal_period);
        let period = renewal.map_or(state.terms.heartbeat, |renewal| renewal.min(state.terms.heartbeat));
        // Renewals and heartbeats are late by a tick of a rest.
        period >= SHORTEST_PERIOD_AT_REST
            && self.returning.borrow().is_empty()
            && !self.introductions.borrow().wants_ticks()
    }

    fn is_closing(&self) -> bool {
        self.closing.get() && self.state.borrow().alive().is_ok()
    }
}

/// True if the peer may have gone on after its connection ended so: the network failed, or the peer has put this session out.
fn may_live_on(error: &Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match (error.kind(), source.map(io::Error::kind)) {
        (ErrorKind::Refused(code), _) => code != ErrorCode::ShuttingDown,
        (_, Some(kind)) => matches!(
            kind,
            io::ErrorKind::TimedOut
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::NetworkDown
        ),
        _ => false,
    }
}

/// True if the handshake of a stream has failed for a reason that stays.
fn is_failed_handshake(error: &Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::InvalidData)
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
                // Whoever is to stay away loses its rights.
                | ErrorCode::Kicked
        ),
        ErrorKind::Protocol | ErrorKind::Invalid => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_may_live_on_where_the_network_failed_or_it_put_the_session_out() {
        let refused = |code| Error::new(ErrorKind::Refused(code), "the broker refused");
        let failed = |kind| Error::io("the connection failed", io::Error::from(kind));
        assert!(
            may_live_on(&refused(ErrorCode::SlowSubscriber)) && may_live_on(&refused(ErrorCode::IdleTimeout))
        );
        assert!(!may_live_on(&refused(ErrorCode::ShuttingDown)));
        assert!(
            may_live_on(&failed(io::ErrorKind::TimedOut))
                && may_live_on(&failed(io::ErrorKind::HostUnreachable))
        );
        assert!(!may_live_on(&failed(io::ErrorKind::ConnectionReset)));
        assert!(!may_live_on(&Error::new(ErrorKind::Lost, "the broker closed the connection")));
    }
}
