//! The same fan-out through other systems, side by side: the same subscribers, the same publisher, the same account,
//! all of which are [`crate::swarm::raw`]'s.
//!
//! | file | owns |
//! |---|---|
//! | [`name`] | the peers, by name |
//! | [`plan`] | the plan of a comparison |
//! | [`installed`] | the list of peers, and which are there |
//! | [`start`] | how each peer is started |
//! | `version` | the question to a running server which version it is |
//! | [`elsewhere`] | the arguments of a peer that runs already |
//! | `session` | one peer in one round: memory, paced run, flood |
//! | [`outcome`] | the fields of a record that say which peer it was of |
//! | `native` | our broker with subscribers of our own library |
//! | `own_clients` | peers with clients of their own: a swarm of Python |
//! | [`compare`] | all peers in all rounds, and those that are not there |
//! | [`summary`] | medians, and ratios of ours to each |
//! | [`assertion`] | `--assert` over a comparison |
//! | [`text`] | the tables for a terminal |

pub mod assertion;
pub mod compare;
pub mod elsewhere;
pub mod installed;
pub mod name;
mod native;
pub mod outcome;
mod own_clients;
pub mod plan;
pub(crate) mod session;
pub mod start;
pub mod summary;
pub mod text;
mod version;
