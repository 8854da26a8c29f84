//! Owns one peer in one round: started fresh, its memory measured with everybody there and idle, then a paced run and
//! a flood with the same subscribers.

use super::dialect::Language;
use super::feed::Feed;
use super::floor::Floor;
use super::job::{Halt, Job, Pace, Sent};
use super::name::PeerName;
use super::plan::Contest;
use super::source::Source;
use super::start::{self, StartError};
use super::swarm::{Swarm, SwarmConfig};
use crate::interrupt::Interrupt;
use crate::measure::payload::{PublisherIndex, RunId};
use crate::measure::process::Usage;
use crate::measure::tally::Tally;
use crate::process::server::Server;
use crate::progress::{Position, Progress};
use crate::swarm::schedule::{Amount, Schedule};
use corecast::Sessions;
use corecast_executors::{MonotonicNs, pause, spawn_plain};
use std::path::Path;
use std::time::{Duration, Instant};

/// Interval between two looks at a run.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Between the word to go and the first message: it must have reached whoever sends.
const START_LEAD: Duration = Duration::from_millis(50);
/// A process's memory is settled when it has been the same for so long.
const RSS_QUIET: Duration = Duration::from_millis(200);
/// Time to wait for that: some servers tidy up for ever.
const RSS_TIMEOUT: Duration = Duration::from_secs(3);
/// Time that a message may take to everybody before another one is tried: a subscription may not be in force yet.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// Time to wait for messages under way after an interruption.
const INTERRUPTED_QUIET: Duration = Duration::from_millis(300);

/// The result of a run.
#[derive(Debug)]
pub struct Ran {
    /// The messages that were sent.
    pub sent: Sent,
    /// The measurements of each thread of subscribers.
    pub tallies: Vec<Tally>,
    /// Usage of the peer's process before and after, if that process is known.
    pub usage: Option<(Usage, Usage)>,
    /// Why it is not whole, if so.
    pub incomplete: Option<String>,
}

/// The results of one round of a peer.
#[derive(Debug, Default)]
pub struct Round {
    /// Its version.
    pub version: Option<String>,
    /// Bytes of its process for each idle subscriber.
    pub rss_per_subscriber_bytes: Option<f64>,
    /// Messages at their times.
    pub paced: Option<Ran>,
    /// As fast as they are taken.
    pub flood: Option<Ran>,
}

/// Measures a peer whose subscribers are ours.
pub fn measure(
    (name, language): (PeerName, Language),
    plan: &Contest,
    guard: Option<&Path>,
    interrupt: &Interrupt,
    progress: &mut Progress,
) -> Result<Round, StartError> {
    let failed = |why: String| StartError::Failed { program: name.to_string(), why };
    progress.phase("starting");
    let started = match plan.elsewhere(name) {
        Some(elsewhere) => elsewhere.server(),
        None => start::start(name, plan, guard)?,
    };
    let mut round = Round { version: started.version.clone(), ..Round::default() };
    let before = settled_rss(&started);
    progress.phase("connecting subscribers");
    let mut session = Session::connect((name, language), plan, started, interrupt).map_err(failed)?;
    let after = settled_rss(&session.started);
    round.rss_per_subscriber_bytes =
        before.zip(after).map(|(before, after)| (after as f64 - before as f64) / plan.run.subscribers as f64);
    session.feed = Some(session.connect_feed(name, language).map_err(failed)?);
    progress.phase("waiting until a message reaches everybody");
    session.probe().map_err(failed)?;
    progress.phase("sending");
    let amount = Amount::Duration(plan.duration());
    let schedule = Schedule::new(MonotonicNs::now() + START_LEAD, plan.rate_hz(), amount, (0, 1));
    let paced = session.run(Pace::At(schedule), progress);
    let whole = paced.incomplete.is_none();
    round.paced = Some(paced);
    if whole && plan.flood_messages > 0 && !interrupt.is_set() {
        progress.phase("flooding");
        round.flood = Some(session.run(session.flood(), progress));
    }
    Ok(round)
}

/// A peer with everybody connected.
struct Session<'a> {
    plan: &'a Contest,
    interrupt: &'a Interrupt,
    started: Server,
    swarm: Swarm,
    /// None while a run has it, and after one that it did not come back from.
    feed: Option<Feed>,
}

