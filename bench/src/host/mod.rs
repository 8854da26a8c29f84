//! Subscribers on other hosts: an agent on each plays its share of the swarm, and this host drives them.
//!
//! | file | owns |
//! |---|---|
//! | [`hosts_file`] | `hosts.toml`: which hosts there are, and how many subscribers each gets |
//! | [`protocol`] | what controller and agent say to each other |
//! | [`token`] | proofs that both ends of a connection have the same token |
//! | [`frames`] | the bytes that carry it: bounded, with deadlines |
//! | [`clock`] | whose clock is ahead by how much, and by how much that may be wrong |
//! | [`conversation`] | the controller's end of one connection to an agent |
//! | [`error`] | errors of a host |
//! | [`fleet`] | all agents of a run: the same verbs as a swarm here |
//! | [`agent`] | the agent: who may drive it, and its orderly end |
//! | [`session`] | the agent's end of one connection, and the swarm that it drives |
//!
//! A connection carries one run. Publishers and broker are always on the controller's host.

pub mod agent;
pub mod clock;
pub mod conversation;
pub mod error;
pub mod fleet;
pub mod frames;
pub mod hosts_file;
pub mod protocol;
pub mod session;
pub mod token;
