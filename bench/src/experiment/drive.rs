//! Owns a swarm from its first connection to its last report: set up, let go, watched until every message is
//! accounted for, asked for what it measured. Runs on a plain thread.

use super::plan::Plan;
use crate::interrupt::Interrupt;
use crate::measure::oracle::Settling;
use crate::measure::payload::{PublisherIndex, RunId};
use crate::measure::tally::Tally;
use crate::report::progress::{Position, Progress};
use crate::swarm::Common;
use crate::swarm::publishers::{Publishers, PublishersConfig};
use crate::swarm::reports::{Failure, PublisherDone, Received, Report, reports};
use crate::swarm::schedule::Rate;
use crate::swarm::subscribers::{Subscribers, SubscribersConfig};
use corecast::{Endpoint, OverflowPolicy};
use corecast_executors::{Inbox, Link, MonotonicNs, PoolError, RecvTimeout};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long nothing may arrive after an interruption until what was on its way is taken to be gone.
const INTERRUPTED_QUIET: Duration = Duration::from_millis(500);
/// How long it may go on arriving after an interruption: a flood can have a minute's work in the broker's queues.
const INTERRUPTED_MAX: Duration = Duration::from_secs(3);
/// How often executors are asked how far they are, while messages are sent.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The same once all is sent: the run ends sooner, and there is nothing left to disturb.
const SETTLE_LOOK_EVERY: Duration = Duration::from_millis(20);
/// Between everybody being ready and the first message: the command to go must have reached every executor.
const START_LEAD: Duration = Duration::from_millis(50);
/// How long nothing may arrive until a subscriber that was told of a gap of unknown size is taken to have all.
const UNKNOWN_GAP_QUIET: Duration = Duration::from_secs(1);
/// How long a publisher may take to stop, if a run ends before it has sent all: then it is taken to be stuck.
const HALT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long executors may take to hand over what they measured.
const COLLECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How a run went to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Everything is accounted for.
    Complete,
    /// Somebody asked to stop.
    Interrupted,
    /// Nothing happened for too long: the sentence says what was waited for.
    TimedOut(String),
    /// Something broke: the sentence says what.
    Failed(String),
}

/// Why there is nothing to show of a swarm.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The executors did not start.
    #[error("cannot start the swarm")]
    Pool(#[from] PoolError),
    /// Somebody asked to stop.
    #[error("interrupted before the first message")]
    Interrupted,
    /// Publishers or subscribers could not be set up.
    #[error("cannot set up the swarm: {0}")]
    Failed(Failure),
    /// Not everybody was ready in time.
    #[error("the swarm was not set up within {} s: {waiting} of {executors} executors are not ready", .timeout.as_secs_f64())]
    TimedOut {
        /// How long was waited.
        timeout: Duration,
        /// Executors that have not reported.
        waiting: usize,
        /// Executors that there are.
        executors: usize,
    },
}

/// A swarm that is ready to go.
#[derive(Debug)]
pub struct Drive<'a> {
    plan: &'a Plan,
    interrupt: &'a Interrupt,
    inbox: Inbox<Report>,
    subscribers: Subscribers,
    publishers: Publishers,
}

/// What a swarm did.
#[derive(Debug)]
pub struct Driven {
    /// When the first message should have been sent.
    pub started: MonotonicNs,
    /// Messages sent, by publisher.
    pub sent: Vec<u64>,
    /// Messages that should have been sent.
    pub intended: u64,
    /// Of these, how many were sent in time.
    pub in_time: u64,
    /// What each executor measured, with its number.
    pub tallies: Vec<(usize, Tally)>,
    /// How it ended.
    pub ending: Ending,
}

impl<'a> Drive<'a> {
    /// Connects everybody; returns when every publisher sees every subscriber.
    pub fn set_up(
        plan: &'a Plan,
        broker: (&Endpoint, Option<OverflowPolicy>),
        interrupt: &'a Interrupt,
        progress: &Progress,
    ) -> Result<Self, DriveError> {
        let (endpoint, overflow) = broker;
        let common = Common {
            broker: endpoint.clone(),
            run: RunId(fastrand::u64(..)),
            publishers: plan.publishers,
            sessions: plan.sessions,
            overflow,
            setup_timeout: plan.timeout,
        };
        let (link, mut inbox) = reports();
        progress.phase("connecting subscribers");
        let subscribers = start_subscribers(plan, &common, link.clone())?;
        wait_until_ready(&mut inbox, subscribers.executors(), plan.timeout, interrupt)?;
        progress.phase("connecting publishers");
        let publishers = start_publishers(plan, common, link)?;
        wait_until_ready(&mut inbox, publishers.executors(), plan.timeout, interrupt)?;
        Ok(Drive { plan, interrupt, inbox, subscribers, publishers })
    }