impl<'a> Session<'a> {
    fn connect(
        (name, language): (PeerName, Language),
        plan: &'a Contest,
        mut started: Server,
        interrupt: &'a Interrupt,
    ) -> Result<Self, String> {
        let config = SwarmConfig {
            endpoint: started.subscribe_at.clone(),
            language,
            subscribers: plan.run.subscribers,
            sessions: sessions_of(name, plan),
            threads: plan.threads,
            size_bytes: plan.run.size_bytes,
        };
        let mut swarm =
            Swarm::start(&config).map_err(|error| format!("cannot start subscribers: {error}"))?;
        let (mut waiting, mut moved) = (swarm.waiting(), Instant::now());
        while waiting > 0 {
            pause(LOOK_EVERY / 4);
            if let Some(why) = swarm.failure().or_else(|| started.failure()) {
                return Err(why);
            }
            if interrupt.is_set() {
                return Err("interrupted before the first message".into());
            }
            let now_waiting = swarm.waiting();
            if now_waiting != waiting {
                (waiting, moved) = (now_waiting, Instant::now());
            } else if moved.elapsed() > plan.run.timeout {
                return Err(format!(
                    "{waiting} of its sessions are not ready, and for {} s none has become so",
                    plan.run.timeout.as_secs_f64()
                ));
            }
        }
        Ok(Session { plan, interrupt, started, swarm, feed: None })
    }

    fn connect_feed(&mut self, name: PeerName, language: Language) -> Result<Feed, String> {
        if name.system.is_floor() {
            let pipes = self.started.process().and_then(|process| process.pipes());
            let (stdin, stdout) = pipes.ok_or("the floor has no pipes")?;
            return Ok(Feed::Floor(Floor::new(stdin, stdout)));
        }
        let source = Source::connect(&self.started.publish_at, language, self.plan.run.timeout);
        source.map(|source| Feed::Source(Box::new(source))).map_err(|error| format!("the publisher: {error}"))
    }

    fn flood(&self) -> Pace {
        let (messages, window) = (self.plan.flood_messages, self.plan.window);
        Pace::Flood { messages, time_max: self.plan.duration(), window }
    }

    /// Sends messages, each a run of its own, until one has reached everybody: what was sent before it has too.
    fn probe(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + self.plan.run.timeout;
        loop {
            let run = RunId(fastrand::u64(..));
            self.swarm.begin(run)?;
            let job = Job {
                run,
                size_bytes: self.plan.run.size_bytes,
                pace: Pace::Flood { messages: 1, time_max: PROBE_TIMEOUT, window: 1 },
            };
            let feed = self.feed.as_mut().ok_or("there is nobody to send")?;
            feed.carry_out(&job, self.swarm.gauges(), &Halt::default())?;
            let sent_at = Instant::now();
            while sent_at.elapsed() < PROBE_TIMEOUT {
                if self.swarm.gauges().accounted() == self.plan.run.subscribers as u64 {
                    return Ok(());
                }
                pause(Duration::from_millis(1));
            }
            if let Some(why) = self.swarm.failure().or_else(|| self.started.failure()) {
                return Err(why);
            }
            if Instant::now() > deadline || self.interrupt.is_set() {
                let reached = self.swarm.gauges().accounted();
                return Err(format!("a message reached only {reached} of {}", self.plan.run.subscribers));
            }
        }
    }

    fn run(&mut self, pace: Pace, progress: &mut Progress) -> Ran {
        let run = RunId(fastrand::u64(..));
        let mut ran = Ran { sent: nothing_sent(), tallies: Vec::new(), usage: None, incomplete: None };
        if let Err(why) = self.swarm.begin(run) {
            return Ran { incomplete: Some(why), ..ran };
        }
        let before = self.usage();
        let job = Job { run, size_bytes: self.plan.run.size_bytes, pace };
        let sent = self.send(job, progress);
        let ending = match &sent {
            Ok(sent) => self.settle(sent.sent, progress),
            Err(why) => Err(why.clone()),
        };
        ran.usage = before.zip(self.usage());
        match self.swarm.begin(RunId(fastrand::u64(..))) {
            Ok(tallies) => ran.tallies = tallies,
            Err(why) => ran.incomplete = Some(why),
        }
        let seen = ran.tallies.iter().map(|tally| tally.oracle().sent_at_least(PublisherIndex(0))).max();
        // Of a publisher that did not come back, what arrived says how far it got.
        ran.sent = sent.unwrap_or(Sent { sent: seen.unwrap_or(0), ..nothing_sent() });
        ran.incomplete = ending.err().or(ran.incomplete);
        ran
    }

