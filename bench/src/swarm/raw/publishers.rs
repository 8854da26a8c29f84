//! Owns the raw publishers of a swarm: plain threads that send over some sockets each, or one that has the floor send.

use super::floor::Floor;
use super::gauges::Gauges;
use super::job::{Job, Pace};
use super::source::RawSource;
use super::sources::Sources;
use crate::interrupt::Interrupt;
use crate::measure::payload::{PublisherIndex, RunId};
use crate::measure::workload::Workload;
use crate::swarm::reports::{Failure, PublisherDone, Report, Sent};
use crate::swarm::schedule::{Amount, Rate};
use crate::swarm::share;
use crate::swarm::topics::Topics;
use corecast_executors::{Link, MonotonicNs, link, spawn_plain};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Jobs that wait: the next one comes when the last is done.
const JOBS_MAX: usize = 1;

/// The source of messages.
#[derive(Debug)]
pub enum Feed {
    /// Publishers' sockets.
    Sockets(Vec<RawSource>),
    /// The floor, and its process.
    Floor(Floor, u32),
}

/// The source of the messages that one thread sends.
enum Share {
    Sockets(Sources),
    Floor(Floor),
}

/// The parameters of raw publishers.
#[derive(Clone, Debug)]
pub struct RawPublishersConfig {
    /// The names of their topics.
    pub topics: Topics,
    /// Threads that have the sockets of publishers, at most.
    pub threads: usize,
    /// Bytes of a payload.
    pub size_bytes: usize,
    /// Messages of a flood that may be ahead of the slowest subscriber.
    pub window: u64,
    /// Time that a flood may take.
    pub flood_time_max: Duration,
    /// The subscribers' progress.
    pub gauges: Gauges,
}

/// Publishers that are connected. Dropped, their threads end after their last jobs.
#[derive(Debug)]
pub struct RawPublishers {
    config: RawPublishersConfig,
    jobs: Vec<Link<(Job, Interrupt)>>,
    halt: Interrupt,
    floor: Option<Pid>,
    reports: Link<Report>,
    /// Messages that have been reported as sent.
    reported: u64,
    threads: Vec<JoinHandle<()>>,
}

impl RawPublishers {
    /// Starts the threads.
    pub fn start(feed: Feed, config: RawPublishersConfig, reports: Link<Report>) -> io::Result<Self> {
        let mut floor = None;
        let shares = match feed {
            Feed::Sockets(sources) => shared_out(sources, &config),
            Feed::Floor(process, pid) => {
                floor = Some(Pid::from_raw(pid as i32));
                vec![Share::Floor(process)]
            }
        };
        let (mut jobs, mut threads) = (Vec::new(), Vec::new());
        for mut share in shares {
            let (link, mut inbox) = link::<(Job, Interrupt)>(JOBS_MAX);
            let (told, gauges) = (reports.clone(), config.gauges.clone());
            jobs.push(link);
            threads.push(spawn_plain("peer-publishers", move || {
                while let Some((job, halt)) = inbox.recv_blocking() {
                    for done in share.carry_out(&job, &gauges, &halt) {
                        let _ = told.send_blocking(Report::PublisherDone(done));
                    }
                }
            })?);
        }
        Ok(RawPublishers { config, jobs, halt: Interrupt::default(), floor, reports, reported: 0, threads })
    }

    /// Sends the messages of a run from `start` on. Each publisher ends with a [`Report::PublisherDone`].
    pub fn go(&mut self, run: RunId, workload: Workload, start: MonotonicNs, (rate, amount): (Rate, Amount)) {
        let (messages, time_max) = match amount {
            Amount::Messages(messages) => (messages, self.config.flood_time_max),
            Amount::Duration(time_max) => (u64::MAX, time_max),
        };
        let pace = match rate {
            Rate::Hz(rate_hz) => Pace::At { start, rate_hz, amount },
            Rate::Flood => Pace::Flood { messages, time_max, window: self.config.window },
        };
        (self.halt, self.reported) = (Interrupt::default(), 0);
        self.config.gauges.begin();
        let job = Job { run, workload, size_bytes: self.config.size_bytes, pace };
        for jobs in &self.jobs {
            let _ = jobs.try_send((job, self.halt.clone()));
        }
    }

    /// Reports the messages that are known to have been sent.
    pub fn look(&mut self) {
        let gauges = &self.config.gauges;
        let sent = gauges.sent().max(gauges.least()).max(self.reported);
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

    /// Waits until the threads have ended, which they do after their last jobs.
    pub fn stop(self) {
        drop((self.jobs, self.reports));
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// The sockets, dealt out to as many threads as there may be.
fn shared_out(sources: Vec<RawSource>, config: &RawPublishersConfig) -> Vec<Share> {
    let names: Arc<[String]> = config.topics.names().collect();
    let threads = config.threads.clamp(1, sources.len().max(1));
    let mut dealt: Vec<Vec<RawSource>> = (0..threads).map(|_| Vec::new()).collect();
    for (index, source) in sources.into_iter().enumerate() {
        dealt[index % threads].push(source);
    }
    dealt.into_iter().map(|sources| Share::Sockets(Sources::new(sources, names.clone()))).collect()
}

impl Share {
    fn carry_out(&mut self, job: &Job, gauges: &Gauges, halt: &Interrupt) -> Vec<PublisherDone> {
        match self {
            Share::Sockets(sources) => sources.carry_out(job, gauges, halt),
            Share::Floor(floor) => {
                let carried = floor.carry_out(job);
                let failed = |error: &io::Error| Failure::new("the floor", error.to_string());
                let failure = carried.as_ref().err().map(failed);
                let sent = carried.unwrap_or_else(|_| Sent::nothing(MonotonicNs::now()));
                let publishers = job.workload.publishers;
                let of = |publisher: usize| {
                    let part = |all: u64| share(all as usize, publisher, publishers).len() as u64;
                    let sent = Sent {
                        sent: part(sent.sent),
                        intended: part(sent.intended),
                        late: part(sent.late),
                        ..sent
                    };
                    let publisher = PublisherIndex(publisher as u32);
                    PublisherDone { publisher, sent, failure: failure.clone() }
                };
                (0..publishers).map(of).collect()
            }
        }
    }
}
