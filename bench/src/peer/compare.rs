//! Owns a whole comparison: every peer in every round, alternating; what each gave goes to a sink at once, so that an
//! interruption loses nothing.

use super::name::{PeerName, System};
use super::plan::{Clients, Contest, Measured, Turn};
use super::start::start_neighbour;
use super::{native, own_clients, session};
use crate::experiment::outcome::Outcome;
use crate::interrupt::Interrupt;
use crate::process::error::StartError;
use crate::progress::Progress;
use crate::record::SkippedRecord;
use std::path::Path;

/// The result of a comparison.
#[derive(Debug, Default)]
pub struct ContestRuns {
    /// Every run, in the order in which they were made.
    pub runs: Vec<Outcome>,
    /// Peers that were not measured, and the reasons.
    pub skipped: Vec<SkippedRecord>,
    /// Set if somebody asked to stop before the end.
    pub interrupted: bool,
}

/// Makes a comparison. `keep` is given every run when it is over.
pub fn compare<E>(
    plan: &Contest,
    guard: Option<&Path>,
    interrupt: &Interrupt,
    mut keep: impl FnMut(&Outcome) -> Result<(), E>,
) -> Result<ContestRuns, E> {
    let mut comparison = ContestRuns::default();
    let mut given_up: Vec<PeerName> = Vec::new();
    for round in 1..=plan.rounds {
        for name in order_of(&plan.peers, round) {
            if interrupt.is_set() {
                comparison.interrupted = true;
                return Ok(comparison);
            }
            if given_up.contains(&name) {
                continue;
            }
            let mut progress = Progress::start(format!("round {round}/{} {name}", plan.rounds));
            match measure(&Turn { name, round, contest: plan, guard, interrupt }, &mut progress) {
                Ok((version, runs)) => {
                    for mut run in runs {
                        run.record.peer_version.clone_from(&version);
                        run.record.notes.extend(plan.neighbour.map(|neighbour| neighbour.to_string()));
                        keep(&run)?;
                        comparison.runs.push(run);
                    }
                }
                Err(_) if interrupt.is_set() => {}
                Err(error) => {
                    // What is missing stays missing; what went wrong may go well in the next round.
                    let never = !matches!(error, StartError::Failed { .. });
                    let round = (!never).then_some(round);
                    given_up.extend(never.then_some(name));
                    comparison.skipped.push(SkippedRecord {
                        peer: name.to_string(),
                        round,
                        why: error.to_string(),
                    });
                }
            }
        }
    }
    comparison.interrupted = interrupt.is_set();
    Ok(comparison)
}

/// The order of a round: it begins with the next peer, so that none always follows the same one.
fn order_of(peers: &[PeerName], round: u32) -> Vec<PeerName> {
    let mut order = peers.to_vec();
    order.rotate_left((round as usize - 1) % peers.len());
    order
}

fn measure(turn: &Turn<'_>, progress: &mut Progress) -> Measured {
    let Turn { name, contest: plan, guard, .. } = *turn;
    let _busy = plan.neighbour.map(|neighbour| start_neighbour(neighbour, guard)).transpose()?;
    let why_not = name.system.why_not_over(plan.transport_of(name));
    match (name.system.language(), why_not) {
        (Some(language), _) if !is_native(name, plan) => session::measure(turn, language, progress),
        (_, Some(why)) => Err(StartError::Unsupported(why.into())),
        (None, None) => own_clients::measure(turn, progress),
        (Some(_), None) => native::measure(turn),
    }
}

/// True if its subscribers are our own library's.
fn is_native(name: PeerName, plan: &Contest) -> bool {
    name.system.is_native() || (name.system == System::Corecast && plan.clients == Clients::Native)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_begins_with_another_peer() {
        let peers = ["corecast", "libzmq", "redis"].map(|name| name.parse().unwrap());
        let names = |round| order_of(&peers, round).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(1), ["corecast", "libzmq", "redis"]);
        assert_eq!(names(2), ["libzmq", "redis", "corecast"]);
        assert_eq!(names(4), names(1));
    }
}
