//! One shard: the state that one executor owns, from a session's first byte to its last. Pure: no sockets, no clock, no
//! `.await`. What happened comes in by a call, what is to be done goes out by the [`Outbox`].
//!
//! `state` and `input` route events to the parts. A part owns its state in private fields, is lent the base for each call,
//! and returns what concerns others.
//!
//! | router | |
//! |---|---|
//! | `state` | the shard: sessions that come and go, ticks, drain |
//! | `input` | frames, requests and link items, in turns |
//! | `flush` | what waits for a session, to whoever sends it |
//! | `moving` | moves of sessions, to the pumps that have their connections |
//! | `last_call` | the last word of clients before it stops |
//! | `census` | looks of operators, and sessions that they end |
//! | `admission` | connections that have just come, before anything is read from them |
//!
//! | base, which all parts share | owns |
//! |---|---|
//! | `base`, `holds`, `quotas`, `audit` | the owners below: answers, ends of sessions, publishers that are held, quotas of users, invariants |
//! | `clock` | time, as it was told and as it counts |
//! | `session_state`, `session_table` | one connection's state, and the table of them |
//! | `links` | neighbours, which are the other shards and the carriers: what waits to go there, and what came from there |
//! | `aftermath` | the news of an event for parts that had no hand in it, until the router has told them |
//! | `slowed` | publishers that wait because their users are ahead of their rates |
//! | `unfinished`, `begun` | frames that have begun and are not whole: the memory of all, and the time of each |
//! | `strangers`, `stranger_bounds`, `failed_logins` | connections whose peers are not known yet, and hosts whose logins fail: how many of each there may be |
//! | `outbox`, `losses` | what is to be done, and drops until the log says so |
//! | `pace`, `slow` | whether a session is slow; those that have become so, until the log has named them |
//! | `config` | what all shards of one process are told when they start |
//!
//! | part | owns |
//! |---|---|
//! | `membership` | the fan-out: which egress group a session is in; in `withdrawals`, filters of sessions that have left |
//! | `demand` | the filters that are wanted, told first on and last off; its owners are `interest` (neighbours), `upstream` (ZeroMQ publishers) and `relays` (direct publishers for ZeroMQ subscribers) |
//! | `joins` | subscriptions on their way into force: asked, confirmed, joined |
//! | `history` | the messages that this shard keeps, which the base has, and sessions that start with history |
//! | `watches` | publishers that wait for subscribers |
//! | `publishers`, `far_publishers`, `registering` | direct publishers: the registry on the first shard, with those of other brokers, and a directory on each; their requests, as they are read |
//! | `succession`, `successors` | the opening of sessions, each behind its client's old one |
//! | `deadlines` | the sweep over sessions |
//! | `tickets` | tickets to direct publishers, which a broker with users gives |
//! | `renewals` | no state: tickets, and the word on them, to sessions |
//! | `shown_tickets` | no state: tickets that are shown to this direct publisher |
//! | `judgement`, `revocation` | what sessions and direct publishers go on with, while it is judged by new rules; what sessions lose by them |
//! | `moves`, `balance` | sessions that move from one shard to another, and when; in `run_delay`, whether this shard gets its core |
//! | `publish` | HOT, no state: one batch to all that want it |
//! | `zmtp` | no state: the words of ZeroMQ sockets |
//!
//! | of one session | owns |
//! |---|---|
//! | `kind`, `door` | what differs between native, ZeroMQ, relayed and local sessions, and the doors they come by |
//! | `password_check` | a password that a ZeroMQ socket has shown, until it is checked elsewhere |
//! | `passwords_waiting` | the places for such passwords, of which no host takes those of others |
//! | `zmtp_peer`, `relay_peer` | what only a ZeroMQ session, or one to a direct publisher, has |
//! | `liveness`, `silence` | whether a silent peer still lives |
//! | `subscriptions`, `filters` | its subscriptions, and their counts; the filters of them |
//! | `news` | what it hears of direct publishers |
//! | `rest`, `postponed` | input that waits for its next turn |
//! | `origin` | a publisher, here or at a neighbour |
//! | `closed` | how it ended |

mod admission;
mod aftermath;
mod audit;
mod balance;
mod base;
mod begun;
#[cfg(feature = "broker")]
mod census;
mod clock;
mod closed;
mod config;
mod deadlines;
mod demand;
mod door;
mod failed_logins;
mod far_publishers;
mod filters;
mod flush;
mod history;
mod holds;
mod input;
mod interest;
mod joins;
mod judgement;
mod kind;
mod last_call;
mod links;
mod liveness;
mod losses;
mod membership;
mod moves;
mod moving;
mod news;
mod origin;
mod outbox;
mod pace;
mod password_check;
mod passwords_waiting;
mod postponed;
mod publish;
mod publishers;
mod quotas;
mod registering;
mod relay_peer;
mod relays;
mod renewals;
mod rest;
mod revocation;
#[cfg(test)]
mod rig;
mod run_delay;
mod session_state;
mod session_table;
mod shown_tickets;
mod silence;
mod slow;
mod slowed;
mod state;
mod stranger_bounds;
mod strangers;
mod strikes;
mod subscriptions;
mod succession;
mod successors;
mod tickets;
mod unfinished;
mod upstream;
mod watches;
mod withdrawals;
mod zmtp;
mod zmtp_peer;

pub use admission::Admission;
#[cfg(feature = "broker")]
pub use census::Census;
pub use closed::Closed;
pub use config::ShardConfig;
pub use door::Door;
pub use flush::{Visit, flush_all};
pub use history::{Keep, KeepList, KeepRule, Retention};
pub use last_call::LastCall;
pub use links::Links;
pub use losses::{Loss, Losses};
pub use moves::Parting;
pub use moving::Moving;
pub use outbox::{Dial, Outbox};
pub use password_check::{LoginVerdict, PasswordCheck};
pub use passwords_waiting::PasswordsWaiting;
pub use session_state::Phase;
pub use session_table::SessionTable;
pub use slow::SlowNews;
pub use state::Shard;
pub use stranger_bounds::StrangerBounds;
pub use strangers::Crowd;
