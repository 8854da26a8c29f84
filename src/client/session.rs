//! One connection to a broker and its pumps: connecting, reading, writing, connecting again. Its users are the
//! publishers and subscribers of its executor.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io::IoSlice;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use corecast_executors::{Either, MonotonicNs, ReadySocket, Wake, first, spawn_local};
use socket2::{SockAddr, SockRef};

use super::config::ClientConfig;
use super::introductions::Introduced;
use super::message::{EventRef, GapReason, GapRef};
use super::runtime::ClientRuntime;
use super::sinks::Sinks;
use super::state::State;
use super::waiters::Waiters;
use crate::endpoint::{Endpoint, begin_connect, finish_connect};
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::ids::{PublisherId, SubscriberId};
use crate::limits::{
    CONNECT_ATTEMPT, FRAME_BYTES_MAX_LIMIT, HANDSHAKE_DEADLINE, LINGER, PUBLISH_BYTES_MAX,
    READ_BYTES_PER_TURN, RECONNECT_PAUSE_MAX, RECONNECT_PAUSE_MIN,
};
use crate::registry::{Directory, Registration};
use crate::wire::greeting::{self, GREETING_BYTES, Greeting};
use crate::wire::{Frame, Reader, split};

pub(super) struct Session {
    pub(super) runtime: Rc<ClientRuntime>,
    pub(super) config: ClientConfig,
    pub(super) state: RefCell<State>,
    pub(super) peer: Peer,
    /// Where the peer is; the first that answers.
    endpoints: Vec<Endpoint>,
    /// Shared with the sessions to direct publishers.
    pub(super) sinks: Rc<Sinks>,
    /// Direct publishers that the broker has told of, since the session to it opened.
    pub(super) told: RefCell<Directory>,
    /// Sessions to those that subscribers need.
    pub(super) introduced: RefCell<BTreeMap<PublisherId, Introduced>>,
    /// Users wait here for answers, room, or the end.
    pub(super) changed: Rc<Waiters>,
    socket: RefCell<Option<Rc<ReadySocket>>>,
    /// Raised when there is something to send.
    send: Wake,
    /// The kernel takes no more for now, and the send pump waits for it.
    send_waits: Cell<bool>,
    /// A subscriber's queue is full: nothing is read until it has room.
    paused: Cell<bool>,
    resume: Wake,
    /// Everybody has left.
    closing: Cell<bool>,
    /// A lost connection is tried again.
    keeps_trying: Cell<bool>,
    /// When it last was open, its connection ended without a farewell.
    cut_off: Cell<bool>,
    /// Since when it is not open, if it is not.
    down_since: Cell<MonotonicNs>,
    /// The address from which the broker is reached, while it is.
    pub(super) local_ip: Cell<Option<IpAddr>>,
    /// How long the first connection is tried; later ones are tried until it is closed.
    give_up: Cell<Option<MonotonicNs>>,
}

/// What nobody knows of while a session was not connected.
const RECONNECTED: GapRef<'_> = GapRef { topic: None, missed: None, reason: GapReason::Reconnect };

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Broker,
    Publisher(PublisherId),
}

impl Peer {
    fn role(self) -> &'static str {
        match self {
            Peer::Broker => "broker",
            Peer::Publisher(_) => "publisher",
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Broker => f.write_str("the broker"),
            Peer::Publisher(publisher) => write!(f, "publisher {publisher}"),
        }
    }
}

/// What became of a turn of reading.
enum Turn {
    More,
    Ended(Error),
}

/// Where a connection's handshake stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    Greeting,
}

impl Session {
    /// A session that connects by itself, and again when it is lost, until it is closed or refused for good.
    pub(super) fn start(runtime: &Rc<ClientRuntime>, config: ClientConfig) -> Rc<Self> {
        let give_up = runtime.clock.now() + config.connect_timeout;
        let broker = (Peer::Broker, vec![config.broker.clone()]);
        Self::spawn(runtime, config, broker, Some(give_up), (Rc::default(), Rc::default()))
    }

