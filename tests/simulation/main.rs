//! The shard logic of a whole broker under a seeded simulation on one thread: no socket, no clock, no thread.
//!
//! | file | owns |
//! |---|---|
//! | `seeds` | the seeds of a test |
//! | `plan` | the decisions of a seed before the first step |
//! | `world` | shards, links, connections, clients; one step at a time, and the way to rest |
//! | `pumps` | the work of the broker's pumps, without I/O: reading turns, flushes, links |
//! | `steps` | the possible next steps |
//! | `asking` | of these: the requests of well-behaved clients |
//! | `strangers` | and of clients that break a rule |
//! | `client` | the other end of one connection: bytes out, bytes in |
//! | `oracle` | the invariants; it knows the requests and the answers, and nothing of shards |
//! | `ledger` | its books: publishers' messages, and subscriptions with their times |
//! | `rules` | the rules of what clients may do, as they change |
//! | `violation` | the report of a broken invariant |
//! | `joined` | two brokers joined by a loopback carrier |
//! | `fault` | the deliberate fault, so that the oracle is seen to catch it |
//!
//! On failure the seed is printed. `CORECAST_SIM_SEED=N` runs that one, `CORECAST_SIM_SEEDS=N` as many from 0.

mod asking;
mod client;
mod fault;
mod joined;
mod ledger;
mod oracle;
mod plan;
mod pumps;
mod rules;
mod seeds;
mod steps;
mod strangers;
mod violation;
mod world;

use fault::Fault;
use plan::Plan;
use seeds::Seeds;
use violation::Kind;
use world::World;

/// Runs without the variables: about 30 s of one core in the dev profile.
const SEEDS: u64 = 3_000;

#[test]
fn whatever_happens_every_message_is_accounted_for() {
    let seeds = Seeds::of(SEEDS);
    let mut seen = world::Summary::default();
    let run = |seed| {
        let plan = Plan::draw(seed);
        let text = format!("{plan:?}");
        World::new(plan, None).run().unwrap_or_else(|violation| unreachable!("{violation}\n{text}"))
    };
    seeds.run(run).for_each(|summary| seen.add(&summary));
    eprintln!("{seen:?}");
    if seeds.are_many() {
        seen.assert_everything_happened();
    }
}

/// Runs seeds until the fault has struck and been caught; a run in which it strikes unnoticed may be harmless (nobody
/// had subscribed to the message), but not every time.
fn is_caught(fault: Fault, as_one_of: &[Kind]) {
    let mut struck = 0;
    for seed in 1_000..1_400 {
        let mut world = World::new(Plan::draw(seed), Some(fault));
        let outcome = world.run();
        struck += u32::from(world.fault_struck());
        let Err(violation) = outcome else { continue };
        assert!(world.fault_struck(), "seed {seed} fails without the fault: {violation}");
        assert!(as_one_of.contains(&violation.kind), "seed {seed}, {fault:?} is taken for {violation}");
        return;
    }
    assert_eq!(struck, 0, "{fault:?} struck in so many runs, and nobody noticed");
    unreachable!("{fault:?} never struck");
}

#[test]
fn a_lost_batch_is_caught() {
    is_caught(Fault::LoseBatch, &[Kind::Lost, Kind::Misplaced]);
}

#[test]
fn a_batch_that_comes_twice_is_caught() {
    is_caught(Fault::RepeatBatch, &[Kind::Duplicated, Kind::Overtold, Kind::Misplaced]);
}

#[test]
fn two_messages_in_the_wrong_order_are_caught() {
    is_caught(Fault::SwapMessages, &[Kind::Reordered, Kind::Misplaced]);
}

#[test]
fn a_gap_that_is_not_told_is_caught() {
    is_caught(Fault::ForgetGap, &[Kind::Lost, Kind::Misplaced]);
}

#[test]
fn a_gap_that_is_told_twice_is_caught() {
    is_caught(Fault::RepeatGap, &[Kind::Overtold, Kind::Misplaced]);
}

#[test]
fn a_changed_byte_is_caught() {
    is_caught(Fault::CorruptPayload, &[Kind::Corrupted]);
}

#[test]
fn a_message_for_somebody_else_is_caught() {
    is_caught(Fault::Misdeliver, &[Kind::Unasked]);
}

#[test]
fn interest_that_gets_lost_is_caught() {
    // Where later changes are confirmed, so is the one that got lost: what it was to bring is missing then.
    is_caught(Fault::LoseInterest, &[Kind::Unanswered, Kind::Lost]);
}

#[test]
fn a_flush_that_is_forgotten_is_caught() {
    is_caught(Fault::ForgetFlush, &[Kind::Stuck]);
}

#[test]
fn history_that_gets_lost_is_caught() {
    is_caught(Fault::LoseHistory, &[Kind::Lost, Kind::Misplaced]);
}

#[test]
fn history_that_comes_twice_is_caught() {
    is_caught(Fault::RepeatHistory, &[Kind::Duplicated, Kind::Reordered, Kind::Misplaced]);
}

#[test]
fn a_hole_in_a_stream_that_has_just_been_joined_is_caught() {
    is_caught(Fault::LoseJoined, &[Kind::Lost, Kind::Misplaced]);
}

#[test]
fn a_shard_that_does_not_follow_new_rules_is_caught() {
    // Messages that it should not have taken are nobody's, nor is anybody to miss them; those that only the rules before
    // forbid it does not take, nor does it let in those that were no users then.
    let kinds =
        [Kind::Forbidden, Kind::Unasked, Kind::Overtold, Kind::Lost, Kind::WrongClose, Kind::WrongRefusal];
    is_caught(Fault::IgnoreRules, &kinds);
}

#[test]
fn an_acknowledgement_for_nothing_is_caught() {
    is_caught(Fault::AcknowledgeEarly, &[Kind::EarlyDone]);
}
