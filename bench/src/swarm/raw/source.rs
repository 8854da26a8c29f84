//! Owns the publisher: one raw socket, one thread, the dialect of its peer.

use super::dialect::sink::{DialectError, Role, Sink};
use super::dialect::{Dialect, Language};
use super::gauges::Gauges;
use super::job::{Halt, Job, Pace, wait_for};
use super::socket::{self, Connecting};
use crate::measure::payload::{Payload, PublisherIndex};
use crate::swarm::reports::Sent;
use crate::swarm::schedule::Schedule;
use corecast::Endpoint;
use corecast_executors::{MonotonicNs, pause};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::Socket;
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// Bytes of a flood that are sent at once: a `send` of more gains nothing.
const BLOCK_BYTES: usize = 64 << 10;
/// Interval at which a publisher looks at a closed window.
const WINDOW_LOOK_EVERY: Duration = Duration::from_micros(50);
/// Time for which a peer may accept no bytes.
const STUCK_AFTER: Duration = Duration::from_secs(10);
/// Time of one wait for the socket: then the wish to stop is looked at.
const WAIT_MAX: u16 = 100;
/// Bytes of answers that are read at once.
const ANSWER_BYTES: usize = 64 << 10;

/// The publisher.
#[derive(Debug)]
pub struct RawSource {
    socket: Socket,
    /// Tells of changes: something has come, or there is room again.
    epoll: Epoll,
    dialect: Dialect,
    kept: Vec<u8>,
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

    fn gap(&mut self, _missed: Option<u64>) {}
}

impl RawSource {
    /// Connects, and waits until it may send.
    pub fn connect(endpoint: &Endpoint, language: Language, timeout: Duration) -> io::Result<Self> {
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
            socket,
            epoll,
            dialect: Dialect::new(language, Role::Publisher, 0),
            kept: Vec::new(),
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

    /// Sends all that the job says.
    pub fn carry_out(&mut self, job: &Job, gauges: &Gauges, halt: &Halt) -> io::Result<Sent> {
        let payload = Payload::new(job.run, PublisherIndex(0), job.size_bytes);
        let mut payload = payload.map_err(io::Error::other)?;
        match job.pace {
            Pace::At(schedule) => self.send_at(&schedule, &mut payload, halt),
            Pace::Flood { messages, time_max, window } => {
                let flood = Flood { messages, time_max, window, block: messages_in_block(job.size_bytes) };
                self.flood(&flood, &mut payload, gauges, halt)
            }
        }
    }

    fn send_at(&mut self, schedule: &Schedule, payload: &mut Payload, halt: &Halt) -> io::Result<Sent> {
        let mut sent =
            Sent { sent: 0, intended: schedule.messages(), late: 0, started_ns: schedule.due(0).0 };
        let mut out = Vec::new();
        while sent.sent < sent.intended && !halt.is_set() {
            let due = wait_for(schedule, sent.sent);
            if schedule.is_over(MonotonicNs::now()) {
                break;
            }
            out.clear();
            self.dialect.publish(payload.stamp(sent.sent, due), &mut out);
            self.write(&out, halt)?;
            sent.late += u64::from(schedule.is_late(due, MonotonicNs::now()));
            sent.sent += 1;
            self.hear()?;
        }
        Ok(sent)
    }

    fn flood(
        &mut self,
        flood: &Flood,
        payload: &mut Payload,
        gauges: &Gauges,
        halt: &Halt,
    ) -> io::Result<Sent> {
        let started = MonotonicNs::now();
        let (end, mut moved) = (started + flood.time_max, (0, Instant::now()));
        let (mut sent, mut out) = (0, Vec::with_capacity(2 * BLOCK_BYTES));
        while sent < flood.messages && !halt.is_set() {
            let least = gauges.least();
            let room = flood.window.saturating_sub(sent - least.min(sent));
            let now = MonotonicNs::now();
            if now > end {
                break;
            }
            if room == 0 {
                if moved.0 != least {
                    moved = (least, Instant::now());
                } else if moved.1.elapsed() > STUCK_AFTER {
                    break;
                }
                self.hear()?;
                pause(WINDOW_LOOK_EVERY);
                continue;
            }
            out.clear();
            for _ in 0..room.min(flood.block).min(flood.messages - sent) {
                self.dialect.publish(payload.stamp(sent, now), &mut out);
                sent += 1;
            }
            self.write(&out, halt)?;
            self.hear()?;
        }
        Ok(Sent { sent, intended: sent, late: 0, started_ns: started.0 })
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
    fn hear(&mut self) -> io::Result<()> {
        loop {
            let kept = self.kept.len();
            self.kept.resize(kept + ANSWER_BYTES, 0);
            let read = self.socket.read(&mut self.kept[kept..]);
            self.kept.truncate(kept + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => {
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, "the peer closed the connection"));
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let taken = self.dialect.read(&self.kept, &mut self.reply, &mut Ear(&mut self.ready));
            let taken = taken.map_err(|error: DialectError| io::Error::other(error.to_string()))?;
            self.kept.drain(..taken);
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

struct Flood {
    messages: u64,
    time_max: Duration,
    window: u64,
    block: u64,
}

/// Messages that are sent with one call in a flood: so many as 64 KiB hold, at least one.
pub(super) fn messages_in_block(size_bytes: usize) -> u64 {
    (BLOCK_BYTES / size_bytes).max(1) as u64
}