    /// A session to a direct publisher for the subscribers of this one.
    pub(super) fn start_direct(&self, registration: &Registration) -> Rc<Self> {
        let endpoints = &registration.endpoints;
        let mut config = self.config.clone();
        config.broker = endpoints.first().cloned().unwrap_or_default();
        let shared = (Rc::clone(&self.sinks), Rc::clone(&self.changed));
        let peer = Peer::Publisher(registration.publisher);
        Self::spawn(&self.runtime, config, (peer, endpoints.clone()), None, shared)
    }

    fn spawn(
        runtime: &Rc<ClientRuntime>,
        config: ClientConfig,
        (peer, endpoints): (Peer, Vec<Endpoint>),
        give_up: Option<MonotonicNs>,
        (sinks, changed): (Rc<Sinks>, Rc<Waiters>),
    ) -> Rc<Self> {
        let session = Rc::new(Session {
            runtime: Rc::clone(runtime),
            config,
            peer,
            endpoints,
            told: RefCell::default(),
            introduced: RefCell::default(),
            keeps_trying: Cell::new(true),
            cut_off: Cell::new(false),
            down_since: Cell::new(runtime.clock.now()),
            local_ip: Cell::new(None),
            state: RefCell::new(State::new(runtime.clock.now())),
            sinks,
            changed,
            socket: RefCell::default(),
            send: Wake::new(),
            send_waits: Cell::new(false),
            paused: Cell::new(false),
            resume: Wake::new(),
            closing: Cell::new(false),
            give_up: Cell::new(give_up),
        });
        runtime.file(&session);
        spawn_local(Rc::clone(&session).run()).detach();
        session
    }

