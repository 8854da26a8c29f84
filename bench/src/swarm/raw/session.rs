//! Owns one session that a thread attends to by itself: a raw socket and the dialect of its peer, which is waited for where
//! it takes its time.

use super::dialect::Dialect;
use super::dialect::sink::{DialectError, Role, Sink};
use super::socket::{self, Connecting};
use super::stream::RawStream;
use super::target::RawTarget;
use crate::interrupt::Interrupt;
use crate::swarm::topics::FilterName;
use corecast_executors::pause;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// Time for which a peer may accept no bytes.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(10);
/// Time of one wait for the socket: then the wish to stop is looked at.
const WAIT_MAX: u16 = 100;
/// Bytes of answers that are read at once.
const ANSWER_BYTES: usize = 64 << 10;

/// The session.
#[derive(Debug)]
pub struct RawSession {
    stream: RawStream,
    /// Tells of changes: something has come, or there is room again.
    epoll: Epoll,
    dialect: Dialect,
    /// Time that the peer may take for an answer.
    timeout: Duration,
    /// Room for answers; so many bytes at its start are the beginning of the next one.
    heard: Vec<u8>,
    kept: usize,
    reply: Vec<u8>,
    ready: bool,
}

/// Nobody counts messages here; all that counts is whether the session is ready.
struct Ear<'a>(&'a mut bool);

impl Sink for Ear<'_> {
    fn ready(&mut self) {
        *self.0 = true;
    }

    fn message(&mut self, _payload: &[u8]) {}

    fn gap(&mut self, _topic: &[u8], _missed: Option<u64>) {}
}

impl RawSession {
    /// Connects, and waits until the session is ready: a publisher may send, a subscriber's filters are in force. `index`
    /// tells it from the others of its role.
    pub fn connect((role, index): (Role, usize), target: &RawTarget, timeout: Duration) -> io::Result<Self> {
        let address = socket::address(&target.endpoint)?;
        let socket = socket::open(&address)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let deadline = Instant::now() + timeout;
        while socket::connect(&socket, &address)? == Connecting::Later {
            if Instant::now() >= deadline {
                return Err(ErrorKind::TimedOut.into());
            }
            pause(Duration::from_millis(1));
        }
        let changes = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        epoll.add(&socket, EpollEvent::new(changes, 0))?;
        let mut session = RawSession {
            stream: target.stream(socket)?,
            epoll,
            dialect: Dialect::new(target.language, role, index),
            timeout,
            heard: vec![0; ANSWER_BYTES],
            kept: 0,
            reply: Vec::new(),
            ready: false,
        };
        session.wait()?;
        if let Some(error) = session.stream.socket().take_error()? {
            return Err(error);
        }
        let mut opening = Vec::new();
        session.dialect.open(&mut opening);
        session.write(&opening, &Interrupt::default())?;
        session.until_ready()?;
        Ok(session)
    }

    /// Subscribes with more filters, and waits until they are in force. Only our own broker is asked that.
    pub fn subscribe(&mut self, filters: &[FilterName]) -> io::Result<()> {
        let Dialect::Native(native) = &mut self.dialect else { return Err(ErrorKind::Unsupported.into()) };
        let mut out = Vec::new();
        native.subscribe(filters, &mut out);
        self.ready = false;
        self.write(&out, &Interrupt::default())?;
        self.until_ready()
    }

    fn until_ready(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + self.timeout;
        while !self.ready {
            if Instant::now() >= deadline {
                let waiting = "the peer did not say that the session is ready";
                return Err(io::Error::new(ErrorKind::TimedOut, waiting));
            }
            self.hear()?;
            if !self.ready {
                self.wait()?;
            }
        }
        Ok(())
    }

    /// The peer's dialect, for what is to be written.
    pub(super) fn dialect(&mut self) -> &mut Dialect {
        &mut self.dialect
    }

    /// Sends all of it, and takes in answers while there is no room.
    pub(super) fn write(&mut self, mut bytes: &[u8], halt: &Interrupt) -> io::Result<()> {
        let mut moved = Instant::now();
        loop {
            let sent =
                if bytes.is_empty() { self.stream.flush().map(|()| 0) } else { self.stream.write(bytes) };
            match sent {
                Ok(_) if bytes.is_empty() => return Ok(()),
                Ok(sent) => {
                    bytes = &bytes[sent..];
                    moved = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if halt.is_set() || moved.elapsed() > STUCK_AFTER {
                        return Err(io::Error::new(ErrorKind::TimedOut, "the peer takes nothing more"));
                    }
                    self.hear()?;
                    self.wait()?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes in what the peer has said.
    pub(super) fn hear(&mut self) -> io::Result<()> {
        loop {
            match self.stream.read(&mut self.heard[self.kept..]) {
                Ok(0) => {
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, "the peer closed the connection"));
                }
                Ok(read) => self.kept += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let heard = &self.heard[..self.kept];
            let taken = self.dialect.read(heard, &mut self.reply, &mut Ear(&mut self.ready));
            let taken = taken.map_err(|error: DialectError| io::Error::other(error.to_string()))?;
            self.heard.copy_within(taken..self.kept, 0);
            self.kept -= taken;
            if self.kept == self.heard.len() {
                return Err(io::Error::other(format!(
                    "the peer answers with more than {ANSWER_BYTES} bytes"
                )));
            }
            if !self.reply.is_empty() {
                // An answer is short, and asked for when there is room.
                let reply = std::mem::take(&mut self.reply);
                self.write(&reply, &Interrupt::default())?;
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        match self.epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::from(WAIT_MAX)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
