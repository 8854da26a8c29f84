//! Owns a run in which one message is under way at a time: how it is begun, waited for, and what its record says. Who
//! asks is on a core of its own and spins; who answers is on another: our broker ([`through_broker`]), or a thread
//! that gives back what it reads ([`bare`]).
//!
//! | file | owns |
//! |---|---|
//! | `asker` | a series of questions, timed, and what is told of it meanwhile |
//! | `client` | publisher and subscriber in one executor, with the broker between them |
//! | `sockets` | the floor: two threads that spin on the ends of a connection |

mod asker;
mod client;
mod sockets;

use super::cost::{Cost, Reading};
use super::error::DriveError;
use super::outcome::Outcome;
use super::plan::Plan;
use super::run::{RunError, Surroundings};
use crate::interrupt::Interrupt;
use crate::process::broker::{self, BrokerOptions};
use crate::progress::{Position, Progress};
use crate::record::{RunRecord, thousandths};
use crate::results::Raw;
use crate::swarm::reports::Failure;
use asker::{Asked, Told, failed, pool_failed};
use corecast_executors::{Inbox, RecvTimeout, link};
use std::time::{Duration, Instant};

/// The floor's name in a record.
pub const FLOOR: &str = "echo-floor";
/// Interval between two checks for an interruption.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Words of an asker that may wait to be read: it says several a second, and its last one must find room.
const TOLD_MAX: usize = 64;

/// A run with our broker between publisher and subscriber.
pub fn through_broker(plan: &Plan, surroundings: &Surroundings<'_>) -> Result<Outcome, RunError> {
    plan.check()?;
    let itself = || failed("an echo", "it starts its broker itself: leave --broker out");
    let options = plan.options().ok_or_else(itself)?;
    let mut progress = Progress::start_at(surroundings.place, title(plan, "corecast"));
    let (asked, cost) = ask_broker(plan, options, surroundings, &mut progress)?;
    let mut record = RunRecord {
        mode: plan.mode.to_string(),
        idle: options.idle.map(|idle| idle.to_string()),
        ..record(plan, &asked)
    };
    cost.describe(plan, &mut record);
    Ok(outcome(record, asked))
}

fn ask_broker(
    plan: &Plan,
    options: &BrokerOptions,
    surroundings: &Surroundings<'_>,
    progress: &mut Progress,
) -> Result<(Asked, Cost), RunError> {
    let mut broker = broker::start(options, plan.mode, None, surroundings.guard)?;
    let before = Reading::now(broker.usage()?);
    let (link, inbox) = link(TOLD_MAX);
    let pool = client::start(plan, &broker, link).map_err(pool_failed)?;
    let asked = wait(plan, inbox, surroundings.interrupt, progress)
        .map_err(|error| RunError::Drive { error, broker: broker.failure_suffix() })?;
    let after = Reading::now(broker.usage().ok().flatten());
    pool.stop().map_err(pool_failed)?;
    broker.stop();
    Ok((asked, Cost { empty_rss_bytes: None, before, after }))
}

/// A run of the floor: the bytes of a frame to and fro over one connection, on the same cores.
pub fn bare(plan: &Plan, surroundings: &Surroundings<'_>) -> Result<Outcome, RunError> {
    plan.check()?;
    let mut progress = Progress::start_at(surroundings.place, title(plan, FLOOR));
    let asked = ask_bare(plan, surroundings.interrupt, &mut progress)?;
    let record = RunRecord { mode: "direct".into(), peer: Some(FLOOR.into()), ..record(plan, &asked) };
    Ok(outcome(record, asked))
}

fn ask_bare(plan: &Plan, interrupt: &Interrupt, progress: &mut Progress) -> Result<Asked, RunError> {
    let (link, inbox) = link(TOLD_MAX);
    let pool = sockets::start(plan, link)?;
    let asked = wait(plan, inbox, interrupt, progress)
        .map_err(|error| RunError::Drive { error, broker: String::new() })?;
    pool.join().map_err(pool_failed)?;
    Ok(asked)
}

