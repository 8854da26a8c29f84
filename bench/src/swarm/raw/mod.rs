//! Raw subscribers and raw publishers: bare sockets, the same for every peer of a comparison, in place of our own
//! library. They are told the same things as the others, and report on the same channel.
//!
//! | file | owns |
//! |---|---|
//! | [`dialect`] | the protocol of each peer |
//! | [`target`] | a peer, as raw clients see it: endpoint, protocol, trust |
//! | [`socket`] | connecting to them |
//! | [`stream`] | the stream over a socket: the socket by itself, or under TLS |
//! | [`tls_stream`] | the clients' end of TLS |
//! | [`subscribers`] | the subscribers: threads of raw sockets |
//! | `reactor` | one of those threads |
//! | [`account`] | the messages that the subscribers of one thread have got |
//! | [`gauges`] | the progress of the slowest, for the publishers |
//! | [`job`] | messages to be sent, and at which pace |
//! | [`publishers`] | the publishers: threads of raw sockets, or the floor |
//! | [`sources`] | the publishers of one of those threads |
//! | [`source`] | one publisher |
//! | [`session`] | its session: a socket that one thread attends to |
//! | [`visitors`] | clients that come and go while others are measured |
//! | [`floor`] | the bare `send()` loop, as a process of its own |
//! | `floor_stream` | its end of a connection |
//!
//! The threads are plain ones, as many as there are cores allowed, and not pinned: they are everybody's clients, and
//! the kernel places them as it places those of any program.

pub mod account;
pub mod dialect;
pub mod floor;
mod floor_stream;
pub mod gauges;
pub mod job;
pub mod publishers;
pub(crate) mod reactor;
pub mod session;
pub mod socket;
pub mod source;
pub mod sources;
pub mod stream;
pub mod subscribers;
pub mod target;
pub mod tls_stream;
pub mod visitors;
