//! Owns the raw publisher of a swarm: a plain thread that sends over one socket, or has the floor send.

use super::floor::Floor;
use super::gauges::Gauges;
use super::job::{Halt, Job, Pace};
use super::source::RawSource;
use crate::measure::payload::{PublisherIndex, RunId};
use crate::swarm::reports::{Failure, PublisherDone, Report};
use crate::swarm::schedule::{Amount, Rate, Schedule};
use corecast_executors::{Link, MonotonicNs, link, spawn_plain};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

/// Jobs that wait: the next one comes when the last is done.
const JOBS_MAX: usize = 1;

/// The source of messages.
#[derive(Debug)]
pub enum Feed {
    /// A publisher's socket.
    Socket(Box<RawSource>),
    /// The floor, and its process.
    Floor(Floor, u32),
}

/// The parameters of a raw publisher.
#[derive(Clone, Debug)]
pub struct RawPublisherConfig {
    /// Bytes of a payload.
    pub size_bytes: usize,
    /// Messages of a flood that may be ahead of the slowest subscriber.
    pub window: u64,
    /// Time that a flood may take.
    pub flood_time_max: Duration,
    /// The subscribers' progress.
    pub gauges: Gauges,
}

/// A publisher that is connected. Dropped, its thread ends after its last job.
#[derive(Debug)]
pub struct RawPublisher {
    config: RawPublisherConfig,
    jobs: Link<(Job, Halt)>,
    halt: Halt,
    floor: Option<Pid>,
    reports: Link<Report>,
    /// Messages that have been reported as sent.
    reported: u64,
    thread: JoinHandle<()>,
}

impl RawPublisher {
    /// Starts the thread.
    pub fn start(mut feed: Feed, config: RawPublisherConfig, reports: Link<Report>) -> io::Result<Self> {
        let (jobs, mut inbox) = link::<(Job, Halt)>(JOBS_MAX);
        let floor = match &feed {
            Feed::Socket(_) => None,
            Feed::Floor(_, pid) => Some(Pid::from_raw(*pid as i32)),
        };
        let (told, gauges) = (reports.clone(), config.gauges.clone());
        let thread = spawn_plain("peer-publisher", move || {
            while let Some((job, halt)) = inbox.recv_blocking() {
                let done = feed.carry_out(&job, &gauges, &halt);
                let _ = told.send_blocking(Report::PublisherDone(done));
            }
        })?;
        Ok(RawPublisher { config, jobs, halt: Halt::default(), floor, reports, reported: 0, thread })
    }

    /// Sends the messages of a run from `start` on. It ends with a [`Report::PublisherDone`].
    pub fn go(&mut self, run: RunId, start: MonotonicNs, (rate, amount): (Rate, Amount)) {
        let pace = match (rate, amount) {
            (Rate::Hz(rate_hz), amount) => Pace::At(Schedule::new(start, rate_hz, amount, (0, 1))),
            (Rate::Flood, Amount::Messages(messages)) => {
                Pace::Flood { messages, time_max: self.config.flood_time_max, window: self.config.window }
            }
            (Rate::Flood, Amount::Duration(time_max)) => {
                Pace::Flood { messages: u64::MAX, time_max, window: self.config.window }
            }
        };
        (self.halt, self.reported) = (Halt::default(), 0);
        let job = Job { run, size_bytes: self.config.size_bytes, pace };
        let _ = self.jobs.try_send((job, self.halt.clone()));
    }

    /// Reports the messages that everybody has as sent.
    pub fn look(&mut self) {
        let sent = self.config.gauges.least().max(self.reported);
        let _ = self.reports.try_send(Report::Sent(sent - self.reported));
        self.reported = sent;
    }

    /// Sends no more. The floor looks at nothing but its sockets: the end of its process is its end.
    pub fn halt(&self) {
        self.halt.set();
        if let Some(floor) = self.floor {
            let _ = kill(floor, Signal::SIGTERM);
        }
    }

    /// Waits until the thread has ended, which it does after its last job.
    pub fn stop(self) {
        drop((self.jobs, self.reports));
        let _ = self.thread.join();
    }
}

impl Feed {
    fn carry_out(&mut self, job: &Job, gauges: &Gauges, halt: &Halt) -> PublisherDone {
        let (name, sent) = match self {
            Feed::Socket(source) => ("the publisher", source.carry_out(job, gauges, halt)),
            Feed::Floor(floor, _) => ("the floor", floor.carry_out(job)),
        };
        let (sent, failure) = match sent {
            Ok(sent) => (sent, None),
            Err(error) => (job.nothing_sent(), Some(Failure::new(name, error.to_string()))),
        };
        PublisherDone { publisher: PublisherIndex(0), sent, failure }
    }
}