/// Waits until the asker is done; it is given up if it says nothing for as long as the plan allows.
fn wait(
    plan: &Plan,
    mut inbox: Inbox<Told>,
    interrupt: &Interrupt,
    progress: &mut Progress,
) -> Result<Asked, DriveError> {
    progress.phase("asking");
    let mut heard = Instant::now();
    loop {
        match inbox.recv_deadline(Instant::now() + LOOK_EVERY) {
            Ok(Told::Done(asked)) => return Ok(*asked),
            Ok(Told::Failed(failure)) => return Err(DriveError::Failed(failure)),
            Ok(Told::SoFar { answered, done }) => {
                heard = Instant::now();
                let (sent, deliveries) = (answered, answered);
                progress.update(&Position { sent, deliveries, gaps: 0, done, left: None });
            }
            Err(RecvTimeout::Closed) => {
                return Err(Failure::new("the asker", "it ended without a word").into());
            }
            Err(RecvTimeout::TimedOut) => {}
        }
        if interrupt.is_set() {
            return Err(DriveError::Interrupted);
        }
        if heard.elapsed() > plan.timeout {
            let why = format!("no answer within {} s", plan.timeout.as_secs_f64());
            return Err(Failure { timed_out: true, ..Failure::new("an echo", why) }.into());
        }
    }
}

fn title(plan: &Plan, who: &str) -> String {
    match plan.options() {
        Some(options) if who != FLOOR => format!("echo by {who}, {}", options.idle.unwrap_or_default()),
        _ => format!("echo by {who}"),
    }
}

/// The record of an echo. There is one subscriber: its times are also those of the first and the last.
fn record(plan: &Plan, asked: &Asked) -> RunRecord {
    let summary = asked.latencies.summary();
    let answered = asked.latencies.len();
    let duration_s = asked.duration.as_secs_f64();
    RunRecord {
        transport: plan.transport().to_string(),
        sessions: plan.sessions.to_string(),
        subscribers: 1,
        publishers: 1,
        size_bytes: plan.size_bytes as u64,
        duration_s: (duration_s * 1e6).round() / 1e6,
        messages_sent: answered,
        deliveries_expected: answered,
        deliveries: answered,
        latency_us: summary,
        first_subscriber_us: summary,
        last_subscriber_us: summary,
        deliveries_per_s: thousandths(answered as f64 / duration_s.max(1e-9)),
        notes: vec!["one message at a time: the next one is sent when the last has come".into()],
        ..RunRecord::default()
    }
}

fn outcome(record: RunRecord, asked: Asked) -> Outcome {
    let latency = asked.latencies;
    let raw =
        Raw { first_subscriber: latency.clone(), last_subscriber: latency.clone(), latency, samples: None };
    Outcome::complete(record, raw)
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::sample_plan;
    use super::*;
    use crate::swarm::schedule::Amount;
    use corecast_executors::Topology;

    fn plan(messages: u64) -> Plan {
        let cores = Topology::detect().unwrap().allowed().to_vec();
        Plan {
            amount: Amount::Messages(messages),
            fan_out_cores: cores[..1].to_vec(),
            subscriber_cores: vec![*cores.last().unwrap()],
            timeout: Duration::from_secs(30),
            ..sample_plan()
        }
    }

    #[test]
    fn the_floor_answers_every_question() {
        let interrupt = Interrupt::default();
        let surroundings =
            Surroundings { guard: None, interrupt: &interrupt, place: None, counts_syscalls: false };
        let outcome = bare(&plan(50), &surroundings).unwrap();
        let record = outcome.record;
        assert_eq!((record.deliveries, record.lost, record.peer.as_deref()), (50, 0, Some(FLOOR)));
        assert_eq!(outcome.raw.latency.len(), 50);
        assert!(record.latency_us.unwrap().min > 0.0);
    }

    #[test]
    fn an_asker_that_says_nothing_is_given_up() {
        let (_link, inbox) = link(1);
        let plan = Plan { timeout: Duration::from_millis(150), ..plan(1) };
        let mut progress = Progress::start(String::new());
        let error = wait(&plan, inbox, &Interrupt::default(), &mut progress).unwrap_err();
        assert!(error.to_string().contains("no answer within 0.15 s"), "{error}");
    }
}
