//! Core dumps of a command that holds secrets: there are none, unless they are asked for.

use nix::sys::prctl::set_dumpable;

use super::{Exit, Failure};

/// Makes the kernel write no core of this process, whatever the limits and wherever cores go, and lets no other process of its
/// user read its memory. Limits would not do: the kernel does not apply them to a program that collects cores.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn forbid_core_dumps() -> Result<(), Failure> {
    set_dumpable(false).map_err(|e| Failure::new(Exit::Failed, format!("cannot forbid core dumps: {e}")))
}
