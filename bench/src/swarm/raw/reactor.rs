//! Owns one thread of subscribers: their sockets, one receive buffer for all of them, and a loop over epoll.

use super::account::{Account, SessionSink};
use super::dialect::Dialect;
use super::dialect::sink::{Role, Wanted};
use super::gauges::Gauges;
use super::socket::{self, Connecting};
use super::stream::RawStream;
use super::target::RawTarget;
use crate::measure::payload::RunId;
use crate::swarm::reports::{Failure, Received, Report};
use crate::swarm::topics::Topics;
use corecast_executors::{Inbox, Link, MonotonicNs};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use socket2::SockAddr;
use std::io::{self, ErrorKind, Read, Write};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sessions of a thread that are opened at once: a peer's queue of new connections has room for them.
const OPENING_MAX: usize = 64;
/// Room in the receive buffer, beside what is left of the frame before: one `recv` takes what the kernel has.
const READ_BYTES: usize = 256 << 10;
/// Sockets that one look at epoll gives.
const EVENTS_MAX: usize = 256;
/// The number of the wake-up, among the numbers of sessions.
const WAKE: u64 = u64::MAX;
/// Pause before another try to connect to a peer that has no room.
const LATER: Duration = Duration::from_millis(2);
/// Time in which every session says that it is alive, one after the other: our broker asks for one word in 15 s, and
/// gives a session up that misses three.
const KEEP_ALIVE_ROUND: Duration = Duration::from_secs(15);

/// A command to a thread.
#[derive(Debug)]
pub(super) enum RawCommand {
    /// Begin another run.
    Begin(RunId),
    /// Report the progress; `sent` has the messages of each flow, once they are known.
    Look { sent: Option<Arc<[u64]>> },
    /// Hand over the measurements of the run.
    Finish,
    /// Close everything.
    Stop,
}

/// The parameters of a thread.
#[derive(Debug)]
pub(super) struct ReactorConfig {
    pub(super) thread: usize,
    pub(super) target: RawTarget,
    /// The addresses of its servers, in turns.
    pub(super) addresses: Vec<SockAddr>,
    pub(super) topics: Topics,
    /// Its subscribers, by their number in the whole swarm.
    pub(super) subscribers: Range<usize>,
    /// One session for all of them.
    pub(super) shared: bool,
    pub(super) size_bytes: usize,
    pub(super) wake: Arc<EventFd>,
    pub(super) commands: Inbox<RawCommand>,
    pub(super) reports: Link<Report>,
    pub(super) gauges: Gauges,
}

/// One connection.
#[derive(Debug)]
struct Session {
    stream: RawStream,
    dialect: Dialect,
    stage: Stage,
    /// The part of the next frame that has arrived.
    kept: Vec<u8>,
    /// Bytes that the kernel had no room for.
    unsent: Vec<u8>,
    /// Epoll says when the socket is writable.
    awaits_room: bool,
}

impl Session {
    /// Hands on what waits; true if some of it still does.
    fn send_waiting(&mut self) -> io::Result<bool> {
        let sent = loop {
            if self.unsent.is_empty() {
                break self.stream.flush();
            }
            match self.stream.write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) => break Err(error),
            }
        };
        match sent {
            Ok(()) => Ok(false),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Connecting,
    Opening,
    Ready,
}

/// The thread.
#[derive(Debug)]
pub(super) struct Reactor {
    config: ReactorConfig,
    epoll: Epoll,
    sessions: Vec<Session>,
    sessions_wanted: usize,
    ready: usize,
    /// The number of sessions that were ready at the last report of it.
    ready_reported: usize,
    account: Account,
    buffer: Vec<u8>,
    reply: Vec<u8>,
    keep_alive: (usize, Instant),
}