    /// Sends it all, on a thread of its own, and watches.
    fn send(&mut self, job: Job, progress: &mut Progress) -> Result<Sent, String> {
        let mut feed = self.feed.take().ok_or("there is nobody to send")?;
        let is_floor = matches!(feed, Feed::Floor(_));
        let (gauges, halt) = (self.swarm.gauges().clone(), Halt::default());
        let halted = halt.clone();
        let thread = spawn_plain("peer-publisher", move || {
            let sent = feed.carry_out(&job, &gauges, &halted);
            (feed, sent)
        });
        let thread = thread.map_err(|error| format!("cannot start the publisher: {error}"))?;
        let began = Instant::now();
        let mut broken = None;
        while !thread.is_finished() {
            pause(LOOK_EVERY);
            progress.update(&self.position(&job, began.elapsed()));
            // What breaks after an interruption is its doing.
            if !self.interrupt.is_set() {
                broken = broken.or_else(|| self.swarm.failure()).or_else(|| self.started.failure());
            }
            if broken.is_some() || self.interrupt.is_set() {
                halt.set();
                // The floor looks at nothing but its sockets: the end of its process is its end.
                if let (true, Some(process)) = (is_floor, self.started.process()) {
                    process.end();
                }
            }
        }
        let Ok((feed, sent)) = thread.join() else { return Err("the publisher has panicked".into()) };
        self.feed = Some(feed);
        match broken {
            Some(why) => Err(why),
            None if self.interrupt.is_set() => sent.map_err(|_| "interrupted".into()),
            None => sent,
        }
    }

    /// Waits until everybody has all of it.
    fn settle(&mut self, sent: u64, progress: &mut Progress) -> Result<(), String> {
        let expected = sent * self.plan.run.subscribers as u64;
        let (mut accounted, mut moved) = (self.swarm.gauges().accounted(), Instant::now());
        loop {
            if accounted >= expected {
                return if self.interrupt.is_set() { Err("interrupted".into()) } else { Ok(()) };
            }
            if let Some(why) = self.swarm.failure().or_else(|| self.started.failure()) {
                return Err(if self.interrupt.is_set() { "interrupted".into() } else { why });
            }
            let patience = if self.interrupt.is_set() { INTERRUPTED_QUIET } else { self.plan.run.timeout };
            if moved.elapsed() > patience {
                let missing = expected - accounted;
                return Err(match self.interrupt.is_set() {
                    true => "interrupted, and what was still on its way counts as lost".into(),
                    false => format!(
                        "nothing has arrived for {} s, and {missing} deliveries are missing",
                        patience.as_secs_f64()
                    ),
                });
            }
            pause(LOOK_EVERY / 4);
            let now_accounted = self.swarm.gauges().accounted();
            if now_accounted != accounted {
                (accounted, moved) = (now_accounted, Instant::now());
            }
            progress.update(&Position { sent, deliveries: accounted, done: 1.0, ..Position::default() });
        }
    }

    fn position(&self, job: &Job, elapsed: Duration) -> Position {
        let deliveries = self.swarm.gauges().accounted();
        let sent = self.swarm.gauges().least();
        let by_time = elapsed.as_secs_f64() / self.plan.duration().as_secs_f64();
        let by_count = match job.pace {
            Pace::At(schedule) => sent as f64 / schedule.messages() as f64,
            Pace::Flood { messages, .. } => sent as f64 / messages as f64,
        };
        let left = self.plan.duration().checked_sub(elapsed);
        Position { sent, deliveries, gaps: 0, done: by_time.max(by_count).min(1.0), left }
    }

    fn usage(&self) -> Option<Usage> {
        self.started.usage().ok().flatten()
    }
}

fn nothing_sent() -> Sent {
    Sent { sent: 0, intended: 0, late: 0, started_ns: MonotonicNs::now().0 }
}

/// Only ours has sessions that subscribers share.
pub fn sessions_of(name: PeerName, plan: &Contest) -> Sessions {
    if name.system.is_ours() { plan.run.sessions } else { Sessions::PerSubscriber }
}

/// Resident memory of a process that is left alone, once it does not change any more.
fn settled_rss(server: &Server) -> Option<u64> {
    let rss_bytes = || Some(server.usage().ok()??.rss_bytes);
    let (deadline, mut changed) = (Instant::now() + RSS_TIMEOUT, Instant::now());
    let mut rss = rss_bytes()?;
    while changed.elapsed() < RSS_QUIET && Instant::now() < deadline {
        pause(LOOK_EVERY);
        let now = rss_bytes()?;
        if now != rss {
            (rss, changed) = (now, Instant::now());
        }
    }
    Some(rss)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_quiet_process_settles() {
        let rss = |pid| settled_rss(&Server::running("tcp://127.0.0.1:1".parse().unwrap(), pid));
        assert!(rss(Some(std::process::id())).unwrap() > 100_000);
        assert_eq!((rss(None), rss(Some(u32::MAX))), (None, None));
    }
}
