//! Sessions: the state of one without I/O, and the pumps that move its bytes. The state takes what happened and the time,
//! and leaves frames to send; it runs under any pumps.
//!
//! | file | owns |
//! |---|---|
//! | `state` | a session's logic, without I/O: what is asked, what is in force, what is unsent |
//! | `subscribers`, `requests`, `unacked`, `out` | its parts: its subscribers; its unanswered requests; its messages not known to be taken; its bytes on their way |
//! | `subscriber_counts` | the counts of subscribers that its publishers wait for |
//! | `announcement` | what a direct publisher says of itself to the broker |
//! | `registry_feed` | what a view of the registry has not been told |
//! | `hearing` | when it last heard and said something: pings, and silence that is too long |
//! | `naming` | the direct publishers that its broker names, and the news of them; in `named`, those of this connection, in `heard`, all that it has heard of |
//! | `credentials` | the proof of who it is, which is shown before the hello |
//! | `tickets` | tickets to direct publishers: those that its broker gives it, and those that its own are to ask for |
//! | `uncovered` | filters that a direct publisher does not let subscribers have, by the ticket to it |
//! | `peer` | the other end |
//! | `sinks`, `listeners` | the receivers of each topic; those of one session, told in order with its gaps |
//! | `incoming` | makes frames of the bytes of one connection |
//! | `in_memory` | tests: sessions under other pumps, with a shard and without an executor |
//! | `holds` | queues that have no room, so that nothing is read |
//! | `life` | a session's users, and one connection after another |
//! | `waiting`, `patience` | what its users wait for, and for how long a broker may give no sign of life |
//! | `connection` | one connection and its pumps |
//! | `streams` | sessions to the direct publishers that the broker names |
//! | `introductions`, `introduced` | all of those publishers and their turns; one of them, and its stream |
//! | `returning` | subscribers whose gap waits until those publishers have confirmed them |
//! | `paused`, `promise` | the memory of such a stream between two connections; the promise to a subscriber that its misses are told |
//! | `track`, `last_messages` | the last messages that a subscriber has had, from which it goes on; such messages, in bounds |
//! | `destinations` | the endpoints of the other end, in turn |
//! | `elsewhere` | its way from a broker that is about to end to another one; in `transfer` and `leaving`, the state of that, in `overlap`, the two streams of messages meanwhile |
//! | `dials`, `losses` | permits to connect to them; the losses that were logged lately |
//! | `runtime` | what all sessions of one executor share |

mod announcement;
mod connection;
mod credentials;
mod destinations;
mod dials;
mod elsewhere;
mod heard;
mod hearing;
mod holds;
#[cfg(all(test, feature = "broker"))]
mod in_memory;
mod incoming;
mod introduced;
mod introductions;
mod last_messages;
mod leaving;
mod life;
mod listeners;
mod losses;
mod named;
mod naming;
mod out;
mod overlap;
mod patience;
mod paused;
mod peer;
mod promise;
mod refused_topics;
mod registry_feed;
mod requests;
mod returning;
#[cfg(test)]
mod rig;
mod runtime;
mod sinks;
mod state;
mod streams;
mod subscriber_counts;
mod subscribers;
mod tickets;
mod track;
mod transfer;
mod unacked;
mod uncovered;
mod waiting;

pub(super) use announcement::Announcement;
pub(super) use holds::Hold;
#[cfg(test)]
pub(super) use holds::{Blocking, Holds};
pub(super) use life::Session;
pub(super) use registry_feed::ListSlot;
pub(super) use requests::Flushed;
pub(super) use runtime::ClientRuntime;
pub(super) use sinks::Sink;
pub(super) use state::State;