    /// Sends everything and waits until it is accounted for, or until there is no point in waiting.
    ///
    /// `broken` says, whenever it is asked, whether something that the swarm needs is gone.
    pub fn go(&mut self, progress: &mut Progress, mut broken: impl FnMut() -> Option<String>) -> Driven {
        progress.phase("sending");
        let start = MonotonicNs::now() + START_LEAD;
        self.publishers.go(start);
        let mut watch = Watch::new(self.plan, self.subscribers.executors());
        let ending = loop {
            self.publishers.look();
            self.subscribers.look(watch.sent().as_ref());
            let pause = if watch.all_sent() { SETTLE_LOOK_EVERY } else { LOOK_EVERY };
            self.take_reports(&mut watch, Instant::now() + pause);
            progress.update(&watch.position());
            if let Some(ending) = watch.ending() {
                break ending;
            }
            if let Some(what) = broken() {
                break Ending::Failed(what);
            }
            if self.interrupt.is_set() && watch.interrupted.is_none() {
                watch.interrupted = Some(Instant::now());
                progress.phase("interrupted, waiting for what is on its way");
                self.publishers.halt();
            }
        };
        self.publishers.halt();
        self.collect(&mut watch);
        watch.driven(start, ending)
    }

    /// Ends all sessions and waits until the executors have stopped.
    pub fn stop(self) -> Result<(), PoolError> {
        // A report that nobody takes must not keep an executor from stopping.
        drop(self.inbox);
        self.publishers.stop()?;
        self.subscribers.stop()
    }

    fn take_reports(&mut self, watch: &mut Watch<'_>, until: Instant) {
        while let Ok(report) = self.inbox.recv_deadline(until) {
            watch.take(report);
            if watch.is_over() {
                return;
            }
        }
    }

    /// Waits for publishers that are on their last message, then for everything that was measured.
    fn collect(&mut self, watch: &mut Watch<'_>) {
        let deadline = Instant::now() + HALT_TIMEOUT;
        while !watch.all_sent() {
            match self.inbox.recv_deadline(deadline) {
                Ok(report) => watch.take(report),
                Err(_) => break,
            }
        }
        self.subscribers.finish();
        let deadline = Instant::now() + COLLECT_TIMEOUT;
        while watch.tallies.len() < self.subscribers.executors() {
            match self.inbox.recv_deadline(deadline) {
                Ok(report) => watch.take(report),
                Err(_) => break,
            }
        }
    }
}

fn start_subscribers(plan: &Plan, common: &Common, link: Link<Report>) -> Result<Subscribers, PoolError> {
    let config = SubscribersConfig {
        common: common.clone(),
        subscribers: plan.subscribers,
        cores: plan.subscriber_cores.clone(),
        idle: plan.idle,
    };
    Subscribers::start(config, link)
}

fn start_publishers(plan: &Plan, common: Common, link: Link<Report>) -> Result<Publishers, PoolError> {
    let config = PublishersConfig {
        common,
        subscribers: plan.subscribers,
        size_bytes: plan.size_bytes,
        rate: plan.rate,
        amount: plan.amount,
        flush_timeout: plan.timeout,
        cores: plan.publisher_cores.clone(),
        idle: plan.idle,
    };
    Publishers::start(config, link)
}

fn wait_until_ready(
    inbox: &mut Inbox<Report>,
    executors: usize,
    timeout: Duration,
    interrupt: &Interrupt,
) -> Result<(), DriveError> {
    let deadline = Instant::now() + timeout;
    let mut waiting = executors;
    while waiting > 0 {
        if interrupt.is_set() {
            return Err(DriveError::Interrupted);
        }
        match inbox.recv_deadline(deadline.min(Instant::now() + LOOK_EVERY)) {
            Ok(Report::Failed(failure)) => return Err(DriveError::Failed(failure)),
            Ok(_) => waiting -= 1,
            Err(RecvTimeout::TimedOut) if Instant::now() < deadline => {}
            Err(_) => return Err(DriveError::TimedOut { timeout, waiting, executors }),
        }
    }
    Ok(())
}

/// What has been reported of a run so far.
struct Watch<'a> {
    plan: &'a Plan,
    done: Vec<Option<PublisherDone>>,
    sent: u64,
    received: Vec<Received>,
    tallies: Vec<(usize, Tally)>,
    failure: Option<Failure>,
    interrupted: Option<Instant>,
    started: Instant,
    /// When something was last seen to arrive, and how much had arrived by then. What is sent does not count: it
    /// may wait in this process, or in the kernel, for a broker that hangs.
    moved: Instant,
    moved_to: u64,
}

impl<'a> Watch<'a> {
    fn new(plan: &'a Plan, executors: usize) -> Self {
        let now = Instant::now();
        Watch {
            plan,
            done: vec![None; plan.publishers],
            sent: 0,
            received: vec![Received::default(); executors],
            tallies: Vec::new(),
            failure: None,
            interrupted: None,
            started: now,
            moved: now,
            moved_to: 0,
        }
    }

    fn take(&mut self, report: Report) {
        match report {
            Report::Received(received) => self.received[received.executor] = received,
            Report::Sent(more) => self.sent += more,
            Report::PublisherDone(done) => {
                if let Some(failure) = &done.failure {
                    self.failure.get_or_insert_with(|| failure.clone());
                }
                let publisher = done.publisher.0 as usize;
                self.done[publisher] = Some(done);
            }
            Report::Measured { executor, tally } => self.tallies.push((executor, *tally)),
            Report::Failed(failure) => drop(self.failure.get_or_insert(failure)),
            Report::SubscribersReady | Report::PublishersReady => {}
        }
        let moved_to = self.accounted();
        if moved_to != self.moved_to {
            self.moved = Instant::now();
            self.moved_to = moved_to;
        }
    }