impl Reactor {
    pub(super) fn new(config: ReactorConfig) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&config.wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        let sessions_wanted = if config.shared { 1 } else { config.subscribers.len() };
        Ok(Reactor {
            account: Account::new(sessions_wanted, config.subscribers.clone(), config.topics.clone()),
            // What is left of a frame is less than a payload and what stands around it.
            buffer: vec![0; READ_BYTES + 2 * config.size_bytes],
            epoll,
            sessions: Vec::with_capacity(sessions_wanted),
            sessions_wanted,
            ready: 0,
            ready_reported: 0,
            reply: Vec::new(),
            keep_alive: (0, Instant::now() + KEEP_ALIVE_ROUND),
            config,
        })
    }

    /// Runs until it is told to stop. When a session breaks, the others end too; what they measured is still there.
    pub(super) fn run(mut self) {
        let Err(failure) = self.turns() else { return };
        self.report(Report::Failed(failure));
        self.sessions.clear();
        while let Some(command) = self.config.commands.recv_blocking() {
            if self.obey(command).is_break() {
                return;
            }
        }
    }

    /// Reports, unless nobody listens because the swarm is being dropped.
    fn report(&self, report: Report) {
        let _ = self.config.reports.send_blocking(report);
    }

    fn turns(&mut self) -> Result<(), Failure> {
        let mut events = [EpollEvent::empty(); EVENTS_MAX];
        loop {
            let again = self.open_more()?;
            let timeout = again.unwrap_or(self.until_keep_alive());
            let timeout = EpollTimeout::try_from(timeout).unwrap_or(EpollTimeout::ZERO);
            let found = match self.epoll.wait(&mut events, timeout) {
                Ok(found) => found,
                Err(nix::errno::Errno::EINTR) => 0,
                Err(error) => return Err(Failure::new("cannot wait for sockets", error.to_string())),
            };
            for event in &events[..found] {
                if event.data() == WAKE {
                    let _ = self.config.wake.read();
                    continue;
                }
                let index = event.data() as usize;
                self.moved(index, event.events()).map_err(|why| self.failure(index, why))?;
            }
            self.report_ready();
            while let Some(command) = self.config.commands.try_recv() {
                if self.obey(command).is_break() {
                    return Ok(());
                }
            }
            self.say_alive()?;
        }
    }

    fn failure(&self, index: usize, why: impl Into<String>) -> Failure {
        Failure::new(format!("subscriber {}", self.config.subscribers.start + index), why)
    }

    /// Reports that all sessions are ready, or that some more are.
    fn report_ready(&mut self) {
        if self.ready > self.ready_reported {
            let all = self.ready == self.sessions_wanted;
            self.ready_reported = self.ready;
            self.report(if all { Report::SubscribersReady } else { Report::SettingUp });
        }
    }

    fn obey(&mut self, command: RawCommand) -> ControlFlow<()> {
        match command {
            RawCommand::Begin(run) => {
                self.account.begin(run);
                (0..self.sessions_wanted).for_each(|index| self.set_gauge(index));
                self.report(Report::SubscribersReady);
            }
            RawCommand::Look { sent } => {
                let oracle = self.account.tally().oracle();
                self.report(Report::Received(Received {
                    executor: self.config.thread,
                    delivered: oracle.delivered(),
                    accounted: oracle.accounted(),
                    settling: sent.map(|sent| oracle.settling(&sent)),
                }));
            }
            RawCommand::Finish => {
                let tally = Box::new(self.account.finish());
                self.report(Report::Measured { executor: self.config.thread, tally });
            }
            RawCommand::Stop => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    /// Opens as many sessions as may be opened at once; says when to try again, if the peer had no room.
    fn open_more(&mut self) -> Result<Option<Duration>, Failure> {
        while self.sessions.len() < self.sessions_wanted && self.sessions.len() - self.ready < OPENING_MAX {
            let index = self.sessions.len();
            let opened = self.open(index);
            match opened.map_err(|error| self.failure(index, format!("cannot connect: {error}")))? {
                true => {}
                false => return Ok(Some(LATER)),
            }
        }
        Ok(None)
    }

    fn open(&mut self, index: usize) -> io::Result<bool> {
        let subscriber = self.config.subscribers.start + index;
        let turn = if self.config.shared { self.config.thread } else { subscriber };
        let address = &self.config.addresses[turn % self.config.addresses.len()];
        let socket = socket::open(address)?;
        if socket::connect(&socket, address)? == Connecting::Later {
            return Ok(false);
        }
        let of_thread = self.config.subscribers.len() as u32;
        let wanted = Wanted {
            subscribers: if self.config.shared { of_thread } else { 1 },
            filters: self.config.topics.filter_names(subscriber),
            topic_bytes: self.config.topics.name(0).len(),
        };
        let dialect = Dialect::new(self.config.target.language, Role::Subscriber(wanted), subscriber);
        // A connection that is there already is writable at once.
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT;
        self.epoll.add(&socket, EpollEvent::new(interest, index as u64))?;
        self.sessions.push(Session {
            stream: self.config.target.stream(socket)?,
            dialect,
            stage: Stage::Connecting,
            kept: Vec::new(),
            unsent: Vec::new(),
            awaits_room: true,
        });
        Ok(true)
    }

    fn moved(&mut self, index: usize, flags: EpollFlags) -> Result<(), String> {
        if self.sessions[index].stage == Stage::Connecting {
            return self.connected(index);
        }
        if flags.contains(EpollFlags::EPOLLOUT) {
            self.send(index, &[])?;
        }
        if flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            self.receive(index)?;
        }
        Ok(())
    }

    fn connected(&mut self, index: usize) -> Result<(), String> {
        let session = &mut self.sessions[index];
        match session.stream.socket().take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return Err(format!("cannot connect: {error}")),
        }
        session.stage = Stage::Opening;
        let mut opening = Vec::new();
        session.dialect.open(&mut opening);
        self.send(index, &opening)
    }

    fn receive(&mut self, index: usize) -> Result<(), String> {
        let session = &mut self.sessions[index];
        let kept = session.kept.len();
        if kept > 0 {
            self.buffer[..kept].copy_from_slice(&session.kept);
        }
        let read = match session.stream.read(&mut self.buffer[kept..]) {
            Ok(0) => return Err("the peer closed the connection".into()),
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return self.send_reply(index);
            }
            Err(error) => return Err(error.to_string()),
        };
        let now = MonotonicNs::now();
        let subscribers =
            if self.config.shared { 0..self.config.subscribers.len() } else { index..index + 1 };
        let mut entry = SessionSink::new(&mut self.account, index, subscribers, now);
        let bytes = &self.buffer[..kept + read];
        let taken =
            session.dialect.read(bytes, &mut self.reply, &mut entry).map_err(|error| error.to_string())?;
        if entry.is_ready() && session.stage != Stage::Ready {
            session.stage = Stage::Ready;
            self.ready += 1;
        }
        session.kept.clear();
        session.kept.extend_from_slice(&bytes[taken..]);
        if session.kept.len() > 2 * self.config.size_bytes + READ_BYTES / 2 {
            return Err(format!("a frame of more than {} bytes", session.kept.len()));
        }
        self.set_gauge(index);
        self.send_reply(index)
    }

    /// Tells publishers how far a session is.
    fn set_gauge(&self, index: usize) {
        let first = if self.config.shared { self.config.thread } else { self.config.subscribers.start };
        self.config.gauges.set_received(first + index, self.account.received(index));
    }

    fn send_reply(&mut self, index: usize) -> Result<(), String> {
        if self.reply.is_empty() && !self.sessions[index].stream.owes() {
            return Ok(());
        }
        let reply = std::mem::take(&mut self.reply);
        self.send(index, &reply)?;
        self.reply = reply;
        self.reply.clear();
        Ok(())
    }

    /// Sends what waits and then `more`; what the kernel does not take waits for it to be writable.
    fn send(&mut self, index: usize, more: &[u8]) -> Result<(), String> {
        let session = &mut self.sessions[index];
        session.unsent.extend_from_slice(more);
        let awaits_room = session.send_waiting().map_err(|error| error.to_string())?;
        if std::mem::replace(&mut session.awaits_room, awaits_room) == awaits_room {
            return Ok(());
        }
        let mut interest = EpollFlags::EPOLLIN;
        interest.set(EpollFlags::EPOLLOUT, awaits_room);
        let mut event = EpollEvent::new(interest, index as u64);
        let changed = self.epoll.modify(session.stream.socket(), &mut event);
        changed.map_err(|error| format!("cannot watch its socket: {error}"))
    }

    fn until_keep_alive(&self) -> Duration {
        self.keep_alive.1.saturating_duration_since(Instant::now())
    }

    /// One session after the other, so that they never do it in a volley.
    fn say_alive(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        let (index, due) = self.keep_alive;
        if now < due {
            return Ok(());
        }
        let step = KEEP_ALIVE_ROUND / (self.sessions_wanted.max(1) as u32);
        self.keep_alive = ((index + 1) % self.sessions_wanted.max(1), now + step);
        let Some(session) = self.sessions.get(index).filter(|session| session.stage == Stage::Ready) else {
            return Ok(());
        };
        session.dialect.keep_alive(&mut self.reply);
        self.send_reply(index).map_err(|why| self.failure(index, why))
    }
}
