//! Owns one publisher: a raw socket, the dialect of its peer, and the messages of its run.

use super::dialect::sink::{DialectError, Role, Sink};
use super::dialect::{Dialect, Language};
use super::gauges::Gauges;
use super::job::Halt;
use super::socket::{self, Connecting};
use crate::measure::messages::Messages;
use crate::measure::payload::PublisherIndex;
use corecast::Endpoint;
use corecast_executors::{MonotonicNs, pause};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::Socket;
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// Time for which a peer may accept no bytes.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(10);
/// Time of one wait for the socket: then the wish to stop is looked at.
const WAIT_MAX: u16 = 100;
/// Bytes of answers that are read at once.
const ANSWER_BYTES: usize = 64 << 10;

/// The publisher.
#[derive(Debug)]
pub struct RawSource {
    publisher: PublisherIndex,
    socket: Socket,
    /// Tells of changes: something has come, or there is room again.
    epoll: Epoll,
    dialect: Dialect,
    /// Room for answers; so many bytes at its start are the beginning of the next one.
    heard: Vec<u8>,
    kept: usize,
    out: Vec<u8>,
    reply: Vec<u8>,
    ready: bool,
}

/// A publisher gets no messages; all that counts is whether it may send.
struct Ear<'a>(&'a mut bool);

impl Sink for Ear<'_> {
    fn ready(&mut self) {
        *self.0 = true;
    }

    fn message(&mut self, _payload: &[u8]) {}

    fn gap(&mut self, _topic: &[u8], _missed: Option<u64>) {}
}

impl RawSource {
    /// Connects this publisher, and waits until it may send.
    pub fn connect(
        publisher: PublisherIndex,
        endpoint: &Endpoint,
        language: Language,
        timeout: Duration,
    ) -> io::Result<Self> {
        let address = socket::address(endpoint)?;
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
        let mut source = RawSource {
            publisher,
            socket,
            epoll,
            dialect: Dialect::new(language, Role::Publisher, publisher.0 as usize),
            heard: vec![0; ANSWER_BYTES],
            kept: 0,
            out: Vec::new(),
            reply: Vec::new(),
            ready: false,
        };
        source.wait()?;
        if let Some(error) = source.socket.take_error()? {
            return Err(error);
        }
        let mut opening = Vec::new();
        source.dialect.open(&mut opening);
        source.write(&opening, &Halt::default())?;
        while !source.ready {
            if Instant::now() >= deadline {
                let waiting = "the peer did not say that the publisher may send";
                return Err(io::Error::new(ErrorKind::TimedOut, waiting));
            }
            source.hear()?;
            if !source.ready {
                source.wait()?;
            }
        }
        Ok(source)
    }

    /// The publisher.
    pub fn publisher(&self) -> PublisherIndex {
        self.publisher
    }

    /// Sends the next messages, which are due at that time, and takes in what the peer has said. `names` has those of all
    /// topics.
    pub(super) fn send(
        &mut self,
        messages: &mut Messages,
        (count, due): (u64, MonotonicNs),
        names: &[String],
        (gauges, halt): (&Gauges, &Halt),
    ) -> io::Result<()> {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        for _ in 0..count {
            let (topic, payload) = messages.next(due);
            self.dialect.publish(&names[topic as usize], payload, &mut out);
            gauges.add_sent(topic);
        }
        let sent = self.write(&out, halt);
        self.out = out;
        sent?;
        self.hear()
    }

    /// Sends all of it, and takes in answers while there is no room.
    fn write(&mut self, mut bytes: &[u8], halt: &Halt) -> io::Result<()> {
        let mut moved = Instant::now();
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
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
        Ok(())
    }

    /// Takes in what the peer has said.
    pub(super) fn hear(&mut self) -> io::Result<()> {
        loop {
            match self.socket.read(&mut self.heard[self.kept..]) {
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
                self.write(&reply, &Halt::default())?;
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
