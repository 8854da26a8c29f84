//! What is measured, and how one run of it goes.
//!
//! | file | owns |
//! |---|---|
//! | [`plan`] | what one run is to be, with everything checked |
//! | [`broker`] | the broker as a process of its own |
//! | [`guard`] | that no broker outlives this process |
//! | [`descriptors`] | whether there are files enough for it |
//! | [`run`] | one run, from the first connection to the record |
//! | [`drive`] | the swarm of a run: set up, started, watched until all is accounted for |

pub mod broker;
pub mod descriptors;
pub mod drive;
pub mod guard;
pub mod plan;
pub mod run;
