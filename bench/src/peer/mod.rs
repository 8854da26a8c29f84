//! The same fan-out through other systems, side by side: the same subscribers, the same publisher, the same account.
//!
//! | file | owns |
//! |---|---|
//! | [`name`] | which peers there are, by name |
//! | [`plan`] | what a comparison is to be |
//! | [`dialect`] | what is said to each of them, and what its bytes mean |
//! | [`socket`] | connecting to them |
//! | [`swarm`] | the subscribers: threads of raw sockets, the same for every peer |
//! | [`reactor`] | one of those threads |
//! | [`account`] | what the subscribers of one thread have got |
//! | [`job`] | messages to be made, and at which pace |
//! | [`gauges`] | how far those threads are, for others to read |
//! | [`source`] | the publisher |
//! | [`floor`] | the bare `send()` loop, as a process of its own |
//! | [`feed`] | what makes messages: a publisher, or the floor |
//! | [`start`] | how each peer is started, and why so |
//! | [`elsewhere`] | what is typed of a peer that runs already |
//! | [`session`] | one peer in one round: memory, paced run, flood |
//! | [`outcome`] | what a run of a peer looks like in the record |
//! | [`native`] | our broker with subscribers of our own library |
//! | [`pyzmq`] | the ancestor's way: a swarm of Python |
//! | [`compare`] | all peers in all rounds, and what becomes of those that are not there |
//! | [`summary`] | medians, and ratios of ours to each |
//! | [`assertion`] | `--assert` over a comparison |
//! | [`text`] | what a terminal shows |
//!
//! Subscribers' threads are plain ones, as many as there are cores allowed, and not pinned: they are everybody's
//! clients, and the kernel places them as it places those of any program.

pub mod account;
pub mod assertion;
pub mod compare;
pub mod dialect;
pub mod elsewhere;
pub mod feed;
pub mod floor;
pub mod gauges;
pub mod job;
pub mod name;
pub mod native;
pub mod outcome;
pub mod plan;
pub mod pyzmq;
pub mod reactor;
pub mod session;
pub mod socket;
pub mod source;
pub mod start;
pub mod summary;
pub mod swarm;
pub mod text;
