//! Owns the ancestor's way as a peer: a swarm of Python, with its latencies put through the same statistics as ours.

use super::compare::Runs;
use super::name::PeerName;
use super::plan::Plan;
use super::start::StartError;
use crate::interrupt::Interrupt;
use crate::report::progress::Progress;
use std::path::Path;

/// Measures it.
pub(super) fn measure(
    _name: PeerName,
    _round: u32,
    _plan: &Plan,
    _guard: Option<&Path>,
    (_interrupt, _progress): (&Interrupt, &mut Progress),
) -> Result<(Option<String>, Runs), StartError> {
    Err(StartError::Unsupported("not there yet".into()))
}