    /// Waits until `look` finds something, or the session has failed.
    pub(super) async fn until<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> Result<T> {
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

    /// As [`Session::until`], for so long.
    pub(super) async fn until_in<T>(
        &self,
        time: Duration,
        what: &str,
        look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T> {
        let clock = &self.runtime.clock;
        let deadline = clock.now() + time;
        match first(self.until(look), clock.until(deadline)).await {
            Either::Left(done) => done,
            Either::Right(()) => Err(Error::new(
                ErrorKind::TimedOut,
                format!("{what}: not within {} ms ({})", time.as_millis(), self.config.broker),
            )),
        }
    }

    /// Something is to be sent: now, if it is a turn's worth, else when this turn is over. `true`: it was sent
    /// now, and the caller should end its turn.
    pub(super) fn send_soon(&self) -> bool {
        let much = self.state.borrow().out.unsent().len() >= READ_BYTES_PER_TURN;
        if much && !self.send_waits.get() && self.send_now() {
            return true;
        }
        self.send_later();
        false
    }

    /// Something is to be sent when this turn is over.
    pub(super) fn send_later(&self) {
        if !self.send_waits.get() {
            self.send.raise();
        }
    }

    /// Bytes a publisher may still queue before it must wait.
    pub(super) fn has_room(state: &State) -> bool {
        state.backlog() < PUBLISH_BYTES_MAX
    }

    /// Everybody has left: what is unsent is sent, then the connection is closed in order.
    pub(super) fn close(self: &Rc<Self>) {
        if self.closing.replace(true) {
            return;
        }
        let session = Rc::clone(self);
        spawn_local(async move {
            session.finish().await;
        })
        .detach();
    }

    /// Whether it is on its way out.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.get() && self.state.borrow().alive().is_ok()
    }

    async fn finish(self: &Rc<Self>) {
        self.part_from_all();
        self.send.raise();
        let deadline = self.runtime.clock.now() + LINGER;
        let sent = self.changed.until(|| self.state.borrow().out.unsent().is_empty().then_some(()));
        first(sent, self.runtime.clock.until(deadline)).await;
        let socket = self.socket.borrow().clone();
        if let Some(socket) = socket {
            // The broker reads to our end, then closes its own: nothing of ours is lost in a reset.
            let _ = socket.shutdown_write();
            let gone = self.changed.until(|| self.socket.borrow().is_none().then_some(()));
            self.set_paused(false);
            first(gone, self.runtime.clock.until(deadline)).await;
            let _ = socket.shutdown_both();
        }
        self.end(&Error::new(ErrorKind::Closed, "the client has closed this session"));
    }

    /// Waits until a closed session's connection is gone.
    pub(super) async fn closed(&self) {
        self.changed.until(|| self.state.borrow().alive().is_err().then_some(())).await;
    }

    pub(super) fn set_paused(&self, paused: bool) {
        if self.paused.replace(paused) && !paused {
            self.resume.raise();
        }
        self.introduced.borrow().values().for_each(|known| known.session.set_paused(paused));
    }

    /// Whether everybody has left.
    pub(super) fn is_left(&self) -> bool {
        self.closing.get()
    }

    /// Whether a lost connection is tried again.
    pub(super) fn keep_trying(&self, keep: bool) {
        self.keeps_trying.set(keep);
    }

    pub(super) fn keeps_trying(&self) -> bool {
        self.keeps_trying.get()
    }

    /// Whether it was open and has ended without a farewell.
    pub(super) fn was_cut_off(&self) -> bool {
        self.cut_off.get() && !self.state.borrow().is_open()
    }

    /// Since when it is not open, if it is not.
    pub(super) fn down_since(&self) -> MonotonicNs {
        self.down_since.get()
    }

    pub(super) fn on_tick(self: &Rc<Self>, now: MonotonicNs) {
        self.check_introductions(now);
        self.warn_of_complaint(now);
        let silent = self.state.borrow_mut().on_tick(now, !self.paused.get());
        if silent && let Some(socket) = &*self.socket.borrow() {
            let _ = socket.shutdown_both();
        }
        if !self.state.borrow().out.unsent().is_empty() {
            self.send_soon();
        }
    }

    fn end(&self, error: &Error) {
        if self.state.borrow().alive().is_ok() {
            self.state.borrow_mut().fail(error);
        }
        self.send.raise();
        self.changed.wake_all();
    }

    async fn run(self: Rc<Self>) {
        spawn_local(Rc::clone(&self).send_pump()).detach();
        let mut pause = RECONNECT_PAUSE_MIN;
        let mut previous = None;
        while !self.closing.get() {
            let error = match self.connect().await {
                // Everybody may have left meanwhile: a connection that is served then, nobody would ever end.
                Ok(_) if self.closing.get() => break,
                Ok(socket) => self.serve(socket).await,
                Err(error) => error,
            };
            let opened = self.state.borrow().is_open();
            if opened {
                self.give_up.set(None);
                pause = RECONNECT_PAUSE_MIN;
                self.cut_off.set(!matches!(error.kind(), ErrorKind::Refused(ErrorCode::ShuttingDown)));
                self.down_since.set(self.runtime.clock.now());
            }
            self.state.borrow_mut().on_disconnected();
            self.doubt_introductions();
            self.warn_of_end(&error, opened);
            self.changed.wake_all();
            let given_up = self.give_up.get().is_some_and(|give_up| self.runtime.clock.now() >= give_up);
            if is_final(&error) || given_up || !self.keeps_trying() {
                // The last attempt may only have run out of time: the one before it says what is wrong.
                let why = previous.filter(|_| given_up && !is_final(&error));
                return self.end(why.as_ref().unwrap_or(&error));
            }
            previous = Some(error);
            if self.closing.get() {
                break;
            }
            let jittered = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            self.runtime.clock.until(self.runtime.clock.now() + jittered).await;
            pause = (pause * 2).min(RECONNECT_PAUSE_MAX);
        }
        self.end(&Error::new(ErrorKind::Closed, "the client has closed this session"));
    }

    /// Connects to the first address of the peer that answers: `localhost` may be two.
    async fn connect(&self) -> Result<Rc<ReadySocket>> {
        let mut failed = Error::new(ErrorKind::Unreachable, format!("{} is nowhere", self.peer));
        for endpoint in &self.endpoints {
            let mut unanswered = std::io::ErrorKind::AddrNotAvailable.into();
            for address in endpoint.connect_addresses()? {
                match self.connect_to(&address).await {
                    Ok(socket) => return Ok(Rc::new(socket)),
                    Err(error) => unanswered = error,
                }
            }
            failed = match self.peer {
                Peer::Broker => endpoint.unreachable(unanswered),
                peer => Error::new(
                    ErrorKind::Unreachable,
                    format!("{peer} does not answer at {endpoint} ({unanswered})"),
                ),
            };
        }
        Err(failed)
    }

    async fn connect_to(&self, address: &SockAddr) -> std::io::Result<ReadySocket> {
        let socket = ReadySocket::adopt(begin_connect(address)?)?;
        let deadline = self.attempt_deadline(CONNECT_ATTEMPT);
        match first(socket.writable(), self.runtime.clock.until(deadline)).await {
            Either::Left(writable) => writable?,
            Either::Right(()) => return Err(std::io::ErrorKind::TimedOut.into()),
        }
        finish_connect(SockRef::from(&socket))?;
        let local = SockRef::from(&socket).local_addr()?.as_socket();
        self.local_ip.set(local.map(|address| address.ip()));
        Ok(socket)
    }

    /// When an attempt that may take so long is over: at the latest when the first connection is given up.
    fn attempt_deadline(&self, time: Duration) -> MonotonicNs {
        let deadline = self.runtime.clock.now() + time;
        self.give_up.get().map_or(deadline, |give_up| deadline.min(give_up))
    }

    /// Serves one connection until it ends, and says why it did.
    async fn serve(self: &Rc<Self>, socket: Rc<ReadySocket>) -> Error {
        self.state.borrow_mut().on_connected(&self.config, self.runtime.clock.now());
        *self.socket.borrow_mut() = Some(Rc::clone(&socket));
        self.send.raise();
        let error = self.read_pump(&socket).await;
        *self.socket.borrow_mut() = None;
        // A send pump that waits for this socket is let go.
        let _ = socket.shutdown_both();
        let refusal = self.state.borrow_mut().refusal.take();
        refusal.map_or(error, |(code, text)| {
            Error::new(ErrorKind::Refused(code), format!("{} refused: {text} ({code})", self.config.broker))
        })
    }

    async fn read_pump(self: &Rc<Self>, socket: &ReadySocket) -> Error {
        let clock = &self.runtime.clock;
        let handshake_deadline = self.attempt_deadline(HANDSHAKE_DEADLINE);
        let mut reader = Reader::default();
        let mut heard = Heard::Nothing;
        loop {
            let readable = if self.state.borrow().is_open() {
                socket.readable().await
            } else {
                match first(socket.readable(), clock.until(handshake_deadline)).await {
                    Either::Left(readable) => readable,
                    Either::Right(()) => {
                        let text = format!("{} took the connection and said nothing", self.config.broker);
                        return Error::new(ErrorKind::Unreachable, text);
                    }
                }
            };
            if let Err(error) = readable {
                return Error::io("the connection failed", error);
            }
            if let Turn::Ended(error) = self.turn(socket, &mut reader, &mut heard) {
                return error;
            }
            if let Err(error) = self.check_identity() {
                return error;
            }
            self.hear_news();
            if !self.state.borrow().out.unsent().is_empty() {
                self.send_later();
            }
            while self.paused.get() {
                self.resume.wait().await;
            }
        }
    }

    fn turn(self: &Rc<Self>, socket: &ReadySocket, reader: &mut Reader, heard: &mut Heard) -> Turn {
        let mut slab = self.runtime.slab.borrow_mut();
        let received = match socket.try_recv(reader.space(&mut slab)) {
            Ok(Some(0)) => return Turn::Ended(self.lost()),
            Ok(received) => received.unwrap_or(0),
            Err(error) => return Turn::Ended(Error::io("the connection failed", error)),
        };
        reader.received(received);
        self.state.borrow_mut().last_heard = self.runtime.clock.now();
        let mut greeted = 0;
        if *heard == Heard::Nothing {
            match greeting::parse(reader.filled(&slab)) {
                Ok(Greeting::NeedMore) => {
                    reader.discard(&mut slab, 0);
                    return Turn::More;
                }
                Ok(Greeting::Version(_)) => {
                    *heard = Heard::Greeting;
                    greeted = GREETING_BYTES;
                }
                Err(code) => return Turn::Ended(self.stranger(code)),
            }
        }
        let mut spans = self.runtime.spans.take();
        spans.clear();
        let bytes = &reader.filled(&slab)[greeted..];
        let found = split(bytes, FRAME_BYTES_MAX_LIMIT, &mut spans);
        let mut answered = false;
        for span in &spans {
            answered |= self.on_frame(span.frame(bytes));
        }
        if answered {
            self.changed.wake_all();
        }
        self.runtime.spans.replace(spans);
        reader.discard(&mut slab, greeted + found.whole_bytes);
        match found.error {
            None => Turn::More,
            Some(error) => {
                let text = format!("{} sent what is no frame: {}", self.config.broker, error.text);
                Turn::Ended(Error::new(ErrorKind::Protocol, text))
            }
        }
    }

    /// Gives whether it was an answer, for which somebody may wait.
    fn on_frame(&self, frame: Frame<'_>) -> bool {
        let Some(event) = EventRef::of_frame(frame) else {
            self.state.borrow_mut().on_control(frame);
            self.tell_returned();
            return true;
        };
        if self.closing.get() {
            // Its subscribers have left. Others, with the same sinks, have their own stream of the same publisher.
            return false;
        }
        let receivers: Rc<[SubscriberId]> = match event.topic() {
            Some(topic) => self.sinks.receivers(topic),
            None => self.sinks.everyone(),
        };
        let any_untold = self.state.borrow().has_untold();
        for id in &*receivers {
            let untold = any_untold && self.state.borrow_mut().tell_before_event(*id);
            if untold {
                self.sinks.deliver(*id, EventRef::Gap(RECONNECTED));
            }
            self.sinks.deliver(*id, event);
        }
        false
    }

    /// Tells a gap to those who are back since a connection was lost: not before they would receive what comes, or
    /// who asks elsewhere for what was missed would miss what came between.
    fn tell_returned(&self) {
        loop {
            let Some(id) = self.state.borrow_mut().pop_returned() else { return };
            self.sinks.deliver(id, EventRef::Gap(RECONNECTED));
        }
    }

    /// A direct publisher must be the one that was introduced: its port may be somebody else's by now.
    fn check_identity(&self) -> Result<()> {
        let state = self.state.borrow();
        match self.peer {
            Peer::Publisher(publisher) if state.is_open() && state.identity != Some(publisher) => {
                let text = format!("{} is not publisher {publisher}", self.config.broker);
                Err(Error::new(ErrorKind::Protocol, text))
            }
            _ => Ok(()),
        }
    }

    fn lost(&self) -> Error {
        Error::new(ErrorKind::Lost, format!("{} closed the connection ({})", self.peer, self.config.broker))
    }

    fn stranger(&self, code: ErrorCode) -> Error {
        let text = match code {
            ErrorCode::Version => format!("{} speaks another version of the protocol", self.config.broker),
            _ => format!("{} answers, but is no corecast {}", self.config.broker, self.peer.role()),
        };
        Error::new(ErrorKind::Protocol, text)
    }

    /// Sends when there is something to send, for as long as the session lives.
    async fn send_pump(self: Rc<Self>) {
        loop {
            self.send.wait().await;
            while !self.send_now() {
                let Some(socket) = self.socket.borrow().clone() else { break };
                self.send_waits.set(true);
                // Failed or not, the next send tells.
                let _ = socket.writable().await;
                self.send_waits.set(false);
            }
            if self.state.borrow().alive().is_err() {
                return;
            }
        }
    }

    /// Hands the kernel what it takes; `true` if nothing is left to wait for.
    fn send_now(&self) -> bool {
        let Some(socket) = self.socket.borrow().clone() else { return true };
        let mut state = self.state.borrow_mut();
        if state.out.unsent().is_empty() {
            return true;
        }
        while !state.out.unsent().is_empty() {
            match socket.try_send_vectored(&[IoSlice::new(state.out.unsent())]) {
                Ok(Some(sent)) => state.out.sent(sent),
                Ok(None) => return false,
                Err(_) => {
                    // The read pump sees the end and says why.
                    let _ = socket.shutdown_both();
                    return true;
                }
            }
        }
        drop(state);
        self.changed.wake_all();
        true
    }
}

/// Whether trying again would only be refused again.
fn is_final(error: &Error) -> bool {
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
