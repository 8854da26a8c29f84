//! Owns the raw publishers of one thread: their sockets, and how a run is shared out among them.

use super::gauges::Gauges;
use super::job::{Job, Pace, wait_for};
use super::session::STUCK_AFTER;
use super::source::RawSource;
use crate::interrupt::Interrupt;
use crate::measure::messages::Messages;
use crate::swarm::reports::{Failure, PublisherDone, Sent};
use crate::swarm::schedule::Schedule;
use corecast_executors::{MonotonicNs, pause};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of a flood that are sent at once: a `send` of more gains nothing.
const BLOCK_BYTES: usize = 64 << 10;
/// Interval at which publishers look at a closed window.
const WINDOW_LOOK_EVERY: Duration = Duration::from_micros(50);

/// The publishers of one thread.
#[derive(Debug)]
pub struct Sources {
    sources: Vec<RawSource>,
    /// The names of all topics.
    names: Arc<[String]>,
}

/// A publisher in a run.
struct Sending<'a> {
    source: &'a mut RawSource,
    messages: Messages,
    sent: Sent,
}

impl Sources {
    /// These publishers, which send on topics of these names.
    pub fn new(sources: Vec<RawSource>, names: Arc<[String]>) -> Self {
        Sources { sources, names }
    }

    /// Sends all that the job says; the account of each publisher.
    pub(super) fn carry_out(&mut self, job: &Job, gauges: &Gauges, halt: &Interrupt) -> Vec<PublisherDone> {
        let now = MonotonicNs::now();
        let mut all: Vec<Sending<'_>> = Vec::with_capacity(self.sources.len());
        for source in &mut self.sources {
            let messages = Messages::new(job.run, &job.workload, source.publisher(), job.size_bytes);
            let messages = messages.expect("whoever makes a comparison has checked the size");
            all.push(Sending { source, messages, sent: Sent::nothing(now) });
        }
        let names: &[String] = &self.names;
        let failed = match job.pace {
            Pace::At { start, rate_hz, amount } => {
                let schedule = |sending: &Sending<'_>| {
                    let place = (sending.source.publisher().0 as usize, job.workload.publishers);
                    Schedule::new(start, rate_hz, amount, place)
                };
                let schedules: Vec<Schedule> = all.iter().map(schedule).collect();
                send_at(&mut all, &schedules, names, (gauges, halt))
            }
            Pace::Flood { messages, time_max, window } => {
                let share = (window / job.workload.publishers as u64).max(1);
                // So many as 64 KiB hold go out with one call, at least one.
                let block = ((BLOCK_BYTES / job.size_bytes).max(1) as u64).min(share);
                let flood = Flood { messages, end: now + time_max, window, block };
                flood.run(&mut all, names, (gauges, halt))
            }
        };
        let failure = failed.err().map(|error| Failure::new("a publisher", error.to_string()));
        let done = all.into_iter().map(|sending| {
            let (publisher, sent) = (sending.source.publisher(), sending.sent);
            PublisherDone { publisher, sent, failure: failure.clone() }
        });
        done.collect()
    }
}

impl Sending<'_> {
    fn send(
        &mut self,
        (count, due): (u64, MonotonicNs),
        names: &[String],
        limits: (&Gauges, &Interrupt),
    ) -> io::Result<()> {
        self.source.send(&mut self.messages, (count, due), names, limits)?;
        self.sent.sent = self.messages.sent();
        Ok(())
    }
}

/// Sends each message when it is due: the schedules of several publishers interlock.
fn send_at(
    all: &mut [Sending<'_>],
    schedules: &[Schedule],
    names: &[String],
    (gauges, halt): (&Gauges, &Interrupt),
) -> io::Result<()> {
    for (sending, schedule) in all.iter_mut().zip(schedules) {
        sending.sent.started_ns = schedule.due(0).0;
        sending.sent.intended = schedule.messages();
    }
    let most = schedules.iter().map(Schedule::messages).max().unwrap_or(0);
    for sequence in 0..most {
        for (sending, schedule) in all.iter_mut().zip(schedules) {
            if halt.is_set() {
                return Ok(());
            }
            let due = wait_for(schedule, sequence);
            if schedule.is_over(MonotonicNs::now()) {
                return Ok(());
            }
            sending.send((1, due), names, (gauges, halt))?;
            sending.sent.late += u64::from(schedule.is_late(due, MonotonicNs::now()));
        }
    }
    Ok(())
}

struct Flood {
    messages: u64,
    end: MonotonicNs,
    window: u64,
    block: u64,
}

impl Flood {
    /// Sends a block of each publisher in turn, as long as there is room for it.
    fn run(
        &self,
        all: &mut [Sending<'_>],
        names: &[String],
        (gauges, halt): (&Gauges, &Interrupt),
    ) -> io::Result<()> {
        let (mut slowest, mut moved) = (0, (0, Instant::now()));
        let left = |sending: &Sending<'_>| self.messages - sending.sent.sent;
        while all.iter().any(|sending| left(sending) > 0) {
            for sending in all.iter_mut().filter(|sending| left(sending) > 0) {
                let mut room = 0;
                while room == 0 {
                    let now = MonotonicNs::now();
                    if halt.is_set() || now > self.end {
                        return Ok(());
                    }
                    let under_way = gauges.under_way(self.window, &mut slowest);
                    room = self.window.saturating_sub(under_way);
                    if moved.0 != under_way || room > 0 {
                        moved = (under_way, Instant::now());
                    } else if moved.1.elapsed() > STUCK_AFTER {
                        return Ok(());
                    }
                    if room == 0 {
                        sending.source.hear()?;
                        pause(WINDOW_LOOK_EVERY);
                    }
                }
                let count = room.min(self.block).min(left(sending));
                sending.send((count, MonotonicNs::now()), names, (gauges, halt))?;
                sending.sent.intended = sending.sent.sent;
            }
        }
        Ok(())
    }
}
