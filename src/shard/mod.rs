//! One shard: the state that one executor owns, from a session's first byte to its last. Pure: no sockets, no clock, no
//! `.await`. What happened comes in by a call, what is to be done goes out by the [`Outbox`].
//!
//! | file | owns |
//! |---|---|
//! | `config` | what all shards of one process are told when they start |
//! | `door` | protocols by which connections come |
//! | `relays` | direct publishers for ZeroMQ subscribers |
//! | `relay_peer` | a direct publisher, as its session knows it |
//! | `silence` | the facts about a silence, and the verdict on it |
//! | `liveness` | whether a silent ZeroMQ peer still lives |
//! | `zmtp`, `zmtp_peer` | sessions of ZeroMQ sockets |
//! | `upstream` | what ZeroMQ publishers are asked for |
//! | `losses` | what was dropped, until the log says so |
//! | `kind` | what differs between native, ZeroMQ, relayed and local sessions |
//! | `session`, `sessions` | one connection's state, and the table of them |
//! | `begun` | the frame that a session has begun, and until when it must go on |
//! | `unfinished` | the memory that begun frames have together |
//! | `subscriptions` | what one session has subscribed to |
//! | `succession`, `successors` | a client's new session behind its old one |
//! | `interest` | the filters that the neighbours know of |
//! | `publishers` | direct publishers: the registry on the first shard, a directory on each |
//! | `news` | what one session hears of direct publishers |
//! | `watches` | publishers that wait for subscribers |
//! | `rest`, `turns` | input that waits for the next turn |
//! | `postponed` | subscriptions of a ZeroMQ session that wait for the next |
//! | `outbox` | what is to be done |
//! | `origin` | the publisher of a batch, here or at a neighbour |
//! | `base` | the ground of all parts: sessions, links, clock, turn, outbox, counters |
//! | `clock` | time, as it was told and as it counts |
//! | `links` | neighbours, which are the other shards and the carriers: what waits to go there, and what came from there |
//! | `holds` | publishers that are not read while somebody has no room |
//! | `leaving` | a session with very many filters that has left |
//! | `state` | all of it: what happened in, what is to be done out; with `publish` (frames), `control` (requests),
//! | | `membership` (subscriptions), `linking` (neighbours), `flush` (what waits, to whoever sends it),
//! | | `closing`, `deadlines`, `audit` (what is always true) |

mod audit;
mod base;
mod begun;
mod clock;
mod closing;
mod config;
mod control;
mod deadlines;
mod door;
mod flush;
mod holds;
mod interest;
mod kind;
mod leaving;
mod linking;
mod links;
mod liveness;
mod losses;
mod membership;
mod news;
mod origin;
mod outbox;
mod postponed;
mod publish;
mod publishers;
mod relay_peer;
mod relays;
mod rest;
#[cfg(test)]
mod rig;
mod session;
mod sessions;
mod silence;
mod state;
mod subscriptions;
mod succession;
mod successors;
mod turns;
mod unfinished;
mod upstream;
mod watches;
mod zmtp;
mod zmtp_peer;

pub use closing::Closed;
pub use config::ShardConfig;
pub use door::Door;
pub use flush::Visit;
pub use losses::{Loss, Losses};
pub use outbox::{Dial, Outbox};
pub use session::Phase;
pub use state::Shard;
