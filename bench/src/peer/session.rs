//! Owns one peer in one round: started fresh, its memory measured with everybody there and idle, then a paced run and
//! a flood with the same subscribers.

use super::name::{PeerName, System};
use super::outcome::{Label, label};
use super::plan::{Clients, Contest, Measured, Turn, window_default};
use super::{start, version};
use crate::experiment::counters::Counters;
use crate::experiment::descriptors;
use crate::experiment::drive::{Drive, wait_until_ready};
use crate::experiment::error::DriveError;
use crate::experiment::outcome::{Outcome, outcome};
use crate::experiment::plan::Plan;
use crate::experiment::receivers::Receivers;
use crate::experiment::run::{RunError, Surroundings};
use crate::experiment::senders::Senders;
use crate::experiment::watch::Ending;
use crate::interrupt::Interrupt;
use crate::measure::payload::PublisherIndex;
use crate::measure::tally::Tally;
use crate::measure::workload::TopicChoice;
use crate::process::error::StartError;
use crate::process::server::Server;
use crate::progress::Progress;
use crate::record::SkippedRecord;
use crate::swarm::raw::dialect::Language;
use crate::swarm::raw::floor::Floor;
use crate::swarm::raw::publishers::{Feed, RawPublishers, RawPublishersConfig};
use crate::swarm::raw::source::RawSource;
use crate::swarm::raw::subscribers::{RawSubscribers, RawSubscribersConfig};
use crate::swarm::raw::target::RawTarget;
use crate::swarm::reports::{Failure, reports};
use crate::swarm::schedule::{Amount, Rate};
use crate::swarm::topics::Topics;
use corecast_executors::pause;
use std::io;
use std::time::{Duration, Instant};

/// Interval between two looks at a process's memory.
const RSS_LOOK_EVERY: Duration = Duration::from_millis(20);
/// A process's memory is settled when it has been the same for so long.
const RSS_QUIET: Duration = Duration::from_millis(200);
/// Time to wait for that: some servers tidy up for ever.
const RSS_TIMEOUT: Duration = Duration::from_secs(3);
/// Time that a message may take to everybody before another one is tried: a subscription may not be in force yet.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// Makes one run of a peer by itself, with raw subscribers and publishers. Its flood ends with its time.
pub(crate) fn run_alone(
    system: System,
    plan: &Plan,
    surroundings: &Surroundings<'_>,
) -> Result<Outcome, RunError> {
    let name = PeerName { system, transport: None };
    let language = system.language().expect("an experiment has systems with raw subscribers");
    let contest = Contest {
        run: plan.clone(),
        peers: vec![name],
        elsewhere: Vec::new(),
        before: None,
        engine: None,
        rounds: 1,
        flood_messages: 0,
        window: window_default(plan.size_bytes),
        clients: Clients::Raw,
        threads: plan.subscriber_cores.len(),
        floor_threads: 1,
        neighbour: None,
    };
    plan.check()?;
    descriptors::ensure_files(|limit| contest.check_descriptors(limit))?;
    let title = format!("{name}, {} subscribers", plan.subscribers);
    let mut progress = Progress::start_at(surroundings.place, title);
    let Surroundings { guard, interrupt, .. } = *surroundings;
    let turn = Turn { name, round: 1, contest: &contest, guard, interrupt };
    match measure(&turn, language, &mut progress) {
        Ok((version, runs)) => {
            let mut run = runs.into_iter().next().expect("a peer that was measured has a run");
            run.record.peer_version = version;
            Ok(run)
        }
        Err(StartError::Failed { program, why }) => {
            let error = Failure::new(program, why).into();
            Err(RunError::Drive { error, broker: String::new() })
        }
        Err(error) => {
            let (peer, why) = (name.to_string(), error.to_string());
            Err(RunError::Skipped(SkippedRecord { peer, round: None, why }))
        }
    }
}

/// Measures a peer whose subscribers are ours. Returns its version, and its runs.
pub(super) fn measure(turn: &Turn<'_>, language: Language, progress: &mut Progress) -> Measured {
    progress.phase("starting");
    let mut server = start::server(turn)?;
    let version = version::ask(language, &server.subscribe_at).or_else(|| server.version.clone());
    let measured = runs(turn, language, &mut server, progress);
    let runs = measured.map_err(|error| StartError::Failed {
        program: turn.name.to_string(),
        why: format!("{error}{}", server.failure_suffix()),
    })?;
    Ok((version, runs))
}