    fn accounted(&self) -> u64 {
        self.received.iter().map(|received| received.accounted).sum()
    }

    fn all_sent(&self) -> bool {
        self.done.iter().all(Option::is_some)
    }

    /// What each publisher has sent, once all are done.
    fn sent(&self) -> Option<Arc<[u64]>> {
        self.done.iter().map(|done| done.as_ref().map(|done| done.sent)).collect()
    }

    /// How the subscribers stand, once every executor has said so.
    fn settling(&self) -> Option<Settling> {
        let mut sum = Settling::default();
        for received in &self.received {
            sum += received.settling?;
        }
        Some(sum)
    }

    fn is_over(&self) -> bool {
        self.failure.is_some() || self.settling().is_some_and(|sum| sum.unknown + sum.waiting == 0)
    }

    /// Whether and how the run is at its end.
    fn ending(&self) -> Option<Ending> {
        if let Some(failure) = &self.failure {
            let said = failure.to_string();
            return Some(if failure.timed_out { Ending::TimedOut(said) } else { Ending::Failed(said) });
        }
        let quiet = self.moved.elapsed();
        let settled = match self.settling() {
            Some(Settling { unknown: 0, waiting: 0, .. }) => true,
            Some(Settling { waiting: 0, .. }) => quiet >= UNKNOWN_GAP_QUIET,
            _ => false,
        };
        if let Some(since) = self.interrupted {
            let over = settled || quiet >= INTERRUPTED_QUIET || since.elapsed() >= INTERRUPTED_MAX;
            return over.then_some(Ending::Interrupted);
        }
        if settled {
            return Some(Ending::Complete);
        }
        // A publisher that waits for its next message is not stuck.
        let interval = match self.plan.rate {
            Rate::Hz(rate_hz) if !self.all_sent() => Duration::from_secs_f64(1.0 / rate_hz),
            _ => Duration::ZERO,
        };
        (quiet >= self.plan.timeout + interval).then(|| Ending::TimedOut(self.waiting_for()))
    }

    fn waiting_for(&self) -> String {
        let seconds = self.plan.timeout.as_secs_f64();
        let unsent = self.done.iter().filter(|done| done.is_none()).count();
        if unsent > 0 {
            return format!("nothing has arrived for {seconds} s, and {unsent} publishers have not sent all");
        }
        let settled = self.settling().unwrap_or_default().settled;
        let missing = self.plan.subscribers - settled;
        format!(
            "nothing has arrived for {seconds} s, and {missing} of {} subscribers miss messages",
            self.plan.subscribers
        )
    }

    fn position(&self) -> Position {
        let elapsed = self.started.elapsed();
        let deliveries = self.received.iter().map(|received| received.delivered).sum();
        let accounted = self.accounted();
        let messages = self.sent().map(|sent| sent.iter().sum()).or(self.plan.messages());
        let expected = messages.map(|messages: u64| messages.saturating_mul(self.plan.subscribers as u64));
        let by_count = expected.map(|expected| accounted as f64 / expected as f64);
        let by_time = self.plan.sending_time().map(|time| elapsed.as_secs_f64() / time.as_secs_f64());
        let done = by_count.or(by_time).unwrap_or(0.0).min(1.0);
        let left = match self.plan.sending_time() {
            Some(time) if elapsed < time => Some(time.saturating_sub(elapsed)),
            _ if done > 0.0 => Duration::try_from_secs_f64(elapsed.as_secs_f64() * (1.0 - done) / done).ok(),
            _ => None,
        };
        Position { sent: self.sent, deliveries, gaps: accounted.saturating_sub(deliveries), done, left }
    }

    fn driven(self, start: MonotonicNs, mut ending: Ending) -> Driven {
        if self.tallies.len() < self.received.len() && ending == Ending::Complete {
            ending = Ending::Failed("an executor did not say what it measured".into());
        }
        let (mut sent, mut intended, mut late) = (Vec::with_capacity(self.done.len()), 0, 0);
        let mut started: Option<MonotonicNs> = None;
        for (index, done) in self.done.iter().enumerate() {
            match done {
                Some(done) => {
                    sent.push(done.sent);
                    intended += done.intended;
                    late += done.late;
                    started = Some(started.map_or(done.started, |started| started.min(done.started)));
                }
                // It is stuck in a send: going by what arrived is the best there is.
                None => {
                    let publisher = PublisherIndex(index as u32);
                    let seen = self.tallies.iter().map(|(_, tally)| tally.oracle().sent_at_least(publisher));
                    sent.push(seen.max().unwrap_or(0));
                }
            }
        }
        let in_time = sent.iter().sum::<u64>().saturating_sub(late);
        Driven { started: started.unwrap_or(start), sent, intended, in_time, tallies: self.tallies, ending }
    }
}
