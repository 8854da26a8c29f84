//! The same fan-out through other systems, side by side: the same subscribers, the same publisher, the same account,
//! all of which are [`crate::swarm::raw`]'s.
//!
//! | file | owns |
//! |---|---|
//! | [`name`] | the peers, by name |
//! | [`plan`] | the plan of a comparison |
//! | [`start`] | how each peer is started, and why so |
//! | [`elsewhere`] | the arguments of a peer that runs already |
//! | `session` | one peer in one round: memory, paced run, flood |
//! | [`outcome`] | the fields of a record that say which peer it was of |
//! | `native` | our broker with subscribers of our own library |
//! | `pyzmq` | the ancestor's way: a swarm of Python |
//! | [`compare`] | all peers in all rounds, and those that are not there |
//! | [`summary`] | medians, and ratios of ours to each |
//! | [`assertion`] | `--assert` over a comparison |
//! | [`text`] | the tables for a terminal |

pub mod assertion;
pub mod compare;
pub mod elsewhere;
pub mod name;
mod native;
pub mod outcome;
pub mod plan;
mod pyzmq;
mod session;
pub mod start;
pub mod summary;
pub mod text;