fn runs(
    turn: &Turn<'_>,
    language: Language,
    server: &mut Server,
    progress: &mut Progress,
) -> Result<Vec<Outcome>, DriveError> {
    let Turn { name, round, contest, interrupt, .. } = *turn;
    let paced = contest.plan_of(name, server.subscribe_at.clone());
    let empty = settled_rss(server);
    progress.phase("connecting subscribers");
    let (link, mut inbox) = reports();
    let topics = Topics::of_peers(paced.workload(), language.separator());
    let config = RawSubscribersConfig {
        target: RawTarget::at(&server.subscribe_at, language, server),
        endpoints: server.far_at.iter().chain([&server.subscribe_at]).cloned().collect(),
        subscribers: paced.subscribers,
        topics: topics.clone(),
        sessions: paced.sessions,
        threads: contest.threads,
        size_bytes: paced.size_bytes,
    };
    let cannot_start = |what| move |error: std::io::Error| Failure::new(what, error.to_string());
    let subscribers = RawSubscribers::start(&config, &link).map_err(cannot_start("subscribers"))?;
    wait_until_ready(&mut inbox, subscribers.executors(), paced.timeout, interrupt)?;
    let idle = settled_rss(server);
    let rss_per_subscriber_bytes =
        empty.zip(idle).map(|(empty, idle)| (idle as f64 - empty as f64) / paced.subscribers as f64);
    let feed = feed(name, language, server, &paced)?;
    let config = RawPublishersConfig {
        topics,
        threads: contest.threads,
        size_bytes: paced.size_bytes,
        window: contest.window,
        flood_time_max: contest.duration(),
        gauges: subscribers.gauges().clone(),
    };
    let publishers = RawPublishers::start(feed, config, link).map_err(cannot_start("the publishers"))?;
    let (subscribers, publishers) = (Receivers::Raw(subscribers), Senders::Raw(publishers));
    let mut drive = Drive::new(interrupt, inbox, (subscribers, publishers));
    probe(&mut drive, &paced, server, (interrupt, progress))?;
    let about = Label { name, round, clients: "raw", rss_per_subscriber_bytes };
    let mut runs = vec![run(&mut drive, &about, &paced, server, (progress, "sending"))];
    let whole = runs[0].ending == Ending::Complete;
    if let Some(flood) = contest.flood_of(&paced).filter(|_| whole && !interrupt.is_set()) {
        runs.push(run(&mut drive, &about, &flood, server, (progress, "flooding")));
    }
    if let Some(last) = runs.last_mut() {
        last.record.sessions_moved = Counters::read_after(&server.counters(), 0).sessions_moved;
    }
    drive.stop()?;
    Ok(runs)
}

/// The source of a peer's messages: its publishers, or the floor itself.
fn feed(name: PeerName, language: Language, server: &mut Server, plan: &Plan) -> Result<Feed, Failure> {
    if !name.system.is_floor() {
        let target = RawTarget::at(&server.publish_at, language, server);
        let connect = |publisher: usize| {
            let publisher = PublisherIndex(publisher as u32);
            RawSource::connect(publisher, &target, plan.timeout)
        };
        let sources: io::Result<Vec<RawSource>> = (0..plan.publishers).map(connect).collect();
        return sources.map(Feed::Sockets).map_err(|error| Failure::new("a publisher", error.to_string()));
    }
    let floor = server.process().and_then(|process| {
        let (stdin, stdout) = process.pipes()?;
        Some(Feed::Floor(Floor::new(stdin, stdout), process.pid()))
    });
    floor.ok_or_else(|| Failure::new("the floor", "it has no pipes"))
}

/// Sends a message on each topic, as a run of its own, again and again until all of one run have reached everybody: what was
/// sent before it has too.
fn probe(
    drive: &mut Drive<'_>,
    paced: &Plan,
    server: &mut Server,
    (interrupt, progress): (&Interrupt, &mut Progress),
) -> Result<(), DriveError> {
    let in_turn = paced.workload().in_turn();
    let amount = Amount::Messages(TopicChoice::new(&in_turn).turn());
    let topics = in_turn.shared;
    let one = Plan { topics, rate: Rate::Flood, amount, timeout: PROBE_TIMEOUT, ..paced.clone() };
    let deadline = Instant::now() + paced.timeout;
    loop {
        let phase = "waiting until a message reaches everybody";
        let probed = drive.go(&one, (progress, phase), || server.failure());
        let settled = |tally: &Tally| tally.oracle().settling(&probed.sent).settled;
        let reached: usize = probed.tallies.iter().map(|(_, tally)| settled(tally)).sum();
        match probed.ending {
            Ending::Complete => return Ok(()),
            Ending::Interrupted => return Err(DriveError::Interrupted),
            Ending::Failed(why) => return Err(Failure::new("the first message", why).into()),
            Ending::TimedOut(_) if Instant::now() < deadline && !interrupt.is_set() => {}
            Ending::TimedOut(_) => {
                let why = format!("it reached only {reached} of {}", paced.subscribers);
                return Err(Failure::new("the first message", why).into());
            }
        }
    }
}

fn run(
    drive: &mut Drive<'_>,
    about: &Label,
    plan: &Plan,
    server: &mut Server,
    progress: (&mut Progress, &str),
) -> Outcome {
    let usage = |server: &Server| server.usage().ok().flatten();
    let before = usage(server);
    let driven = drive.go(plan, progress, || server.failure());
    let usage = before.zip(usage(server));
    let mut outcome = outcome(plan, &driven);
    label(about, usage, &mut outcome.record);
    outcome
}

/// Resident memory of a process that is left alone, once it does not change any more.
fn settled_rss(server: &Server) -> Option<u64> {
    let rss_bytes = || Some(server.usage().ok()??.rss_bytes);
    let (deadline, mut changed) = (Instant::now() + RSS_TIMEOUT, Instant::now());
    let mut rss = rss_bytes()?;
    while changed.elapsed() < RSS_QUIET && Instant::now() < deadline {
        pause(RSS_LOOK_EVERY);
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
