//! What is measured, and how one run of it goes.
//!
//! | file | owns |
//! |---|---|
//! | [`plan`] | what one run is to be, with everything checked |
//! | [`broker`] | the broker as a process of its own |
//! | [`guard`] | that no broker outlives this process |
//! | [`descriptors`] | whether there are files enough for it |
//! | [`run`] | one run, from the first connection to the record |
//! | [`drive`] | the swarm of a run: set up, let go, asked for what it measured |
//! | `receivers` | where its subscribers are: here, or on other hosts |
//! | [`watch`] | what is known of it meanwhile, and whether it is at its end |

pub mod broker;
pub mod descriptors;
pub mod drive;
pub mod guard;
pub mod plan;
mod receivers;
pub mod run;
pub mod watch;
